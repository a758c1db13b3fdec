"""Layers that stack: each is one idea of the attention literature."""

from keras_attention.layers.additive_attention import AdditiveAttention
from keras_attention.layers.local_attention import LocalAttention
from keras_attention.layers.luong_attention import LuongAttention
from keras_attention.layers.multi_head_attention import (
    MultiHead,
    MultiHeadAttention,
)

__all__ = [
    "AdditiveAttention",
    "LocalAttention",
    "LuongAttention",
    "MultiHead",
    "MultiHeadAttention",
]
