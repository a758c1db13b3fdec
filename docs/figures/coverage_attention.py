"""What CoverageAttention reads where every step asks the same."""

import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from keras_attention.layers import CoverageAttention

STEPS = 5
APPEAL = [0.2, 1.0, 0.0, 0.6, 0.4]  # of each position


def draw():
    query = np.zeros((1, STEPS, 1), "float32")
    value = np.array(APPEAL, "float32")[None, :, None]
    figure, axes = plt.subplots(
        1, 2, figsize=(7, 3), sharey=True, layout="constrained"
    )
    layer = CoverageAttention(1)
    layer.build(query.shape, value.shape)
    # Weights set by hand: the score grows with the appeal, and falls with the
    # coverage or not.
    layer.key_dense.kernel.assign([[1.0]])
    layer.score_vector.assign([60.0])
    for axis, weight in zip(axes, (0.0, -2.0), strict=True):
        layer.feature_dense.kernel.assign([[weight]])
        _, scores = layer(query, value, return_attention_scores=True)
        scores = ops.convert_to_numpy(scores)[0]
        image = axis.imshow(scores, cmap="Blues", vmin=0, vmax=1)
        axis.set_title("coverage counts" if weight else "coverage ignored")
        axis.set_xlabel("appeal of the position")
        axis.set_xticks(range(len(APPEAL)), APPEAL)
    axes[0].set_ylabel("step")
    figure.colorbar(image, ax=axes, label="score")
    return figure
