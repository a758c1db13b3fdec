"""Two maps in a grid."""

import numpy as np

from docs.figures.plot_alignment import SCORES, SOURCE, TARGET
from keras_attention import visualization


def draw():
    examples = [(SCORES, SOURCE, TARGET), (np.eye(2), ["a", "b"], ["c", "d"])]
    return visualization.plot_alignments(examples, titles=["learnt", "ideal"])
