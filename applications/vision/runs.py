"""What a run folder says about its run. Imports no backend."""

import dataclasses
import hashlib
import json
from pathlib import Path

from applications.common import choices, folders

TFDS = "tfds:"


def description(application, name, recipe, options, **others):
    """What a run is, as `recipe.json` holds it.

    Args:
        application: Its `Application`.
        name: Of the recipe.
        recipe: Its choices.
        options: With `data`, `weights`, `seed` and `skip_bad_files`.
        **others: Other names of weights.
    """
    data = options.data
    weights = {"weights": options.weights, **others}
    if not any(weights.values()) and (
        recipe.trainable != "all" or recipe.freeze_blocks or recipe.layer_decay
    ):
        raise ValueError(
            "This recipe trains a part of a model, or its first blocks less, "
            "for they have learned already. Received: no --weights. Add "
            f"--weights {application.weights}, for example, or take "
            "--recipe scratch."
        )
    several = data and Path(data).exists() and Path(data).suffix != ".npz"
    if options.skip_bad_files and not several:
        raise ValueError(
            "Files are left out of a folder or a list. Received: "
            f"--skip-bad-files with --data {data}. Leave it out."
        )
    if (recipe.dataset == "named") != (data is not None):
        raise ValueError(
            f"A recipe with dataset=named reads the {application.examples} of "
            "`--data`, the others make their own. Received: "
            f"dataset={recipe.dataset}, --data {data}. Add --data FOLDER, "
            "--data FILE.npz or --data tfds:NAME, or leave it out."
        )
    return json.loads(
        json.dumps(
            {
                "recipe": name,
                "seed": options.seed,
                "data": known_path(data),
                "data_sha256": sha256(data, application.examples),
                **{name: known_path(path) for name, path in weights.items()},
                "skip_bad_files": options.skip_bad_files,
                "choices": dataclasses.asdict(recipe),
            }
        )
    )


def known_path(name):
    """A path that is the same from any folder; other names as they are."""
    return str(Path(name).resolve()) if name and Path(name).exists() else name


def sha256(source, examples):
    """The hash by which a file, or the listing of a folder, is known again.

    Args:
        source: What `--data` names.
        examples: What is there, for errors.
    """
    if source is None or str(source).startswith(TFDS):
        return None
    digest, path = hashlib.sha256(), Path(source)
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if not path.is_dir():
        raise ValueError(
            f"{examples.capitalize()} must be in a folder, a file or a set of "
            f"tensorflow-datasets. Received: {source}, where there is none."
        )
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        # Hidden ones are notes of file managers, which come and go.
        if file.is_file() and "/." not in f"/{name}":
            digest.update(f"{name} {file.stat().st_size}\n".encode())
    return digest.hexdigest()


def read_about(application, folder):
    """The `recipe.json` of a run folder, and the recipe in it."""
    try:
        path = Path(folder) / folders.RECIPE_FILE
        about = json.loads(path.read_text(encoding="utf-8"))
        recipe = choices.from_json(application.recipe_class, about["choices"])
        application.check_recipe(recipe)
        for name in ("seed", "data", "data_sha256"):
            about[name]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "A run folder must hold the recipe.json that training writes. "
            f"Received: {folder} ({error!r}). Make one with `python -m "
            f"applications.{application.name}.train --output FOLDER`."
        ) from None
    return about, recipe


def check_same(application, folder, about):
    """Makes sure that the folder's run is the one that `about` describes."""
    before, _ = read_about(application, folder)
    before, now = ({**x["choices"], **x} for x in (before, about))
    folders.check_same(folder, before, now)


def check_unchanged(application, about):
    """Makes sure that the examples of a run are what they were."""
    now = sha256(about["data"], application.examples)
    if now != about["data_sha256"]:
        raise ValueError(
            f"The test {application.examples} of a run are those that it was "
            f"trained beside. Received: {about['data']}, changed since. Bring "
            f"it back, or score other {application.examples} with --data."
        )


def read_run(application, folder, model_class):
    """The model of a finished run, its recipe, its names of classes.

    Args:
        application: Its `Application`.
        folder: Of the run.
        model_class: From a recipe to the class of its model.
    """
    about, recipe = read_about(application, folder)
    path = Path(folder) / folders.MODEL_FOLDER
    if not path.is_dir():
        raise ValueError(
            "A run must be finished, and of a model of ours, before its model "
            f"is read. Received: {folder}, without {folders.MODEL_FOLDER}. "
            "Add --resume to the command that began it."
        )
    metrics = Path(folder) / folders.METRICS_FILE
    names = json.loads(metrics.read_text(encoding="utf-8"))["class_names"]
    return model_class(recipe).from_preset(path), recipe, about, names
