"""How the tiles of attention are cut from what is added to its logits."""

from keras import ops

from keras_attention.ops import blocks
from keras_attention.ops.relative import diagonal_sums, toeplitz


class Pairs:
    """Of `(B, N, T, S)`, any axis of which may be 1: a bias or a mask.

    Args:
        queries: Number of queries in a tile.
        keys: Number of keys in a tile.
    """

    def __init__(self, queries, keys):
        self.sizes = (queries, keys)

    def pad(self, pairs):
        """In whole tiles, with zeros or False."""
        for axis, size in zip((2, 3), self.sizes, strict=True):
            if pairs.shape[axis] != 1:
                pairs = blocks.pad_blocks(pairs, axis, size)
        return pairs

    def unpad(self, gradient, length, key_length):
        return gradient[:, :, :length, :key_length]

    def head(self, pairs, b, n):
        """One head, `(T, S)`."""
        shape = ops.shape(pairs)
        sizes = (1, 1, *shape[2:])
        return blocks.take_block(pairs, (b, n, 0, 0), sizes)[0, 0]

    def tile(self, pairs, row, column):
        """One tile of a head; an axis of 1 stays so."""
        return blocks.take_block(pairs, (row, column), self.sizes)

    def add_tile(self, gradient, of_logits, row, column):
        return blocks.add_block(gradient, (row, column), of_logits)

    def add_head(self, gradient, of_head, b, n):
        return blocks.add_block(gradient, (b, n, 0, 0), of_head[None, None])


class Offsets:
    """Of a table by offset `(N, T + S - 1)`, as `ops.relative` has it.

    A tile expands the offsets it holds, and gives back the sums along its
    diagonals, so that no more than a tile of pairs is ever there.

    Args:
        queries: Number of queries in a tile.
        keys: Number of keys in a tile.
        length: T.
        key_length: S.
    """

    def __init__(self, queries, keys, length, key_length):
        self.queries, self.keys = queries, keys
        self.before = -length % queries
        self.after = -key_length % keys
        self.length = length + self.before

    def pad(self, table):
        return ops.pad(table, [(0, 0), (self.before, self.after)])

    def unpad(self, gradient, length, key_length):
        end = self.before + length + key_length - 1
        return gradient[:, self.before : end]

    def head(self, table, b, n):
        return ops.slice(table, (n, 0), (1, ops.shape(table)[1]))[0]

    def tile(self, table, row, column):
        size = self.queries + self.keys - 1
        offsets = ops.slice(table, (self._start(row, column),), (size,))
        return toeplitz(offsets, self.queries, self.keys)

    def _start(self, row, column):
        """Where the offsets of a tile start in the table."""
        return column - row + self.length - self.queries

    def add_tile(self, gradient, of_logits, row, column):
        sums = diagonal_sums(of_logits)
        return blocks.add_block(gradient, (self._start(row, column),), sums)

    def add_head(self, gradient, of_head, b, n):
        return blocks.add_block(gradient, (n, 0), of_head[None])
