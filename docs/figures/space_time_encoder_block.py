"""Which tokens of a clip move one of them, in each way to factorize."""

import keras
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from docs.figures._influence import influence
from keras_attention import layers

T, ROWS, COLUMNS, D = 4, 3, 4, 16
CROSS = 1, 6  # frame and place
WAYS = {
    "space, then time": dict(time_initializer=None),
    "half of the heads each": dict(factorization="dot_product"),
    "time begins at zero": {},
}


def reads(options):
    """How far the token moves with each: `(T, rows, columns)`."""
    keras.utils.set_random_seed(0)
    block = layers.SpaceTimeEncoderBlock(64, 2, **options)
    x = np.random.default_rng(1).normal(size=(1, T * ROWS * COLUMNS, D))

    def call(x):
        y = block(x.reshape(len(x), T, -1, D))
        return keras.ops.reshape(y, x.shape)

    frame, place = CROSS
    moved = influence(call, x)[frame * ROWS * COLUMNS + place]
    return moved.reshape(T, ROWS, COLUMNS)


def draw():
    maps = {name: reads(options) for name, options in WAYS.items()}
    figure = Figure(figsize=(9, 5.2), layout="constrained")
    axes = figure.subplots(len(WAYS), T)
    norm = PowerNorm(0.3, 0, max(map(np.max, maps.values())))
    for line, (name, values) in zip(axes, maps.items(), strict=True):
        for t, axis in enumerate(line):
            image = axis.imshow(values[t], cmap="Blues", norm=norm)
            axis.set(xticks=[], yticks=[])
            axis.set_title(f"frame {t}", fontsize=8)
            if t == CROSS[0]:
                row, column = divmod(CROSS[1], COLUMNS)
                axis.plot(column, row, "x", color="tab:orange")
        line[0].set_ylabel(name)
    figure.colorbar(image, ax=axes, label="change of the token at the cross")
    return figure
