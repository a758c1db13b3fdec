"""Where LocationAttention reads among positions that are all alike."""

import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from keras_attention.layers import LocationAttention

STEPS, POSITIONS = 8, 12


def draw():
    variants = {
        "softmax": {},
        "sharpening=2": dict(sharpening=2.0),
        "smoothing=True": dict(smoothing=True),
    }
    query = np.zeros((1, STEPS, 1), "float32")
    value = np.zeros((1, POSITIONS, 1), "float32")
    figure, axes = plt.subplots(
        1, 3, figsize=(9, 2.9), sharey=True, layout="constrained"
    )
    for axis, (title, options) in zip(axes, variants.items(), strict=True):
        layer = LocationAttention(1, 1, 3, **options)
        layer.build(query.shape, value.shape)
        # Weights set by hand: one filter, which moves what was read last one
        # to the right, and energies up to 2.4 by what it finds.
        layer.location_conv.kernel.assign([[[1.0]], [[0.0]], [[0.0]]])
        layer.feature_dense.kernel.assign([[4.0]])
        layer.query_dense.bias.assign([-2.0])
        layer.score_vector.assign([2.5])
        _, scores = layer(query, value, return_attention_scores=True)
        scores = ops.convert_to_numpy(scores)[0]
        image = axis.imshow(scores, cmap="Blues", vmin=0, vmax=1)
        axis.set_title(title)
        axis.set_xticks(range(0, POSITIONS, 2))
        axis.set_xlabel("position")
    axes[0].set_ylabel("step")
    figure.colorbar(image, ax=axes, label="score")
    return figure
