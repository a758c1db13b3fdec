import keras
from keras import ops

from keras_attention.layers.position_bias import PositionBias
from keras_attention.ops.relative import alibi_slopes
from keras_attention.ops.softmax import wide_dtype


@keras.saving.register_keras_serializable(package="keras_attention")
class AlibiBias(PositionBias):
    """Lets heads of attention prefer what is near, each to its own degree.

    Attention with linear biases (Press et al., 2022, section 3): what is
    added to the logits falls with the distance,

        bias[n, t, s] = -slope[n] |t - s|        slope[n] = 2 ** (-8 n / N)

    for heads n = 1, ..., N. There is nothing to learn, and no longest
    sequence: sequences longer than those seen in training are read well. The
    paper's is causal; here later positions are treated as earlier ones are,
    as in the authors' code for encoders. For a number of heads that is not a
    power of two the slopes are those of the power below and, in between, of
    the one above, again as in the authors' code.

    Pass it to `MultiHeadAttention(position_bias=...)`, which never holds the
    bias of all pairs. Called by itself it returns them, for attention that
    takes an `attention_bias`.

    Args:
        num_heads: Number of heads, N.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        query: `(B, T, ...)`, for its length.
        value: `(B, S, ...)`, for its length; `query` if None.

    Returns:
        `(1, N, T, S)`.

    Raises:
        ValueError: `num_heads` is not a positive integer.

    Examples:
        >>> import keras, numpy as np
        >>> from keras_attention import layers
        >>> attention = layers.MultiHeadAttention(
        ...     num_heads=2, key_dim=3, position_bias=layers.AlibiBias(2)
        ... )
        >>> x = np.random.normal(size=(2, 3, 6)).astype("float32")
        >>> tuple(attention(x, x).shape)
        (2, 3, 6)

        What the second of two heads, of slope 1 / 256, adds for query 1:

        >>> bias = keras.ops.convert_to_numpy(layers.AlibiBias(2)(x))
        >>> (256 * bias[0, 1, 1]).tolist()
        [-1.0, 0.0, -1.0]

    Reference:
        [Press et al., 2022](https://arxiv.org/abs/2108.12409), section 3; for
        other numbers of heads and both directions
        [the authors' code](https://github.com/ofirpress/attention_with_linear_biases).
    """

    def bias(self, offsets):
        dtype = wide_dtype(self.compute_dtype)
        slopes = ops.convert_to_tensor(alibi_slopes(self.num_heads), dtype)
        return slopes[:, None] * ops.cast(-ops.abs(offsets), dtype)
