"""Videos that are drawn: seeded, with all there is to know of them."""

import numpy as np

from keras_attention.data.synthetic.images import GLYPHS, bright, strokes
from keras_attention.ops import checks

GLYPH = 8  # pixels of a glyph's square
# Rows and columns that a glyph moves by in a step, by label.
DIRECTIONS = np.array([[0, 1], [0, -1], [1, 0], [-1, 0]])


def roll_motion(
    num_videos: int,
    seed: int = 0,
    frames: int = 16,
    hold: int = 1,
    size: int = 12,
) -> tuple[np.ndarray, np.ndarray]:
    """Videos of a glyph that rolls to the right, left, down or up.

    What leaves a border comes back at the one across, and the glyph begins
    anywhere, so that the frames of a clip to the right, in any order, are as
    likely those of one to the left: what does not read the order of frames
    can tell the axis, and is right for at most half of the clips.

    Args:
        num_videos: How many videos.
        seed: Seed of all draws.
        frames: Frames of each, a multiple of `hold`.
        hold: Frames that the glyph stays for before it moves by a pixel. With
            1 the motion lies within tubelets of two frames; with 2 a tubelet
            stands still, and only what compares tubelets sees it.
        size: Height and width, at least 9.

    Returns:
        Videos, unsigned bytes `(num_videos, frames, size, size, 3)`, and
        labels `(num_videos,)`: 0 right, 1 left, 2 down, 3 up.

    Raises:
        ValueError: A size is too small, or a place is not held as long as
            another.

    Examples:
        >>> from keras_attention.data import synthetic
        >>> videos, labels = synthetic.roll_motion(100, seed=1)
        >>> videos.shape, videos.dtype, int(labels.max())
        ((100, 16, 12, 12, 3), dtype('uint8'), 3)
    """
    for name, value in (
        ("num_videos", num_videos),
        ("frames", frames),
        ("hold", hold),
        ("size", size),
    ):
        checks.positive_int(value, name)
    if size <= GLYPH:
        raise ValueError(
            f"`size` must be at least {GLYPH + 1}. Received: size={size}."
        )
    if frames % hold:
        # A place that is held for less would tell where a clip ends.
        raise ValueError(
            "`frames` must be a multiple of `hold`. Received: "
            f"frames={frames}, hold={hold}."
        )
    rng = np.random.default_rng(seed)
    labels = rng.integers(len(DIRECTIONS), size=num_videos)
    kinds = rng.integers(len(GLYPHS), size=num_videos)
    shape = (num_videos, frames, size, size, 3)
    base = rng.uniform(20, 100, (num_videos, 1, 1, 1, 3))
    pictures = np.broadcast_to(base, shape).copy()
    colours = bright(rng, num_videos)
    steps = np.arange(frames) // hold
    for picture, label, kind, colour in zip(
        pictures, labels, kinds, colours, strict=True
    ):
        ends = np.array(GLYPHS[kind]).reshape(-1, 2, 2) - 0.5
        slant = np.array([[1, rng.uniform(-0.2, 0.2)], [0, 1]])
        ends = ends @ slant.T * rng.uniform(0.55, 0.75) * GLYPH + GLYPH / 2
        ink = np.zeros((size, size), bool)
        ink[:GLYPH, :GLYPH] = strokes(ends, GLYPH, 0.9)
        start = rng.integers(size, size=2)
        for frame, step in zip(picture, steps, strict=True):
            place = start + step * DIRECTIONS[label]
            frame[np.roll(ink, place, axis=(0, 1))] = colour
    noise = rng.normal(0, 12, shape)
    return (pictures + noise).clip(0, 255).astype("uint8"), labels
