"""Which frames of a video are looked at, and kernels that look at several."""

import numpy as np
from keras import ops

from keras_attention.ops import checks


def uniform_frames(length, count):
    """Positions of `count` frames that lie evenly over a clip.

    The middle frame of each of `count` equal stretches:

        position[i] = floor((i + 1/2) * length / count)

    Always exactly `count` of them, in order. They differ if `count` is at
    most `length`, and are all frames if it is `length`; a clip that is shorter
    repeats frames, each as often as any other, give or take one.

    Args:
        length: Number of frames of the clip: an int, or a scalar integer
            tensor, also in a `tf.data` pipeline whatever the backend.
        count: Number of frames to take, the paper's n_t (Arnab et al., 2021,
            section 3.2).

    Returns:
        `(count,)` integers; a NumPy array if `length` is an int.

    Examples:
        >>> from keras_attention.ops.frames import uniform_frames
        >>> uniform_frames(32, 4).tolist()
        [4, 12, 20, 28]
        >>> uniform_frames(3, 5).tolist()
        [0, 0, 1, 2, 2]
    """
    count = checks.positive_int(count, "count")
    if np.isscalar(length):
        length = checks.positive_int(length, "length")
    halves = 2 * np.arange(count, dtype="int32") + 1
    return halves * length // (2 * count)


def strided_frames(length, count, stride=1, offset=0):
    """Positions of `count` frames that follow each other at a distance.

        position[i] = (offset + stride * i) mod length

    A clip that is too short begins again, as in the paper's code.

    Args:
        length: Number of frames of the clip.
        count: Number of frames to take.
        stride: Distance from one to the next.
        offset: The first.

    Returns:
        `(count,)` integers.

    Examples:
        >>> from keras_attention.ops.frames import strided_frames
        >>> strided_frames(32, 4, stride=2, offset=10).tolist()
        [10, 12, 14, 16]
        >>> strided_frames(5, 4, stride=2).tolist()
        [0, 2, 4, 1]
    """
    for name, value in (
        ("length", length),
        ("count", count),
        ("stride", stride),
    ):
        checks.positive_int(value, name)
    checks.non_negative_int(offset, "offset")
    return (offset + stride * np.arange(count)) % length


def last_offset(length, count, stride=1):
    """The largest `offset` of `strided_frames` that stays in the clip."""
    return max(0, length - stride * (count - 1) - 1)


def inflate(kernel, frames, method="central_frame"):
    """The kernel of a tubelet that starts as one of a patch.

    Arnab et al., 2021, section 3.4: "average", or filter inflation, gives
    every frame the kernel divided by their number; "central_frame" gives it
    whole to frame `frames // 2` and zeros to the others. Either way a tubelet
    of equal frames is embedded as one of them alone.

    Args:
        kernel: `(height, width, channels, filters)`, or any other shape.
        frames: Number of frames of a tubelet.
        method: "central_frame" or "average".

    Returns:
        `(frames, *kernel.shape)`.
    """
    checks.one_of(method, "method", ("central_frame", "average"))
    share = np.zeros(frames)
    share[frames // 2] = 1.0
    if method == "average":
        share[:] = 1.0 / frames
    kernel = ops.convert_to_tensor(kernel)
    share = ops.cast(share, kernel.dtype)
    return ops.reshape(share, (-1,) + (1,) * len(kernel.shape)) * kernel
