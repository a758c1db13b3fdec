"""How far patches move a class token, and the class token moves patches."""

import keras
import numpy as np
from matplotlib.figure import Figure

from docs.figures._influence import influence
from keras_attention import layers

T, D = 6, 16


def draw():
    keras.utils.set_random_seed(2)
    tokens = layers.PrefixTokens(1, initializer="random_normal")
    block = layers.TransformerEncoderBlock(
        32, num_heads=4, normalize_first=True
    )
    x = np.random.default_rng(0).normal(size=(1, T, D))

    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots(1, 2)
    names = ["token", *[f"patch {i}" for i in range(T)]]
    for axis, call in zip(
        axes, (tokens, lambda x: block(tokens(x))), strict=True
    ):
        moved = influence(call, x)
        shown = axis.imshow(moved, cmap="Blues", vmin=0)
        axis.set_title(
            "before the first block" if call is tokens else "behind one block"
        )
        axis.set_yticks(range(T + 1), names)
        axis.set_xticks(range(T), names[1:], rotation=45)
        axis.set(xlabel="input that moves", ylabel="position of the output")
        figure.colorbar(shown, ax=axis, label="how far the output moves")
    return figure
