"""Which pixels each token of an image reads."""

import keras
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import keras_attention

HEIGHT, WIDTH, PATCH = 8, 12, 4


def reads(layer):
    """Whether a pixel moves a token, `(tokens, height, width)`."""
    pixels = np.eye(HEIGHT * WIDTH).reshape(-1, HEIGHT, WIDTH, 1)
    tokens = keras.ops.convert_to_numpy(layer(pixels))  # (pixels, n, D)
    moved = np.abs(tokens).max(axis=-1) > 0
    return moved.T.reshape(-1, HEIGHT, WIDTH)


def draw():
    keras.utils.set_random_seed(0)
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, overlap in zip(axes, (0, 1), strict=True):
        layer = keras_attention.layers.PatchEmbedding(
            PATCH, hidden_dim=8, overlap=overlap
        )
        read = reads(layer)
        shown = axis.imshow(read.sum(0), cmap="Blues", vmin=0, vmax=4)
        for i in range(len(read)):
            row, column = divmod(i, layer.grid_size(HEIGHT, WIDTH)[1])
            centre = PATCH * np.array([column, row]) + PATCH / 2 - 0.5
            axis.text(*centre, str(i), ha="center", va="center", weight="bold")
        for i, colour in ((0, "tab:orange"), (4, "tab:red")):
            first, last = np.argwhere(read[i])[[0, -1]] + [[-0.4], [0.4]]
            corner, size = first[::-1], (last - first)[::-1]
            axis.add_patch(
                Rectangle(corner, *size, fill=False, edgecolor=colour, lw=2)
            )
        axis.set_title(f"overlap={overlap}: pixels that tokens 0 and 4 read")
        axis.set_xlabel("column")
        axis.set_ylabel("row")
    figure.colorbar(
        shown, ax=axes, label="tokens that read a pixel", ticks=range(5)
    )
    return figure
