"""Scenes as one annotation for each cell, without pictures."""

import numpy as np

from keras_attention.data.synthetic.scene_layouts import (
    draw_layouts,
    generator,
    scene_objects,
)
from keras_attention.data.synthetic.scenes import (
    COLOURS,
    GRID,
    SHAPES,
    SIZES,
    Scenes,
    make_scenes,
)
from keras_attention.ops import checks

ANNOTATION_DIM = 32
NOISE = 0.05


def grid_scenes(
    num_scenes: int,
    seed: int = 0,
    split: str = "train",
    noise: float | None = None,
) -> Scenes:
    """Scenes of two or three objects, seen as one vector for each cell.

    For learning to attend without learning to see, in seconds. The annotation
    of a cell tells the colour, shape and size of its object (8, 6 and 2
    entries, one of each is 1), whether there is one (1 entry), its row and
    its column (4 and 4), turned by a fixed rotation of 32 dimensions. Objects
    of a scene differ in colour or shape, and have a cell each.

    - `"train"` never has a red square, green circle, blue ring, yellow cross,
      purple diamond, orange triangle, cyan square or white circle. Another
      seed gives scenes to validate and to test with: by chance, a few in a
      thousand are also among 8000 of the first seed, with other noise.
    - `"combinations"` has at least one of these in each scene.
    - `"swap"` has pairs: scenes `2 i` and `2 i + 1` differ only in colours,
      which the objects pass on to each other. The mean of all annotations is
      the same (up to rounding), so that a captioner that sees the mean alone
      is never right about both: attention is needed.

    Args:
        num_scenes: How many scenes; even for `"swap"`.
        seed: Seed of all draws, 0 or more. It gives other scenes in each
            split.
        split: `"train"`, `"combinations"` or `"swap"`.
        noise: Standard deviation of what is added to each entry. None for
            0.05, and for none at all in `"swap"`. Both scenes of a pair get
            the same noise.

    Returns:
        The scenes, with annotations `(num_scenes, 16, 32)` as `inputs`, and
        their caption as the only reference.

    Raises:
        ValueError: A number is out of range, the split is unknown, or the
            number of scenes of `"swap"` is odd.

    Examples:
        >>> from keras_attention.data import synthetic
        >>> scenes = synthetic.grid_scenes(100, seed=1)
        >>> scenes.inputs.shape
        (100, 16, 32)
        >>> for caption in synthetic.grid_scenes(2, split="swap").captions:
        ...     print(caption)
        a small purple triangle and a small blue cross and a large green cross
        a small blue triangle and a small green cross and a large purple cross
    """
    rng = generator(num_scenes, seed, split, ("train", "combinations", "swap"))
    if noise is None:
        noise = 0.0 if split == "swap" else NOISE
    noise = checks.number(noise, "noise", lowest=0)
    layouts = draw_layouts(rng, num_scenes, split)
    annotations = _features(layouts) @ _rotation()
    copies = 2 if split == "swap" else 1
    added = rng.normal(0, noise, annotations[::copies].shape)
    annotations += np.repeat(added, copies, axis=0)
    row, column = np.divmod(layouts[..., 3], GRID)
    boxes = np.stack([column, row, column + 1, row + 1], -1).astype(float)
    objects = scene_objects(layouts, boxes)
    return make_scenes(split, annotations.astype("float32"), objects)


def _features(layouts):
    """What is in each cell, `(n, 16, 32)`, before the rotation."""
    cells = np.arange(GRID**2)
    features = np.zeros((len(layouts), GRID**2, ANNOTATION_DIM))
    scene, place = np.nonzero(layouts[..., 3] >= 0)
    *indices, cell = layouts[scene, place].T
    start = 0
    for index, names in zip(indices, (COLOURS, SHAPES, SIZES), strict=True):
        features[scene, cell, start + index] = 1
        start += len(names)
    features[scene, cell, start] = 1
    features[:, cells, start + 1 + cells // GRID] = 1
    features[:, cells, start + 1 + GRID + cells % GRID] = 1
    return features


def _rotation():
    """An orthogonal matrix, always the same."""
    normal = np.random.default_rng(123).normal(size=(ANNOTATION_DIM,) * 2)
    q, r = np.linalg.qr(normal)
    return q * np.sign(np.diag(r))  # signs may differ from machine to machine
