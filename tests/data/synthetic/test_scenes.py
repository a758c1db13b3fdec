import numpy as np
import pytest

from keras_attention.data.synthetic import grid_scenes, shape_scenes


def test_a_slice_keeps_all_parts_together():
    scenes = shape_scenes(11, seed=1, size=32)
    part = scenes[3:8]
    assert len(part) == 5 and part.split == "train"
    np.testing.assert_array_equal(part.inputs, scenes.inputs[3:8])
    for name in ("captions", "references", "objects", "word_objects"):
        assert getattr(part, name) == getattr(scenes, name)[3:8]
    assert part.word_boxes(0) == scenes.word_boxes(3)


def test_a_slice_does_not_part_pairs():
    pairs = grid_scenes(10, split="swap")
    assert len(pairs[2:]) == 8 and pairs[2:6].captions == pairs.captions[2:6]
    for rows in (slice(1, None), slice(3), slice(None, None, 2)):
        with pytest.raises(ValueError, match="pairs together. Received: start"):
            pairs[rows]


def test_one_scene_is_asked_for_by_a_slice():
    with pytest.raises(TypeError, match=r"slice. Received: 3. Pass `scenes\["):
        grid_scenes(10)[3]
