"""Reads what `torch.save` wrote, without torch, and runs nothing of it.

A checkpoint is a pickle, and a pickle may name any function to be called.
This one may name what rebuilds a tensor, an ordered dict, and the types of
numbers; whatever else it names is refused.
"""

import collections
import pickle
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_attention.converters.precision import from_bfloat16, widen

BFLOAT16 = "bfloat16"

STORAGE_TYPES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": BFLOAT16,
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}

# What the format that came before zip files begins with.
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

# What a damaged pickle makes the unpickler raise.
DAMAGE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    NotImplementedError,  # a zip file packed in a way that zipfile cannot read
    EOFError,
    AttributeError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    TypeError,
    UnicodeDecodeError,
)


def read_torch(path: str | Path) -> dict:
    """The tensors of a state dict by name; those of 16 bits come as float32.

    Tensors that share memory in the file share it here, read only.

    Args:
        path: A file that `torch.save` wrote, of either of its formats.

    Returns:
        NumPy arrays by name.

    Raises:
        ValueError: The file is damaged, is no flat dict of tensors, or asks
            for anything that is not needed to read one.
    """
    path = Path(path)
    try:
        if zipfile.is_zipfile(path):
            entries, storages, order = _read_zip(path)
        else:
            entries, storages, order = _read_legacy(path)
        if not isinstance(entries, dict):
            raise TypeError(f"a {type(entries).__name__} instead of a dict")
        return {
            _name(name): _array(name, entry, storages, order)
            for name, entry in entries.items()
        }
    except (*DAMAGE, OSError) as error:
        raise ValueError(
            "`path` must be a state dict that `torch.save` wrote. Received: "
            f"path={str(path)!r} ({type(error).__name__}: {error}). Download "
            "it again, or save it with safetensors."
        ) from error


class _Storage(NamedTuple):
    """A run of numbers: where it is, of which type, and how many."""

    key: str
    dtype: str
    size: int


class _Tensor(NamedTuple):
    """A view of a storage, in elements."""

    storage: _Storage
    offset: int
    shape: tuple
    strides: tuple


class _StorageType:
    """Stands for a class of storages; nothing can be called or set on it."""

    __slots__ = ("dtype",)

    def __init__(self, dtype):
        self.dtype = dtype


class _Rebuild:
    """Stands for torch's function that makes a tensor of a storage."""

    __slots__ = ()

    def __call__(self, storage, offset, shape, strides, *_):
        if not isinstance(storage, _Storage):
            raise TypeError("a tensor that has no storage")
        return _Tensor(storage, offset, tuple(shape), tuple(strides))


class _RebuildParameter:
    """Stands for torch's function that makes a parameter of a tensor."""

    __slots__ = ()

    def __call__(self, tensor, *_):
        return tensor


class _Unpickler(pickle.Unpickler):
    """Builds dicts of tensors, and refuses to name anything else."""

    def find_class(self, module, name):
        full_name = f"{module}.{name}"
        if full_name == "collections.OrderedDict":
            return collections.OrderedDict
        if full_name == "torch._utils._rebuild_tensor_v2":
            return _Rebuild()
        if full_name == "torch._utils._rebuild_parameter":
            return _RebuildParameter()
        if module == "torch" and name in STORAGE_TYPES:
            return _StorageType(STORAGE_TYPES[name])
        raise ValueError(
            "A checkpoint must hold tensors and nothing else, since what it "
            f"names would be run. Received: a file that asks for {full_name}. "
            "If you trust it, load it with torch and save it with safetensors."
        )

    def persistent_load(self, pid):
        kind, storage_type, key, _, size, *view = pid
        if kind != "storage" or any(part is not None for part in view):
            raise pickle.UnpicklingError(f"an unknown reference {pid!r}")
        return _Storage(str(key), storage_type.dtype, int(size))


def _read_zip(path):
    """The entries, the storages' bytes by key, and their byte order."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        pickled = [name for name in names if name.endswith("/data.pkl")]
        if len(pickled) != 1:
            raise KeyError(f"{len(pickled)} times data.pkl")
        root = pickled[0].removesuffix("data.pkl")
        with archive.open(pickled[0]) as file:
            entries = _Unpickler(file).load()
        order = "little"
        if root + "byteorder" in names:
            order = archive.read(root + "byteorder").decode("ascii")
        prefix = root + "data/"
        storages = {
            name.removeprefix(prefix): archive.read(name)
            for name in names
            if name.startswith(prefix)
        }
    return entries, storages, order


def _read_legacy(path):
    """The same of the older format: pickles, then one storage by another."""
    with path.open("rb") as file:
        magic = _Unpickler(file).load()
        if magic != LEGACY_MAGIC:
            raise pickle.UnpicklingError("no number that torch begins with")
        protocol = _Unpickler(file).load()
        if protocol != LEGACY_PROTOCOL:
            raise pickle.UnpicklingError(f"protocol {protocol!r}")
        system = _Unpickler(file).load()
        order = "little" if system["little_endian"] else "big"
        entries = _Unpickler(file).load()
        keys = [str(key) for key in _Unpickler(file).load()]
        widths = {}
        if isinstance(entries, dict):
            for tensor in entries.values():
                if isinstance(tensor, _Tensor):
                    storage = tensor.storage
                    widths[storage.key] = _dtype(storage.dtype, order).itemsize
        storages = {}
        for key in keys:
            size = int.from_bytes(file.read(8), order, signed=True)
            storages[key] = file.read(size * widths[key])
    return entries, storages, order


def _dtype(name, order):
    bits = "u2" if name == BFLOAT16 else name
    return np.dtype(bits).newbyteorder("<" if order == "little" else ">")


def _name(name):
    if not isinstance(name, str):
        raise TypeError(f"a tensor under the name {name!r}")
    return name


def _array(name, tensor, storages, order):
    """A view of the bytes, checked to lie within them."""
    if not isinstance(tensor, _Tensor):
        raise TypeError(f"{name!r} is a {type(tensor).__name__}")
    storage, offset, shape, strides = tensor
    dtype = _dtype(storage.dtype, order)
    numbers = np.frombuffer(storages[storage.key], dtype)
    sizes = (offset, *shape, *strides)
    last = offset + sum(
        (n - 1) * stride for n, stride in zip(shape, strides, strict=False)
    )
    if (
        any(type(size) is not int or size < 0 for size in sizes)
        or len(shape) != len(strides)
        or len(numbers) < storage.size
        or (0 not in shape and last >= len(numbers))
    ):
        raise IndexError(
            f"{name!r} of shape {shape}, strides {strides} and offset {offset} "
            f"in a storage of {len(numbers)} numbers"
        )
    array = np.lib.stride_tricks.as_strided(
        numbers[offset:],
        shape,
        [stride * dtype.itemsize for stride in strides],
        writeable=False,
    )
    if order != sys.byteorder:
        array = array.astype(dtype.newbyteorder("="))
    if storage.dtype == BFLOAT16:
        return from_bfloat16(array)
    return widen(array)
