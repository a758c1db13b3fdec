"""What a run folder says about its run. Imports no backend."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

from applications.translation.recipes import Recipe, check_recipe

RECIPE_FILE = "recipe.json"
METRICS_FILE = "metrics.json"


def description(name, recipe, path, seed, skip_bad_rows=False):
    """What a run is, as `recipe.json` holds it."""
    check_data(recipe, path, skip_bad_rows)
    about = {
        "recipe": name,
        "seed": seed,
        "data": None if path is None else str(Path(path).resolve()),
        "data_sha256": None if path is None else sha256(path),
        "skip_bad_rows": skip_bad_rows,
        "choices": dataclasses.asdict(recipe),
    }
    return json.loads(json.dumps(about))  # JSON has no tuples


def check_data(recipe, path, skip_bad_rows):
    """Makes sure that a file is named if, and only if, one is read."""
    if recipe.dataset == "tsv" and path is None:
        raise ValueError(
            "This recipe reads a file of sentence pairs, `source TAB target` "
            "on each line. Received: no `--data`. Add --data pairs.tsv."
        )
    if recipe.dataset != "tsv" and (path is not None or skip_bad_rows):
        given = "--skip-bad-rows" if path is None else f"--data {path}"
        raise ValueError(
            "Only a recipe with dataset=tsv reads `--data`. Received: "
            f"{given} with dataset={recipe.dataset}."
        )


def sha256(path):
    """The hash of a file of pairs, by which it is known again."""
    if not Path(path).is_file():
        raise ValueError(
            "`--data` must be a file of sentence pairs, which can be read "
            f"again. Received: {path}, where there is none."
        )
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


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
            ("data", str | None),
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


def check_unchanged(about):
    """Makes sure that the file of a run's pairs is what it was."""
    path = about["data"]
    if path is not None and sha256(path) != about["data_sha256"]:
        raise ValueError(
            "The test pairs of a run are those of the file as it was trained "
            f"on. Received: {path}, which has changed since. Bring the file "
            "back, or score all pairs of a file with --data."
        )


def check_folder(folder, about, resume, overwrite=False):
    """Makes sure that the run may be written to the folder."""
    if resume and overwrite:
        raise ValueError(
            "A run is resumed or overwritten. Received: both --resume and "
            "--overwrite. Leave one out."
        )
    if folder.exists() and not folder.is_dir():
        raise ValueError(
            f"The run folder must be a folder. Received: {folder}, a file."
        )
    recipe_file = folder / RECIPE_FILE
    if resume:
        check_same(folder, about)
    elif recipe_file.exists() and not overwrite:
        raise ValueError(
            f"The run folder must be new. Received: {folder}, which holds a "
            "run. Add --resume to go on with it, --overwrite to replace it, "
            "or name another --output."
        )
    elif not recipe_file.exists() and folder.is_dir() and any(folder.iterdir()):
        raise ValueError(
            f"The run folder must be new or empty. Received: {folder}, which "
            "holds files of something else. Name another --output."
        )


def check_same(folder, about):
    """Makes sure that the folder's run is the one that `about` describes."""
    before, _ = read_recipe(folder)
    before, now = ({**x["choices"], **x} for x in (before, about))
    changed = [
        f"{name}={now[name]} instead of {before.get(name)}"
        for name in now
        # Data are known by their hash, however their path is typed.
        if name not in ("choices", "data") and now[name] != before.get(name)
    ]
    if changed:
        raise ValueError(
            "A run is resumed with the arguments it was begun with. "
            f"Received for {folder}: {', '.join(changed)}. Give it the same "
            "ones, or name another --output."
        )


def write_json(path, content):
    """Writes a file that is whole or not there, whenever we are killed."""
    new = path.with_name(path.name + ".new")
    new.write_text(
        json.dumps(content, indent=2, ensure_ascii=False) + "\n",
        encoding="utf-8",
    )
    os.replace(new, path)
