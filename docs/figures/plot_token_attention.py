"""What a token of trained ViViT's block reads over clips of RollMotion."""

from docs.figures._trained import roll_model
from keras_attention import visualization


def draw():
    return visualization.plot_token_attention(*roll_model(), token=(1, 1, 1))
