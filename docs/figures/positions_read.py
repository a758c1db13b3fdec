"""Which positions each attention reads, as its scores say."""

import keras
import numpy as np
from matplotlib.figure import Figure

from docs.figures._influence import influence
from keras_attention import layers

T, D, CHANNELS = 16, 16, 12
TICKS = [0, 5, 10, 15]
GRID = 4, 4  # the same sixteen positions as a grid, or as frames of places
STATES = np.random.default_rng(3).normal(size=(1, T, D)).astype("float32") / 2
MAPS = STATES.reshape(1, *GRID, D)[..., :CHANNELS]


def scores(layer, *inputs, **options):
    """The scores of the first example, of its first head."""
    found = layer(*inputs, return_attention_scores=True, **options)[-1]
    found = keras.ops.convert_to_numpy(found)[0]
    return found[0] if found.ndim == 3 else found


def predictive(grid_shape=None):
    """A LocalAttention that goes where it likes, over states."""
    layer = layers.LocalAttention(
        1 if grid_shape else 2, "predictive", grid_shape=grid_shape
    )
    layer(STATES, STATES)
    layer.position_vector.assign(3 * layer.position_vector)  # well spread
    return scores(layer, STATES, STATES)


def hard():
    """One place for each query, as drawn in training."""
    layer = layers.HardAttention(D, seed=1)
    places = np.eye(T, dtype="float32")[None]
    drawn = layer(STATES, places, training=True)
    return keras.ops.convert_to_numpy(drawn)[0]


def monotonic():
    """A reader that stops at about every other position."""
    layer = layers.MonotonicAttention(D, mode="hard", initial_score_bias=0.0)
    drift = np.linspace(-2, 2, T)[None, :, None] * np.ones(D)
    queries, keys = STATES + drift, STATES - drift
    layer(queries, keys)
    layer.query_dense.kernel.assign(np.eye(D))
    layer.key_dense.kernel.assign(np.eye(D))
    layer.score_vector.assign(-np.ones(D) / D)
    return scores(layer, queries, keys)


def multi_head(**options):
    layer = layers.MultiHeadAttention(1, D)
    return scores(layer, STATES, STATES, **options)


def space_time():
    """Which token moves which, in one block: four frames of four places."""
    block = layers.SpaceTimeEncoderBlock(2 * D, 2, factorization="dot_product")
    frames = STATES.astype("float64")

    def call(x):
        return keras.ops.reshape(block(x.reshape(len(x), *GRID, D)), x.shape)

    return influence(call, frames)


def of_maps(layer):
    """Scores of places by channels."""
    found = np.ravel(scores(layer, 4 * MAPS, STATES[:, 0]))
    if len(found) == T:
        return np.repeat(found[:, None], CHANNELS, axis=1)
    return np.repeat(found[None], T, axis=0)


PANELS = {
    "AdditiveAttention, LuongAttention,\nCoverageAttention, …: all": (
        lambda: scores(layers.AdditiveAttention(D), STATES, STATES)
    ),
    "MultiHeadAttention,\nuse_causal_mask: all before it": (
        lambda: multi_head(use_causal_mask=True)
    ),
    "SlidingWindowAttention:\nneighbors": (
        lambda: scores(layers.SlidingWindowAttention(1, D, 2), STATES)
    ),
    "LocalAttention, monotonic:\na window that moves along": (
        lambda: scores(layers.LocalAttention(2, "monotonic"), STATES, STATES)
    ),
    "LocalAttention, predictive:\na window where it predicts": predictive,
    "LocalAttention, grid_shape=(4, 4):\na square, on a grid of 4 x 4": (
        lambda: predictive(GRID)
    ),
    "HardAttention, training:\none, drawn": hard,
    "MonotonicAttention, hard:\none, never further back": monotonic,
    "SpaceTimeEncoderBlock: its frame,\nand its place in other frames": (
        space_time
    ),
    "SpatialAttention:\na weight for each place": (
        lambda: of_maps(layers.SpatialAttention(D))
    ),
    "ChannelAttention:\na weight for each channel": (
        lambda: of_maps(layers.ChannelAttention(D))
    ),
}


def draw():
    figure = Figure(figsize=(9.6, 8.4), layout="constrained")
    axes = figure.subplots(3, 4).ravel()
    for axis, (title, read) in zip(axes, PANELS.items(), strict=False):
        keras.utils.set_random_seed(4)
        values = read()
        # What is not read at all is white, however little the rest is.
        values = np.where(values > 1e-6, values / values.max(), np.nan)
        axis.imshow(values**0.5, cmap="viridis_r", vmin=-0.3, vmax=1)
        axis.set_title(title, fontsize=8.5)
        of_channels = "each place" in title or "each channel" in title
        axis.set_xlabel("channel" if of_channels else "position read")
        axis.set_ylabel("place" if of_channels else "query")
        axis.set(xticks=[0, 5, 10] if of_channels else TICKS, yticks=TICKS)
    for axis in axes[len(PANELS) :]:
        axis.axis("off")
    return figure
