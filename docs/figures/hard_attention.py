"""What hard attention reads: one location a draw, or nearly one."""

import keras
import numpy as np
from keras import ops

from keras_attention import layers

DRAWS, POSITIONS = 12, 10


def weights_read(layer, query, value):
    """The weights of each draw: values that are one-hot show them."""
    output = layer(np.repeat(query, DRAWS, axis=1), value, training=True)
    return ops.convert_to_numpy(output)[0]


def draw():
    import matplotlib.pyplot as plt

    rng = np.random.default_rng(5)
    query = rng.normal(size=(1, 1, 8)).astype("float32")
    value = np.eye(POSITIONS, dtype="float32")[None]
    shown = {
        "reinforce, straight_through,\ngumbel_straight_through": {},
        "gumbel_softmax,\ntemperature 1": dict(estimator="gumbel_softmax"),
        "gumbel_softmax,\ntemperature 0.3": dict(
            estimator="gumbel_softmax", temperature=0.3
        ),
    }
    figure, axes = plt.subplots(
        1, 4, figsize=(9, 3.4), sharey=True, layout="constrained"
    )
    for axis, (title, options) in zip(axes[1:], shown.items(), strict=True):
        keras.utils.set_random_seed(2)
        layer = layers.HardAttention(16, seed=1, **options)
        layer(query, value)
        layer.score_vector.assign(5 * layer.score_vector)
        rows = weights_read(layer, query, value)
        axis.imshow(rows, cmap="Blues", vmin=0, vmax=1)
        axis.set_title(title, fontsize=9)
    _, scores = layer(query, value, return_attention_scores=True)
    scores = ops.convert_to_numpy(scores)[0]
    image = axes[0].imshow(
        np.repeat(scores, DRAWS, axis=0), cmap="Blues", vmin=0, vmax=1
    )
    axes[0].set_title("at inference:\nthe expectation", fontsize=9)
    axes[0].set_ylabel("draw")
    for axis in axes:
        axis.set_xlabel("location")
        axis.set_xticks(range(0, POSITIONS, 3))
    figure.colorbar(image, ax=axes, label="weight", shrink=0.8)
    return figure
