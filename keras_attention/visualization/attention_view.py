"""What reads, what is read, and how much of it, checked."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_attention.ops import checks
from keras_attention.visualization.vision import as_array

AXES = "times", "rows", "columns"


class Cells(NamedTuple):
    """The cells of a picture, or of the frames of a video.

    They are counted frame by frame, and in a frame along the rows, as the
    tokens of a `ViT` or a `ViViT` are.

    Attributes:
        pictures: A picture `(height, width, channels)`, or frames `(frames,
            height, width, channels)`, with one or three channels, of any
            range: they are stretched to their own. A picture has at least a
            pixel for each cell of it.
        grid_shape: Rows and columns of a picture; times, rows and columns of
            a video, where times divide the frames: a time is of as many
            frames. `(times, 1, 1)` where frames are read whole.
        tokens: Names of what comes before the cells, such as `["class"]`.
    """

    pictures: Any
    grid_shape: tuple[int, ...]
    tokens: Sequence[str] = ()


class AttentionView(NamedTuple):
    """What reads, what is read, and how much of it.

    Q is the number of queries and K that of keys: of words, or of tokens and
    cells.

    Attributes:
        queries: What reads: Q words, or `Cells`.
        keys: What is read: K words, or `Cells`.
        scores: `(Q, K)`, how much each query read of each key; or `(N, Q, K)`
            of N heads, which are shown one by one and as their mean; or a
            mapping from the names of layers to either, such as what the
            model of `ViT.attention` returns, without the axis of the batch.
        title: What stands above it.
        labels: What stands above the queries and above the keys.
        notes: A line for each query, told after what it reads.
    """

    queries: Sequence[str] | Cells
    keys: Sequence[str] | Cells
    scores: Any
    title: str = ""
    labels: tuple[str, str] = ("what reads", "what is read")
    notes: Sequence[str] = ()


class Side(NamedTuple):
    """Queries or keys: words, and after them cells of pictures."""

    words: list[str]
    pictures: np.ndarray | None = None  # (frames, height, width, channels)
    grid: tuple[int, int, int] = (0, 0, 0)

    @property
    def number(self):
        return len(self.words) + math.prod(self.grid)


def checked_side(given, name):
    """A `Side` of words or `Cells`, or an error."""
    if not isinstance(given, Cells):
        words = strings(given, name)
        if not words:
            raise ValueError(
                f"There must be at least one of `{name}`. Received: "
                f"{name}=[]. Leave out what has none."
            )
        return Side(words)
    pictures = as_array(given.pictures)
    if (
        pictures.ndim not in (3, 4)
        or pictures.shape[-1] not in (1, 3)
        or not pictures.size
    ):
        raise ValueError(
            "`pictures` must be one picture, (height, width, 1 or 3), or the "
            "frames of one video, (frames, height, width, 1 or 3). Received: "
            f"shape {pictures.shape}. Take one of a batch, such as `images[0]`."
        )
    all_finite(pictures, "pictures")
    axes = AXES[4 - pictures.ndim :]
    *times, rows, columns = checks.sizes(given.grid_shape, "grid_shape", axes)
    grid = times[0] if times else 1, rows, columns
    pictures = pictures.reshape(-1, *pictures.shape[-3:])
    if len(pictures) % grid[0]:
        raise ValueError(
            "The times of a grid must divide the frames, so that each is of "
            f"as many. Received: grid_shape={grid} for {len(pictures)} frames."
        )
    enough_pixels(pictures.shape[1:3], grid[1:])
    return Side(strings(given.tokens, "tokens"), pictures, grid)


def checked_maps(scores, queries, keys):
    """From names to scores `(Q, K)` of these sides, or an error."""
    layers = scores if isinstance(scores, Mapping) else {"": scores}
    shape = queries.number, keys.number
    maps = {}
    for layer, found in layers.items():
        found = as_array(found).astype("float64")
        heads = found[None] if found.ndim == 2 else found
        if heads.ndim != 3 or heads.shape[1:] != shape or not len(heads):
            raise ValueError(
                "`scores` must be (Q, K) or (heads, Q, K), for "
                f"{shape[0]} queries and {shape[1]} keys. Received: shape "
                f"{found.shape}. Take one of a batch, cut the padding off, "
                "and name what comes before cells in `Cells(tokens=...)`."
            )
        at_least_zero(found, "scores")
        named = {f"head {i}": head for i, head in enumerate(heads)}
        named["mean of heads"] = heads.mean(0)
        if len(heads) == 1:
            named = {"": heads[0]}
        for name in sorted(named, key="mean of heads".__ne__):
            maps[", ".join(filter(None, [str(layer), name]))] = named[name]
    if not maps:
        raise ValueError(
            "`scores` must be of at least one layer. Received: scores={}."
        )
    return maps


def strings(values, name):
    """A list of strings, or an error."""
    listed = [] if isinstance(values, str) else list(values)
    if isinstance(values, str) or not all(isinstance(x, str) for x in listed):
        raise ValueError(
            f"`{name}` must be a list of strings. Received: {values!r}."
        )
    return listed


def all_finite(values, name):
    if not np.isfinite(values).all():
        raise ValueError(
            f"`{name}` must be finite. Received: NaN or infinity at index "
            f"{np.argwhere(~np.isfinite(values))[0].tolist()}."
        )


def at_least_zero(values, name):
    all_finite(values, name)
    if values.min() < 0:
        raise ValueError(
            f"`{name}` must be at least 0, as they are after the softmax. "
            f"Received: {values.min():.4g}."
        )


def enough_pixels(size, grid):
    if min(np.subtract(size, grid)) < 0:
        raise ValueError(
            "The image must have at least a pixel for each cell of the grid. "
            f"Received: {tuple(size)} pixels for {tuple(grid)} cells. Enlarge "
            "the image."
        )
