"""The rollout of a trained ViViT over clips of RollMotion."""

from docs.figures._trained import roll_model
from keras_attention import visualization


def draw():
    return visualization.plot_video_rollout(*roll_model())
