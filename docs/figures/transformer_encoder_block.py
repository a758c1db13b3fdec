"""Which positions move an output of the block, with and without padding."""

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from docs.figures._influence import influence
from keras_attention import layers

T, D, LENGTH = 12, 16, 8


def draw():
    x = np.random.default_rng(1).normal(size=(1, T, D))
    block = layers.TransformerEncoderBlock(64, num_heads=2)
    padding_mask = np.arange(T)[None] < LENGTH
    maps = {
        "all positions": influence(block, x),
        f"padding from position {LENGTH} on": influence(
            lambda x: block(x, np.repeat(padding_mask, len(x), axis=0)), x
        ),
    }
    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, (title, values) in zip(panels, maps.items(), strict=True):
        image = axes.imshow(values, cmap="Blues", norm=PowerNorm(0.5, 0))
        axes.set(
            title=title,
            xlabel="position moved",
            ylabel="position of the output",
        )
        figure.colorbar(image, ax=axes, label="change of the output")
    return figure
