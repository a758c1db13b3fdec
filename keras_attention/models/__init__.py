"""Published systems, one per file, that train with `fit`."""

from keras_attention.models.rnn_search import RNNSearch
from keras_attention.models.transformer import Transformer
from keras_attention.models.translator import Translation

__all__ = ["RNNSearch", "Transformer", "Translation"]
