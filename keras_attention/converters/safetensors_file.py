"""Reads and writes files of the safetensors format."""

from pathlib import Path

import numpy as np

from keras_attention.converters.precision import from_bfloat16, widen
from keras_attention.extras import require


def read_safetensors(path: str | Path) -> dict:
    """The arrays of a file by name; those of 16 bits come as float32.

    Args:
        path: The file.

    Returns:
        NumPy arrays by name.

    Raises:
        ValueError: The file is not of this format, or a type in it is none
            that NumPy has.
    """
    library = require("safetensors", extra="hub")
    path = Path(path)
    try:
        with library.safe_open(path, "np") as file:
            names = list(file.keys())
            types = {name: file.get_slice(name).get_dtype() for name in names}
            arrays = {
                name: widen(file.get_tensor(name))
                for name in names
                if types[name] != "BF16"
            }
    except (library.SafetensorError, OSError, TypeError) as error:
        raise ValueError(
            "`path` must be a safetensors file of floats and integers. "
            f"Received: path={str(path)!r}: {error}. Download it again, or "
            "convert it."
        ) from error
    if len(arrays) < len(names):
        # NumPy has no bfloat16: take the bits.
        for name, raw in library.deserialize(path.read_bytes()):
            if types[name] == "BF16":
                bits = np.frombuffer(raw["data"], "<u2")
                arrays[name] = from_bfloat16(bits).reshape(raw["shape"])
    return arrays


def write_safetensors(path: str | Path, arrays: dict) -> None:
    """Writes arrays by name, in the way that transformers reads.

    Args:
        path: The file.
        arrays: NumPy arrays by name.
    """
    numpy_interface = require("safetensors.numpy", extra="hub")
    arrays = {
        name: np.ascontiguousarray(array) for name, array in arrays.items()
    }
    # transformers refuses a file that does not say whose tensors it holds.
    numpy_interface.save_file(arrays, path, metadata={"format": "pt"})
