"""Which positions, of inputs and of a memory, move an output of the block."""

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from docs.figures._influence import influence
from keras_attention import layers

T, S, D, LENGTH = 10, 14, 16, 11


def draw():
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(1, T, D)).astype("float32")
    memory = rng.normal(size=(1, S, D)).astype("float32")
    block = layers.TransformerDecoderBlock(64, num_heads=2)

    def call(inputs, memory):
        batch = max(len(inputs), len(memory))
        return block(
            np.repeat(inputs, batch // len(inputs), axis=0),
            np.repeat(memory, batch // len(memory), axis=0),
            memory_mask=np.repeat(np.arange(S)[None] < LENGTH, batch, axis=0),
        )

    maps = {
        "inputs": influence(lambda x: call(x, memory), inputs),
        f"memory, padding from {LENGTH} on": influence(
            lambda x: call(inputs, x), memory
        ),
    }
    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, 2, width_ratios=(T, S))
    for axes, (title, values) in zip(panels, maps.items(), strict=True):
        image = axes.imshow(
            values, cmap="Blues", norm=PowerNorm(0.5, 0), aspect="auto"
        )
        axes.set(
            title=title,
            xlabel="position moved",
            ylabel="position of the output",
        )
        figure.colorbar(image, ax=axes, label="change of the output")
    return figure
