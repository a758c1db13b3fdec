"""A probe that has learned to find a marked patch and tell its colour."""

import keras
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from keras_attention import layers

SIDE, COLOURS, D, BATCH, STEPS = 7, 4, 16, 64, 300


def examples(number, seed):
    """Grids of coloured patches, one of them marked, and its colour."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(COLOURS, size=(number, SIDE**2))
    marked = rng.integers(SIDE**2, size=number)
    marks = np.eye(SIDE**2)[marked]
    tokens = np.concatenate([np.eye(COLOURS)[colours], marks[..., None]], -1)
    return tokens.astype("float32"), colours, marked


def draw():
    inputs = keras.Input((SIDE**2, COLOURS + 1))
    pooling = layers.AttentionPooling(1, 32)
    embedded = keras.layers.Dense(D)(inputs)
    outputs = keras.layers.Dense(COLOURS)(pooling(embedded))
    model = keras.Model(inputs, outputs)
    model.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    x, colours, marked = examples(BATCH * STEPS, seed=0)
    labels = colours[np.arange(len(x)), marked]
    model.fit(x, labels, batch_size=BATCH, epochs=1, verbose=0)
    x, colours, marked = examples(2, seed=1)
    read = keras.Model(inputs, embedded)
    _, scores = pooling(read(x), return_attention_scores=True)
    scores = keras.ops.convert_to_numpy(scores)[:, 0]
    figure = Figure(figsize=(7.2, 6.6), layout="constrained")
    axes = figure.subplots(2, 2)
    for column in range(2):
        top, bottom = axes[:, column]
        top.imshow(
            colours[column].reshape(SIDE, SIDE), cmap="Set2", vmin=0, vmax=7
        )
        row, place = divmod(marked[column], SIDE)
        top.add_patch(
            Rectangle((place - 0.5, row - 0.5), 1, 1, fill=False, lw=3)
        )
        top.set_title("patches, the marked one framed")
        shown = bottom.imshow(
            scores[column].reshape(SIDE, SIDE), cmap="Blues", vmin=0, vmax=1
        )
        bottom.set_title("what the probe reads")
        for axis in (top, bottom):
            axis.set(xlabel="column", ylabel="row")
    figure.colorbar(shown, ax=axes[1], label="score")
    return figure
