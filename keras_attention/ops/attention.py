"""What all attention shares once the logits are known.

One letter legend for all attention code, as in Keras and JAX:

    B  batch                    N  heads
    T  query positions          K  key/value heads, or hypotheses
    S  key and value positions  H  size of a head
    D  features                 U  units of a score network
"""

import keras
from keras import ops

from keras_attention.ops.softmax import masked_softmax


def dropout(scores, rate, seed):
    """Drops scores at random and scales the rest, as `Dropout` does.

    Args:
        scores: A float tensor.
        rate: The share to drop, in [0, 1).
        seed: A `keras.random.SeedGenerator` or int.
    """
    if not rate:
        return scores
    return keras.random.dropout(scores, rate, seed=seed)


def attend(logits, value, mask=None, dropout_rate=0.0, seed=None):
    """Reads values with the softmax of some logits.

        scores[t, s] = softmax_s(logits[t, s])
        output[t]    = sum_s scores[t, s] * value[s]

    Args:
        logits: `(B, T, S)`.
        value: `(B, S, D)`.
        mask: Booleans that broadcast to `(B, T, S)`, True = may be read.
        dropout_rate: Share of scores dropped; 0 outside training.
        seed: Where dropout draws from.

    Returns:
        Output `(B, T, D)` and scores `(B, T, S)`, both in the dtype of
        `value`. The scores are those before dropout, as they are read.
    """
    scores = masked_softmax(logits, mask)
    read = dropout(scores, dropout_rate, seed)
    output = ops.matmul(ops.cast(read, value.dtype), value)
    return output, ops.cast(scores, value.dtype)
