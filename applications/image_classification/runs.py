"""What a run folder says about its run. Imports no backend."""

import dataclasses
import hashlib
import importlib
import json
from pathlib import Path

from applications.common import choices, folders
from applications.image_classification.recipes import Recipe, check_recipe

TFDS = "tfds:"


def description(name, recipe, options):
    """What a run is, as `recipe.json` holds it.

    Args:
        name: Of the recipe.
        recipe: A `Recipe`.
        options: With `data`, `weights`, `seed` and `skip_bad_files`.
    """
    data, weights = options.data, options.weights
    if weights is None and (
        recipe.trainable != "all" or recipe.freeze_blocks or recipe.layer_decay
    ):
        raise ValueError(
            "This recipe trains a part of a model, or its first blocks less, "
            "for they have learned already. Received: no --weights. Add "
            "--weights hf://google/vit-base-patch16-224, for example, or take "
            "--recipe scratch."
        )
    if options.skip_bad_files and not (data and Path(data).is_dir()):
        raise ValueError(
            "Files are left out of a folder. Received: --skip-bad-files with "
            f"--data {data}. Leave it out."
        )
    if (recipe.dataset == "named") != (data is not None):
        raise ValueError(
            "A recipe with dataset=named reads the pictures of `--data`, the "
            f"others make their own. Received: dataset={recipe.dataset}, "
            f"--data {data}. Add --data FOLDER, --data FILE.npz or --data "
            "tfds:NAME, or leave it out."
        )
    return json.loads(
        json.dumps(
            {
                "recipe": name,
                "seed": options.seed,
                "data": known_path(data),
                "data_sha256": sha256(data),
                "weights": known_path(weights),
                "skip_bad_files": options.skip_bad_files,
                "choices": dataclasses.asdict(recipe),
            }
        )
    )


def known_path(name):
    """A path that is the same from any folder; other names as they are."""
    return str(Path(name).resolve()) if name and Path(name).exists() else name


def sha256(source):
    """The hash by which a file, or the listing of a folder, is known again."""
    if source is None or str(source).startswith(TFDS):
        return None
    digest, path = hashlib.sha256(), Path(source)
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if not path.is_dir():
        raise ValueError(
            "Pictures must be in a folder, a .npz file or a set of "
            f"tensorflow-datasets. Received: {source}, where there is none."
        )
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        # Hidden ones are notes of file managers, which come and go.
        if file.is_file() and "/." not in f"/{name}":
            digest.update(f"{name} {file.stat().st_size}\n".encode())
    return digest.hexdigest()


def read_about(folder):
    """The `recipe.json` of a run folder, and the recipe in it."""
    try:
        path = Path(folder) / folders.RECIPE_FILE
        about = json.loads(path.read_text(encoding="utf-8"))
        recipe = choices.from_json(Recipe, about["choices"])
        check_recipe(recipe)
        for name in ("seed", "data", "data_sha256", "weights"):
            about[name]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "A run folder must hold the recipe.json that training writes. "
            f"Received: {folder} ({error!r}). Make one with `python -m "
            "applications.image_classification.train --output FOLDER`."
        ) from None
    return about, recipe


def check_same(folder, about):
    """Makes sure that the folder's run is the one that `about` describes."""
    before, _ = read_about(folder)
    before, now = ({**x["choices"], **x} for x in (before, about))
    folders.check_same(folder, before, now)


def check_unchanged(about):
    """Makes sure that the pictures of a run are what they were."""
    if sha256(about["data"]) != about["data_sha256"]:
        raise ValueError(
            "The test pictures of a run are those that it was trained beside. "
            f"Received: {about['data']}, changed since. Bring it back, or "
            "score other pictures with --data."
        )


def read_run(folder):
    """The model of a finished run, its recipe, its names of classes."""
    about, recipe = read_about(folder)
    path = Path(folder) / folders.MODEL_FOLDER
    if not path.is_dir():
        raise ValueError(
            "A run must be finished, and of a ViT of ours, before its model "
            f"is read. Received: {folder}, without {folders.MODEL_FOLDER}. "
            "Add --resume to the command that began it."
        )
    models = importlib.import_module("keras_attention.models")
    segments = recipe.task == "segmentation"
    kind = models.ViTSegmenter if segments else models.ViT
    metrics = Path(folder) / folders.METRICS_FILE
    names = json.loads(metrics.read_text(encoding="utf-8"))["class_names"]
    return kind.from_preset(path), recipe, about, names
