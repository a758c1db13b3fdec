"""What a map becomes when its channels and then its places are weighed."""

import keras
import numpy as np
from matplotlib.figure import Figure

import keras_attention

CHANNELS, SIZE = 4, 8


def features():
    """A blob in each channel, at another place and of another strength."""
    y, x = np.indices((SIZE, SIZE))
    blobs = [(2, 2, 0.5), (2, 5, 1.0), (5, 2, 2.0), (5, 5, 3.0)]
    found = [
        s * np.exp(-((y - i) ** 2 + (x - j) ** 2) / 2) for i, j, s in blobs
    ]
    return np.stack(found, axis=-1)[None].astype("float32")


def draw():
    keras.utils.set_random_seed(2)
    wide = keras.initializers.RandomNormal(stddev=1.0)
    layer = keras_attention.layers.SpatialChannelAttention(
        units=16, kernel_initializer=wide, score_initializer=wide
    )
    before = features()
    query = np.random.default_rng(1).normal(size=(1, 8))
    after, scores = layer(before, query, return_attention_scores=True)
    after, channel, spatial = (
        keras.ops.convert_to_numpy(x)[0]
        for x in (after, scores["channel"], scores["spatial"])
    )
    figure = Figure(figsize=(9, 4), layout="compressed")
    axes = figure.subplots(2, CHANNELS + 1)
    for c in range(CHANNELS):
        top = axes[0, c].imshow(before[0, ..., c], cmap="gray", vmin=0, vmax=3)
        axes[0, c].set_title(f"channel {c}", fontsize=9)
        bottom = axes[1, c].imshow(
            after[..., c], cmap="gray", vmin=0, vmax=after.max()
        )
        axes[1, c].set_title(f"score {channel[c]:.2f}", fontsize=9)
    figure.colorbar(top, ax=axes[0, :CHANNELS])
    figure.colorbar(bottom, ax=axes[1, :CHANNELS])
    axes[0, CHANNELS].axis("off")
    shown = axes[1, CHANNELS].imshow(spatial, cmap="viridis", vmin=0)
    axes[1, CHANNELS].set_title("score of a place", fontsize=9)
    figure.colorbar(shown, ax=axes[1, CHANNELS])
    for axis in axes[:, :].flat:
        axis.set_xticks([]), axis.set_yticks([])
    axes[0, 0].set_ylabel("the map V")
    axes[1, 0].set_ylabel("weighed, X")
    return figure
