"""A query and a key that are alike, turned at every pair of positions."""

import keras
import numpy as np
from matplotlib.figure import Figure

from keras_attention import layers

T, H = 64, 32


def draw():
    rotary = layers.RotaryEmbedding()
    same = np.ones((1, T, H), "float32") / np.sqrt(H)
    turned = keras.ops.convert_to_numpy(rotary(same))[0]
    products = turned @ turned.T  # (T, T)
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    image = left.imshow(products, cmap="Blues")
    left.set(
        title="product of query and key",
        xlabel="position of the key",
        ylabel="position of the query",
    )
    figure.colorbar(image, ax=left)
    for position, style in ((0, "-"), (20, "--"), (40, ":")):
        distances = np.arange(T) - position
        right.plot(
            distances, products[position], style, lw=2, label=f"{position}"
        )
    right.set(
        title="the same, by distance",
        xlabel="position of the key - position of the query",
        ylabel="product",
    )
    right.legend(title="position of the query")
    return figure
