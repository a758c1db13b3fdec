"""Which channels attention weighs, by their means."""

import keras
import numpy as np
from matplotlib.figure import Figure

import keras_attention

CHANNELS, SIZE = 6, 8


def maps(count, seed):
    """Feature maps: noise, and a blob of another strength in each channel."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((SIZE, SIZE))
    centre = rng.uniform(1, SIZE - 2, size=(2, count, CHANNELS, 1, 1))
    blob = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / 3)
    blob = blob * rng.uniform(0, 3, size=(count, CHANNELS, 1, 1))
    blob = blob + rng.uniform(0, 0.2, size=blob.shape)
    return blob.transpose(0, 2, 3, 1).astype("float32")


def trained():
    """Attention that learnt to find the strongest or the weakest channel."""
    keras.utils.set_random_seed(0)
    features = keras.Input((SIZE, SIZE, CHANNELS))
    query = keras.Input((2,))
    layer = keras_attention.layers.ChannelAttention(units=8)
    _, scores = layer(features, query, return_attention_scores=True)
    model = keras.Model([features, query], scores)
    model.compile(
        keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy"
    )
    seen = maps(1024, seed=1)
    asked = np.random.default_rng(2).integers(2, size=1024)
    means = seen.mean(axis=(1, 2))
    target = np.where(asked == 0, means.argmax(1), means.argmin(1))
    model.fit([seen, np.eye(2)[asked]], target, 32, epochs=8, verbose=0)
    return layer


def draw():
    layer = trained()
    features = maps(1, seed=7)
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    grid = figure.add_gridspec(2, CHANNELS, height_ratios=(1, 1.3))
    for c in range(CHANNELS):
        axis = figure.add_subplot(grid[0, c])
        axis.imshow(features[0, ..., c], cmap="gray", vmin=0, vmax=3)
        axis.set_title(f"mean {features[0, ..., c].mean():.2f}", fontsize=9)
        axis.set_xticks([]), axis.set_yticks([])
    axis = figure.add_subplot(grid[1, :])
    for i, name in enumerate(("strongest", "weakest")):
        query = np.eye(2)[None, i]
        _, scores = layer(features, query, return_attention_scores=True)
        scores = keras.ops.convert_to_numpy(scores)[0]
        places = np.arange(CHANNELS) + 0.4 * i - 0.2
        axis.bar(places, scores, width=0.4, label=f'asked for "{name}"')
    axis.set_xlabel("channel")
    axis.set_ylabel("score")
    axis.legend()
    return figure
