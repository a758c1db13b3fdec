"""How far back each head of ALiBi looks, all words being alike."""

import keras
import numpy as np
from matplotlib.figure import Figure

from keras_attention import layers

HEADS, T = 8, 24
SHOWN = (0, 2, 4)  # slopes 1/2, 1/8, 1/32


def draw():
    x = np.zeros((1, T, 4), "float32")  # what is there tells nothing
    layer = layers.MultiHeadAttention(
        HEADS, 4, position_bias=layers.AlibiBias(HEADS)
    )
    _, scores = layer(x, x, return_attention_scores=True)
    scores = keras.ops.convert_to_numpy(scores)[0]  # (N, T, S)
    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    panels = figure.subplots(1, len(SHOWN))
    for axes, head in zip(panels, SHOWN, strict=True):
        image = axes.imshow(scores[head], cmap="Blues", vmin=0, vmax=0.3)
        title = f"head {head + 1}, slope 1/{2 ** (head + 1)}"
        axes.set(title=title, xlabel="position read")
    panels[0].set_ylabel("position of the query")
    figure.colorbar(image, ax=panels, label="score", shrink=0.8)
    return figure
