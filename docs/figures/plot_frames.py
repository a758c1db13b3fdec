"""Clips of RollMotion, and what a trained ViViT says of them."""

import numpy as np

from docs.figures._trained import roll_model
from docs.figures.roll_motion import NAMES
from keras_attention import visualization


def draw():
    model, video = roll_model()
    answers = model.predict(video, verbose=0).argmax(-1)
    return visualization.plot_frames(video, titles=np.take(NAMES, answers))
