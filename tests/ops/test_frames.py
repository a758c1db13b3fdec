import numpy as np
import pytest

from keras_attention.ops.frames import uniform_frames


@pytest.mark.parametrize("length", [16, 32, 64, 128, 250])
def test_there_are_exactly_as_many_frames_as_asked_for(length):
    for count in range(1, 2 * length + 1):
        frames = uniform_frames(length, count)
        assert frames.shape == (count,)
        assert frames.min() >= 0 and frames.max() < length
        gaps = np.diff(frames)
        if count <= length:
            assert (gaps > 0).all()  # all different, and in order
        if count > 1:
            assert gaps.max() - gaps.min() <= 1  # evenly
        # As far from the first frame as from the last, within one.
        assert abs(frames[0] - (length - 1 - frames[-1])) <= 1


def test_frames_are_the_middles_of_equal_stretches():
    assert uniform_frames(8, 1).tolist() == [4]
    assert uniform_frames(8, 2).tolist() == [2, 6]
    assert uniform_frames(5, 5).tolist() == [0, 1, 2, 3, 4]
    # Where a published sampler returns 19: see Arnab et al.'s code.
    assert uniform_frames(128, 18).tolist()[:3] == [3, 10, 17]


def test_a_clip_that_is_too_short_repeats_frames_evenly():
    for length in (1, 3, 7):
        counts = np.bincount(uniform_frames(length, 17), minlength=length)
        assert counts.sum() == 17 and counts.max() - counts.min() <= 1


def test_it_runs_in_a_pipeline_with_clips_of_any_length():
    tf = pytest.importorskip("tensorflow")
    lengths = tf.data.Dataset.from_tensor_slices(np.array([3, 32], "int64"))
    for dtype in ("int32", "int64"):
        frames = lengths.map(
            lambda length, dtype=dtype: uniform_frames(
                tf.cast(length, dtype), 4
            )
        )
        found = [x.numpy().tolist() for x in frames]
        assert found == [[0, 1, 1, 2], [4, 12, 20, 28]]


def test_no_frames_are_refused():
    for length, count in ((0, 4), (4, 0), (4, 2.5), (2.5, 4)):
        with pytest.raises(ValueError, match="must be a positive integer"):
            uniform_frames(length, count)
