"""The folder that a run leaves behind. Imports no backend."""

import json
import os
import zipfile

RECIPE_FILE = "recipe.json"
METRICS_FILE = "metrics.json"
STATE_FILE = "training_state.npz"
MODEL_FOLDER = "model"
# What NumPy raises of a .npz that is none, is cut off or lacks an array.
ARCHIVE_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    zipfile.BadZipFile,
)


def check_folder(folder, resume, overwrite=False):
    """Makes sure that a run may be written to the folder."""
    if resume and overwrite:
        raise ValueError(
            "A run is resumed or overwritten. Received: both --resume and "
            "--overwrite. Leave one out."
        )
    if folder.exists() and not folder.is_dir():
        raise ValueError(
            f"The run folder must be a folder. Received: {folder}, a file."
        )
    if resume:
        return
    recipe_file = folder / RECIPE_FILE
    if recipe_file.exists() and not overwrite:
        raise ValueError(
            f"The run folder must be new. Received: {folder}, which holds a "
            "run. Add --resume to go on with it, --overwrite to replace it, "
            "or name another --output."
        )
    if not recipe_file.exists() and folder.is_dir() and any(folder.iterdir()):
        raise ValueError(
            f"The run folder must be new or empty. Received: {folder}, which "
            "holds files of something else. Name another --output."
        )


def check_same(folder, before, now):
    """Makes sure that two flat descriptions of a run are equal."""
    changed = [
        f"{name}={now[name]} instead of {before.get(name)}"
        for name in now
        if name != "choices" and now[name] != before.get(name)
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
