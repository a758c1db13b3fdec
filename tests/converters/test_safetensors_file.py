import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from keras_attention.converters.safetensors_file import (
    read_safetensors,
    write_safetensors,
)


@pytest.mark.parametrize(
    "dtype, expected",
    [
        ("float64", "float64"),
        ("float32", "float32"),
        ("float16", "float32"),
        ("bfloat16", "float32"),
        ("int64", "int64"),
    ],
)
def test_what_torch_saved_is_read(dtype, expected, tmp_path):
    tensors = {
        "x": torch.tensor([[1.7, 0.0, -3.0]]).to(getattr(torch, dtype)),
        "one": torch.tensor(2.5).to(getattr(torch, dtype)),
        "float": torch.ones(5),
    }
    save_file(tensors, tmp_path / "x.safetensors")
    arrays = read_safetensors(tmp_path / "x.safetensors")
    assert set(arrays) == set(tensors)
    assert arrays["x"].dtype == expected
    for name, tensor in tensors.items():
        wide = tensor.float() if expected == "float32" else tensor
        np.testing.assert_array_equal(arrays[name], wide.numpy())


def test_what_is_written_is_read_by_torch(tmp_path):
    array = np.arange(15.0).reshape(3, 5).T  # not contiguous
    write_safetensors(tmp_path / "x.safetensors", {"x": array})
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
        np.testing.assert_array_equal(file.get_tensor("x").numpy(), array)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(ValueError, match="must be a safetensors file"):
        read_safetensors(path)
    path.write_bytes(b"something else entirely")
    with pytest.raises(ValueError, match="must be a safetensors file"):
        read_safetensors(path)
    save_file({"x": torch.ones(500)}, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="must be a safetensors file"):
        read_safetensors(path)
