"""Which pixels of which frames each token of a video reads."""

import keras
import numpy as np
from matplotlib.figure import Figure

import keras_attention

FRAMES, HEIGHT, WIDTH = 4, 4, 6
TUBELET = (2, 2, 3)


def reader(layer):
    """The token that a pixel moves, -1 if none: `(frames, height, width)`."""
    size = FRAMES * HEIGHT * WIDTH
    pixels = np.eye(size).reshape(-1, FRAMES, HEIGHT, WIDTH, 1)
    tokens = keras.ops.convert_to_numpy(layer(pixels))  # (pixels, n, D)
    moved = np.abs(tokens).max(axis=-1) > 0
    token = np.where(moved.any(axis=1), moved.argmax(axis=1), -1)
    return token.reshape(FRAMES, HEIGHT, WIDTH)


def draw():
    keras.utils.set_random_seed(0)
    layer = keras_attention.layers.TubeletEmbedding(TUBELET, hidden_dim=8)
    rows = {"any kernel": reader(layer)}
    layer.inflate(np.random.default_rng(0).normal(size=(2, 3, 1, 8)))
    rows["central frame"] = reader(layer)
    figure = Figure(figsize=(9, 3.8), layout="compressed")
    axes = figure.subplots(2, FRAMES)
    for (name, tokens), line in zip(rows.items(), axes, strict=True):
        for t, axis in enumerate(line):
            seen = np.ma.masked_less(tokens[t], 0)
            axis.imshow(seen, cmap="tab10", vmin=0, vmax=9)
            for y, x in np.argwhere(tokens[t] >= 0):
                axis.text(x, y, tokens[t, y, x], ha="center", va="center")
            axis.set_xticks([]), axis.set_yticks([])
            axis.set_title(f"frame {t}", fontsize=9)
        line[0].set_ylabel(name)
    figure.suptitle("the token that reads a pixel; white: none does")
    return figure
