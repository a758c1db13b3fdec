"""Where MonotonicAttention reads: repeated letters, each written once."""

import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from keras_attention.layers import MonotonicAttention

SOURCE, TARGET = "ttoooddaayy", "today"
LETTERS = sorted(set(SOURCE))


def one_hot(text):
    letters = [[x == letter for letter in LETTERS] for x in text]
    return np.array([letters], "float32")


def draw():
    # Weights set by hand: energies are 2, and -2 where the letter is the one
    # that was written last, so that the reader looks for another one.
    layer = MonotonicAttention(len(LETTERS), score="general")
    query, value = one_hot(" " + TARGET[:-1]), one_hot(SOURCE)
    layer.build(query.shape, value.shape)
    layer.query_dense.kernel.assign(-np.eye(len(LETTERS)))
    layer.key_dense.kernel.assign(np.eye(len(LETTERS)))
    layer.score_scale.assign(4.0)
    layer.score_bias.assign(2.0)
    figure, axes = plt.subplots(
        1, 2, figsize=(8, 2.6), sharey=True, layout="constrained"
    )
    titles = {"parallel": "expectation", "hard": 'mode="hard"'}
    for axis, (mode, title) in zip(axes, titles.items(), strict=True):
        layer.mode = mode
        _, scores = layer(query, value, return_attention_scores=True)
        scores = ops.convert_to_numpy(scores)[0]
        image = axis.imshow(scores, cmap="Blues", vmin=0, vmax=1)
        axis.set_title(title)
        axis.set_xlabel("source")
        axis.set_xticks(range(len(SOURCE)), SOURCE)
        axis.set_yticks(range(len(TARGET)), TARGET)
    axes[0].set_ylabel("letter written")
    figure.colorbar(image, ax=axes, label="score")
    return figure
