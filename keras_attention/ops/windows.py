"""Attention that reads a window of the source around a position.

A source is a sequence, or a grid that is flattened row by row. Its `shape`
has a size for each of its A axes, and a window reaches as far on every axis.

Two ways with one result, each built on an attention given as a function:

- `whole_attention` computes all pairs and masks those outside of a window:
  the fastest while a source is not much longer than a window;
- `gathered_attention`, for windows anywhere: each query gathers its own, in
  time and memory O(T x window).

For windows around t itself there is a third, `bands.banded_attention`.
"""

import math

from keras import ops

from keras_attention.ops.masks import both


def source_length(mask):
    """Where each source ends: its last readable position + 1.

    Args:
        mask: `(B, S)` booleans.

    Returns:
        `(B,)` int32; 0 where nothing may be read.
    """
    return source_lengths(mask, (ops.shape(mask)[1],))[:, 0]


def source_lengths(mask, shape):
    """Where each source ends on each axis: its last readable place + 1.

    Args:
        mask: `(B, S)` booleans.
        shape: Sizes of the source's axes.

    Returns:
        `(B, A)` int32; 0 where nothing may be read.
    """
    grid = ops.reshape(ops.cast(mask, "int32"), (-1, *shape))
    lengths = []
    for axis, size in enumerate(shape, start=1):
        ends = ops.arange(1, size + 1, dtype="int32")
        ends = ops.reshape(ends, (-1, *[1] * (len(shape) - axis)))
        places = tuple(range(1, len(shape) + 1))
        lengths.append(ops.max(grid * ends, axis=places))
    return ops.stack(lengths, axis=-1)


def gaussian(square, window):
    """`exp(-distance^2 / (2 sigma^2))` with `sigma = window / 2`.

    Args:
        square: Squared distances; over axes, their sum.
        window: How far the window reaches to either side.
    """
    return ops.exp(-2.0 / window**2 * square)


def whole_attention(
    attend,
    query,
    key,
    value,
    positions,
    window,
    shape,
    source_mask=None,
    pair_mask=None,
    causal=False,
):
    """Reads windows by masking all pairs. Arguments of `gathered_attention`.

    Returns:
        Output `(B, T, ...)` and scores `(B, T, S)` or None, as `attend`
        returned them.
    """
    axes = [ops.arange(0, size, dtype="int32")[None, None] for size in shape]
    mask, square = _window(axes, positions, window, shape, causal)
    if source_mask is not None:
        source_mask = source_mask[:, None]
    mask = both(both(mask, source_mask), pair_mask)
    return attend(query, key, value, mask, square)


def gathered_attention(
    attend,
    query,
    key,
    value,
    positions,
    window,
    shape,
    source_mask=None,
    pair_mask=None,
    causal=False,
    return_scores=False,
):
    """Lets query t read the places within `window` of `positions[t]`.

    No work depends on the size of the source, unless scores are asked for
    or a gradient flows back to `key` and `value`, which has their size.

    Args:
        attend: `attend(query, key, value, mask, square) -> (output, scores)`,
            an attention called with `(B', 1, ...)`, `(B', W, ...)`,
            `(B', W, ...)`, booleans and squared distances to the position
            `(B', 1, W)`; returns `(B', 1, ...)` and `(B', 1, W)`. B' counts
            the queries of all examples, W is the size of a window.
        query: `(B, T, ...)`.
        key: `(B, S, ...)`.
        value: `(B, S, ...)`.
        positions: `(B, T, A)` floats, any real numbers.
        window: How far a window reaches to either side, an int.
        shape: Sizes of the source's axes; their product is S.
        source_mask: `(B, S)` booleans, True = may be read.
        pair_mask: `(B or 1, T or 1, S)` booleans.
        causal: Whether query t reads positions 0 to t only.
        return_scores: Whether to spread the scores to `(B, T, S)`.

    Returns:
        Output `(B, T, ...)`, and scores `(B, T, S)` or None.
    """
    axes = window_axes(positions, window, shape)
    columns = flat_columns(axes, shape)  # (B, T, W)
    mask, square = _window(axes, positions, window, shape, causal)
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
        ops.reshape(square, (-1, 1, size[2])),
    )
    output = ops.reshape(output, (-1, size[1], *output.shape[2:]))
    if not return_scores:
        return output, None
    return output, spread_windows(ops.reshape(scores, size), axes, shape)


def _window(axes, positions, window, shape, causal):
    """Which places are in a window, and how far from its center.

    Args:
        axes: `(B, T, W_a)` ints for each axis, or leading axes of 1.
        positions: `(B, T, A)` floats.
        window: How far a window reaches to either side.
        shape: Sizes of the source's axes.
        causal: Whether query t reads positions 0 to t only.

    Returns:
        Booleans and squared distances `(B, T, W)`.
    """
    distances = [
        ops.cast(places, positions.dtype) - positions[:, :, axis, None]
        for axis, places in enumerate(axes)
    ]
    mask = _cross([ops.abs(x) <= window for x in distances], ops.logical_and)
    if causal:
        rows = ops.arange(0, ops.shape(positions)[1], dtype="int32")
        columns = flat_columns(axes, shape)
        mask = ops.logical_and(mask, columns <= rows[:, None])
    return mask, _cross([ops.square(x) for x in distances], ops.add)


def _cross(axes, combine):
    """Joins what each axis says of its places to what is said of all pairs.

    Args:
        axes: `(B, T, W_a)` for each axis.
        combine: Takes two tensors.

    Returns:
        `(B, T, W)`, W the product of the W_a, the last axis the fastest.
    """
    first, *others = axes
    for other in others:
        pairs = combine(first[..., None], other[:, :, None])
        batch, length, *sizes = ops.shape(pairs)
        first = ops.reshape(pairs, (batch, length, math.prod(sizes)))
    return first


def window_axes(positions, window, shape):
    """The places that can lie within `window` of every position, by axis.

    Args:
        positions: `(B, T, A)` floats p; any real numbers.
        window: How far a window reaches to either side, an int.
        shape: Sizes of the source's axes.

    Returns:
        For each axis `(B, T, W_a)` int32, W_a = min(2 * window + 1, size):
        consecutive numbers in [0, size). They hold every place of the window
        that exists; some may lie outside of it, so compare distances before
        reading.
    """
    axes = []
    for axis, size in enumerate(shape):
        width = 2 * window + 1
        if isinstance(size, int):
            width = min(width, size)
        else:
            width = ops.minimum(width, size)
        first = ops.cast(ops.ceil(positions[..., axis] - window), "int32")
        first = ops.maximum(ops.minimum(first, size - width), 0)
        axes.append(first[:, :, None] + ops.arange(0, width, dtype="int32"))
    return axes


def flat_columns(axes, shape):
    """Where places of a grid lie once it is flattened: `(B, T, W)` ints.

    Args:
        axes: `(B, T, W_a)` ints for each axis, as of `window_axes`.
        shape: Sizes of the source's axes.
    """
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return _cross([x * n for x, n in zip(axes, strides, strict=True)], ops.add)


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
    sources = ops.arange(0, batch, dtype="int32") * length
    rows = sources[:, None, None] + columns
    return ops.take(
        flat, ops.reshape(rows, (-1, ops.shape(columns)[2])), axis=0
    )


def spread_windows(scores, axes, shape):
    """Puts the scores of windows back in their places.

    Args:
        scores: `(B, T, W)`.
        axes: `(B, T, W_a)` consecutive places, as of `window_axes`.
        shape: Sizes of the source's axes.

    Returns:
        `(B, T, S)`, 0 outside the windows.
    """
    widths = [ops.shape(places)[2] for places in axes]
    inside, nearest = [], []
    for places, width, size in zip(axes, widths, shape, strict=True):
        place = ops.arange(0, size, dtype="int32") - places[:, :, :1]
        inside.append(ops.logical_and(place >= 0, place < width))
        nearest.append(ops.maximum(ops.minimum(place, width - 1), 0))
    place = flat_columns(nearest, widths)  # (B, T, S)
    found = ops.take_along_axis(scores, place, axis=-1)
    return ops.where(_cross(inside, ops.logical_and), found, 0.0)
