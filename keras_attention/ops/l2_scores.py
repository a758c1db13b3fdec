"""Logits that fall with the distance of query and key, as a dot product.

    -|q - k|^2 = 2 q . k - |k|^2 - |q|^2

The last term is the same for all keys of a query, so the softmax does not see
it; the one before is a product of a feature of the key and a one. What
computes a dot product thus computes these as well.
"""

from keras import ops

from keras_attention.ops.softmax import wide_dtype

# How many features they add to query and key.
EXTRA = 2


def l2_query(query, scale):
    """`(..., H + 2)`: the query times `2 scale`, and two ones."""
    wide = ops.cast(query, wide_dtype(query.dtype))
    ones = ops.ones_like(query[..., :1])
    return ops.concatenate(
        [ops.cast(2 * scale * wide, query.dtype), ones, ones], axis=-1
    )


def l2_key(key, scale):
    """`(..., H + 2)`: the key, and `-scale |key|^2` in two parts.

    In half precision the square alone would be off by more than what tells
    keys apart. Its first 8 digits are one part, which is exact there, and
    what is left the other.
    """
    wide = ops.cast(key, wide_dtype(key.dtype))
    square = -scale * ops.sum(wide * wide, axis=-1, keepdims=True)
    # Veltkamp's splitting: XLA leaves out a cast there and back on a GPU.
    shifted = square * 65537.0
    first = shifted - (shifted - square)
    parts = [ops.cast(x, key.dtype) for x in (first, square - first)]
    return ops.concatenate([key, *parts], axis=-1)
