"""What a run folder says about its run. Imports no backend."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from applications.common import folders
from applications.common.folders import MODEL_FOLDER, RECIPE_FILE
from applications.translation.recipes import Recipe, check_recipe

# Pairs to train on: the path of one file, the paths of two that are aligned,
# or this and the name of a set of tensorflow-datasets.
Data = str | Path | Sequence[str | Path] | None
TFDS = "tfds:"


def description(name, recipe, data: Data, seed, skip_bad_rows=False):
    """What a run is, as `recipe.json` holds it."""
    check_data(recipe, data, skip_bad_rows)
    files = [str(Path(path).resolve()) for path in files_of(data)]
    if len(files) == 1:
        (files,) = files
    about = {
        "recipe": name,
        "seed": seed,
        "data": files or data,
        "data_sha256": sha256(data),
        "skip_bad_rows": skip_bad_rows,
        "choices": dataclasses.asdict(recipe),
    }
    return json.loads(json.dumps(about))  # JSON has no tuples


def check_data(recipe, data: Data, skip_bad_rows):
    """Makes sure that pairs are named if, and only if, they are read."""
    if recipe.dataset == "pairs" and data is None:
        raise ValueError(
            "This recipe reads sentence pairs that you name. Received: no "
            "`--data`. Add --data pairs.tsv, with `source TAB target` on each "
            "line, --source-file and --target-file for two files that are "
            "line-aligned, or --data tfds:NAME for a set of "
            "tensorflow-datasets."
        )
    if recipe.dataset != "pairs" and (data is not None or skip_bad_rows):
        given = "--skip-bad-rows" if data is None else f"the pairs of {data}"
        raise ValueError(
            "Only a recipe with dataset=pairs reads `--data`. Received: "
            f"{given} with dataset={recipe.dataset}."
        )


def is_tfds(data: Data):
    return isinstance(data, str) and data.startswith(TFDS)


def files_of(data: Data):
    """The paths of the files that pairs are read from."""
    if data is None or is_tfds(data):
        return []
    return [data] if isinstance(data, (str, Path)) else list(data)


def sha256(data: Data):
    """The hash of the files of pairs, by which they are known again.

    None for a set of tensorflow-datasets: those have versions.
    """
    digest = hashlib.sha256()
    for path in files_of(data):
        if not Path(path).is_file():
            raise ValueError(
                "Sentence pairs must be in files, which can be read again. "
                f"Received: {path}, where there is none."
            )
        digest.update(Path(path).read_bytes())
    return digest.hexdigest() if files_of(data) else None


def read_recipe(folder):
    """The `recipe.json` of a run folder, and the recipe in it."""
    try:
        path = Path(folder) / RECIPE_FILE
        about = json.loads(path.read_text(encoding="utf-8"))
        recipe = Recipe(**about["choices"])
        limits = tuple(recipe.length_limits)
        recipe = dataclasses.replace(recipe, length_limits=limits)
        check_recipe(recipe)
        check_data(recipe, about["data"], about["skip_bad_rows"])
        for name, allowed in (
            ("seed", int),
            ("data", str | list | None),
            ("data_sha256", str | None),
            ("skip_bad_rows", bool),
        ):
            if not isinstance(about[name], allowed):
                raise TypeError(f"{name}={about[name]!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "A run folder must hold the recipe.json that training writes. "
            f"Received: {folder} ({error!r}). Make one with `python -m "
            "applications.translation.train --output FOLDER`."
        ) from None
    return about, recipe


def read_finished(folder):
    """The same of a run that is finished."""
    about, recipe = read_recipe(folder)
    if not (Path(folder) / MODEL_FOLDER).is_dir():
        raise ValueError(
            "A run must be finished before its model is read. Received: "
            f"{folder}, which has no {MODEL_FOLDER}. Add --resume to the "
            "command that began it."
        )
    return about, recipe


def check_unchanged(about):
    """Makes sure that the files of a run's pairs are what they were."""
    if sha256(about["data"]) != about["data_sha256"]:
        names = " and ".join(files_of(about["data"]))
        raise ValueError(
            "The test pairs of a run are those of the files as it was trained "
            f"on. Received: {names}, changed since. Bring the files back, or "
            "score all pairs of others with --data."
        )


def check_folder(folder, about, resume, overwrite=False):
    """Makes sure that the run may be written to the folder."""
    folders.check_folder(folder, resume, overwrite)
    if resume:
        check_same(folder, about)


def check_same(folder, about):
    """Makes sure that the folder's run is the one that `about` describes."""
    before, _ = read_recipe(folder)
    before, now = ({**x["choices"], **x} for x in (before, about))
    for run in (before, now):
        # Files are known by their hash, however their paths are typed.
        run["data"] = run["data"] if is_tfds(run["data"]) else None
    folders.check_same(folder, before, now)
