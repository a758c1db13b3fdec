"""Biases on the logits that depend on how far apart two positions are.

Such a bias is kept as a table by offset, `(N, T + S - 1)`: entry i belongs to
the pairs (t, s) with `s - t = i - (T - 1)`. It grows with T + S, what it
stands for with T x S.
"""

import numpy as np
from keras import ops


def toeplitz(table, length, key_length):
    """Expands a table by offset: the same bias along each diagonal.

        output[t, s] = table[s - t + T - 1]

    By reshapes alone, so that its gradient is reshapes and one sum.

    Args:
        table: `(..., T + S - 1)`.
        length: T.
        key_length: S.

    Returns:
        `(..., T, S)`.
    """
    leading = ops.shape(table)[:-1]
    period = length + key_length
    table = ops.pad(table, [(0, 0)] * len(leading) + [(0, 1)])
    rows = ops.broadcast_to(table[..., None, :], (*leading, length, period))
    flat = ops.reshape(rows, (*leading, length * period))
    # Cut into rows one shorter than the period, each starts an offset earlier
    # than the one before.
    flat = flat[..., length - 1 : length * period - 1]
    rows = ops.reshape(flat, (*leading, length, period - 1))
    return rows[..., :key_length]


def diagonal_sums(pairs):
    """Sums along the diagonals: what `toeplitz` does, transposed.

    Args:
        pairs: `(..., T, S)`.

    Returns:
        `(..., T + S - 1)`.
    """
    *leading, length, key_length = ops.shape(pairs)
    period = length + key_length
    others = [(0, 0)] * len(leading)
    rows = ops.pad(pairs, [*others, (0, 0), (0, length - 1)])
    flat = ops.reshape(rows, (*leading, length * (period - 1)))
    flat = ops.pad(flat, [*others, (length - 1, 1)])
    rows = ops.reshape(flat, (*leading, length, period))
    return ops.sum(rows, axis=-2)[..., :-1]


def alibi_slopes(num_heads):
    """The slope of each head, `(N,)` (Press et al., 2022, section 3).

    For a power of two a geometric sequence, from `2 ** (-8 / N)` on with that
    ratio. For another number, by the authors' published code: the slopes of
    the power of two below, then every second one of the power above.
    """
    below = 2 ** (num_heads.bit_length() - 1)
    slopes = 2.0 ** (-8 / below * np.arange(1, below + 1))
    between = 2.0 ** (-8 / (2 * below) * np.arange(1, 2 * below + 1, 2))
    return np.concatenate([slopes, between[: num_heads - below]])


def bucket_starts(num_buckets, max_distance):
    """The shortest distance in each of some buckets, `(num_buckets,)`.

    Raffel et al., 2020, section 2.1: half the buckets hold one distance each,
    the other half hold ranges that grow in proportion to the distance, up to
    `max_distance`; the last one holds all that is beyond. With e the number
    of the first kind and n that of the second, the range j begins at the
    first whole number from `e (max_distance / e) ** (j / n)` on.
    """
    exact = num_buckets // 2
    ranges = num_buckets - exact
    starts = list(range(exact + 1))
    for j in range(1, ranges):
        # In whole numbers: a distance may lie right on the border, of which
        # the power of a quotient falls short by a rounding.
        border = max_distance**j * exact ** (ranges - j)
        start = int(exact * (max_distance / exact) ** (j / ranges)) - 1
        while start**ranges < border:
            start += 1
        starts.append(start)
    return np.array(starts, "int32")


def offset_buckets(offsets, starts, bidirectional):
    """The bucket of each offset, as T5 numbers them.

    Args:
        offsets: Integers s - t.
        starts: What `bucket_starts` returned, `(P,)`.
        bidirectional: Whether later positions have P buckets of their own,
            after those of earlier ones. If not, they are in bucket 0.

    Returns:
        Integers of the shape of `offsets`.
    """
    distance = ops.abs(offsets) if bidirectional else ops.maximum(-offsets, 0)
    # By a table of distances, and of two axes: torch's exporter to ONNX knows
    # no search, and mistakes what is taken from one axis.
    last = int(starts[-1])
    table = np.searchsorted(starts, np.arange(last + 1), side="right") - 1
    table = ops.convert_to_tensor(table.astype("int32")[:, None])
    buckets = ops.take(table, ops.minimum(distance, last), axis=0)[..., 0]
    if bidirectional:
        buckets = ops.where(offsets > 0, buckets + len(starts), buckets)
    return buckets
