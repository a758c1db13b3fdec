"""Which positions SlidingWindowAttention reads: two bands of scores."""

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from keras_attention.layers import SlidingWindowAttention

LENGTH, READABLE, WINDOW = 24, 19, 4


def draw():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(1, LENGTH, 16))
    mask = np.arange(LENGTH)[None] < READABLE
    figure, axes = plt.subplots(
        1, 2, figsize=(8, 3.8), sharey=True, layout="constrained"
    )
    for axis, causal in zip(axes, (False, True), strict=True):
        layer = SlidingWindowAttention(1, 16, WINDOW, causal)
        _, scores = layer(x, mask=mask, return_attention_scores=True)
        scores = ops.convert_to_numpy(scores)[0, 0]
        # What is outside of the band is white, however small a score in it.
        image = axis.imshow(
            np.where(scores > 0, scores, np.nan), cmap="viridis", vmin=0, vmax=1
        )
        axis.axvspan(READABLE - 0.5, LENGTH - 0.5, color="0.9")
        axis.axhspan(READABLE - 0.5, LENGTH - 0.5, color="0.9")
        axis.set_title(f"window={WINDOW}" + (", causal" if causal else ""))
        axis.set_xlabel("position read (gray: padding)")
    axes[0].set_ylabel("reading position")
    figure.colorbar(image, ax=axes, label="score")
    return figure
