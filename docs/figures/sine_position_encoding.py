"""The waves themselves, and how alike they make two positions."""

import keras
import numpy as np
from matplotlib.figure import Figure

from keras_attention import layers

T, D = 80, 64


def draw():
    layer = layers.SinePositionEncoding()
    encoding = keras.ops.convert_to_numpy(layer(np.zeros((1, T, D))))[0]
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    image = left.imshow(encoding, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    left.set(title="encoding", xlabel="feature", ylabel="position t")
    figure.colorbar(image, ax=left)
    image = right.imshow(encoding @ encoding.T / (D / 2), cmap="Blues")
    right.set(
        title="product of two positions' encodings, over D / 2",
        xlabel="position",
        ylabel="position",
    )
    figure.colorbar(image, ax=right)
    return figure
