"""What vision Transformers of images and videos share."""

from typing import Any

import keras
from keras import ops

from keras_attention.layers.layer_normalization import LayerNormalization
from keras_attention.layers.multi_head_attention import MultiHeadAttention
from keras_attention.layers.transformer_encoder_block import (
    TransformerEncoderBlock,
)
from keras_attention.ops import activations, checks


class Encoder:
    """The arguments that all blocks of a model are made with, checked.

    Args:
        hidden_dim: Size of a token, D; a multiple of `num_heads`.
        num_heads: Heads of each attention.
        intermediate_dim: Size of the feed-forward's wider layer.
        dropout: Share dropped in the blocks.
        attention_dropout: Share of the attention scores dropped.
        stochastic_depth: Rate of the last block's.
        activation: Activation of the feed-forward layers.
        layer_norm_epsilon: Added to the variance in the normalizations.
        qkv_bias: Whether queries, keys and values have biases.
        layer_scale: What the factors of what each part of a block adds begin
            with; None for none.
        dtype: Policy of all layers.
        recompute: Whether blocks compute again for the gradient.
    """

    def __init__(
        self,
        hidden_dim,
        num_heads,
        intermediate_dim,
        dropout,
        attention_dropout,
        stochastic_depth,
        activation,
        layer_norm_epsilon,
        qkv_bias,
        layer_scale,
        dtype,
        recompute=False,
    ):
        for name, size in (
            ("hidden_dim", hidden_dim),
            ("num_heads", num_heads),
            ("intermediate_dim", intermediate_dim),
        ):
            checks.positive_int(size, name)
        checks.rate(dropout, "dropout")
        checks.rate(stochastic_depth, "stochastic_depth")
        if hidden_dim % num_heads:
            raise ValueError(
                "`hidden_dim` must be a multiple of `num_heads`. Received: "
                f"hidden_dim={hidden_dim}, num_heads={num_heads}."
            )
        self.hidden_dim, self.num_heads = hidden_dim, num_heads
        self.attention_dropout = attention_dropout
        self.qkv_bias = qkv_bias
        self.stochastic_depth = stochastic_depth
        self.layer_norm_epsilon, self.dtype = layer_norm_epsilon, dtype
        self.function: Any = activations.get(activation)
        self.options: dict[str, Any] = dict(
            intermediate_dim=intermediate_dim,
            dropout=dropout,
            intermediate_dropout=dropout,
            activation=self.function,
            layer_norm_epsilon=layer_norm_epsilon,
            normalize_first=True,
            bias_initializer=keras.initializers.RandomNormal(stddev=1e-6),
            layer_scale=layer_scale,
            recompute=recompute,
            dtype=dtype,
        )

    def depth_rate(self, index, number):
        """The rate of stochastic depth of a block out of a number."""
        return self.stochastic_depth * index / max(1, number - 1)

    def attention_initializer(self):
        """As for a matrix (D, D): Keras takes heads for convolution's axes."""
        limit = (3 / self.hidden_dim) ** 0.5
        return keras.initializers.RandomUniform(-limit, limit)

    def block(self, name, index, number):
        """Block `index` of a row of `number`."""
        return TransformerEncoderBlock(
            self_attention=MultiHeadAttention(
                self.num_heads,
                self.hidden_dim // self.num_heads,
                dropout=self.attention_dropout,
                use_bias=self.qkv_bias,
                output_bias=True,
                kernel_initializer=self.attention_initializer(),
                dtype=self.dtype,
                name="self_attention",
            ),
            stochastic_depth=self.depth_rate(index, number),
            name=name,
            **self.options,
        )

    def norm(self, name):
        """A layer normalization."""
        return LayerNormalization(
            epsilon=self.layer_norm_epsilon, dtype=self.dtype, name=name
        )


class Scores(keras.layers.Layer):
    """The attention scores of a block.

    A layer of its own: Keras takes a layer in a graph to return as many
    tensors whenever it is called.
    """

    def __init__(self, block):
        super().__init__(dtype=block.dtype_policy, name=f"{block.name}_scores")
        self.block = block
        self.built = True

    def call(self, inputs):
        return self.block(inputs, return_attention_scores=True)[1]

    def compute_output_spec(self, inputs):
        _, scores = self.block.compute_output_spec(
            inputs, return_attention_scores=True
        )
        return scores


def shape_of(value, name, axes) -> Any:
    """The sizes of an input without its batch, checked.

    Args:
        value: A tuple of positive integers.
        name: What it is called.
        axes: What its entries are called.
    """
    try:
        sizes = tuple(int(size) for size in value)
    except (TypeError, ValueError):
        sizes = ()
    if len(sizes) != len(axes) or min(sizes) < 1:
        raise ValueError(
            f"`{name}` must be ({', '.join(axes)}), positive "
            f"integers. Received: {name}={value}."
        )
    return sizes


def pooled_tokens(x, pooling, num_prefix_tokens):
    """The vectors that heads classify, of tokens `(B, T, D)`."""
    average = ops.mean(x[:, num_prefix_tokens:], axis=1)
    if pooling == "average":
        return [average]
    tokens = [x[:, i] for i in range(num_prefix_tokens)]
    if pooling == "token_and_average":
        return [tokens[0], average]
    return tokens
