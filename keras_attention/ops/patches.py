import math

from keras import ops


def patches(grid, sizes, overlaps):
    """Cuts a grid into flattened patches, side by side or overlapping.

    Patch i of an axis with patches of size P and overlap o holds the entries
    iP - o to iP + P + o - 1; those outside the grid are zeros.

    Args:
        grid: `(B, *lengths, c)`.
        sizes: P of each axis.
        overlaps: o of each axis.

    Returns:
        `(B, *counts, n)` with `counts = lengths // sizes`. The n numbers of a
        patch are in row-major order, channels last: that of a convolution's
        kernel, the axis of filters left out. What is left of an axis beyond
        its last patch belongs to none, as in a convolution without padding.
    """
    for i, (size, overlap) in enumerate(zip(sizes, overlaps, strict=True)):
        grid = _windows(grid, 2 * i + 1, size, overlap)
    # (B, count, window, count, window, ..., c): counts first.
    axes = range(1, 2 * len(sizes), 2)
    order = (0, *axes, *(axis + 1 for axis in axes), 2 * len(sizes) + 1)
    grid = ops.transpose(grid, order)
    shape = ops.shape(grid)
    numbers = math.prod(shape[len(sizes) + 1 :])
    return ops.reshape(grid, (*shape[: len(sizes) + 1], numbers))


def _windows(grid, axis, size, overlap):
    """`(..., length, ...)` to `(..., count, size + 2 overlap, ...)`."""
    length = ops.shape(grid)[axis]
    count = length // size
    # A window reaches into this many tiles after its first.
    more = math.ceil(2 * overlap / size)
    if overlap:
        padding = [(0, 0)] * len(grid.shape)
        padding[axis] = (overlap, more * size - overlap)
        grid = ops.pad(grid, padding)
    grid = _span(grid, axis, 0, (count + more) * size)
    shape = ops.shape(grid)
    shape = (*shape[:axis], count + more, size, *shape[axis + 1 :])
    tiles = ops.reshape(grid, shape)
    if not overlap:
        return tiles
    shifted = [_span(tiles, axis, i, i + count) for i in range(more + 1)]
    windows = ops.concatenate(shifted, axis=axis + 1)
    return _span(windows, axis + 1, 0, size + 2 * overlap)


def _span(tensor, axis, start, stop):
    """Entries `start` to `stop - 1` of an axis."""
    return tensor[(slice(None),) * axis + (slice(start, stop),)]
