"""Stateless arithmetic that the layers call, on tensors of the backend.

Each is a function of arrays: it projects nothing and keeps nothing. All read
masks as True = may be read, and give zeros where nothing may be.
"""

from keras_attention.ops.additive import additive_attention
from keras_attention.ops.dot_product import dot_product_attention
from keras_attention.ops.monotonic import monotonic_scores
from keras_attention.ops.rotary import rotate
from keras_attention.ops.sliding_window import sliding_window_attention
from keras_attention.ops.softmax import masked_softmax

__all__ = [
    "additive_attention",
    "dot_product_attention",
    "masked_softmax",
    "monotonic_scores",
    "rotate",
    "sliding_window_attention",
]
