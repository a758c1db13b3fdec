import math

import numpy as np
import pytest

from keras_attention.data.synthetic import (
    SceneObject,
    Scenes,
    SceneStatement,
    grid_scenes,
    read_scene_caption,
    score_scene_captions,
    shape_scenes,
)

CIRCLE = "a small red circle"  # in the upper left corner
RING = "a large blue ring"  # one cell right of it, two below
CROSS = "a small white cross"  # in the lower right corner
LISTING = f"{CIRCLE} and {RING} and {CROSS}"


def three_objects():
    boxes = (0, 0, 10, 10), (16, 32, 30, 46), (50, 50, 60, 60)
    looks = (
        ("red", "circle", "small"),
        ("blue", "ring", "large"),
        ("white", "cross", "small"),
    )
    objects = [
        SceneObject(*look, cell, box)
        for look, cell, box in zip(looks, (0, 9, 15), boxes, strict=True)
    ]
    image = np.zeros((1, 64, 64, 3), "uint8")
    return Scenes("train", image, [LISTING], [[]], [objects], [[]])


def score(caption):
    """Exact, parsed, truth, precision, coverage."""
    result = score_scene_captions([caption], three_objects())
    assert result.swap_pairs is None
    return (
        result.exact,
        result.parsed,
        result.truth,
        result.precision,
        pytest.approx(result.coverage),
    )


@pytest.mark.parametrize(
    "caption, expected",
    [
        (LISTING, (1, 1, 1, 1, 1)),
        (f"  {LISTING} ".replace("and", " and"), (1, 1, 1, 1, 1)),
        # True, but in another order or not all.
        (f"{CROSS} and {CIRCLE} and {RING}", (0, 1, 1, 1, 1)),
        (CIRCLE, (0, 1, 1, 1, 1 / 3)),
        # One attribute is wrong.
        (f"{CIRCLE} and a large red ring", (0, 1, 0, 1 / 2, 1 / 3)),
        (f"{CIRCLE} and a small blue ring", (0, 1, 0, 1 / 2, 1 / 3)),
        ("a large blue circle", (0, 1, 0, 0, 0)),
        # Named again, an object is not there again.
        (f"{CIRCLE} and {CIRCLE}", (0, 1, 0, 1 / 2, 1 / 3)),
        (f"{LISTING} and {RING}", (0, 1, 0, 3 / 4, 1)),
        (f"{CIRCLE} is left of {CIRCLE}", (0, 1, 0, 1 / 2, 1 / 3)),
        # Relations.
        (f"{CIRCLE} is above {RING}", (0, 1, 1, 1, 2 / 3)),
        (f"{RING} is below {CIRCLE}", (0, 1, 1, 1, 2 / 3)),
        (f"{RING} is above {CIRCLE}", (0, 1, 0, 1, 2 / 3)),
        (f"{CIRCLE} is left of {RING}", (0, 1, 0, 1, 2 / 3)),
        (f"{CROSS} is right of {RING}", (0, 1, 1, 1, 2 / 3)),
        (f"{RING} is left of {CROSS}", (0, 1, 1, 1, 2 / 3)),
        (f"{CROSS} is left of {RING}", (0, 1, 0, 1, 2 / 3)),
        (f"{CROSS} is right of a small blue ring", (0, 1, 0, 1 / 2, 1 / 3)),
        # As far along both axes: the horizontal one.
        (f"{CIRCLE} is left of {CROSS}", (0, 1, 1, 1, 2 / 3)),
        (f"{CIRCLE} is above {CROSS}", (0, 1, 0, 1, 2 / 3)),
    ],
)
def test_what_captions_of_three_objects_are_worth(caption, expected):
    assert score(caption) == expected


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "[unk]",
        "a",
        "a red small circle",
        "a red circle",
        "small red circle",
        f"{CIRCLE} and",
        f"and {CIRCLE}",
        f"{CIRCLE} {RING}",
        f"{CIRCLE} is {RING}",
        f"{CIRCLE} is left {RING}",
        f"{CIRCLE} is left of",
        f"{CIRCLE} is above of {RING}",
        f"{CIRCLE} is left of {RING} and {CROSS}",
        f"{CIRCLE} and {RING} is left of {CROSS}",
        f"{CIRCLE} is above {RING} is above {CROSS}",
        f"{CIRCLE}s",
        f"x{CIRCLE}",
        f"{CIRCLE}, {RING}",
        f"{LISTING} [end]",
        CIRCLE.upper(),
    ],
)
def test_what_is_not_of_the_grammar_states_nothing(caption):
    assert read_scene_caption(caption) is None
    exact, parsed, truth, precision, coverage = score(caption)
    assert (exact, parsed, truth, coverage) == (0, 0, 0, 0)
    assert math.isnan(precision)


def test_statements_have_objects_in_the_order_of_the_caption():
    assert read_scene_caption(f"{RING} is right of {CIRCLE}") == SceneStatement(
        (("blue", "ring", "large"), ("red", "circle", "small")), "right of"
    )
    assert read_scene_caption(f"{RING}\n and {CROSS}") == SceneStatement(
        (("blue", "ring", "large"), ("white", "cross", "small")), None
    )


def test_all_references_are_true_and_all_listings_exact():
    for split in ("train", "combinations", "count", "swap", "positions"):
        scenes = shape_scenes(50, seed=9, split=split, size=32)
        result = score_scene_captions(scenes.captions, scenes)
        pairs = 1 if split == "swap" else None
        assert (result.exact, result.truth, result.precision) == (1, 1, 1)
        assert (result.coverage, result.swap_pairs) == (1, pairs)
        for i in range(5):
            told = [references[i] for references in scenes.references]
            result = score_scene_captions(told, scenes)
            assert (result.exact, result.truth, result.precision) == (0, 1, 1)
            turned = [
                " is ".join((a.partition(" is ")[0], b.partition(" is ")[2]))
                for a, b in zip(told, map(reversed_relation, told), strict=True)
            ]
            result = score_scene_captions(turned, scenes)
            assert (result.parsed, result.truth, result.precision) == (1, 0, 1)


def reversed_relation(sentence):
    words = {"left": "right", "right": "left", "above": "below"}
    words["below"] = "above"
    return " ".join(words.get(word, word) for word in sentence.split())


def test_shares_are_of_all_objects_and_of_whole_pairs():
    pairs = grid_scenes(8, seed=1, split="swap")
    captions = list(pairs.captions)
    captions[3] = captions[2]  # true of A, not of B
    captions[5] = "nothing"
    firsts = [caption.split(" and ")[0] for caption in captions]
    result = score_scene_captions(captions, pairs)
    assert (result.exact, result.parsed) == (6 / 8, 7 / 8)
    assert result.swap_pairs == 2 / 4
    assert result.truth == 6 / 8
    result = score_scene_captions(firsts, pairs)
    total = sum(len(objects) for objects in pairs.objects)
    there = 6 + (firsts[3] in pairs.captions[3])
    assert result.coverage == pytest.approx(there / total)
    assert result.precision == pytest.approx(there / 7)


def test_captions_must_be_one_per_scene():
    scenes = grid_scenes(4)
    with pytest.raises(ValueError, match="Received: 3 captions, 4 scenes"):
        score_scene_captions(scenes.captions[:3], scenes)
    with pytest.raises(ValueError, match="Received: a string"):
        score_scene_captions("a small red ring", scenes[:1])
    with pytest.raises(ValueError, match="at least one"):
        score_scene_captions([], scenes[:0])
