"""What attention is compared with."""

from keras_attention.layers import AdditiveAttention


def mean_attention():
    """An attention that learns nothing: its context is the plain mean."""
    # A score network that stays at zero reads every place alike.
    return AdditiveAttention(1, score_initializer="zeros", trainable=False)
