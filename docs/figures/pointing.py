"""Which cells of a grid count for a box, and where a word looked."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from keras_attention import metrics

GRID, IMAGE = (5, 7), (100, 140)
BOX = (45, 30, 76, 55)  # left, top, right, bottom


def attention(row, column):
    """A map that is highest at one cell."""
    rows, columns = np.indices(GRID)
    distance = (rows - row) ** 2 + (columns - column) ** 2
    weights = np.exp(-distance / 2)
    return weights / weights.sum()


def counted(tolerance):
    """Which cells count: those that a word with one-hot attention hits."""
    hits = [
        metrics.pointing(
            [one_hot.reshape(1, *GRID)], [[BOX]], GRID, IMAGE, tolerance
        ).accuracy
        for one_hot in np.eye(GRID[0] * GRID[1])
    ]
    return np.reshape(hits, GRID)


def outline(axis, left, top, width, height, **style):
    axis.add_patch(Rectangle((left, top), width, height, fill=False, **style))


def show(axis, place, tolerance):
    """One map, the cells that count, the box and the most attended cell."""
    maps = attention(*place)
    height, width = (pixels / n for pixels, n in zip(IMAGE, GRID, strict=True))
    extent = (0, IMAGE[1], IMAGE[0], 0)
    image = axis.imshow(maps, cmap="Blues", vmin=0, vmax=0.16, extent=extent)
    label = "cells that count"
    for y, x in np.argwhere(counted(tolerance)):
        style = dict(hatch="//", edgecolor="tab:orange", label=label)
        outline(axis, x * width, y * height, width, height, **style)
        label = None  # once in the legend
    left, top, right, bottom = BOX
    style = dict(linestyle="--", linewidth=2, label="box")
    outline(axis, left, top, right - left, bottom - top, **style)
    row, column = place
    centre = (column + 0.5) * width, (row + 0.5) * height
    axis.plot(*centre, "ko", mec="white", label="most attended cell")
    score = metrics.pointing([maps[None]], [[BOX]], GRID, IMAGE, tolerance)
    axis.set_title(
        f"tolerance {tolerance}: {'hit' if score.accuracy else 'miss'}\n"
        f"mass {score.mass:.2f}, chance {score.chance:.2f}",
        fontsize=9,
    )
    axis.set(xlabel="pixels", xticks=range(0, 141, 40))
    axis.set(yticks=range(0, 101, 20))
    return image


def draw():
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    show(axes[0], (2, 3), tolerance=0)
    show(axes[1], (2, 4), tolerance=0)
    image = show(axes[2], (2, 4), tolerance=1)
    axes[0].set_ylabel("pixels")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=3, fontsize=9
    )
    figure.colorbar(image, ax=axes, label="score", shrink=0.8)
    return figure
