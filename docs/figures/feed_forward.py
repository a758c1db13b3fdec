"""Which positions move an output: of a feed-forward, and of attention."""

import numpy as np
from matplotlib.figure import Figure

from docs.figures._influence import influence
from keras_attention import layers

T, D = 12, 16


def draw():
    x = np.random.default_rng(1).normal(size=(1, T, D))
    attention = layers.MultiHeadAttention(2, 8)
    maps = {
        "FeedForward": influence(layers.FeedForward(64), x),
        "beside it, MultiHeadAttention": influence(
            lambda x: attention(x, x), x
        ),
    }
    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, (title, values) in zip(panels, maps.items(), strict=True):
        image = axes.imshow(values, cmap="Blues", vmin=0)
        axes.set(
            title=title,
            xlabel="position moved",
            ylabel="position of the output",
        )
        figure.colorbar(image, ax=axes, label="change of the output")
    return figure
