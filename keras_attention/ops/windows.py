"""Attention that reads a window of the source around a position.

Two ways with one result, each built on an attention given as a function:

- `whole_attention` computes all pairs and masks those outside of a window:
  the fastest while a source is not much longer than a window;
- `gathered_attention`, for windows anywhere: each query gathers its own, in
  time and memory O(T x window).

For windows around t itself there is a third, `bands.banded_attention`.
"""

from keras import ops

from keras_attention.ops.masks import both


def source_length(mask):
    """Where each source ends: its last readable position + 1.

    Args:
        mask: `(B, S)` booleans.

    Returns:
        `(B,)` int32; 0 where nothing may be read.
    """
    ends = ops.arange(1, ops.shape(mask)[1] + 1, dtype="int32")
    return ops.max(ends * ops.cast(mask, "int32"), axis=-1)


def gaussian(distance, window):
    """`exp(-distance^2 / (2 sigma^2))` with `sigma = window / 2`."""
    return ops.exp(-2.0 * ops.square(distance / window))


def whole_attention(
    attend,
    query,
    key,
    value,
    positions,
    window,
    source_mask=None,
    pair_mask=None,
    causal=False,
):
    """Reads windows by masking all pairs. Arguments of `gathered_attention`.

    Returns:
        Output `(B, T, ...)` and scores `(B, T, S)` or None, as `attend`
        returned them.
    """
    columns = ops.arange(ops.shape(key)[1], dtype="int32")[None, None]
    mask, distance = _window(columns, positions, window, causal)
    if source_mask is not None:
        source_mask = source_mask[:, None]
    mask = both(both(mask, source_mask), pair_mask)
    return attend(query, key, value, mask, distance)


def gathered_attention(
    attend,
    query,
    key,
    value,
    positions,
    window,
    source_mask=None,
    pair_mask=None,
    causal=False,
    return_scores=False,
):
    """Lets query t read the positions s with `|s - positions[t]| <= window`.

    No work depends on the length of the source, unless scores are asked for
    or a gradient flows back to `key` and `value`, which has their size.

    Args:
        attend: `attend(query, key, value, mask, distance) -> (output,
            scores)`, an attention called with `(B', 1, ...)`, `(B', W, ...)`,
            `(B', W, ...)`, booleans and floats `s - position`
            `(B', 1, W)`; returns `(B', 1, ...)` and `(B', 1, W)`. B' counts
            the queries of all examples, W is the size of a window.
        query: `(B, T, ...)`.
        key: `(B, S, ...)`.
        value: `(B, S, ...)`.
        positions: `(B, T)` floats, any real numbers.
        window: How far a window reaches to either side, an int.
        source_mask: `(B, S)` booleans, True = may be read.
        pair_mask: `(B or 1, T or 1, S)` booleans.
        causal: Whether query t reads positions 0 to t only.
        return_scores: Whether to spread the scores to `(B, T, S)`.

    Returns:
        Output `(B, T, ...)`, and scores `(B, T, S)` or None.
    """
    length = ops.shape(key)[1]
    columns = window_columns(positions, window, length)  # (B, T, W)
    mask, distance = _window(columns, positions, window, causal)
    size = ops.shape(columns)
    if source_mask is not None:
        readable = ops.reshape(take_windows(source_mask, columns), size)
        mask = ops.logical_and(mask, readable)
    if pair_mask is not None:
        readable = ops.take_along_axis(pair_mask, columns, axis=-1)
        mask = ops.logical_and(mask, readable)
    output, scores = attend(
        ops.reshape(query, (-1, 1, *query.shape[2:])),
        take_windows(key, columns),
        take_windows(value, columns),
        ops.reshape(mask, (-1, 1, size[2])),
        ops.reshape(distance, (-1, 1, size[2])),
    )
    output = ops.reshape(output, (-1, size[1], *output.shape[2:]))
    if not return_scores:
        return output, None
    scores = ops.reshape(scores, size)
    return output, spread_windows(scores, columns, length)


def _window(columns, positions, window, causal):
    """Which columns are in a window, and how far from its center.

    Args:
        columns: `(B, T, W)` ints, or axes of 1.
        positions: `(B, T)` floats.
        window: How far a window reaches to either side.
        causal: Whether query t reads positions 0 to t only.
    """
    distance = ops.cast(columns, positions.dtype) - positions[:, :, None]
    mask = ops.abs(distance) <= window
    if causal:
        rows = ops.arange(ops.shape(positions)[1], dtype="int32")
        mask = ops.logical_and(mask, columns <= rows[:, None])
    return mask, distance


def window_columns(positions, window, length):
    """The positions s that can lie in `|s - p| <= window`, for every p.

    Args:
        positions: `(B, T)` floats p; any real numbers.
        window: How far a window reaches to either side, an int.
        length: S, the size of the source.

    Returns:
        `(B, T, W)` int32, W = min(2 * window + 1, S): consecutive numbers in
        [0, S). They hold every position of the window that exists; some may
        lie outside of it, so compare distances before reading.
    """
    width = 2 * window + 1
    if isinstance(length, int):
        width = min(width, length)
    else:
        width = ops.minimum(width, length)
    first = ops.cast(ops.ceil(positions - window), "int32")
    first = ops.maximum(ops.minimum(first, length - width), 0)
    return first[:, :, None] + ops.arange(width, dtype="int32")


def take_windows(x, columns):
    """Gathers each query's window as a batch entry of its own.

    The work depends on the columns alone, not on the length of the source.

    Args:
        x: `(B, S, ...)`.
        columns: `(B, T, W)` int32, in [0, S).

    Returns:
        `(B * T, W, ...)`.
    """
    batch, length = ops.shape(x)[:2]
    flat = ops.reshape(x, (-1, *x.shape[2:]))
    sources = ops.arange(batch, dtype="int32") * length
    rows = sources[:, None, None] + columns
    return ops.take(
        flat, ops.reshape(rows, (-1, ops.shape(columns)[2])), axis=0
    )


def spread_windows(scores, columns, length):
    """Puts the scores of windows back in their places.

    Args:
        scores: `(B, T, W)`.
        columns: `(B, T, W)` consecutive positions, as of `window_columns`.
        length: S.

    Returns:
        `(B, T, S)`, 0 outside the windows.
    """
    width = ops.shape(columns)[2]
    place = ops.arange(length, dtype="int32") - columns[:, :, :1]
    inside = ops.logical_and(place >= 0, place < width)
    place = ops.maximum(ops.minimum(place, width - 1), 0)
    return ops.where(inside, ops.take_along_axis(scores, place, axis=-1), 0.0)
