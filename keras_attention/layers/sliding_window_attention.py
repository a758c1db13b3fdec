import keras

from keras_attention.layers.multi_head_attention import MultiHeadAttention
from keras_attention.ops import checks
from keras_attention.ops.masks import as_mask, both


@keras.saving.register_keras_serializable(package="keras_attention")
class SlidingWindowAttention(MultiHeadAttention):
    """Lets each position of a long sequence read those around it.

    Multi-head self-attention within a band (Beltagy et al., 2020, section
    3.1). Position t reads the positions s with `|t - s| <= D`, or
    `t - D <= s <= t` if causal:

        head[n]   = softmax_s(Q[n, t] . K[n, s] / sqrt(key_dim)) V[n, s]
        output[t] = concat(head[1], ..., head[N]) W

    D is `window`, half of the paper's w. The same as
    `MultiHeadAttention(num_heads, key_dim, sliding_window=D + 1)` and with
    its weights, for a single sequence. In a stack of L layers the last reads
    L x D positions to either side.

    Time and memory grow with T x D, not T x T, forward and backward: blocks
    of queries share the slab of keys around them. Asking for scores computes
    all pairs, with the same output, and adds the `(B, N, T, T)` tensor.

    Args:
        num_heads: Number of heads, N.
        key_dim: Size of each head for query and key.
        window: D, how far a position reads to either side. A window wider
            than the sequence reads all of it.
        causal: Whether a position reads none after it.
        value_dim: Size of each head for value; `key_dim` if None.
        dropout: Share of the scores dropped in training, in [0, 1).
        use_bias: Whether the projections have biases.
        output_shape: Size or sizes of the output's features; those of the
            input if None.
        kernel_initializer: Initializer of the kernels.
        bias_initializer: Initializer of the biases.
        kernel_regularizer: Regularizer of the kernels.
        bias_regularizer: Regularizer of the biases.
        kernel_constraint: Constraint on the kernels.
        bias_constraint: Constraint on the biases.
        seed: Seed of the dropout.
        num_key_value_heads: Number of key/value heads, shared by groups of
            query heads; `num_heads` if None.
        rotary: A `RotaryEmbedding` that turns queries and keys by their
            position, or None.
        position_bias: An `AlibiBias` or a `RelativePositionBias`, added to
            the logits by the offset of positions, or None.
        output_bias: Whether the last projection has a bias; as `use_bias` if
            None.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        query: `(B, T, D)`.
        value: `(B, S, V)`; the query if None. Position t of the query is
            position t of the value.
        key: `(B, S, E)`; `value` if None.
        query_mask: Booleans `(B, T)`; at False no head reads anything.
        value_mask: Booleans `(B, S)`; a position at False is never read.
        key_mask: Booleans `(B, S)`, joined with `value_mask`.
        attention_mask: Booleans `(T, S)`, `(B, T, S)` or `(B, N, T, S)`, of
            which only those in the band count.
        return_attention_scores: Whether to return the scores too.
        training: Whether dropout is active.
        use_causal_mask: Whether to read causally, whatever `causal` says.
        attention_bias: Added to the logits of all heads; broadcasts to
            `(B, N, T, S)`. All pairs are computed.
        mask: Booleans `(B, T)`, for a call with `query` alone: a position at
            False neither reads nor is read.

    Returns:
        `(B, T, D)`, or `(B, T, *output_shape)`; with
        `return_attention_scores` also the scores `(B, N, T, S)`. Where
        nothing may be read the heads give zeros, and the output is the bias
        of the last projection.

        A causal layer steps with `initial_cache` and `step_self`. There is no
        `step` over a memory, which has no positions around the query's.

    Raises:
        ValueError: Sizes or `window` are not positive integers, key/value
            heads do not divide the heads, an input is not `(B, T, D)`, shapes
            do not fit each other, a mask holds other than 0 and 1, or a layer
            that is not causal is asked for steps.

    Examples:
        >>> import numpy as np
        >>> import keras_attention
        >>> x = np.random.normal(size=(2, 97, 12))
        >>> layer = keras_attention.layers.SlidingWindowAttention(
        ...     num_heads=4, key_dim=3, window=5, causal=True
        ... )
        >>> tuple(layer(x).shape)
        (2, 97, 12)

        One position at a time, as a decoder runs it:

        >>> cache = layer.initial_cache(batch_size=2, max_length=97)
        >>> output, cache, extras = layer.step_self(x[:, 0], cache)
        >>> tuple(output.shape)
        (2, 12)

    Reference:
        [Beltagy et al., 2020](https://arxiv.org/abs/2004.05150), section 3.1.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        window: int,
        causal: bool = False,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | tuple[int, ...] | None = None,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        seed: int | None = None,
        num_key_value_heads: int | None = None,
        rotary=None,
        position_bias=None,
        output_bias: bool | None = None,
        **kwargs,
    ):
        window = checks.positive_int(window, "window")
        super().__init__(
            num_heads,
            key_dim,
            value_dim=value_dim,
            dropout=dropout,
            use_bias=use_bias,
            output_shape=output_shape,
            sliding_window=window + 1,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            seed=seed,
            num_key_value_heads=num_key_value_heads,
            rotary=rotary,
            position_bias=position_bias,
            output_bias=output_bias,
            **kwargs,
        )
        self.window = window
        self.causal = causal

    def build(self, query_shape, value_shape=None, key_shape=None):
        super().build(query_shape, value_shape or query_shape, key_shape)

    def call(
        self,
        query,
        value=None,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        use_causal_mask=False,
        attention_bias=None,
        mask=None,
    ):
        if value is None:
            value = query
            mask = as_mask(mask, "mask")
            query_mask = both(as_mask(query_mask, "query_mask"), mask)
            value_mask = both(as_mask(value_mask, "value_mask"), mask)
        elif mask is not None:
            raise ValueError(
                "`mask` is for a call with one sequence, `layer(query)`. "
                "Received: a value, and a mask. Pass `query_mask` and "
                "`value_mask`."
            )
        return super().call(
            query,
            value,
            key,
            query_mask,
            value_mask,
            key_mask,
            attention_mask,
            return_attention_scores,
            training,
            use_causal_mask or self.causal,
            attention_bias,
        )

    def memory(self, value, key=None, mask=None):
        """Raises: a memory has no positions around the query's."""
        raise ValueError(
            f"{type(self).__name__} reads the positions around the query's "
            "own, and a memory has none. Received: a call of `memory`. Use "
            "`step_self` of a causal layer, or a MultiHeadAttention, which "
            "reads all of a memory."
        )

    def step_self(self, query, cache, return_attention_scores=False):
        """Self-attention of the next positions, over a cache; causal only.

        Arguments and results are those of `MultiHeadAttention.step_self`.
        """
        if not self.causal:
            raise ValueError(
                "Steps read only what came before. Received: causal=False. "
                f"Make the {type(self).__name__} with `causal=True`."
            )
        return super().step_self(query, cache, return_attention_scores)

    def check_shapes(self, query_shape, value_shape, key_shape=None):
        super().check_shapes(query_shape, value_shape, key_shape)
        if len(query_shape) != 3:
            raise ValueError(
                "A window lies on one axis of positions: inputs must have "
                "shape (batch, length, features). Received: query of shape "
                f"{tuple(query_shape)}. Reshape it, or use a "
                "MultiHeadAttention with `attention_axes`."
            )

    def compute_output_shape(
        self, query_shape, value_shape=None, key_shape=None
    ):
        return super().compute_output_shape(
            query_shape, value_shape or query_shape, key_shape
        )

    def compute_output_spec(self, query, value=None, *args, **kwargs):
        kwargs.pop("mask", None)
        value = query if value is None else value
        return super().compute_output_spec(query, value, *args, **kwargs)

    def get_config(self):
        config = super().get_config()
        # What is fixed here, or not taken.
        for name in (
            "attention_axes",
            "sliding_window",
            "flash_attention",
            "activity_regularizer",
            "use_gate",
            "score",
            "output_initializer",
        ):
            config.pop(name)
        return {**config, "window": self.window, "causal": self.causal}
