from collections import Counter

import numpy as np
import pytest

from keras_attention.data.synthetic import grid_scenes, score_scene_captions
from keras_attention.data.synthetic.scene_layouts import SPLITS, generator
from tests.data.synthetic.scene_rules import (
    check_captions,
    check_pairs,
    has_held_out,
)

NAMES = (
    *("red", "green", "blue", "yellow", "purple", "orange", "cyan", "white"),
    *("circle", "square", "triangle", "diamond", "cross", "ring"),
    *("small", "large"),
)


def features(scenes):
    """What the cells should tell, written out one object at a time."""
    expected = np.zeros((len(scenes), 16, 32))
    for i, objects in enumerate(scenes.objects):
        for cell in range(16):
            expected[i, cell, 17 + cell // 4] = 1
            expected[i, cell, 21 + cell % 4] = 1
        for thing in objects:
            for word in (thing.colour, thing.shape, thing.size):
                expected[i, thing.cell, NAMES.index(word)] = 1
            expected[i, thing.cell, 16] = 1
    return expected


def unmixed(scenes):
    """Annotations turned back, by a rotation fitted to other scenes."""
    others = grid_scenes(2000, seed=77, noise=0)
    a = others.inputs.reshape(-1, 32).astype(float)
    b = features(others).reshape(-1, 32)
    # One set of colours, shapes, sizes, rows and columns sums up to another,
    # so that some directions never occur: those have no answer.
    turn = np.linalg.lstsq(a, b, rcond=1e-4)[0]
    return scenes.inputs @ turn


def test_annotations_are_turned_features_and_noise():
    clean = grid_scenes(300, seed=3, noise=0)
    expected = features(clean)
    np.testing.assert_allclose(unmixed(clean), expected, atol=1e-4)
    # A rotation mixes all entries and keeps all products.
    assert (abs(clean.inputs) > 1e-3).mean() > 0.98
    products = np.einsum("ncd,nkd->nck", clean.inputs, clean.inputs)
    wanted = np.einsum("ncd,nkd->nck", expected, expected)
    np.testing.assert_allclose(products, wanted, atol=1e-5)
    for noise, given in ((0.05, {}), (0.3, {"noise": 0.3})):
        noisy = grid_scenes(300, seed=3, **given)
        assert noisy.captions == clean.captions
        added = noisy.inputs - clean.inputs
        assert abs(added.std() / noise - 1) < 0.02
        assert abs(added.mean()) < 0.01 * noise
    assert clean.inputs.dtype == np.float32


def test_captions_name_the_objects_in_reading_order():
    for split in ("train", "combinations", "swap"):
        scenes = grid_scenes(400, seed=5, split=split)
        check_captions(scenes)
        assert scenes.references == [[x] for x in scenes.captions]
        counts = Counter(len(objects) for objects in scenes.objects)
        assert set(counts) == {2, 3}
        assert 120 < counts[2] < 280
        for thing in (thing for objects in scenes.objects for thing in objects):
            top, left = divmod(thing.cell, 4)
            assert thing.box == (left, top, left + 1, top + 1)


def test_held_out_combinations_are_in_their_split_only():
    train = grid_scenes(3000, seed=1)
    assert not any(map(has_held_out, train.objects))
    # All others are there, and in all cells.
    kinds = {(x.colour, x.shape) for objects in train.objects for x in objects}
    assert len(kinds) == 40
    places = Counter(x.cell for objects in train.objects for x in objects)
    assert len(places) == 16 and min(places.values()) > 350
    unseen = grid_scenes(500, seed=1, split="combinations")
    assert all(map(has_held_out, unseen.objects))


def test_swapped_pairs_differ_in_colours_and_not_in_their_mean():
    for noise in (None, 0.05):
        pairs = grid_scenes(500, seed=2, split="swap", noise=noise)
        check_pairs(pairs)
        first, second = pairs.inputs[::2], pairs.inputs[1::2]
        assert abs(first.mean(1) - second.mean(1)).max() < 1e-6
        assert abs(first - second).max((1, 2)).min() > 0.3
    clean = grid_scenes(500, seed=2, split="swap")
    np.testing.assert_allclose(unmixed(clean), features(clean), atol=1e-4)


def test_who_sees_the_mean_alone_gets_no_pair_right():
    pairs = grid_scenes(500, seed=4, split="swap")
    # The mean turned back is made of counts: equal ones are exactly equal.
    counts = (16 * unmixed(pairs).mean(1)).round(1)
    keys = [(row + 0.0).tobytes() for row in counts]  # no -0.0
    assert all(a == b for a, b in zip(keys[::2], keys[1::2], strict=True))
    best = dict(zip(keys, pairs.captions, strict=True))
    score = score_scene_captions([best[key] for key in keys], pairs)
    assert score.swap_pairs == 0
    # It cannot do better than to know one of each pair.
    assert 0.4 < score.exact <= 0.5
    assert score_scene_captions(pairs.captions, pairs).swap_pairs == 1


def test_a_seed_makes_the_same_scenes_and_others_in_each_split():
    for split in ("train", "combinations", "swap"):
        once, again = (grid_scenes(20, seed=6, split=split) for _ in "ab")
        np.testing.assert_array_equal(once.inputs, again.inputs)
        assert once.objects == again.objects
        other = grid_scenes(20, seed=7, split=split)
        assert not set(map(tuple, once.objects)) & set(
            map(tuple, other.objects)
        )


def test_no_two_splits_share_their_draws():
    """Not even where a seed has more bits than the generator's words."""
    drawn = {
        generator(2, seed, split, SPLITS).random()
        for seed in (0, 1, 2**32, 2**32 + 1, 2**33, 2**64)
        for split in SPLITS
    }
    assert len(drawn) == 6 * len(SPLITS) == 36


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match="num_scenes=0"):
        grid_scenes(0)
    with pytest.raises(ValueError, match="seed=-1"):
        grid_scenes(4, seed=-1)
    with pytest.raises(ValueError, match="one of 'train', .*split='count'"):
        grid_scenes(4, split="count")
    with pytest.raises(ValueError, match="even .*num_scenes=3"):
        grid_scenes(3, split="swap")
    with pytest.raises(ValueError, match="noise=-0.1"):
        grid_scenes(4, noise=-0.1)
