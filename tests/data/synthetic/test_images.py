import numpy as np
import pytest

from keras_attention.data.synthetic import corner_match, glyphs, shapes
from keras_attention.data.synthetic.images import CORNER, MARKS, strokes


def ink(images):
    """What is painted: brighter than any background."""
    return images.max(-1) > 190


def marks_of(images):
    """The marks in upper and lower corners, found in the pictures."""
    size = images.shape[1]
    found = []
    for painted in ink(images):
        marks = []
        for rows in (painted[: size // 2], painted[size // 2 :]):
            y, x = np.nonzero(rows)
            mark = rows[y.min() : y.max() + 1, x.min() : x.max() + 1]
            (number,) = [i for i, m in enumerate(MARKS) if (m == mark).all()]
            side = x.min() >= size // 2
            assert x.max() < CORNER or x.min() >= size - CORNER
            marks.append((number, side))
        assert not painted[CORNER:-CORNER].any()
        found.append(marks)
    return np.array(found)  # (images, upper and lower, mark and side)


def test_labels_tell_whether_two_corners_match_and_no_corner_does():
    images, labels = corner_match(4000, seed=2)
    found = marks_of(images)
    first, second = found[:, 0, 0], found[:, 1, 0]
    np.testing.assert_array_equal(labels, first == second)
    # Opposite corners, either diagonal.
    sides = found[..., 1]
    assert (sides[:, 0] != sides[:, 1]).all() and 0.4 < sides[:, 0].mean() < 0.6
    # Whatever is seen of one mark, the answer is as likely yes as no.
    for corner in range(2):
        for side in range(2):
            for mark in range(len(MARKS)):
                rows = (found[:, corner, 0] == mark) & (
                    sides[:, corner] == side
                )
                assert rows.sum() > 400
                assert abs(labels[rows].mean() - 0.5) < 0.09
    # All marks have as many pixels, and colours do not tell.
    assert set(MARKS.sum((1, 2))) == {9}
    brightness = images[labels == 1].mean(), images[labels == 0].mean()
    assert abs(brightness[0] - brightness[1]) < 1.5


def test_masks_are_exactly_what_is_painted():
    images, masks = shapes(300, seed=1)
    np.testing.assert_array_equal(ink(images), masks > 0)
    kinds = [np.unique(mask[mask > 0]).tolist() for mask in masks]
    assert {tuple(x) for x in kinds} >= {(1,), (2,), (3,), (1, 2, 3)}
    # A lone disc fills its box to pi / 4, a square whole, a triangle half.
    shares = {1: [], 2: [], 3: []}
    for mask in shapes(300, seed=4, max_shapes=1)[1]:
        y, x = np.nonzero(mask)
        box = (np.ptp(y) + 1) * (np.ptp(x) + 1)
        shares[mask.max()].append(len(y) / box)
    means = [np.mean(shares[kind]) for kind in (1, 2, 3)]
    np.testing.assert_allclose(means, [np.pi / 4, 1, 0.5], atol=0.08)


def test_glyphs_are_told_apart_by_their_strokes():
    """A nearest mean of scaled pictures is right more often than not."""

    def boxes(images):
        result = []
        for painted in ink(images):
            y, x = (np.nonzero(painted.any(axis))[0] for axis in (1, 0))
            rows = np.linspace(y[0], y[-1], 12).round().astype(int)
            columns = np.linspace(x[0], x[-1], 12).round().astype(int)
            result.append(painted[np.ix_(rows, columns)])
        return np.array(result, float).reshape(len(images), -1)

    images, labels = glyphs(1500, seed=0)
    assert np.bincount(labels, minlength=10).min() > 100
    x = boxes(images)
    means = np.array([x[:1000][labels[:1000] == k].mean(0) for k in range(10)])
    nearest = ((x[1000:, None] - means) ** 2).sum(-1).argmin(-1)
    assert (nearest == labels[1000:]).mean() > 0.8


def test_strokes_are_as_thick_as_they_are_told():
    line = np.array([[[2.5, 5.5], [9.5, 5.5]]])  # (x, y)
    expected = np.zeros((12, 12), bool)
    expected[4:7, 2:10] = True
    expected[5, 1] = expected[5, 10] = True
    np.testing.assert_array_equal(strokes(line, 12, 1.01), expected)


@pytest.mark.parametrize("make", [corner_match, glyphs, shapes])
def test_a_seed_makes_the_same_pictures(make):
    images, targets = make(20, seed=3, size=24)
    assert images.shape == (20, 24, 24, 3) and images.dtype == np.uint8
    again = make(20, seed=3, size=24)
    np.testing.assert_array_equal(images, again[0])
    np.testing.assert_array_equal(targets, again[1])
    assert (images != make(20, seed=4, size=24)[0]).any()
    with pytest.raises(ValueError, match="size=15"):
        make(20, size=15)
    with pytest.raises(ValueError, match="num_images=0"):
        make(0)
