"""One map, with the links of two words that cross."""

import numpy as np

from keras_attention import visualization

SCORES = np.eye(4)[[0, 1, 3, 2]] * 0.8 + 0.05
SOURCE = ["the", "small", "black", "cats"]
TARGET = ["les", "petits", "chats", "noirs"]


def draw():
    return visualization.plot_alignment(
        SCORES, SOURCE, TARGET, title="learnt", links=[(2, 3), (3, 2)]
    )
