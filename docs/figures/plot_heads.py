"""What the heads of a trained ViT read of pictures of CornerMatch."""

from docs.figures._trained import corner_model
from keras_attention import visualization


def draw():
    return visualization.plot_heads(*corner_model())
