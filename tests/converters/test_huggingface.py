import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from keras_attention.converters.huggingface import (
    read_json,
    read_weights,
    weight_files,
)

WEIGHTS = {
    name: np.full((2, size), size, "float32")
    for name, size in (("a", 3), ("b", 5), ("c", 7))
}


def write(path, names):
    arrays = {name: WEIGHTS[name] for name in names}
    if path.suffix == ".bin":
        torch.save({n: torch.tensor(x) for n, x in arrays.items()}, path)
    else:
        save_file(arrays, path)


@pytest.mark.parametrize(
    "file", ["model.safetensors", "pytorch_model.bin"], ids=str
)
def test_one_file_or_several_give_the_same(file, tmp_path):
    stem, _, kind = file.partition(".")
    one, many = tmp_path / "one", tmp_path / "many"
    one.mkdir()
    many.mkdir()
    write(one / file, "abc")
    shards = [f"{stem}-0000{i}-of-00002.{kind}" for i in (1, 2)]
    write(many / shards[0], "ac")
    write(many / shards[1], "b")
    weight_map = {"a": shards[0], "b": shards[1], "c": shards[0]}
    index = many / f"{file}.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    for folder in (one, many):
        weights = read_weights(folder)
        assert set(weights) == set(WEIGHTS)
        for name, weight in weights.items():
            np.testing.assert_array_equal(weight, WEIGHTS[name])
    assert set(weight_files(x.name for x in many.iterdir())) == {
        index.name,
        *shards,
    }

    index.write_text(json.dumps({"weight_map": {**weight_map, "d": shards[0]}}))
    with pytest.raises(ValueError, match="none called d"):
        read_weights(many)
    for wrong in ("../one/" + file, "gone." + kind, 3):
        index.write_text(json.dumps({"weight_map": {"a": wrong}}))
        with pytest.raises(ValueError, match="must name files beside it"):
            read_weights(many)
    index.write_text("{}")
    with pytest.raises(ValueError, match="must name files beside it"):
        read_weights(many)


def test_no_pickle_is_read_where_there_is_another_file(tmp_path):
    write(tmp_path / "model.safetensors", "a")
    (tmp_path / "pytorch_model.bin").write_bytes(b"not a checkpoint")
    assert list(read_weights(tmp_path)) == ["a"]


def test_a_folder_without_weights_is_refused(tmp_path):
    (tmp_path / "tf_model.h5").touch()
    with pytest.raises(ValueError, match="must hold model.safetensors or"):
        read_weights(tmp_path)


def test_json_files_hold_objects(tmp_path):
    path = tmp_path / "config.json"
    with pytest.raises(ValueError, match="must be a JSON file"):
        read_json(path)
    path.write_text("[1]")
    with pytest.raises(ValueError, match="must hold a JSON object"):
        read_json(path)
    path.write_text('{"a": 1}')
    assert read_json(path) == {"a": 1}
