from keras import ops

from keras_attention.ops.attention import attend
from keras_attention.ops.softmax import wide_dtype


def additive_attention(
    query,
    key,
    value,
    score_vector,
    mask=None,
    return_scores=False,
    dropout_rate=0.0,
    seed=None,
):
    """Reads values by a small score network over projected pairs.

        logits[t, s] = score_vector . tanh(query[t] + key[s])
        output[t]    = sum_s softmax_s(logits[t])[s] * value[s]

    Bahdanau et al., 2015, appendix A.1.2, after the projections.
    """
    wide = wide_dtype(query.dtype)
    pairs = query[:, :, None] + key[:, None]
    logits = ops.sum(ops.cast(ops.tanh(pairs) * score_vector, wide), -1)
    output, scores = attend(logits, value, mask, dropout_rate, seed)
    return output, scores if return_scores else None
