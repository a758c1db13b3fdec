from keras import ops

from keras_attention.ops.blocks import with_gradient
from keras_attention.ops.softmax import wide_dtype


def featured_logits(query, key, features, projection, score_vector):
    """Logits of an additive score in which each pair has features.

        logits[t, s] = score_vector . tanh(query[t] + key[s]
                                           + features[t, s] @ projection)

    Chorowski et al., 2015, equation 9, after the other projections. Made for
    the one query of a decoder's step (or K hypotheses): the `(B, T, S, U)`
    tensor of pairs is held, but computed again for the gradient, or a loop
    would keep those of all its steps.

    Args:
        query: `(B, T, U)`, projected.
        key: `(B, S, U)`, projected.
        features: `(B, T, S, F)`.
        projection: `(F, U)`.
        score_vector: `(U,)`.

    Returns:
        `(B, T, S)`, float32 or wider.
    """
    wide = wide_dtype(query.dtype)

    def pairs_of(query, key, features, projection):
        projected = ops.matmul(_rows(features), projection)
        shape = (*ops.shape(features)[:-1], projection.shape[-1])
        projected = ops.reshape(projected, shape)
        return ops.tanh(query[:, :, None] + key[:, None] + projected)

    def forward(*inputs):
        *others, vector = inputs
        return ops.matmul(pairs_of(*others), vector), ()

    def backward(inputs, saved, upstream):
        *others, vector = inputs
        features, projection = others[2:]
        pairs = pairs_of(*others)  # (B, T, S, U)
        weights = upstream[..., None]
        slope = (1 - pairs * pairs) * vector * weights
        rows = _rows(slope)
        by_features = ops.matmul(rows, ops.transpose(projection))
        return (
            ops.sum(slope, axis=2),
            ops.sum(slope, axis=1),
            ops.reshape(by_features, ops.shape(features)),
            ops.matmul(ops.transpose(_rows(features)), rows),
            ops.sum(pairs * weights, axis=(0, 1, 2)),
        )

    inputs = (query, key, features, projection, score_vector)
    return with_gradient(forward, backward)(
        *(ops.cast(x, wide) for x in inputs)
    )


def _rows(x):
    return ops.reshape(x, (-1, x.shape[-1]))
