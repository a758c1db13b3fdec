"""Files that torch itself writes, and files that ask for more than tensors."""

import collections
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from keras_attention.converters.torch_file import read_torch

FORMATS = {"zip": True, "legacy": False}


def save(value, path, form="zip"):
    torch.save(value, path, _use_new_zipfile_serialization=FORMATS[form])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pytorch_model.bin"


@pytest.mark.parametrize("form", FORMATS)
def test_the_state_of_a_module_is_read(form, path):
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(5, 3), torch.nn.BatchNorm1d(3), torch.nn.Embedding(7, 2)
    )
    save(module.state_dict(), path, form)
    arrays = read_torch(path)
    assert list(arrays) == list(module.state_dict())
    for name, tensor in module.state_dict().items():
        np.testing.assert_array_equal(arrays[name], tensor.numpy())
        assert arrays[name].shape == tuple(tensor.shape)


@pytest.mark.parametrize("form", FORMATS)
def test_views_of_one_storage_are_where_they_were(form, path):
    whole = torch.arange(77.0).reshape(7, 11)
    views = {
        "whole": whole,
        "transposed": whole.T,
        "inner": whole[2:5, 3:9],
        "steps": whole[::2, ::5],
        "a row": whole[3],
        "a number": whole[6, 10],
        "repeated": whole[1, 4:7].expand(2, 3),
        "parameter": torch.nn.Parameter(whole[4]),
        "nothing": whole[:0],
    }
    save(views, path, form)
    for name, array in read_torch(path).items():
        expected = views[name].detach().numpy()
        assert array.shape == expected.shape, name
        np.testing.assert_array_equal(array, expected, name)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "dtype, expected",
    [
        ("float64", "float64"),
        ("float32", "float32"),
        ("float16", "float32"),
        ("bfloat16", "float32"),
        ("int64", "int64"),
        ("int32", "int32"),
        ("int16", "int16"),
        ("int8", "int8"),
        ("uint8", "uint8"),
        ("bool", "bool"),
    ],
)
def test_numbers_of_each_type_are_read(form, dtype, expected, path):
    tensor = torch.tensor([[1.7, 0.0, 3.0], [0.2, 5.5, 100.3]])
    tensor = tensor.to(getattr(torch, dtype))
    save({"x": tensor.T}, path, form)
    array = read_torch(path)["x"]
    assert array.dtype == expected
    wide = tensor.float() if dtype in ("float16", "bfloat16") else tensor
    np.testing.assert_array_equal(array, wide.numpy().T)


class Shell:
    """What a pickle can do: call any function."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", FORMATS)
def test_a_pickle_that_would_run_something_is_refused(form, path, tmp_path):
    save({"x": torch.ones(2), "y": Shell(tmp_path / "made")}, path, form)
    with pytest.raises(ValueError, match=r"asks for posix.mkdir|nt.mkdir"):
        read_torch(path)
    assert not (tmp_path / "made").exists()
    # Read with trust, the same file does what it says.
    torch.load(path, weights_only=False)
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "name", ["builtins.eval", "builtins.getattr", "torch.load", "torch.nn.X"]
)
def test_every_other_name_is_refused(name, path):
    module, _, attribute = name.rpartition(".")
    pickled = b"\x80\x02" + f"c{module}\n{attribute}\n.".encode()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
    with pytest.raises(ValueError, match=f"asks for {name}"):
        read_torch(path)


@pytest.mark.parametrize(
    "value, message",
    [
        ([torch.ones(2)], "a list instead of a dict"),
        ({"x": 3}, "'x' is a int"),
        ({"x": {"y": torch.ones(2)}}, "'x' is a dict"),
        ({3: torch.ones(2)}, "under the name 3"),
    ],
)
def test_what_is_no_state_dict_is_refused(value, message, path):
    save(value, path)
    with pytest.raises(ValueError, match=message):
        read_torch(path)


def rewritten(path, change):
    """The file with another pickle in it, that `change` makes of the old."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    (name,) = (name for name in parts if name.endswith("data.pkl"))
    parts[name] = change(parts[name])
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


@pytest.mark.parametrize(
    "offset, shape, strides",
    [(0, (3, 4), (5, 1)), (3, (2, 5), (5, 1)), (-1, (2,), (1,))],
)
def test_a_view_that_leaves_its_storage_is_refused(
    offset, shape, strides, path
):
    class Rebuilt:
        def __reduce__(self):
            storage = tensor.untyped_storage()
            typed = torch.storage.TypedStorage(
                wrap_storage=storage, dtype=tensor.dtype, _internal=True
            )
            hooks = collections.OrderedDict()
            rebuild = torch._utils._rebuild_tensor_v2
            return rebuild, (typed, offset, shape, strides, False, hooks)

    tensor = torch.ones(11)
    save({"x": Rebuilt()}, path)
    with pytest.raises(ValueError, match="in a storage of 11 numbers"):
        read_torch(path)


def test_damaged_files_are_refused(path):
    with pytest.raises(ValueError, match="FileNotFoundError"):
        read_torch(path)
    path.write_bytes(b"neither a zip file nor a pickle")
    with pytest.raises(ValueError, match="must be a state dict"):
        read_torch(path)
    path.write_bytes(pickle.dumps({"x": 1}))
    with pytest.raises(ValueError, match="no number that torch begins with"):
        read_torch(path)
    save({"x": torch.ones(500)}, path)
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(ValueError, match="must be a state dict"):
        read_torch(path)
    save({"x": torch.ones(500)}, path, "legacy")
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(ValueError, match="in a storage of 325 numbers"):
        read_torch(path)
    save({"x": torch.ones(5)}, path)
    rewritten(path, lambda pickled: pickled[:40])
    with pytest.raises(ValueError, match="must be a state dict"):
        read_torch(path)


def test_the_other_byte_order_is_turned(path):
    buffer = io.BytesIO()
    torch.save({"x": torch.tensor([1.0, -2.5])}, buffer)
    buffer.seek(0)
    with zipfile.ZipFile(buffer) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            if name.endswith("byteorder"):
                data = b"big"
            elif "/data/" in name:
                data = np.frombuffer(data, "<f4").astype(">f4").tobytes()
            archive.writestr(name, data)
    np.testing.assert_array_equal(read_torch(path)["x"], [1.0, -2.5])
