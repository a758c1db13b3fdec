"""A window that moves by one, and one that goes where it predicts."""

import keras
import numpy as np
from matplotlib.figure import Figure

from keras_attention import layers

T, S, WINDOW = 16, 40, 4


def path():
    """Positions that a query may ask for: forth, back, and forth again."""
    return S * (0.5 + 0.38 * np.sin(np.linspace(-1.4, 4.2, T)))


def queries():
    """Queries of one feature that ask "predictive" for the path above."""
    share = path() / S
    return np.arctanh(np.log(share / (1 - share)) / 4)


def scores_of(alignment, query, memory):
    layer = layers.LocalAttention(WINDOW, alignment)
    layer(query, memory)
    if alignment == "predictive":
        layer.position_dense.set_weights([np.ones((1, 1))])
        layer.position_vector.assign([4.0])
    _, scores = layer(query, memory, return_attention_scores=True)
    return keras.ops.convert_to_numpy(scores)[0]


def draw():
    query = queries()[None, :, None].astype("float32")
    memory = np.zeros((1, S, 1), "float32")  # all positions score alike
    figure = Figure(figsize=(7, 6), layout="constrained")
    panels = figure.subplots(2, 1)
    centers = {"monotonic": np.arange(T), "predictive": path()}
    for axes, (alignment, center) in zip(panels, centers.items(), strict=True):
        scores = scores_of(alignment, query, memory)
        image = axes.imshow(scores, cmap="Blues", aspect="auto", vmin=0)
        axes.plot(center, np.arange(T), "o-", color="tab:orange", ms=3, lw=1)
        axes.set(
            title=f'alignment="{alignment}": p_t (orange) and its window',
            xlabel="memory position s",
            ylabel="query t",
        )
        figure.colorbar(image, ax=axes, label="score")
    return figure
