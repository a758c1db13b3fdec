"""Pictures that are drawn: seeded, with all there is to know of them."""

import numpy as np

from keras_attention.ops import checks

# Marks of five by five pixels, nine of them set in each: their number tells
# nothing.
MARKS = np.array(
    [
        [[x == "#" for x in row] for row in rows.split()]
        for rows in (
            "..#.. ..#.. ##### ..#.. ..#..",
            "#...# .#.#. ..#.. .#.#. #...#",
            "##### ..#.. ..#.. ..#.. ..#..",
            "#.... #.... #.... #.... #####",
        )
    ]
)
CORNER = 8  # pixels around a mark
JITTER = 2  # places of a mark in its corner, on each axis


def corner_match(
    num_images: int, seed: int = 0, size: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures with two marks in opposite corners: are they the same?

    Each shows one of four marks, of random colours and a little displaced, in
    a corner, and another in the corner across. No part of the picture tells
    the answer: each mark occurs as often with either, in each corner. What
    does not bring the two corners together stays at chance, one half.

    Args:
        num_images: How many pictures.
        seed: Seed of all draws.
        size: Height and width, at least 16.

    Returns:
        Pictures, unsigned bytes `(num_images, size, size, 3)`, and labels
        `(num_images,)`: 1 where the marks are the same.

    Raises:
        ValueError: A size is too small.

    Examples:
        >>> from keras_attention.data import synthetic
        >>> images, labels = synthetic.corner_match(100, seed=1)
        >>> images.shape, images.dtype, labels.shape
        ((100, 32, 32, 3), dtype('uint8'), (100,))
    """
    checks.positive_int(num_images, "num_images")
    if checks.positive_int(size, "size") < 2 * CORNER:
        raise ValueError(
            f"`size` must be at least {2 * CORNER}. Received: size={size}."
        )
    rng = np.random.default_rng(seed)
    shape = (num_images, size, size, 3)
    images = background(rng, shape)
    labels = rng.integers(2, size=num_images)
    first = rng.integers(len(MARKS), size=num_images)
    other = (first + rng.integers(1, len(MARKS), num_images)) % len(MARKS)
    second = np.where(labels, first, other)
    falling = rng.integers(2, size=num_images)  # which diagonal
    rows = np.arange(num_images)[:, None, None]
    for corner, marks in enumerate((first, second)):
        # The first in an upper corner, the second in a lower one.
        right = falling ^ corner
        top, left = rng.integers(JITTER, size=(2, num_images))
        top += corner * (size - CORNER)
        left += right * (size - CORNER)
        at = np.arange(5)
        y = top[:, None, None] + at[:, None]
        x = left[:, None, None] + at
        colours = bright(rng, num_images)[:, None, None]
        patch = images[rows, y, x]
        images[rows, y, x] = np.where(MARKS[marks][..., None], colours, patch)
    return images, labels


# Strokes on a square from (0, 0), its upper left corner, to (1, 1).
GLYPHS = (
    [(0, 0, 1, 1), (1, 0, 0, 1)],
    [(0.5, 0, 0.5, 1), (0, 0.5, 1, 0.5)],
    [(0, 0, 1, 0), (0.5, 0, 0.5, 1)],
    [(0, 0, 0, 1), (0, 1, 1, 1)],
    [(0, 1, 0.5, 0), (0.5, 0, 1, 1)],
    [(0, 0, 0.5, 1), (0.5, 1, 1, 0)],
    [(0, 0, 1, 0), (1, 0, 0, 1), (0, 1, 1, 1)],
    [(0, 0, 0, 1), (1, 0, 1, 1), (0, 0.5, 1, 0.5)],
    [(0, 0, 0, 1), (0, 0, 1, 1), (1, 0, 1, 1)],
    [(0, 0, 1, 0), (1, 0, 1, 1), (1, 1, 0, 1), (0, 1, 0, 0)],
)


def glyphs(
    num_images: int, seed: int = 0, size: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of one of ten signs of straight strokes.

    Place, size, slant, thickness and colours vary.

    Args:
        num_images: How many pictures.
        seed: Seed of all draws.
        size: Height and width, at least 16.

    Returns:
        Pictures, unsigned bytes `(num_images, size, size, 3)`, and labels
        `(num_images,)` in [0, 10).

    Raises:
        ValueError: A size is too small.

    Examples:
        >>> from keras_attention.data import synthetic
        >>> images, labels = synthetic.glyphs(100, seed=1)
        >>> images.shape, int(labels.max())
        ((100, 32, 32, 3), 9)
    """
    checks.positive_int(num_images, "num_images")
    if checks.positive_int(size, "size") < 16:
        raise ValueError(f"`size` must be at least 16. Received: size={size}.")
    rng = np.random.default_rng(seed)
    images = background(rng, (num_images, size, size, 3))
    labels = rng.integers(len(GLYPHS), size=num_images)
    for image, label in zip(images, labels, strict=True):
        ends = np.array(GLYPHS[label]).reshape(-1, 2, 2) - 0.5
        angle, slant = rng.uniform(-0.25, 0.25, 2)
        turn = np.array(
            [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        )
        ends = ends @ (turn @ np.array([[1, slant], [0, 1]])).T
        length = size * rng.uniform(0.35, 0.7)
        middle = rng.uniform(0.35, 0.65, 2) * size
        ink = strokes(ends * length + middle, size, rng.uniform(0.9, 1.8))
        image[ink] = bright(rng, 1)[0]
    return images, labels


def shapes(
    num_images: int, seed: int = 0, size: int = 32, max_shapes: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of discs, squares and triangles, with their masks.

    Later shapes cover earlier ones. Colours tell nothing of the kind.

    Args:
        num_images: How many pictures.
        seed: Seed of all draws.
        size: Height and width, at least 16.
        max_shapes: Most shapes in a picture; one at least.

    Returns:
        Pictures, unsigned bytes `(num_images, size, size, 3)`, and masks,
        unsigned bytes `(num_images, size, size)`: 0 for the background, 1 for
        a disc, 2 for a square, 3 for a triangle.

    Raises:
        ValueError: A size is too small.

    Examples:
        >>> import numpy as np
        >>> from keras_attention.data import synthetic
        >>> images, masks = synthetic.shapes(20, seed=1)
        >>> masks.shape, np.unique(masks).tolist()
        ((20, 32, 32), [0, 1, 2, 3])
    """
    for name, value in (
        ("num_images", num_images),
        ("max_shapes", max_shapes),
        ("size", size),
    ):
        checks.positive_int(value, name)
    if size < 16:
        raise ValueError(f"`size` must be at least 16. Received: size={size}.")
    rng = np.random.default_rng(seed)
    images = background(rng, (num_images, size, size, 3))
    masks = np.zeros((num_images, size, size), "uint8")
    at = np.arange(size) + 0.5
    for image, mask in zip(images, masks, strict=True):
        for _ in range(rng.integers(1, max_shapes + 1)):
            kind = rng.integers(1, 4)
            radius = size * rng.uniform(0.12, 0.26)
            y, x = at[:, None], at[None]
            row, column = rng.uniform(radius, size - radius, 2)
            y, x = y - row, x - column
            if kind == 1:
                inside = y**2 + x**2 < radius**2
            elif kind == 2:
                inside = np.maximum(abs(y), abs(x)) < 0.8 * radius
            else:
                inside = (y < radius / 2) & (2 * abs(x) < radius + y)
            mask[inside] = kind
            paint = bright(rng, 1)[0] + rng.normal(0, 8, (inside.sum(), 3))
            image[inside] = paint.clip(0, 255)
    return images, masks


def background(rng, shape):
    """Noise around a dark colour for each picture."""
    base = rng.uniform(20, 100, (shape[0], 1, 1, shape[-1]))
    return (base + rng.normal(0, 12, shape)).clip(0, 255).astype("uint8")


def bright(rng, number):
    """Colours that stand out from any background, `(number, 3)`."""
    colours = rng.uniform(110, 255, (number, 3))
    colours[np.arange(number), rng.integers(3, size=number)] = 255
    return colours


def strokes(ends, size, thickness):
    """Which pixels lie within `thickness` of lines `(n, 2, (x, y))`."""
    at = np.arange(size) + 0.5
    points = np.stack(np.meshgrid(at, at), axis=-1)[:, :, None]
    begin, along = ends[:, 0], ends[:, 1] - ends[:, 0]
    share = ((points - begin) * along).sum(-1) / (along**2).sum(-1)
    nearest = begin + share.clip(0, 1)[..., None] * along
    distance = np.linalg.norm(points - nearest, axis=-1)
    return (distance < thickness).any(-1)
