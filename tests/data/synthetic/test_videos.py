import numpy as np
import pytest

from keras_attention.data.synthetic import roll_motion
from keras_attention.data.synthetic.videos import DIRECTIONS


def ink(videos):
    """What is painted: brighter than any background."""
    return videos.max(-1) > 190


@pytest.mark.parametrize("hold", [1, 2])
def test_a_glyph_rolls_by_a_pixel_in_its_direction(hold):
    videos, labels = roll_motion(300, seed=2, frames=8, hold=hold)
    painted = ink(videos)
    sizes = painted.sum((2, 3))
    assert (sizes == sizes[:, :1]).all() and sizes.min() > 6
    for video, label in zip(painted, labels, strict=True):
        for t in range(8):
            steps = t // hold
            expected = np.roll(video[0], steps * DIRECTIONS[label], (0, 1))
            np.testing.assert_array_equal(video[t], expected)
    assert np.bincount(labels).min() > 50


def test_backwards_it_is_a_clip_of_the_opposite_class():
    """So no bag of frames tells right from left, or down from up."""
    videos, labels = roll_motion(4000, seed=1, frames=3)
    np.testing.assert_array_equal(DIRECTIONS[[1, 0, 3, 2]], -DIRECTIONS)
    # Where a glyph begins tells nothing, in any frame.
    painted = ink(videos).astype(float)
    for axis in ((0, 1), (2, 3)):
        means = [painted[labels == label].mean(0) for label in axis]
        assert abs(means[0] - means[1]).max() < 0.08
        assert abs(means[0] - means[0].mean()).max() < 0.08
    # And each place of a clip is held for as long.
    held, _ = roll_motion(50, seed=1, frames=6, hold=2)
    for video in ink(held):
        _, numbers = np.unique(video.reshape(6, -1), axis=0, return_counts=True)
        assert set(numbers) == {2}


def test_a_seed_makes_the_same_videos():
    videos, labels = roll_motion(20, seed=3, size=10)
    assert videos.shape == (20, 16, 10, 10, 3) and videos.dtype == np.uint8
    again = roll_motion(20, seed=3, size=10)
    np.testing.assert_array_equal(videos, again[0])
    np.testing.assert_array_equal(labels, again[1])
    assert (videos != roll_motion(20, seed=4, size=10)[0]).any()
    with pytest.raises(ValueError, match="size=8"):
        roll_motion(20, size=8)
    with pytest.raises(ValueError, match="multiple of `hold`.* frames=5"):
        roll_motion(20, frames=5, hold=2)
    with pytest.raises(ValueError, match="hold=0"):
        roll_motion(20, hold=0)
