"""Attention within a band around the diagonal, in blocks of queries.

Blocks of neighboring queries share one slab of keys, cut out by reshapes
alone, so time and memory are O(T x window), forward and backward.
"""

import numpy as np
from keras import ops

from keras_attention.ops.blocks import num_blocks, pad_blocks
from keras_attention.ops.checks import known

# The most logits per head that a sequence of unknown length may cost, however
# short it is.
LOGITS_OF_A_BLOCK = 512 * 512


class Band:
    """Which pairs of a block of queries and its slab of keys are read.

    Query t reads the positions `t - before` to `t + after`. Block i holds the
    queries from `i * block` on, its slab the positions from
    `i * block - before` on.

    Args:
        before: How many earlier positions a query reads, an int.
        after: How many later ones; 0 is causal.
    """

    def __init__(self, before, after):
        self.before, self.after = before, after
        # Smaller blocks waste less of a slab, larger ones make larger
        # products and copy a key into fewer slabs.
        reach = max(before, after)
        self.block = max(16, min(reach, 128), reach // 4)  # C
        self.slab = before + self.block + after  # L
        rows = np.arange(self.block)[:, None]
        #: `(C, L)`, s - t of each pair.
        self.offset = np.arange(self.slab) - before - rows
        #: `(C, L)`, True within the band.
        self.inside = (-before <= self.offset) & (self.offset <= after)

    def is_short(self, length, key_length):
        """Whether all pairs at once are no more than the slabs hold."""
        if not known(length, key_length):
            return False
        held = num_blocks(length, self.block) * self.block * self.slab
        return length * key_length <= held

    def is_wide(self):
        """Whether one block is too much for a sequence that may be short."""
        return self.block * self.slab > LOGITS_OF_A_BLOCK

    def blocks(self, x):
        """`(B, T, ...)` to `(B * number of blocks, C, ...)`."""
        x = pad_blocks(x, 1, self.block)
        return ops.reshape(x, (-1, self.block, *x.shape[2:]))

    def slabs(self, x, length):
        """`(B, S, ...)` to `(B * number of blocks, L, ...)`.

        Args:
            x: What is not there is zeros, or False.
            length: T, of the queries.
        """
        count, block = num_blocks(length, self.block), self.block
        pieces = num_blocks(self.slab, block)
        features = tuple(x.shape[2:])
        x = _fit(x, self.before, (count + pieces - 1) * block)
        x = ops.reshape(x, (-1, count + pieces - 1, block, *features))
        last = self.slab - (pieces - 1) * block
        views = [x[:, i : i + count] for i in range(pieces)]
        views[-1] = views[-1][:, :, :last]
        slabs = ops.concatenate(views, axis=2)  # (B, number of blocks, L, ...)
        return ops.reshape(slabs, (-1, self.slab, *features))

    def pairs(self, x, length):
        """`(B, N, T, S)` to `(B, N, number of blocks * C, L)`.

        Axes of size 1 stay so, but for those of T and S. What is not there is
        taken from elsewhere: mask it.
        """
        rows = ops.arange(0, length, dtype="int32")
        first = rows // self.block * self.block - self.before
        columns = first[:, None] + ops.arange(0, self.slab, dtype="int32")
        columns = ops.minimum(columns, ops.shape(x)[3] - 1)
        columns = ops.maximum(columns, 0)[None, None]  # (1, 1, T, L)
        x = ops.take_along_axis(x, columns, axis=-1)
        return pad_blocks(x, 2, self.block)


def banded_attention(
    attend,
    query,
    key,
    value,
    before,
    after,
    masks=(),
):
    """Lets query t read the positions `t - before` to `t + after`.

    Args:
        attend: `attend(query, key, value, mask) -> output`, an attention
            called with `(B', C, ...)`, `(B', L, ...)`, `(B', L, ...)` and
            booleans `(B', N or 1, C, L)`; returns `(B', C, ...)`. B' counts
            the blocks of all examples, C is the size of a block, L of a slab.
        query: `(B, T, ...)`.
        key: `(B, S, ...)`.
        value: `(B, S, ...)`.
        before: How many earlier positions a query reads.
        after: How many later ones; 0 is causal.
        masks: Booleans that broadcast to `(B, N, T, S)`, True = may be read.
            Each is cut into blocks by itself, its axes of size 1 as they are.

    Returns:
        `(B, T, ...)`.
    """
    band = Band(before, after)
    length = ops.shape(query)[1]
    # What is beyond the ends is not there, so there always is a mask.
    there = ops.ones((1, ops.shape(key)[1]), "bool")
    there = band.slabs(there, length)[None, :, None, None]
    mask = ops.logical_and(band.inside, there)  # (1, blocks, 1, C, L)
    for given in masks:  # (B or 1, blocks, N or 1, C, L)
        mask = ops.logical_and(mask, _mask_slabs(given, band, key, length))
    batch = ops.shape(query)[0]
    count = num_blocks(length, band.block)
    mask = ops.broadcast_to(mask, (batch, count, *mask.shape[2:]))
    mask = ops.reshape(mask, (-1, *mask.shape[2:]))
    output = attend(
        band.blocks(query),
        band.slabs(key, length),
        band.slabs(value, length),
        mask,
    )
    features = tuple(output.shape[2:])
    output = ops.reshape(output, (-1, count * band.block, *features))
    return output[:, :length]


def _mask_slabs(mask, band, key, length):
    """`(B or 1, N or 1, T or 1, S or 1)` to `(., number of blocks, ., C, L)`,
    with C = 1 if the mask is the same for all queries."""
    count = num_blocks(length, band.block)
    if mask.shape[1:3] == (1, 1):
        sources = (ops.shape(mask)[0], ops.shape(key)[1])
        sources = ops.broadcast_to(mask[:, 0, 0], sources)
        slabs = band.slabs(sources, length)
        return ops.reshape(slabs, (-1, count, 1, 1, band.slab))
    pairs = band.pairs(mask, length)
    pairs = ops.reshape(pairs, (-1, mask.shape[1], count, *band.inside.shape))
    return ops.transpose(pairs, (0, 2, 1, 3, 4))


def _fit(x, before, length):
    """`(B, before zeros, S, ...)`, its end cut or padded to a length."""
    # Sizes that are unknown cannot be compared: a whole length is enough.
    missing = length
    if known(x.shape[1], length):
        missing = max(length - before - x.shape[1], 0)
    padding = [(0, 0)] * len(x.shape)
    padding[1] = (before, missing)
    return ops.pad(x, padding)[:, :length]
