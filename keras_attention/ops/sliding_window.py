"""Dot-product attention within a window around each query."""

from keras import ops

from keras_attention.ops import checks
from keras_attention.ops.additive import on_accelerator
from keras_attention.ops.bands import Band, banded_attention
from keras_attention.ops.blocks import is_traced_by_tensorflow
from keras_attention.ops.checks import known
from keras_attention.ops.dot_product import (
    attention_of_unknown_length,
    check_heads,
    dot_product_attention,
    has_fused_kernel,
)
from keras_attention.ops.masks import both, distance, is_traced, window_mask
from keras_attention.ops.tiles import tiled_attention


def sliding_window_attention(
    query,
    key,
    value,
    before,
    after,
    mask=None,
    pair_mask=None,
    bias=None,
    scale=None,
    dropout_rate=0.0,
    seed=None,
    return_scores=False,
    flash_attention=None,
):
    """Lets query t read the positions `t - before` to `t + after`.

        logits[n, t, s] = scale * query[t, n] . key[s, n]
                          + bias[n, s - t + before]
        output[t, n]    = sum_s softmax_s(logits[n, t])[s] * value[s, n]

    with s in the window of t (Beltagy et al., 2020, section 3.1). In time and
    memory O(T x window), forward and backward, unless scores are asked for.
    A row with nothing to read gives zeros. There are three ways with one
    result: one product of all pairs, for short sequences; tiles of the pairs
    around the diagonal, in a compiled loop; and the blocks of `bands`.

    Args:
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)` with N a multiple of K.
        value: `(B, S, K, Hv)`.
        before: How many earlier positions a query reads, an int.
        after: How many later ones; 0 is causal.
        mask: Booleans that broadcast to `(B, N, T, S)`, True = may be read.
        pair_mask: Another such mask. In bands the two are never joined
            outside of a window, and no axis of size 1 is repeated, so pass
            `(B, 1, 1, S)` and `(1, 1, T, S)` apart.
        bias: `(N, before + 1 + after)`, added to the logits by offset.
        scale: Factor of the products, `H ** -0.5` if None.
        dropout_rate: Share of scores dropped; 0 outside training.
        seed: Where dropout draws from.
        return_scores: Whether the scores are asked for.
        flash_attention: As of `dot_product_attention`.

    Returns:
        Output `(B, T, N, Hv)`, and scores `(B, N, T, S)` (before dropout)
        or None, both in the dtype of `value`.

    Raises:
        ValueError: A shape is not as above, sizes do not fit each other, or
            `before` or `after` is no whole number of at least 0.

    Examples:
        >>> from keras import ops
        >>> from keras_attention.ops import sliding_window_attention
        >>> x = ops.ones((1, 6, 1, 4))
        >>> _, scores = sliding_window_attention(
        ...     x, x, x, before=1, after=0, return_scores=True
        ... )
        >>> ops.convert_to_numpy(scores)[0, 0, 3].round(1).tolist()
        [0.0, 0.0, 0.5, 0.5, 0.0, 0.0]
    """
    check_heads(query, key, value)
    checks.non_negative_int(before, "before")
    checks.non_negative_int(after, "after")
    if bias is not None:
        checks.shapes(query=(query, "BTNH"), bias=(bias, "NW"))
        if bias.shape[1] != before + 1 + after:
            raise ValueError(
                "`bias` must have one column per offset of the window: before "
                f"+ 1 + after = {before + 1 + after}. Received: shape "
                f"{tuple(bias.shape)}."
            )
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    band = Band(before, after)
    length, key_length = ops.shape(query)[1], ops.shape(key)[1]

    def attend(query, key, value, mask, offset):
        return dot_product_attention(
            query,
            key,
            value,
            mask,
            bias=None if bias is None else _by_offset(bias, offset + before),
            scale=scale,
            dropout_rate=dropout_rate,
            seed=seed,
            return_scores=return_scores,
            flash_attention=flash_attention,
        )

    if return_scores or band.is_short(length, key_length):
        inside = window_mask(length, key_length, before, after)
        mask = both(both(mask, pair_mask), inside[None, None])
        return attend(query, key, value, mask, distance(length, key_length))
    masks = [x for x in (mask, pair_mask) if x is not None]
    if (
        bias is None
        and not dropout_rate
        and not has_fused_kernel(query, value, flash_attention)
        and _tiles_are_better(query, key, band, masks)
    ):
        in_tiles = tiled_attention
        if is_traced_by_tensorflow(query) and not known(length, key_length):
            in_tiles = attention_of_unknown_length
        mask = both(mask, pair_mask)
        arguments = (query, key, value, mask, False, None, scale)
        return in_tiles(*arguments, window=(before, after)), None

    def attend_block(query, key, value, mask):
        return attend(query, key, value, mask, band.offset)[0]

    output = banded_attention(
        attend_block, query, key, value, before, after, masks
    )
    return output, None


def _tiles_are_better(query, key, band, masks):
    """Whether a loop over tiles is better than blocks all at once.

    Tiles keep no scores for the gradient and stay in a CPU's cache. They need
    a compiled loop, and one mask of all pairs.
    """
    if band.is_wide() and not known(query.shape[1], key.shape[1]):
        return True  # one block could be much more than the whole sequence
    return is_traced(query) and not on_accelerator() and len(masks) < 2


def _by_offset(table, index):
    """`(1, N, ...)` of a table `(N, W)`; beyond its ends, what is there."""
    index = ops.minimum(ops.maximum(index, 0), table.shape[1] - 1)
    # Along axis 0, since torch's exporter to ONNX mistakes the other.
    bias = ops.take(ops.transpose(table), index, axis=0)  # (..., N)
    return ops.moveaxis(bias, -1, 0)[None]
