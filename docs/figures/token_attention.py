"""What a token of a trained ViViT reads in its frame, at its place and both."""

import numpy as np

from docs.figures._trained import roll_model
from keras_attention import visualization

OVER = "space", "time", "space_time"


def draw():
    model, video = roll_model()
    clip = video[2:3]
    maps = [
        visualization.token_attention(model, clip, token=(1, 1, 1), over=over)
        for over in OVER
    ]
    return visualization.plot_frames(
        np.repeat(clip, len(OVER), axis=0), np.concatenate(maps), titles=OVER
    )
