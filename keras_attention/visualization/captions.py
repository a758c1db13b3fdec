"""Pictures of what each word of a caption was read from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_attention.extras import require
from keras_attention.ops import checks
from keras_attention.visualization.caption_view import CaptionView, checked
from keras_attention.visualization.vision import TINY, saved, stretched

SMOOTHINGS = "gaussian", "bilinear", "nearest"
# Xu et al.'s code: 20 pixels, where each cell of 14 x 14 is enlarged to 16.
SIGMA = 20 / 16
REACH = 4  # standard deviations at which the Gaussian is cut off
OPACITY = 0.8  # of a map over the picture, in Xu et al.'s code
SAMPLE_COLOUR, BOX_COLOUR = "dodgerblue", "tab:orange"


def plot_caption(
    image,
    words: Sequence[str],
    scores,
    samples=None,
    gates=None,
    smoothing: str = "gaussian",
    boxes: Sequence[Sequence[float] | None] | None = None,
    grid_shape: tuple[int, int] | None = None,
    num_columns: int = 5,
    path: str | Path | None = None,
) -> Any:
    """Draws a picture, and once more for each word what it was read from.

    As in Xu et al., 2015, figures 2 and 3: white where much was read, dark
    elsewhere, the word above, its gate in parentheses. Each map is drawn from
    0 (black) to its own most (white); theirs begin at the map's least, which
    draws a map that is almost even as if it were sharp.

    Args:
        image: `(height, width, channels)` with one or three channels, of any
            range: it is stretched to its own.
        words: The T words, without padding.
        scores: `(T, rows, columns)`, how much was read of each cell as each
            word was chosen; or `(T, rows * columns)`.
        samples: `(T,)` ints, the cell that hard attention read, counted along
            the rows: it is framed, over the map it was drawn from. -1, and no
            frame, where the expectation was read instead.
        gates: `(T,)`, how much of what was read was let through, Xu et al.'s
            beta.
        smoothing: How a map is enlarged to the picture: "bilinear";
            "gaussian", which is bilinear and then blurred by 1.25 cells, as
            in Xu et al.'s code; or "nearest", which shows the cells.
        boxes: For each word None or the box of what it names, `(left, top,
            right, bottom)` in pixels, the last two exclusive: it is outlined.
        grid_shape: Rows and columns of scores `(T, rows * columns)`. None for
            as many rows as columns.
        num_columns: Pictures side by side.
        path: If given, where to save the picture.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: Scores, samples, gates or boxes are not as above or not as
            many as words, something is not finite, there are no words, the
            image has fewer pixels than the grid has cells, or `smoothing` or
            `num_columns` is unknown.

    Examples:
        >>> image = np.random.default_rng(0).uniform(size=(32, 32, 3))
        >>> scores = np.eye(16)[[5, 0]]  # of a grid of 4 x 4
        >>> figure = plot_caption(
        ...     image, ["a", "cat"], scores, gates=[0.25, 0.9]
        ... )
        >>> [axis.get_title() for axis in figure.axes]
        ['image', 'a (0.25)', 'cat (0.90)']

    Reference:
        [Xu et al., 2015](https://arxiv.org/abs/1502.03044), figures 2 and 3
    """
    checks.one_of(smoothing, "smoothing", SMOOTHINGS)
    num_columns = checks.positive_int(num_columns, "num_columns")
    view = checked(
        CaptionView(image, words, scores, samples, gates, grid_shape=grid_shape)
    )
    boxes = _checked_boxes(boxes, view)
    picture = stretched(view.image)
    height, width = picture.shape[:2]
    figure, axes = _panels(1 + len(words), num_columns, height / width)
    for axis, title in zip(axes, ["image", *_titles(view)], strict=True):
        axis.imshow(picture)
        axis.set_axis_off()
        axis.set_title(title, fontsize=10, parse_math=False)
    for axis, found in zip(
        axes[1:], enlarged(view.scores, (height, width), smoothing), strict=True
    ):
        most = max(found.max(), TINY)
        axis.imshow(found, cmap="gray", alpha=OPACITY, vmin=0, vmax=most)
    frames = [
        _framed(axes[1:], _sampled(view), SAMPLE_COLOUR, "-", "cell read"),
        _framed(axes[1:], boxes, BOX_COLOUR, "--", "what the word names"),
    ]
    frames = [frame for frame in frames if frame is not None]
    if frames:
        figure.legend(handles=frames, loc="outside lower center", ncols=2)
    return saved(figure, path)


def _panels(number, num_columns, aspect):
    """A figure, and its axes, for pictures of `aspect`, height by width."""
    figures = require("matplotlib.figure", extra="applications")
    columns = min(number, num_columns)
    rows = -(-number // columns)
    figure = figures.Figure(
        figsize=(1.8 * columns, (1.8 * aspect + 0.3) * rows + 0.3),
        layout="constrained",
    )
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[number:]:
        axis.remove()
    return figure, axes[:number]


def _titles(view):
    """Each word, and its gate in parentheses as in Xu et al.'s figures."""
    if view.gates is None:
        return list(view.words)
    return [
        f"{word} ({gate:.2f})"
        for word, gate in zip(view.words, view.gates, strict=True)
    ]


def _sampled(view):
    """The edges of the cell that each word read, or None."""
    if view.samples is None:
        return [None] * len(view.words)
    size, grid = view.image.shape[:2], view.scores.shape[1:]
    return [
        None if cell < 0 else cell_edges(cell, grid, size)
        for cell in view.samples
    ]


def cell_edges(cell, grid, size):
    """Left, top, right and bottom of a cell of a grid over a picture.

    Args:
        cell: Its index, along the rows.
        grid: Rows and columns.
        size: Height and width of the picture.
    """
    row, column = divmod(int(cell), grid[1])
    height, width = size[0] / grid[0], size[1] / grid[1]
    return (
        column * width,
        row * height,
        (column + 1) * width,
        (row + 1) * height,
    )


def _framed(axes, edges, colour, style, label):
    """Draws a frame where there are edges; returns one, or None."""
    patches = require("matplotlib.patches", extra="applications")
    frame = None
    for axis, found in zip(axes, edges, strict=True):
        if found is None:
            continue
        left, top, right, bottom = found
        frame = patches.Rectangle(
            (left - 0.5, top - 0.5),  # pixels are drawn around whole numbers
            right - left,
            bottom - top,
            fill=False,
            edgecolor=colour,
            linestyle=style,
            linewidth=2,
            label=label,
            clip_on=False,  # or half of a line at the edge would be missing
        )
        axis.add_patch(frame)
    return frame


def enlarged(maps, size, smoothing):
    """Maps `(T, rows, columns)` over a picture: `(T, height, width)`.

    The mean of a map stays, where a cell is a whole number of pixels.
    """
    down, across = (
        enlarging(cells, pixels, smoothing)
        for cells, pixels in zip(maps.shape[1:], size, strict=True)
    )
    return down @ maps @ across.T


def enlarging(cells, pixels, smoothing):
    """How much each pixel of a line takes of each cell: `(pixels, cells)`.

    "gaussian" is what Xu et al.'s code draws, skimage's `pyramid_expand`, but
    for the pixels outside the outermost centres of cells: theirs are mirrored
    around these centres, by which a map loses some of what is read there.
    """
    centres = (np.arange(pixels) + 0.5) * cells / pixels  # in cells
    if smoothing == "nearest":
        return np.eye(cells)[centres.astype(int)]
    centres = np.clip(centres - 0.5, 0, cells - 1)
    shares = np.maximum(1 - abs(centres[:, None] - np.arange(cells)), 0)
    if smoothing == "bilinear":
        return shares
    sigma = SIGMA * pixels / cells
    reach = round(REACH * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    # Mirrored at the edges, so that nothing of a map is lost there.
    padded = np.pad(shares, ((reach, reach), (0, 0)), mode="symmetric")
    kernel = kernel / kernel.sum()
    lines = [np.convolve(line, kernel, mode="valid") for line in padded.T]
    return np.stack(lines, axis=1)


def _checked_boxes(boxes, view):
    """For each word None or four edges inside the picture, or an error."""
    boxes = [None] * len(view.words) if boxes is None else list(boxes)
    if len(boxes) != len(view.words):
        raise ValueError(
            "There must be a box, or None, for each of "
            f"{len(view.words)} words. Received: {len(boxes)} boxes."
        )
    height, width = view.image.shape[:2]
    for box in boxes:
        if box is None:
            continue
        edges = np.ravel(box)
        inside = len(edges) == 4 and (
            0 <= edges[0] < edges[2] <= width
            and 0 <= edges[1] < edges[3] <= height
        )
        if not inside:
            raise ValueError(
                "A box must be (left, top, right, bottom), in pixels inside "
                f"the image of {width} by {height}, left before right and top "
                f"before bottom. Received: {box}."
            )
    return boxes
