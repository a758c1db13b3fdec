"""Layers that stack: each is one idea of the attention literature."""

from keras_attention.layers.additive_attention import AdditiveAttention

__all__ = ["AdditiveAttention"]
