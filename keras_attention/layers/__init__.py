"""Layers that stack: each is one idea of the attention literature."""

from keras_attention.layers.additive_attention import AdditiveAttention
from keras_attention.layers.alibi_bias import AlibiBias
from keras_attention.layers.attention_pooling import AttentionPooling
from keras_attention.layers.attention_rnn import AttentionRNN
from keras_attention.layers.channel_attention import ChannelAttention
from keras_attention.layers.coverage_attention import CoverageAttention
from keras_attention.layers.feed_forward import FeedForward
from keras_attention.layers.hard_attention import HardAttention
from keras_attention.layers.local_attention import LocalAttention
from keras_attention.layers.location_attention import LocationAttention
from keras_attention.layers.luong_attention import LuongAttention
from keras_attention.layers.monotonic_attention import MonotonicAttention
from keras_attention.layers.multi_head_attention import (
    MultiHead,
    MultiHeadAttention,
)
from keras_attention.layers.patch_embedding import PatchEmbedding
from keras_attention.layers.position_embedding import PositionEmbedding
from keras_attention.layers.prefix_tokens import PrefixTokens
from keras_attention.layers.relative_position_bias import RelativePositionBias
from keras_attention.layers.rotary_embedding import RotaryEmbedding
from keras_attention.layers.sine_position_encoding import SinePositionEncoding
from keras_attention.layers.sliding_window_attention import (
    SlidingWindowAttention,
)
from keras_attention.layers.space_time_encoder_block import (
    SpaceTimeEncoderBlock,
)
from keras_attention.layers.spatial_attention import SpatialAttention
from keras_attention.layers.spatial_channel_attention import (
    SpatialChannelAttention,
)
from keras_attention.layers.stochastic_depth import StochasticDepth
from keras_attention.layers.transformer_decoder_block import (
    TransformerDecoderBlock,
)
from keras_attention.layers.transformer_encoder_block import (
    TransformerEncoderBlock,
)
from keras_attention.layers.tubelet_embedding import TubeletEmbedding

__all__ = [
    "AdditiveAttention",
    "AlibiBias",
    "AttentionPooling",
    "AttentionRNN",
    "ChannelAttention",
    "CoverageAttention",
    "FeedForward",
    "HardAttention",
    "LocalAttention",
    "LocationAttention",
    "LuongAttention",
    "MonotonicAttention",
    "MultiHead",
    "MultiHeadAttention",
    "PatchEmbedding",
    "PositionEmbedding",
    "PrefixTokens",
    "RelativePositionBias",
    "RotaryEmbedding",
    "SinePositionEncoding",
    "SlidingWindowAttention",
    "SpaceTimeEncoderBlock",
    "SpatialAttention",
    "SpatialChannelAttention",
    "StochasticDepth",
    "TransformerDecoderBlock",
    "TransformerEncoderBlock",
    "TubeletEmbedding",
]
