import numpy as np
from keras import ops

from keras_attention.ops.masks import as_mask, both


class Folded:
    """Inputs of rank > 3 as sequences `(B', T, ...)`, and back.

    B' is the batch and every axis that is not attended over, T all the
    attended ones.
    """

    def __init__(self, query, value, axes):
        rank = len(query.shape)
        self.axes = axes
        self.free = tuple(i for i in range(1, rank - 1) if i not in axes)
        shape, value_shape = ops.shape(query), ops.shape(value)
        self.batch = tuple(shape[i] for i in (0, *self.free))
        self.lengths = tuple(shape[i] for i in axes)
        self.key_lengths = tuple(value_shape[i] for i in axes)
        self.order = (0, *self.free, *axes)

    def fold(self, tensor):
        """`(B, ..., *rest)` to `(B', T, *rest)`."""
        rest = tuple(range(len(self.order), len(tensor.shape)))
        tensor = ops.transpose(tensor, (*self.order, *rest))
        shape = ops.shape(tensor)
        length = _product(shape[1 + len(self.free) : len(self.order)])
        return ops.reshape(tensor, (-1, length, *shape[len(self.order) :]))

    def unfold(self, tensor):
        """`(B', T, *rest)` of a query back to `(B, ..., *rest)`."""
        rest = ops.shape(tensor)[2:]
        tensor = ops.reshape(tensor, (*self.batch, *self.lengths, *rest))
        last = tuple(range(len(self.order), len(self.order) + len(rest)))
        back = tuple(int(i) for i in np.argsort(self.order))
        return ops.transpose(tensor, (*back, *last))

    def unfold_scores(self, scores):
        """`(B', N, T, S)` to `(B, free axes, N, axes of T, axes of S)`."""
        if scores is None:
            return None
        shape = (*self.batch, scores.shape[1], *self.lengths)
        return ops.reshape(scores, (*shape, *self.key_lengths))

    def mask(self, query_mask, value_mask, key_mask):
        """`(B', 1, T, S)`-broadcastable from masks `(B, ...)`, or None."""
        mask = None
        for given, name, add in (
            (query_mask, "query_mask", (1, 3)),
            (value_mask, "value_mask", (1, 2)),
            (key_mask, "key_mask", (1, 2)),
        ):
            if given is None:
                continue
            given = as_mask(given, name)
            if len(given.shape) != len(self.order):
                raise ValueError(
                    f"`{name}` must have every axis of its tensor but the "
                    f"last, {len(self.order)} axes. "
                    f"Received: shape {tuple(given.shape)}."
                )
            given = ops.expand_dims(self.fold(given), add)
            mask = both(mask, given)
        return mask

    def attention_mask(self, mask, num_heads):
        """`(B', N or 1, T, S)` from `(..., axes of T, axes of S)`."""
        if mask is None:
            return None
        mask = as_mask(mask, "attention_mask")
        positions = 2 * len(self.axes)
        rank = len(self.batch) + 1 + positions
        if not positions <= len(mask.shape) <= rank:
            raise ValueError(
                f"`attention_mask` must have {positions} to {rank} axes, the "
                "last ones those attended over, first of the query and then "
                f"of the value. Received: shape {tuple(mask.shape)}."
            )
        while len(mask.shape) < rank:
            mask = ops.expand_dims(mask, -positions - 1)
        heads = 1 if mask.shape[-positions - 1] == 1 else num_heads
        shape = (*self.batch, heads, *self.lengths, *self.key_lengths)
        mask = ops.broadcast_to(mask, shape)
        lengths = (_product(self.lengths), _product(self.key_lengths))
        return ops.reshape(mask, (-1, heads, *lengths))


def _product(sizes):
    """The product of ints or scalar tensors."""
    product = 1
    for size in sizes:
        product = product * size
    return product
