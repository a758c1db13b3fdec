"""Whether a captioner looks at what it names."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_attention.ops import checks


@dataclass(frozen=True)
class PointingScore:
    """How much words look at the boxes of what they name.

    Args:
        accuracy: Share of words whose most attended cell overlaps the box.
        mass: Mean over words of the attention on cells that overlap the box.
        chance: Mean over words of the share of cells that overlap the box:
            what uniform attention has for `mass` and random attention for
            both.
        num_words: How many words there are.
    """

    accuracy: float
    mass: float
    chance: float
    num_words: int


def pointing(
    scores: Sequence[np.ndarray],
    word_boxes: Sequence[Sequence[Sequence[float] | None]],
    grid_shape: tuple[int, int],
    image_shape: tuple[int, int],
    tolerance: int = 0,
) -> PointingScore:
    """Compares where a captioner looked with where things are.

    A word with a box is a hit if the cell with the highest score overlaps the
    box; where cells tie, it is the share of them that do. Words without a
    box, such as "a" and "of", do not count. The grid is taken to divide the
    image evenly, row by row.

    Args:
        scores: Attention scores of each caption, after the softmax, or
            one-hot samples: `(T, S)`, or `(T, h, w)` with `h * w = S` cells.
            A row for `[end]` may follow the words; it is not read.
        word_boxes: For each caption, one entry per word: None, or the box
            (left, top, right, bottom) in pixels of what it names.
        grid_shape: Rows and columns `(h, w)` of the grid.
        image_shape: Height and width of the images, in pixels.
        tolerance: Cells by which a box grows to each side, diagonals
            included. With a wide receptive field, neighbouring cells carry
            the same information.

    Returns:
        The shares.

    Raises:
        ValueError: If the arguments differ in length, no word has a box, a
            box is empty or outside of its image, the grid is not that of the
            scores, or scores are not shares that sum to 1.

    Examples:
        >>> scores = np.array([[[.6, .4], [0, 0]], [[.1, .1], [.1, .7]]])
        >>> boxes = [(0, 0, 10, 20), None]  # the left half, and "the"
        >>> pointing([scores], [boxes], (2, 2), (20, 20))
        PointingScore(accuracy=1.0, mass=0.6, chance=0.5, num_words=1)

    Reference:
        [Zhang et al., 2016](https://arxiv.org/abs/1608.00507), the pointing
        game; [Liu et al., 2017](https://arxiv.org/abs/1605.09553), attention
        correctness, which is `mass`
    """
    grid = checks.sizes(grid_shape, "grid_shape", ("rows", "columns"))
    image = checks.sizes(image_shape, "image_shape", ("height", "width"))
    tolerance = checks.non_negative_int(tolerance, "tolerance")
    if len(scores) != len(word_boxes):
        raise ValueError(
            "There must be scores and boxes for each caption. Received: "
            f"{len(scores)} scores, {len(word_boxes)} lists of boxes."
        )
    words = []  # (hit, mass, share of cells) of each word with a box
    for i, (maps, boxes) in enumerate(zip(scores, word_boxes, strict=True)):
        maps = _check_maps(i, np.asarray(maps), len(boxes), grid)
        for t, box in enumerate(boxes):
            if box is not None:
                where = f"word {t} of caption {i}"
                _check_box(box, image, where)
                _check_shares(maps[t], where)
                inside = _cells(box, grid, image, tolerance)
                most = maps[t] == maps[t].max()
                words.append(
                    (inside[most].mean(), maps[t][inside].sum(), inside.mean())
                )
    if not words:
        raise ValueError(
            "There must be a box for at least one word. Received: "
            f"{len(word_boxes)} captions without boxes."
        )
    accuracy, mass, chance = np.mean(words, axis=0)
    return PointingScore(
        float(accuracy), float(mass), float(chance), len(words)
    )


def _cells(box, grid_shape, image_shape, tolerance):
    """Which cells of the grid overlap the box, `(h, w)`."""
    left, top, right, bottom = box
    covered = []
    for low, high, cells, pixels in zip(
        (top, left), (bottom, right), grid_shape, image_shape, strict=True
    ):
        edges = np.arange(cells + 1) * pixels / cells
        overlaps = np.flatnonzero((edges[:-1] < high) & (edges[1:] > low))
        index = np.arange(cells)
        covered.append(
            (index >= overlaps[0] - tolerance)
            & (index <= overlaps[-1] + tolerance)
        )
    return np.logical_and.outer(*covered)


def _check_maps(i, maps, num_words, grid_shape):
    """The maps as `(T, h, w)`."""
    height, width = grid_shape
    if maps.shape[1:] not in ((height * width,), grid_shape):
        raise ValueError(
            "Scores must be of shape (T, S) or (T, h, w), with the rows and "
            f"columns of the grid. Received: shape {maps.shape} for caption "
            f"{i}, grid_shape={grid_shape}. Average over heads first."
        )
    if num_words not in (len(maps), len(maps) - 1):
        raise ValueError(
            "There must be a box or None for each word that has scores, where "
            "a last row may be that of `[end]`. Received: "
            f"{len(maps)} rows of scores and {num_words} boxes for caption "
            f"{i}. Cut padding off: `scores[:number_of_words]`."
        )
    return maps.astype("float64").reshape(-1, height, width)


def _check_box(box, image_shape, where):
    height, width = image_shape
    left, top, right, bottom = box if len(box) == 4 else [np.nan] * 4
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError(
            "A box must be (left, top, right, bottom) in pixels inside the "
            f"image, with an area. Received: {tuple(box)} for {where}, in an "
            f"image of height {height} and width {width}. Clip it, or pass "
            "None for what is not in the image."
        )


def _check_shares(scores, where):
    # Of 16-bit scores the sum is off by up to half a percent.
    if not (scores.min() >= 0 and abs(scores.sum() - 1) < 0.01):
        raise ValueError(
            "Scores must be shares of the attention that sum to 1. Received: "
            f"numbers from {scores.min():.3g} to {scores.max():.3g} with the "
            f"sum {scores.sum():.3g} for {where}. Pass what comes after the "
            "softmax."
        )
