from keras import ops

from keras_attention.ops import checks
from keras_attention.ops.blocks import (
    is_traced_by_tensorflow,
    num_blocks,
    pad_blocks,
    put_block,
    take_block,
    unrecorded,
    with_gradient,
)
from keras_attention.ops.softmax import wide_dtype

# Pairs of up to this many numbers are held at once, or those of one row.
PAIRS_AT_ONCE = 2**20


def channel_logits(means, query, lift, score_vector):
    """Compares each query with every channel, of which it sees the mean.

        logits[r, c] = score_vector . tanh(means[r, c] * lift + query[r])

    Additive attention whose keys are an outer product (Chen et al., 2017,
    section 3). The `(R, C, U)` tensor of all pairs is never held, nor
    kept for the gradient: it is computed in blocks of rows, and again.

    Args:
        means: `(R, C)`, one row per query.
        query: `(R, U)`, projected, the bias added.
        lift: `(U,)`, which lifts a mean into the space of the scores.
        score_vector: `(U,)`.

    Returns:
        `(R, C)`, float32 or wider.
    """
    wide = wide_dtype(query.dtype)
    inputs = [ops.cast(x, wide) for x in (means, query, lift, score_vector)]
    rows = max(1, PAIRS_AT_ONCE // (means.shape[1] * query.shape[1]))
    if checks.known(means.shape[0]):
        blocked = means.shape[0] > rows
    else:  # Only TensorFlow may leave the number of blocks to a graph's run.
        blocked = is_traced_by_tensorflow(means)
    passes = _in_blocks(rows) if blocked else (_forward, _backward)
    return with_gradient(*passes)(*inputs)


def _forward(means, query, lift, vector):
    return _logits(means, query, lift, vector), ()


def _backward(inputs, saved, upstream):
    means, query, lift, vector = inputs
    return _gradients(means, query, lift, vector, upstream)


def _logits(means, query, lift, vector):
    return ops.matmul(_pairs(means, query, lift), vector)


def _pairs(means, query, lift):
    return ops.tanh(means[:, :, None] * lift + query[:, None])  # (R, C, U)


def _gradients(means, query, lift, vector, upstream):
    """The gradient of each argument of `_logits`."""
    pairs = _pairs(means, query, lift)
    weighted = pairs * upstream[:, :, None]
    # upstream (1 - tanh^2); the factor v comes after the sums.
    gradient = upstream[:, :, None] - pairs * weighted
    by_means = ops.matmul(gradient, vector * lift)
    by_query = ops.sum(gradient, axis=1) * vector
    by_lift = ops.matmul(means[:, None], gradient)[:, 0]
    by_lift = ops.sum(by_lift, axis=0) * vector
    return by_means, by_query, by_lift, ops.sum(weighted, axis=(0, 1))


def _in_blocks(rows):
    """`forward` and `backward` of `with_gradient`, `rows` at a time."""

    def blocks(*tensors):
        """Tensors of whole blocks, and a function that cuts one out."""
        length = ops.shape(tensors[0])[0]
        padded = [pad_blocks(x, 0, rows, length) for x in tensors]

        def cut(i):
            return [
                take_block(x, (i * rows, 0), (rows, x.shape[1])) for x in padded
            ]

        return length, num_blocks(length, rows), padded, cut

    def forward(means, query, lift, vector):
        length, count, padded, cut = blocks(means, query)

        def body(i, logits):
            means, query = cut(i)
            block = _logits(means, query, lift, vector)
            return put_block(logits, (i * rows, 0), block)

        empty = ops.zeros_like(padded[0])
        with unrecorded():
            return ops.fori_loop(0, count, body, empty)[:length], ()

    def backward(inputs, saved, upstream):
        means, query, lift, vector = inputs
        length, count, padded, cut = blocks(means, query, upstream)

        def body(i, sums):
            means, query, upstream = cut(i)
            found = _gradients(means, query, lift, vector, upstream)
            return (
                put_block(sums[0], (i * rows, 0), found[0]),
                put_block(sums[1], (i * rows, 0), found[1]),
                sums[2] + found[2],
                sums[3] + found[3],
            )

        empty = tuple(map(ops.zeros_like, (*padded[:2], lift, vector)))
        with unrecorded():
            sums = ops.fori_loop(0, count, body, empty)
        return sums[0][:length], sums[1][:length], *sums[2:]

    return forward, backward
