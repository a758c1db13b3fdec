"""What the pictures show, measured from their pixels."""

from collections import Counter

import numpy as np
import pytest

from keras_attention.data.synthetic import shape_scenes
from tests.data.synthetic.scene_rules import (
    VOCABULARY,
    check_captions,
    check_pairs,
    combinations,
    has_held_out,
)

SPLITS = "train", "combinations", "count", "swap", "positions", "textures"
COLOURS = {
    "red": (220, 45, 45),
    "green": (45, 165, 60),
    "blue": (50, 85, 225),
    "yellow": (240, 220, 50),
    "purple": (155, 55, 190),
    "orange": (245, 140, 30),
    "cyan": (60, 205, 225),
    "white": (245, 245, 245),
}
# Whether a shape is painted at points of its box, which reaches from -1 to 1
# with y downwards: by what the words mean.
POINTS = {
    (0, 0): {"circle", "square", "triangle", "diamond", "cross"},
    (0.8, 0): {"circle", "square", "diamond", "cross", "ring"},
    (-0.8, 0): {"circle", "square", "diamond", "cross", "ring"},
    (0, 0.8): {"circle", "square", "triangle", "diamond", "cross", "ring"},
    (0.87, -0.87): {"square"},
    (-0.87, -0.87): {"square"},
    (0.65, 0.85): {"square", "triangle"},
    (-0.65, 0.85): {"square", "triangle"},
    (0.55, -0.55): {"circle", "square", "ring"},
    (-0.55, 0.55): {"circle", "square", "triangle", "ring"},
}


@pytest.fixture(scope="module")
def scenes():
    return {split: shape_scenes(300, seed=8, split=split) for split in SPLITS}


def painted(image):
    """The nearest colour's name of each pixel, "" for the grey between."""
    pixels = image.astype(float)
    names = [*COLOURS, ""]
    grey = np.median(pixels, axis=(0, 1))
    palette = np.array([*COLOURS.values(), grey])
    distance = ((pixels[:, :, None] - palette) ** 2).sum(-1)
    return np.array(names)[distance.argmin(-1)]


def test_a_box_holds_its_object_and_nothing_else_is_painted(scenes):
    for split in SPLITS:
        pictures = scenes[split]
        for image, objects in zip(
            pictures.inputs[:100], pictures.objects[:100], strict=True
        ):
            found = painted(image)
            outside = np.ones((64, 64), bool)
            for thing in objects:
                left, top, right, bottom = thing.box
                rows = slice(int(top), int(np.ceil(bottom)))
                columns = slice(int(left), int(np.ceil(right)))
                counts = Counter(found[rows, columns].ravel().tolist())
                del counts[""]
                assert counts.most_common(1)[0][0] == thing.colour
                # The colour reaches to all sides, not further.
                y, x = np.nonzero(found[rows, columns] == thing.colour)
                ends = y.min(), x.min(), y.max(), x.max()
                size = bottom - top
                assert max(ends[:2]) <= 2 and min(ends[2:]) >= size - 3
                outside[rows, columns] = False
            assert (found[outside] == "").mean() > 0.99


def test_boxes_lie_in_their_cells_and_tell_small_from_large(scenes):
    for pictures in scenes.values():
        for thing in (x for objects in pictures.objects for x in objects):
            left, top, right, bottom = thing.box
            row, column = divmod(thing.cell, 4)
            assert 16 * column <= left < right <= 16 * (column + 1)
            assert 16 * row <= top < bottom <= 16 * (row + 1)
            radius = (right - left) / 2
            assert abs(radius - (bottom - top) / 2) < 1e-9
            middle = {"small": 5.0, "large": 7.2}[thing.size]
            assert 0.93 * middle <= radius <= 1.07 * middle
    lefts = [x[0].box[0] % 16 for x in scenes["train"].objects]
    assert np.std(lefts) > 0.5  # not in the middle of their cells


def test_shapes_have_the_form_of_their_names():
    pictures = shape_scenes(500, seed=3, size=128)
    seen = Counter()
    for image, objects in zip(pictures.inputs, pictures.objects, strict=True):
        grey = np.median(image, axis=(0, 1))
        for thing in objects:
            if thing.size == "small":
                continue
            left, top, right, bottom = thing.box
            for (x, y), shapes in POINTS.items():
                column = int(left + (x + 1) / 2 * (right - left))
                row = int(top + (y + 1) / 2 * (bottom - top))
                pixel = image[row, column].astype(float)
                to_paint = np.linalg.norm(pixel - COLOURS[thing.colour])
                is_painted = to_paint < np.linalg.norm(pixel - grey)
                assert is_painted == (thing.shape in shapes), (thing, x, y)
            seen[thing.shape] += 1
    assert len(seen) == 6 and min(seen.values()) > 50


def test_captions_name_the_objects_in_reading_order(scenes):
    for pictures in scenes.values():
        check_captions(pictures)


def test_references_say_which_object_is_on_which_side(scenes):
    told = set()
    for pictures in scenes.values():
        for references, objects in zip(
            pictures.references, pictures.objects, strict=True
        ):
            assert len(references) == 5
            assert len(set(references)) == (2 if len(objects) == 2 else 5)
            for sentence in references:
                words = sentence.split(" ")
                assert set(words) <= VOCABULARY
                told |= set(words)
                first, relation, second = words[:4], words[5:-4], words[-4:]
                assert words[4] == "is" and first[0] == second[0] == "a"
                ends = []
                for _, size, colour, shape in (first, second):
                    (thing,) = (
                        x for x in objects if x[:3] == (colour, shape, size)
                    )
                    left, top, right, bottom = thing.box
                    ends.append(((left + right) / 2, (top + bottom) / 2))
                (x1, y1), (x2, y2) = ends
                sides = {
                    "left of": x2 - x1,
                    "right of": x1 - x2,
                    "above": y2 - y1,
                    "below": y1 - y2,
                }
                # The right word is the one with the longest way.
                assert " ".join(relation) == max(sides, key=sides.get)
    assert told == VOCABULARY - {"and"}


def test_a_split_differs_from_training_in_its_own_way_only(scenes):
    for split, pictures in scenes.items():
        for objects in pictures.objects:
            assert has_held_out(objects) == (split == "combinations")
            in_corner = any(
                x.shape == "diamond" and x.cell in (10, 11, 14, 15)
                for x in objects
            )
            assert in_corner == (split == "positions")
        counts = Counter(len(objects) for objects in pictures.objects)
        assert set(counts) == ({4} if split == "count" else {2, 3})
    # Only a diamond keeps away from the corner, and only from there.
    train = shape_scenes(2000, seed=1, size=32).objects
    places = {(x.shape, x.cell) for objects in train for x in objects}
    assert len(places) == 6 * 16 - 4
    assert len(set().union(*map(combinations, train))) == 40


def test_only_textures_have_stripes(scenes):
    """Waves of 5 to 12 periods hold most of what varies, and much varies."""
    spreads, shares = {}, {}
    frequency = np.fft.fftfreq(64, 1 / 64)
    periods = np.hypot(frequency, frequency[:, None])
    band = (periods > 4) & (periods < 13)
    for split, pictures in scenes.items():
        grey = pictures.inputs.astype(float).mean(-1)
        spreads[split] = []
        for image, objects in zip(grey, pictures.objects, strict=True):
            ground = np.ones((64, 64), bool)
            for thing in objects:
                row, column = divmod(thing.cell, 4)
                ground[row * 16 :, column * 16 :][:16, :16] = False
            image -= image[ground].mean()
            image[~ground] = 0
            spreads[split].append(image[ground].std())
        power = abs(np.fft.fft2(grey)) ** 2
        shares[split] = power[:, band].sum(1) / power.sum((1, 2))
    assert min(spreads.pop("textures")) > 12
    assert min(shares.pop("textures")) > 0.75
    assert max(map(max, spreads.values())) < 8
    assert max(map(max, shares.values())) < 0.75


def test_swapped_pairs_differ_in_colours_only(scenes):
    pictures = scenes["swap"]
    check_pairs(pictures)
    changed = (pictures.inputs[::2] != pictures.inputs[1::2]).any(-1)
    for differs, objects in zip(changed, pictures.objects[::2], strict=True):
        assert differs.any()
        for thing in objects:
            left, top, right, bottom = thing.box
            differs[
                int(top - 0.5) : int(bottom + 1.5),
                int(left - 0.5) : int(right + 1.5),
            ] = False
        assert not differs.any()


def test_backgrounds_are_grey_and_noisy(scenes):
    images = scenes["train"].inputs
    medians = np.median(images, axis=(1, 2))
    assert 55 < medians.min() < 75 and 115 < medians.max() < 135
    assert np.ptp(medians, axis=-1).max() < 12
    # Within a block of eight pixels only the noise of pixels varies.
    blocks = images.reshape(-1, 8, 8, 8, 8, 3).astype(float)
    spread = np.median(blocks.std((2, 4)))
    assert 3.8 < spread < 4.2


@pytest.mark.parametrize("split", SPLITS)
def test_a_seed_makes_the_same_scenes(split):
    # Enough that they are not drawn all at once.
    once, again = (shape_scenes(6, seed=3, split=split, size=512) for _ in "ab")
    np.testing.assert_array_equal(once.inputs, again.inputs)
    assert once.objects == again.objects
    assert once.references == again.references
    other = shape_scenes(6, seed=4, split=split, size=512)
    assert once.objects != other.objects


def test_no_two_splits_share_a_scene():
    seen = set()
    for split in SPLITS:
        pictures = shape_scenes(50, seed=3, split=split, size=32)
        assert pictures.split == split
        seen |= set(map(tuple, pictures.objects))
    assert len(seen) == 50 * len(SPLITS)


def test_all_lengths_grow_with_the_size():
    small, large = (shape_scenes(20, seed=3, size=x) for x in (64, 224))
    assert large.inputs.shape == (20, 224, 224, 3)
    assert small.captions == large.captions
    for a, b in zip(small.objects, large.objects, strict=True):
        np.testing.assert_allclose(
            [x.box for x in b], 3.5 * np.array([x.box for x in a])
        )


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match="num_scenes=0"):
        shape_scenes(0)
    with pytest.raises(ValueError, match="one of 'train', .*split='test'"):
        shape_scenes(4, split="test")
    with pytest.raises(ValueError, match="even .*num_scenes=5"):
        shape_scenes(5, split="swap")
    for size in (24, 60):
        with pytest.raises(ValueError, match=f"multiple of 8.*size={size}"):
            shape_scenes(4, size=size)
