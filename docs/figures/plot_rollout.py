"""The rollout of a trained ViT over pictures of CornerMatch."""

from docs.figures._trained import corner_model
from keras_attention import visualization


def draw():
    return visualization.plot_rollout(*corner_model())
