"""A clip of each class of RollMotion, frame by frame."""

import numpy as np
from matplotlib.figure import Figure

from keras_attention.data import synthetic

NAMES = "right", "left", "down", "up"
FRAMES = 8


def draw():
    videos, labels = synthetic.roll_motion(40, seed=3, frames=FRAMES)
    figure = Figure(figsize=(9, 4.8), layout="constrained")
    axes = figure.subplots(len(NAMES), FRAMES)
    for label, (line, name) in enumerate(zip(axes, NAMES, strict=True)):
        video = videos[np.flatnonzero(labels == label)[0]]
        for t, (axis, frame) in enumerate(zip(line, video, strict=True)):
            axis.imshow(frame)
            axis.set(xticks=[], yticks=[])
            axis.set_title(f"frame {t}", fontsize=8)
        line[0].set_ylabel(name)
    return figure
