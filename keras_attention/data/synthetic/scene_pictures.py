"""Scenes drawn as pictures of coloured shapes."""

import numpy as np

from keras_attention.data.synthetic.scene_layouts import (
    SPLITS,
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
    describe,
    make_scenes,
    relate,
)
from keras_attention.ops import checks

BASE_SIZE = 64  # pixels, for which the lengths below are
RADII = np.array([5.0, 7.2])  # of small and large objects
PAINT = np.array(  # in the order of `COLOURS`
    [
        (220, 45, 45),
        (45, 165, 60),
        (50, 85, 225),
        (240, 220, 50),
        (155, 55, 190),
        (245, 140, 30),
        (60, 205, 225),
        (245, 245, 245),
    ],
    "float32",
)
BLOCKS = 8  # of the background, along each side
NUM_REFERENCES = 5


def shape_scenes(
    num_scenes: int, seed: int = 0, split: str = "train", size: int = 64
) -> Scenes:
    """Draws pictures of coloured shapes with captions and exact boxes.

    For learning to see and to attend together. Each picture has 4 x 4 cells;
    an object lies somewhere in a cell and is about five or seven eighths as
    wide. Objects of a scene differ in colour or shape. In `"train"` two or
    three are drawn before a noisy grey background; another seed gives scenes
    to validate and to test with. Each other split differs in one way:

    - `"combinations"`: each scene has a red square, green circle, blue ring,
      yellow cross, purple diamond, orange triangle, cyan square or white
      circle. None of these is in any other split.
    - `"count"`: there are four objects.
    - `"positions"`: each scene has a diamond in the lower right quarter,
      where no other split has one.
    - `"textures"`: the background has stripes.
    - `"swap"` has pairs: scenes `2 i` and `2 i + 1` differ only in colours,
      which the objects pass on to each other.

    Args:
        num_scenes: How many scenes; even for `"swap"`.
        seed: Seed of all draws, 0 or more. It gives other scenes in each
            split.
        split: One of the above.
        size: Height and width, a multiple of 8 and at least 32.

    Returns:
        The scenes, with pictures, unsigned bytes `(num_scenes, size, size,
        3)`, as `inputs`. References are five true sentences such as "a small
        red circle is above a large blue ring": of the horizontal and the
        vertical distance of two objects, the larger is told. Two objects have
        but two such sentences, which are repeated.

    Raises:
        ValueError: A number is out of range, the split is unknown, or the
            number of scenes of `"swap"` is odd.

    Examples:
        >>> from keras_attention.data import synthetic
        >>> scenes = synthetic.shape_scenes(100, seed=1)
        >>> scenes.inputs.shape, scenes.inputs.dtype
        ((100, 64, 64, 3), dtype('uint8'))
        >>> scenes.references[0][0]
        'a small cyan diamond is left of a large white triangle'
    """
    rng = generator(num_scenes, seed, split, SPLITS)
    if checks.positive_int(size, "size") % BLOCKS or size < 32:
        raise ValueError(
            f"`size` must be a multiple of {BLOCKS} and at least 32. "
            f"Received: size={size}."
        )
    copies = 2 if split == "swap" else 1
    layouts = draw_layouts(rng, num_scenes, split, corner_rule=True)
    middles, radii = _places(rng, layouts[::copies], size)
    middles, radii = (np.repeat(x, copies, axis=0) for x in (middles, radii))
    images = np.empty((num_scenes, size, size, 3), "uint8")
    step = 2 * max(1, 2**19 // size**2)  # so that memory stays small
    for start in range(0, num_scenes, step):
        rows = slice(start, start + step)
        count = len(images[rows]) // copies
        draw = _stripes if split == "textures" else _blocks
        canvas = np.repeat(draw(rng, count, size), copies, axis=0)
        _paint(canvas, layouts[rows], middles[rows], radii[rows])
        noise = rng.standard_normal((count, size, size, 3), "float32")
        canvas += 4 * np.repeat(noise, copies, axis=0)
        images[rows] = canvas.round().clip(0, 255)
    radii = radii[..., None]
    boxes = np.concatenate([middles - radii, middles + radii], -1)
    objects = scene_objects(layouts, boxes)
    references = [_references(rng, present) for present in objects]
    return make_scenes(split, images, objects, references)


def draw_objects(objects, size: int = BASE_SIZE):
    """One picture of objects, each in the middle of its cell.

    Args:
        objects: `SceneObject`s, of which the box does not count.
        size: Height and width.
    """
    layouts = np.array(
        [
            [
                COLOURS.index(thing.colour),
                SHAPES.index(thing.shape),
                SIZES.index(thing.size),
                thing.cell,
            ]
            for thing in objects
        ]
    )[None]
    row, column = np.divmod(layouts[..., 3], GRID)
    middles = (np.stack([column, row], -1) + 0.5) * size / GRID
    radii = RADII[layouts[..., 2]] * size / BASE_SIZE
    canvas = np.full((1, size, size, 3), 95, "float32")
    _paint(canvas, layouts, middles, radii)
    return canvas[0].round().astype("uint8")


def _places(rng, layouts, size):
    """Middles (x, y) and radii of objects, which stay in their cells."""
    cell_size = size / GRID
    variation = rng.uniform(0.93, 1.07, layouts.shape[:2])
    radii = RADII[layouts[..., 2]] * variation * size / BASE_SIZE
    row, column = np.divmod(layouts[..., 3], GRID)
    middles = (np.stack([column, row], -1) + 0.5) * cell_size
    room = cell_size / 2 - radii[..., None]
    return middles + rng.uniform(-1, 1, middles.shape) * room, radii


def _blocks(rng, count, size):
    """Grey backgrounds of noisy blocks."""
    grey = rng.uniform(60, 130, (count, 1, 1, 1))
    blocks = grey + rng.normal(0, 6, (count, BLOCKS, BLOCKS, 3))
    block = size // BLOCKS
    return blocks.astype("float32").repeat(block, axis=1).repeat(block, axis=2)


def _stripes(rng, count, size):
    """Grey backgrounds of stripes in any direction."""
    grey = rng.uniform(60, 130, (count, 1, 1))
    angle, phase = rng.uniform(0, 2 * np.pi, (2, count, 1, 1))
    wavelength = size / rng.uniform(5, 12, (count, 1, 1))
    at = np.arange(size)
    along = np.cos(angle) * at + np.sin(angle) * at[:, None]
    stripes = grey + 20 * np.sin(2 * np.pi * along / wavelength + phase)
    return stripes[..., None].repeat(3, axis=-1).astype("float32")


def _paint(canvas, layouts, middles, radii):
    """Draws the objects onto pictures, each inside its cell."""
    scene, place = np.nonzero(layouts[..., 3] >= 0)
    colours, shapes, _, cells = layouts[scene, place].T
    row, column = np.divmod(cells, GRID)
    width = canvas.shape[1] // GRID
    at = np.arange(width) + 0.5
    corner = np.stack([column, row], -1) * width
    x, y = (middles[scene, place] - corner).T[..., None]  # (objects, 1) each
    x, y = (at - x)[:, None], (at - y)[:, :, None]
    r = radii[scene, place][:, None, None]
    distance = np.maximum(abs(x), abs(y)) - r  # (objects, width, width)
    for index, shape in enumerate(SHAPES):
        own = shapes == index
        inner = DISTANCES[shape](x[own], y[own], r[own])
        distance[own] = np.maximum(distance[own], inner)
    # Edges go from all to nothing within a pixel.
    covered = (0.5 - distance).clip(0, 1)[..., None]
    patches = canvas.reshape(len(canvas), GRID, width, GRID, width, 3)
    before = patches[scene, row, :, column]  # (objects, width, width, 3)
    paint = PAINT[colours][:, None, None]
    patches[scene, row, :, column] = before + covered * (paint - before)


# How far points are outside of a shape of radius r, less than 0 inside it, but
# for the sides of the square from -r to r that all shapes touch and end at. y
# points down.
DISTANCES = {
    "circle": lambda x, y, r: np.hypot(x, y) - r,
    "square": lambda x, y, r: -r,
    "triangle": lambda x, y, r: (2 * abs(x) - y - r) / 5**0.5,
    "diamond": lambda x, y, r: (abs(x) + abs(y) - r) / 2**0.5,
    "cross": lambda x, y, r: np.minimum(abs(x), abs(y)) - r / 3,
    "ring": lambda x, y, r: abs(np.hypot(x, y) - 0.78 * r) - 0.22 * r,
}


def _references(rng, objects):
    """True sentences about two objects, repeated where there are too few."""
    sentences = [
        f"{describe(first)} is {relate(first, second)} {describe(second)}"
        for first in objects
        for second in objects
        if first is not second
    ]
    order = rng.permutation(len(sentences))
    chosen = np.resize(order, NUM_REFERENCES)
    return [sentences[i] for i in chosen]
