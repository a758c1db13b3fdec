import keras

from keras_attention.layers.recomputation import recomputed
from keras_attention.layers.transformer_block import TransformerBlock
from keras_attention.ops.masks import as_mask, both


@keras.saving.register_keras_serializable(package="keras_attention")
class TransformerEncoderBlock(TransformerBlock):
    """Mixes a sequence by self-attention, then transforms each position.

    One block of a Transformer's encoder (Vaswani et al., 2017, section 3.1),
    post-norm as in the paper:

        x = norm(x + dropout(self_attention(x)))
        x = norm(x + dropout(feed_forward(x)))

    or pre-norm, which trains without warm-up (Xiong et al., 2020):

        x = x + dropout(self_attention(norm(x)))
        x = x + dropout(feed_forward(norm(x)))

    A stack of pre-norm blocks needs one more normalization at its end.

    Args:
        intermediate_dim: Size of the feed-forward's wider layer, d_ff.
        num_heads: Number of attention heads, which share the features
            evenly; None if `self_attention` is given.
        dropout: Share dropped of what each part adds, in training.
        attention_dropout: Share of the attention scores dropped; 0 if
            `self_attention` is given, which has its own.
        activation: Activation of the feed-forward part.
        layer_norm_epsilon: Added to the variance in the normalizations.
        normalize_first: Whether to normalize before each part (pre-norm).
        kernel_initializer: Initializer of all kernels.
        bias_initializer: Initializer of all biases.
        self_attention: A `MultiHeadAttention` to use instead, for example
            with grouped heads, or a `SlidingWindowAttention`.
        seed: Seed of the dropouts.
        intermediate_dropout: Share of the feed-forward's wider layer dropped.
        layer_scale: What the learned factors of the features that each part
            adds begin with, a small number for deep stacks (Touvron et al.,
            2021, section 2); None leaves them out.
        stochastic_depth: Share of the examples for which a part is left out
            in training; see `StochasticDepth`.
        recompute: Whether what is computed within is computed again for the
            gradient instead of being kept: of a stack of such blocks, memory
            holds one instead of all, for the time of another forward pass.
            XLA on a CPU undoes much of it.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, T, D)`.
        padding_mask: Booleans `(B, T)`; a position at False is never read.
            A Keras mask on the inputs is honoured as well.
        attention_mask: Booleans `(B, T, T)` or `(T, T)`: which position may
            read which.
        return_attention_scores: Whether to return the scores too.
        training: Whether dropout is active.

    Returns:
        `(B, T, D)`; with `return_attention_scores` also `(B, N, T, T)`.

    Raises:
        ValueError: Sizes are not positive, features are not a multiple of
            `num_heads`, neither or both of `num_heads` and `self_attention`
            are given, or the latter is neither of these layers.

    Examples:
        >>> import numpy as np
        >>> import keras_attention
        >>> x = np.random.normal(size=(2, 5, 8))
        >>> block = keras_attention.layers.TransformerEncoderBlock(
        ...     intermediate_dim=32, num_heads=2
        ... )
        >>> output, scores = block(x, return_attention_scores=True)
        >>> tuple(output.shape), tuple(scores.shape)
        ((2, 5, 8), (2, 2, 5, 5))

    Reference:
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762), section 3.1;
        [Xiong et al., 2020](https://arxiv.org/abs/2002.04745) for pre-norm;
        [Touvron et al., 2021](https://arxiv.org/abs/2103.17239) for
        `layer_scale`.
    """

    def build(self, inputs_shape):
        self.build_self(inputs_shape)

    def call(
        self,
        inputs,
        padding_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        mask=None,
        inputs_mask=None,
    ):
        # Keras passes the mask of the inputs under the first name if they are
        # the only tensor, under the second if there are more.
        padding_mask = as_mask(padding_mask, "padding_mask")
        for implicit in (mask, inputs_mask):
            padding_mask = both(padding_mask, as_mask(implicit, "mask"))
        scores = None
        attention = self.self_attention
        if attention.dtype_policy == self.dtype_policy:
            # See `projection.project`.
            attention = attention.call

        def read(x):
            nonlocal scores
            x, scores = unpack(
                attention(
                    x,
                    x,
                    # Keras would pass a mask that x carries, and no other.
                    query_mask=padding_mask,
                    value_mask=padding_mask,
                    attention_mask=attention_mask,
                    return_attention_scores=return_attention_scores,
                    training=training,
                )
            )
            return x

        def transform(x):
            return self.feed_forward.call(x, training=training)

        def parts(x):
            x = self.residual(x, read, "self_attention", training)
            return self.residual(x, transform, "feed_forward", training)

        if return_attention_scores:
            return parts(inputs), scores
        if self.recompute and training:
            return recomputed(self, parts, inputs)
        return parts(inputs)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def compute_output_spec(
        self,
        inputs,
        padding_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        mask=None,
        inputs_mask=None,
    ):
        output = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        _, scores = self.self_attention.compute_output_spec(
            inputs, inputs, return_attention_scores=True
        )
        return output, scores


def unpack(result):
    """Output and scores of an attention layer; None if it has no scores."""
    return result if isinstance(result, tuple) else (result, None)
