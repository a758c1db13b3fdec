"""Which objects stand where: rules of the splits of generated scenes.

A layout is an array `(objects, 4)` of indices: colour, shape, size, cell. Cells
ascend, which is reading order; rows of -1 fill up a scene of fewer objects.
"""

import numpy as np

from keras_attention.data.synthetic.scenes import (
    COLOURS,
    GRID,
    SHAPES,
    SIZES,
    SceneObject,
)
from keras_attention.ops import checks

MAX_OBJECTS = 4
# The order is part of the seeds: put new ones last.
SPLITS = "train", "combinations", "swap", "count", "positions", "textures"
# The shape of each colour that only the split of combinations has: red square,
# green circle, blue ring, yellow cross, purple diamond, orange triangle, cyan
# square, white circle.
HELD_OUT = (5 * np.arange(len(COLOURS)) + 1) % len(SHAPES)
# The shape that only the split of positions has in the lower right quarter.
CORNER_SHAPE = SHAPES.index("diamond")


def generator(num_scenes, seed, split, splits):
    """The source of all draws, once the arguments are checked."""
    checks.positive_int(num_scenes, "num_scenes")
    checks.non_negative_int(seed, "seed")
    checks.one_of(split, "split", splits)
    if split == "swap" and num_scenes % 2:
        raise ValueError(
            "`num_scenes` must be even for the split 'swap', whose scenes are "
            f"pairs. Received: num_scenes={num_scenes}."
        )
    # The split comes first: behind a seed of more than 32 bits it could be
    # taken for a part of it.
    return np.random.default_rng([SPLITS.index(split), seed])


def draw_layouts(rng, num_scenes, split, corner_rule=False):
    """Layouts of a split, `(num_scenes, MAX_OBJECTS, 4)`.

    With `corner_rule`, diamonds are in the lower right quarter of each scene
    of the split of positions, and of no other.
    """
    num_draws = num_scenes // 2 if split == "swap" else num_scenes
    counts = rng.integers(2, 4, num_draws)
    if split == "count":
        counts[:] = MAX_OBJECTS
    layouts = np.empty((num_draws, MAX_OBJECTS, 4), int)
    waiting = np.arange(num_draws)
    while len(waiting):  # scenes keep their number of objects, drawn above
        drawn = _any_layouts(rng, counts[waiting])
        layouts[waiting] = drawn
        allowed = _allowed(drawn, split)
        if corner_rule:
            allowed &= _in_corner(drawn) == (split == "positions")
        waiting = waiting[~allowed]
    if split == "swap":
        pairs = np.stack([layouts, exchange_colours(layouts)], axis=1)
        return pairs.reshape(num_scenes, MAX_OBJECTS, 4)
    return layouts


def scene_objects(layouts, boxes):
    """The objects of each scene, from their boxes `(n, MAX_OBJECTS, 4)`."""
    return [
        [
            SceneObject(COLOURS[c], SHAPES[s], SIZES[z], cell, tuple(box))
            for (c, s, z, cell), box in zip(layout, scene_boxes, strict=True)
            if cell >= 0
        ]
        for layout, scene_boxes in zip(
            layouts.tolist(), boxes.tolist(), strict=True
        )
    ]


def exchange_colours(layouts):
    """Each object takes the colour of the next, the last of the first."""
    counts = (layouts[..., 3] >= 0).sum(1, keepdims=True)
    place = np.arange(MAX_OBJECTS)
    following = np.where(place < counts, (place + 1) % counts, place)
    exchanged = layouts.copy()
    exchanged[..., 0] = np.take_along_axis(layouts[..., 0], following, axis=1)
    return exchanged


def _any_layouts(rng, counts):
    shape = len(counts), MAX_OBJECTS
    present = np.arange(MAX_OBJECTS) < counts[:, None]
    cells = np.tile(np.arange(GRID**2), (len(counts), 1))
    cells = rng.permuted(cells, axis=1)[:, :MAX_OBJECTS]
    indices = [rng.integers(len(x), size=shape) for x in (COLOURS, SHAPES)]
    indices.append(rng.integers(len(SIZES), size=shape))
    # Cells that are not taken go behind those that are.
    indices.append(np.sort(np.where(present, cells, GRID**2)))
    return np.where(present[..., None], np.stack(indices, -1), -1)


def _allowed(layouts, split):
    """Which layouts keep the rules on colours and shapes."""
    colours, shapes, _, cells = np.moveaxis(layouts, -1, 0)
    held_out = ((cells >= 0) & (shapes == HELD_OUT[colours])).any(1)
    kinds = colours * len(SHAPES) + shapes
    allowed = _distinct(kinds, cells) & (held_out == (split == "combinations"))
    if split == "swap":
        allowed &= _distinct(colours, cells)
        allowed &= _allowed(exchange_colours(layouts), "train")
    return allowed


def _distinct(values, cells):
    """Whether all objects of a scene differ in their values."""
    missing = -1 - np.arange(MAX_OBJECTS)  # which differ from all others
    values = np.sort(np.where(cells >= 0, values, missing))
    return (np.diff(values) > 0).all(1)


def _in_corner(layouts):
    """Whether a scene has the corner's shape in its lower right quarter."""
    _, shapes, _, cells = np.moveaxis(layouts, -1, 0)
    row, column = cells // GRID, cells % GRID
    corner = (row >= GRID // 2) & (column >= GRID // 2)
    return (corner & (shapes == CORNER_SHAPE)).any(1)
