"""Layers that stack: each is one idea of the attention literature."""

from keras_attention.layers.additive_attention import AdditiveAttention
from keras_attention.layers.attention_rnn import AttentionRNN
from keras_attention.layers.feed_forward import FeedForward
from keras_attention.layers.local_attention import LocalAttention
from keras_attention.layers.luong_attention import LuongAttention
from keras_attention.layers.multi_head_attention import (
    MultiHead,
    MultiHeadAttention,
)
from keras_attention.layers.position_embedding import PositionEmbedding
from keras_attention.layers.rotary_embedding import RotaryEmbedding
from keras_attention.layers.sine_position_encoding import SinePositionEncoding
from keras_attention.layers.sliding_window_attention import (
    SlidingWindowAttention,
)
from keras_attention.layers.stochastic_depth import StochasticDepth
from keras_attention.layers.transformer_decoder_block import (
    TransformerDecoderBlock,
)
from keras_attention.layers.transformer_encoder_block import (
    TransformerEncoderBlock,
)

__all__ = [
    "AdditiveAttention",
    "AttentionRNN",
    "FeedForward",
    "LocalAttention",
    "LuongAttention",
    "MultiHead",
    "MultiHeadAttention",
    "PositionEmbedding",
    "RotaryEmbedding",
    "SinePositionEncoding",
    "SlidingWindowAttention",
    "StochasticDepth",
    "TransformerDecoderBlock",
    "TransformerEncoderBlock",
]
