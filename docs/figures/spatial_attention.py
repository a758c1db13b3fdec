"""Where spatial attention looks when it is asked for a colour."""

import keras
import numpy as np
from matplotlib.figure import Figure

import keras_attention

SIZE = 12  # of an image, in pixels
NAMES = ("red", "green", "blue")


def scenes(count, seed):
    """Images of one square of each colour, and where the squares are."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(0, 0.3, size=(count, SIZE, SIZE, 3))
    centres = np.zeros((count, 3, 2))
    for image, places in zip(images, centres, strict=True):
        for colour, cell in enumerate(rng.permutation(9)[:3]):
            y, x = 4 * np.array(divmod(int(cell), 3))
            image[y : y + 3, x : x + 3] = np.eye(3)[colour]
            places[colour] = y + 1, x + 1
    return images.astype("float32"), centres / SIZE


def trained():
    """Attention that learnt to tell where the square of a colour is."""
    keras.utils.set_random_seed(0)
    images = keras.Input((SIZE, SIZE, 3))
    colour = keras.Input((3,))
    layer = keras_attention.layers.SpatialAttention(units=16)
    _, scores = layer(images, colour, return_attention_scores=True)
    flat = keras.layers.Reshape((SIZE * SIZE,))(scores)
    places = np.indices((SIZE, SIZE)).reshape(2, -1).T / SIZE
    where = keras.layers.Dense(2, use_bias=False, trainable=False)
    model = keras.Model([images, colour], where(flat))
    where.set_weights([places])
    model.compile(keras.optimizers.Adam(0.02), "mse")
    seen, centres = scenes(1024, seed=1)
    asked = np.random.default_rng(2).integers(3, size=1024)
    target = centres[np.arange(1024), asked]
    model.fit([seen, np.eye(3)[asked]], target, 32, epochs=8, verbose=0)
    return layer


def draw():
    layer = trained()
    image = scenes(1, seed=9)[0]
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    axes = figure.subplots(1, 4)
    axes[0].imshow(image[0])
    axes[0].set_title("the image")
    for axis, name, query in zip(axes[1:], NAMES, np.eye(3), strict=True):
        _, scores = layer(image, query[None], return_attention_scores=True)
        scores = keras.ops.convert_to_numpy(scores)[0]
        shown = axis.imshow(scores, cmap="viridis", vmin=0, vmax=1 / 9)
        axis.set_title(f'asked for "{name}"')
    figure.colorbar(shown, ax=axes, label="score of a place")
    for axis in axes:
        axis.set_xlabel("column")
        axis.set_xticks(range(0, SIZE, 4))
        axis.set_yticks(range(0, SIZE, 4))
    axes[0].set_ylabel("row")
    return figure
