"""Scenes of coloured shapes on a grid: what is in them, and how it is said."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

GRID = 4  # cells along each side
COLOURS = (
    "red",
    "green",
    "blue",
    "yellow",
    "purple",
    "orange",
    "cyan",
    "white",
)
SHAPES = "circle", "square", "triangle", "diamond", "cross", "ring"
SIZES = "small", "large"
RELATIONS = "left of", "right of", "above", "below"
Box = tuple[float, float, float, float]


class SceneObject(NamedTuple):
    """An object of a scene: what it looks like and where it is.

    Args:
        colour: red, green, blue, yellow, purple, orange, cyan or white.
        shape: circle, square, triangle, diamond, cross or ring.
        size: small or large.
        cell: Its cell of the grid of 4 x 4, counted row by row from 0.
        box: Left, top, right and bottom. In pixels for `shape_scenes`, where
            all shapes touch the four sides of their box; in cells for
            `grid_scenes`, where the box is the cell.

    Examples:
        >>> from keras_attention.data import synthetic
        >>> synthetic.grid_scenes(100, seed=1).objects[0][1]
        SceneObject(colour='cyan', shape='diamond', size='small', cell=9,
                    box=(1.0, 2.0, 2.0, 3.0))
    """

    colour: str
    shape: str
    size: str
    cell: int
    box: Box


@dataclass(frozen=True, eq=False)
class Scenes:
    """Scenes with their captions, and which word names which object.

    `scenes[:100]` are the first hundred, `len(scenes)` tells how many there
    are.

    Args:
        split: Which split they are of.
        inputs: What a captioner sees: pictures, unsigned bytes
            `(n, size, size, 3)`, of `shape_scenes`; annotations, float32
            `(n, 16, 32)`, of `grid_scenes`.
        captions: For each scene all its objects in reading order, row by row
            and from left to right: "a small red circle and a large blue
            ring". Words have a space between them.
        references: For each scene several right captions, to score others by.
            Of `shape_scenes` five that relate two objects, "a small red
            circle is left of a large blue ring"; of `grid_scenes` the one of
            `captions`.
        objects: The objects of each scene, in reading order.
        word_objects: For each word of each of `captions` the index of the
            object that it tells of, or -1 for "a" and "and".

    Examples:
        >>> from keras_attention.data import synthetic
        >>> scenes = synthetic.grid_scenes(10, seed=1)
        >>> scenes.captions[0]
        'a small white cross and a large white square and a small cyan circle'
        >>> scenes.word_objects[0]
        [-1, 0, 0, 0, -1, -1, 1, 1, 1, -1, -1, 2, 2, 2]
        >>> scenes.word_boxes(0)[3]  # of "cross", in cells
        (0.0, 0.0, 1.0, 1.0)
        >>> len(scenes[2:6])
        4
    """

    split: str
    inputs: np.ndarray
    captions: list[str]
    references: list[list[str]]
    objects: list[list[SceneObject]]
    word_objects: list[list[int]]

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, rows: slice) -> "Scenes":
        if not isinstance(rows, slice):
            raise TypeError(
                "Scenes are taken by a slice. Received: "
                f"{rows!r}. Pass `scenes[i : i + 1]` for one, or index one of "
                "its attributes, as in `scenes.captions[i]`."
            )
        start, stop, step = rows.indices(len(self))
        if self.split == "swap" and (start % 2 or stop % 2 or step != 1):
            raise ValueError(
                "A slice of the split 'swap' must keep pairs together. "
                f"Received: start={start}, stop={stop}, step={step}. Begin "
                "and end at even rows."
            )
        parts = ("captions", "references", "objects", "word_objects", "inputs")
        return replace(self, **{x: getattr(self, x)[rows] for x in parts})

    def word_boxes(self, index: int) -> list[Box | None]:
        """Where the object of each word of a caption is.

        Args:
            index: Which scene.

        Returns:
            For each word of `captions[index]` the box of its object, or None
            for "a" and "and".
        """
        boxes = [x.box for x in self.objects[index]]
        return [boxes[k] if k >= 0 else None for k in self.word_objects[index]]


def make_scenes(split, inputs, objects, references=None):
    """Scenes of known objects, with their captions."""
    captions = [" and ".join(map(describe, present)) for present in objects]
    return Scenes(
        split=split,
        inputs=inputs,
        captions=captions,
        references=references or [[caption] for caption in captions],
        objects=objects,
        word_objects=[_word_objects(len(present)) for present in objects],
    )


def describe(thing):
    return f"a {thing.size} {thing.colour} {thing.shape}"


def relate(first, second):
    """Where the first object is, seen from the second.

    The axis is the one along which the middles of their boxes are further
    apart; where they are as far along both, it is the horizontal one.
    """
    (x1, y1), (x2, y2) = _middle(first.box), _middle(second.box)
    if abs(x1 - x2) >= abs(y1 - y2):
        return "left of" if x1 < x2 else "right of"
    return "above" if y1 < y2 else "below"


def _middle(box):
    left, top, right, bottom = box
    return (left + right) / 2, (top + bottom) / 2


def _word_objects(num_objects):
    words = [(-1, -1, k, k, k) for k in range(num_objects)]  # "and a ..."
    return [k for phrase in words for k in phrase][1:]
