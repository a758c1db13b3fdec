"""What a relative bias learns of a task that is about positions alone."""

import keras
import numpy as np
from matplotlib.figure import Figure

from keras_attention import layers

T = 12


def trained():
    """Attention that learned to return what stood 3 positions before."""
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(256, T, 4)).astype("float32")
    y = np.roll(x, 3, axis=1)
    layer = layers.MultiHeadAttention(
        1, 8, position_bias=layers.RelativePositionBias(1, 16, 10)
    )
    inputs = keras.Input((T, 4))
    model = keras.Model(inputs, layer(inputs, inputs))
    # The first three have no such position: what they return does not count.
    weights = np.ones((256, T))
    weights[:, :3] = 0
    model.compile(keras.optimizers.Adam(0.1), "mse")
    model.fit(x, y, sample_weight=weights, epochs=40, batch_size=256, verbose=0)
    return layer, x


def draw():
    layer, x = trained()
    _, scores = layer(x[:1], x[:1], return_attention_scores=True)
    offsets = np.arange(1 - T, T)
    bias = layer.position_bias.table(1 - T, 2 * T - 1)
    figure = Figure(figsize=(9.5, 3.8), layout="constrained")
    learned, read = figure.subplots(1, 2)
    learned.step(offsets, keras.ops.convert_to_numpy(bias)[0], where="mid")
    learned.axvline(-3, color="gray", linewidth=0.8, linestyle="--")
    learned.set(
        title="What was learned for each offset",
        xlabel="position read minus position of the query",
        ylabel="bias",
    )
    image = read.imshow(
        keras.ops.convert_to_numpy(scores)[0, 0], cmap="Blues", vmin=0, vmax=1
    )
    read.set(
        title="What each position reads",
        xlabel="position read",
        ylabel="position of the query",
    )
    figure.colorbar(image, ax=read, label="score", shrink=0.8)
    return figure
