"""What a run folder says about its run. Imports no backend."""

import dataclasses
import json
from pathlib import Path

from applications.captioning.data_arguments import KINDS, digest
from applications.captioning.recipes import APPLICATION
from applications.common import folders
from applications.vision import runs


def description(name, recipe, data, seed, features=None):
    """What a run is, as `recipe.json` holds it.

    Args:
        name: Of the recipe.
        recipe: Its choices.
        data: As `data_of` returns it.
        seed: Of all draws.
        features: Folder in which features are kept, or None.
    """
    given = "no captions" if data is None else f"--{data['kind']}"
    if (recipe.dataset == "named") != (data is not None):
        raise ValueError(
            "A recipe with dataset=named reads captions that are named, the "
            f"others make their own. Received: dataset={recipe.dataset}, "
            f"{given}. Add one of {', '.join(f'--{x}' for x in KINDS)}, or "
            "leave it out."
        )
    if features is not None and (recipe.train_encoder or not recipe.encoder):
        raise ValueError(
            "Features are kept of an encoder that stays as it is. Received: "
            f"--features {features} with encoder={recipe.encoder}, "
            f"train_encoder={recipe.train_encoder}. Leave it out."
        )
    if features is not None and recipe.taps is not None:
        raise ValueError(
            "An SCA-CNN runs the top of its encoder for every word, so that "
            f"no features can be kept. Received: --features {features} with "
            f"taps={recipe.taps}. Leave it out."
        )
    about = {
        "recipe": name,
        "seed": seed,
        "data": data,
        "data_sha256": digest(data),
        "features": None if features is None else str(Path(features).resolve()),
        "choices": dataclasses.asdict(recipe),
    }
    return json.loads(json.dumps(about))  # JSON has no tuples


def read_about(folder):
    """The `recipe.json` of a run folder, and the recipe in it."""
    return runs.read_about(APPLICATION, folder)


def check_same(folder, about):
    """Makes sure that the folder's run is the one that `about` describes."""
    runs.check_same(APPLICATION, folder, about)


def check_unchanged(about):
    """Makes sure that the captions of a run are what they were."""
    if digest(about["data"]) != about["data_sha256"]:
        raise ValueError(
            "The test pictures of a run are those of the files that it was "
            f"trained on. Received: {about['data']['path']}, changed since. "
            "Bring it back, or score other captions by naming them."
        )


def read_metrics(folder):
    """The `metrics.json` of a finished run."""
    path = Path(folder) / folders.METRICS_FILE
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        for name in ("history", "results", "cost"):
            metrics[name]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "A finished run must hold the metrics.json that training writes. "
            f"Received: {path} ({error!r}). Train it, or name another folder."
        ) from None
    return metrics


def read_finished(folder):
    """The `recipe.json` and the recipe of a run that is finished."""
    about, recipe = read_about(folder)
    if not (Path(folder) / folders.MODEL_FOLDER).is_dir():
        raise ValueError(
            "A run must be finished before its model is read. Received: "
            f"{folder}, which has no {folders.MODEL_FOLDER}. Add --resume to "
            "the command that began it."
        )
    return about, recipe
