"""Positions of a grid at their own size and at another, under each rule."""

import keras
import numpy as np
from matplotlib.figure import Figure

from keras_attention import layers
from keras_attention.ops.resampling import INTERPOLATIONS, resample_grid

GRID, LARGER, D = (7, 7), (14, 20), 32


def table():
    """Vectors whose products tell how near two positions of a grid are."""
    places = np.stack(np.indices(GRID), -1).reshape(-1, 2)
    apart = ((places[:, None] - places[None]) ** 2).sum(-1)
    values, vectors = np.linalg.eigh(np.exp(-apart / 8))  # (N,), (N, N)
    return (vectors * np.sqrt(values.clip(0)))[:, -D:]


def similarities(positions, sizes, place):
    """Cosine similarity of one position's vector with all others."""
    vectors = positions(np.zeros((1, *sizes, D)))[0]
    vectors = keras.ops.convert_to_numpy(vectors)
    vectors = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors @ vectors[place]


def draw_rules(axes):
    entries = np.array([0.0, 1.0, -0.5, 0.2, 0.8])[:, None]
    centers = (np.arange(5) + 0.5) / 5
    axes.plot(centers, entries, "ko", label="learned, 5 entries")
    for rule in INTERPOLATIONS:
        more = resample_grid(entries, (24,), rule)[:, 0]
        axes.plot((np.arange(24) + 0.5) / 24, more, ".-", label=rule)
    axes.set(
        xlabel="place on the axis",
        ylabel="one feature",
        title="24 entries of 5, by each rule",
    )
    axes.legend(fontsize=8, loc="lower left")


def draw():
    positions = layers.PositionEmbedding(
        grid_shape=GRID, interpolation="bicubic_antialias"
    )
    positions.build((1, *GRID, D))
    positions.set_weights([table()])
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    panels = figure.subplots(1, 3, width_ratios=(1, 1.43, 1.6))
    for axes, sizes, place, title in (
        (panels[0], GRID, (1, 2), "its own grid, 7 x 7"),
        (panels[1], LARGER, (3, 7), "the same weights on 14 x 20"),
    ):
        image = axes.imshow(
            similarities(positions, sizes, place),
            cmap="Blues",
            vmin=0,
            vmax=1,
            aspect="auto",
        )
        axes.plot(*place[::-1], "+", color="tab:orange", ms=10, mew=2)
        axes.set(title=title, xlabel="column", ylabel="row")
    figure.colorbar(image, ax=panels[1], label="similarity to +")
    draw_rules(panels[2])
    return figure
