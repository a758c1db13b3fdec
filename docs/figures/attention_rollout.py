"""What two blocks read each, and what is passed on by both."""

import numpy as np
from matplotlib.figure import Figure

from keras_attention import visualization

T = 6


def draw():
    # Each position reads the one before it, the first itself.
    before = np.eye(T)[np.maximum(np.arange(T) - 1, 0)]
    # The last position, like a class token, reads all alike.
    gathers = np.eye(T)
    gathers[-1] = 1 / T
    blocks = [x[None, None] for x in (before, gathers)]
    figure = Figure(figsize=(9.4, 3.4), layout="constrained")
    maps = {
        "scores of block 0": before,
        "scores of block 1": gathers,
        "rollout": visualization.attention_rollout(blocks)[0],
    }
    for axis, (title, found) in zip(
        figure.subplots(1, 3), maps.items(), strict=True
    ):
        shown = axis.imshow(found, cmap="Blues", vmin=0, vmax=1)
        axis.set(title=title, xlabel="input", ylabel="position")
    figure.colorbar(shown, ax=figure.axes, label="share")
    return figure
