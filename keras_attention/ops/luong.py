"""The scores of Luong et al., 2015, section 3.1, after their projections."""

import keras
from keras import ops

from keras_attention.ops.attention import attend
from keras_attention.ops.checks import known
from keras_attention.ops.dot_product import dot_product_attention
from keras_attention.ops.softmax import wide_dtype


def dot_logits(query, key):
    """`query[t] . key[s]`: `(B, T, S)`, float32 or wider."""
    logits = ops.matmul(query, ops.swapaxes(key, 1, 2))
    return ops.cast(logits, wide_dtype(logits.dtype))


def dot_attention(
    query,
    key,
    value,
    mask=None,
    return_scores=False,
    dropout_rate=0.0,
    seed=None,
):
    """Reads values by the products of queries and keys, unscaled.

    Args and returns as of `additive_attention`.
    """
    length = query.shape[1]
    if known(length) and length <= 64:
        # No more than a block of queries, as in a step: nothing to save.
        output, scores = attend(
            dot_logits(query, key), value, mask, dropout_rate, seed
        )
        return output, scores if return_scores else None
    output, scores = dot_product_attention(
        query[:, :, None],
        key[:, :, None],
        value[:, :, None],
        mask,
        scale=1.0,
        dropout_rate=dropout_rate,
        seed=seed,
        return_scores=return_scores,
    )  # one head
    return output[:, :, 0], scores[:, 0] if return_scores else None


def location_attention(
    logits,
    value,
    mask=None,
    return_scores=False,
    dropout_rate=0.0,
    seed=None,
):
    """Reads values by logits over positions, cut to the source's length.

    Args:
        logits: `(B, T, L)`, L at least S.
        value: `(B, S, V)`.
        mask: Booleans that broadcast to `(B, T, S)`, True = may be read.
        return_scores: Whether to return the scores.
        dropout_rate: Share of scores dropped.
        seed: Where dropout draws from.

    Returns:
        Output `(B, T, V)` and scores `(B, T, S)`, or None for scores.
    """
    length, longest = ops.shape(value)[1], logits.shape[-1]
    if isinstance(length, int):
        if length > longest:
            raise ValueError(too_long(length, longest))
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # The length is known when the graph runs. XLA drops the assertion;
        # there the slice below is an error.
        check = tf.debugging.assert_less_equal(
            length, longest, message=too_long("longer", longest)
        )
        with tf.control_dependencies([check]):
            length = tf.identity(length)
    if keras.backend.backend() == "jax" and not known(length):
        # An export, which cannot tell a slice to be inside: NaN if it is not.
        logits = ops.take(logits, ops.arange(0, length), axis=-1)
    else:
        sizes = (*ops.shape(logits)[:2], length)
        logits = ops.slice(logits, (0, 0, 0), sizes)  # (B, T, S)
    output, scores = attend(logits, value, mask, dropout_rate, seed)
    return output, scores if return_scores else None


def too_long(length, max_length):
    """What to say of a source that location scores cannot reach."""
    return (
        "The source must not be longer than `max_length`, the number of "
        "positions that location scores can reach. Received: source length "
        f"{length}, max_length={max_length}. Shorten the source, or make the "
        "layer with a larger `max_length`."
    )
