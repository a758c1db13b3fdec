"""The folders of Hugging Face's libraries: which file holds what."""

import json
from pathlib import Path

from keras_attention.converters.safetensors_file import read_safetensors
from keras_attention.converters.torch_file import read_torch

CONFIG_FILE = "config.json"
GENERATION_CONFIG_FILE = "generation_config.json"

READERS = {".safetensors": read_safetensors, ".bin": read_torch}

# The first of them that is there counts: no pickle where it can be avoided.
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
INDEX_SUFFIX = ".index.json"


def read_json(path: str | Path) -> dict:
    """A JSON object from a file.

    Raises:
        ValueError: There is no such file, or no JSON object in it.
    """
    path = Path(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{str(path)!r} must be a JSON file. Received: {error}. Download "
            "it again."
        ) from error
    if not isinstance(value, dict):
        raise ValueError(
            f"{str(path)!r} must hold a JSON object. Received: a "
            f"{type(value).__name__}. Download it again."
        )
    return value


def weight_files(names) -> list[str]:
    """Which of the files in a folder hold the weights, with their index.

    Args:
        names: The names of its files.

    Returns:
        Those to read; none if there are no weights.

    Examples:
        >>> weight_files(["config.json", "pytorch_model.bin", "tf_model.h5"])
        ['pytorch_model.bin']
    """
    names = set(names)
    for name in WEIGHT_FILES:
        if name in names:
            return [name]
        if name + INDEX_SUFFIX in names:
            stem, dot, kind = name.partition(".")
            shards = sorted(
                x
                for x in names
                if x.startswith(stem + "-") and x.endswith(dot + kind)
            )
            return [name + INDEX_SUFFIX, *shards]
    return []


def read_weights(folder: str | Path) -> dict:
    """The weights in a folder, from one file or from several with an index.

    Args:
        folder: The folder.

    Returns:
        NumPy arrays by name.

    Raises:
        ValueError: There are no weights, or a file that the index names is
            missing or lacks what it should hold.
    """
    folder = Path(folder)
    found = weight_files(path.name for path in folder.iterdir())
    if not found:
        raise ValueError(
            f"A folder of Hugging Face's must hold {WEIGHT_FILES[0]} or "
            f"{WEIGHT_FILES[1]}. Received: {str(folder)!r} with neither. "
            "Download one of them."
        )
    if not found[0].endswith(INDEX_SUFFIX):
        path = folder / found[0]
        return READERS[path.suffix](path)
    index = read_json(folder / found[0])
    weight_map = index.get("weight_map")
    # A shard lies beside its index: a path could lead out of the folder.
    if not isinstance(weight_map, dict) or not all(
        isinstance(file, str) and file in found for file in weight_map.values()
    ):
        missing = weight_map
        if isinstance(weight_map, dict):
            missing = sorted(set(map(str, weight_map.values())) - set(found))
        raise ValueError(
            f"The `weight_map` of {str(folder / found[0])!r} must name files "
            f"beside it. Received: {missing}, not there. Download them."
        )
    weights = {}
    for file in sorted(set(weight_map.values())):
        path = folder / file
        weights.update(READERS[path.suffix](path))
    lost = sorted(set(weight_map) - set(weights))
    if lost:
        raise ValueError(
            f"The files that {str(folder / found[0])!r} names must hold all "
            f"its weights. Received: none called {', '.join(lost)}. Download "
            "them again."
        )
    return weights
