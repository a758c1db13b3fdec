"""Which branches twelve blocks leave out in one training step."""

import keras
import numpy as np
from matplotlib.figure import Figure

from keras_attention import layers

L, RATE, SHOWN, B = 12, 0.5, 32, 512


def draw():
    rates = np.linspace(0, RATE, L)
    ones = np.ones((B, 1), "float32")
    outputs = [
        layers.StochasticDepth(float(rate), seed=block)(ones, training=True)
        for block, rate in enumerate(rates)
    ]
    outputs = np.stack([keras.ops.convert_to_numpy(x)[:, 0] for x in outputs])
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.8, 1))
    image = left.imshow(
        outputs[:, :SHOWN], cmap="Blues", vmin=0, vmax=2, aspect="auto"
    )
    left.set(
        title="what each branch is multiplied by (white: left out)",
        xlabel="example of the batch",
        ylabel="block l",
    )
    figure.colorbar(image, ax=left)
    right.barh(range(L), (outputs > 0).mean(1), label=f"kept, of {B} examples")
    right.plot(1 - rates, range(L), "o-", color="tab:orange", label="1 - rate")
    right.invert_yaxis()
    right.set(title="share kept", xlabel="share", ylabel="block l")
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))
    return figure
