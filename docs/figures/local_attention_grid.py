"""The squares that queries read of a grid."""

import keras
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from keras_attention import layers

ROWS, COLUMNS, WINDOW = 10, 14, 2
# Rows and columns that queries ask for: within, between places, at edges.
CENTERS = np.array([[3, 4], [5, 8.5], [0.4, 11], [7.6, 11.5]])


def queries():
    """Queries of two features that ask for the centers above."""
    share = CENTERS / (ROWS, COLUMNS)
    return np.arctanh(np.log(share / (1 - share)) / 4)


def scores_of(query):
    layer = layers.LocalAttention(
        WINDOW, "predictive", grid_shape=(ROWS, COLUMNS)
    )
    # All places score alike.
    memory = np.zeros((1, ROWS * COLUMNS, 2), "float32")
    layer(query, memory)
    layer.position_dense.set_weights([np.eye(2)])
    layer.position_vector.assign(4 * np.eye(2))
    _, scores = layer(query, memory, return_attention_scores=True)
    return keras.ops.convert_to_numpy(scores).reshape(-1, ROWS, COLUMNS)


def draw():
    scores = scores_of(queries()[None].astype("float32"))
    figure = Figure(figsize=(8.4, 5.4), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for axes, read, (row, column) in zip(
        panels.flat, scores, CENTERS, strict=True
    ):
        image = axes.imshow(read, cmap="Blues", vmin=0, vmax=scores.max())
        axes.plot(column, row, "o", color="tab:orange", ms=4)
        corner = column - WINDOW, row - WINDOW
        axes.add_patch(
            Rectangle(
                corner, 2 * WINDOW, 2 * WINDOW, fill=False, ec="tab:orange"
            )
        )
        axes.set(
            title=f"p = ({row:g}, {column:g}): {(read > 0).sum()} places read",
            xlim=(-0.5, COLUMNS - 0.5),
            ylim=(ROWS - 0.5, -0.5),
        )
    for axes in panels[-1]:
        axes.set_xlabel("column")
    for axes in panels[:, 0]:
        axes.set_ylabel("row")
    figure.colorbar(image, ax=panels, label="score")
    return figure
