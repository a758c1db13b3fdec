"""Additive attention in blocks on torch, in place.

The same mathematics as `ops.additive`, which has it commented. An eager loop
pays for every new tensor, so the pairs of a block live in one buffer here.
(`once_differentiable` hides from pyright what a `backward` takes.)
"""

import torch

from keras_attention.ops.additive import EXTREME, block_rows


def blocked_logits(query, key, vector):
    return _Logits.apply(query, key, vector)


def blocked_read(query, key, vector, value, mask=None):
    return _Read.apply(query, key, vector, value, mask)


class _Pairs:
    """`1 / (1 + exp(2 (q + k)))` of one block at a time, in a buffer."""

    def __init__(self, query, key):
        self.rows = block_rows(query.shape[1], *key.shape[1:])
        self.query, self.key = query, key
        self.extreme = max(query.abs().max(), key.abs().max()) > EXTREME
        if not self.extreme:
            self.query, self.key = (query * 2).exp(), (key * 2).exp()
        self.buffer = query.new_empty(self.rows, *key.shape[1:])
        self.spare = torch.empty_like(self.buffer)

    def blocks(self):
        """Example, first and last query of each block."""
        for b in range(self.query.shape[0]):
            for start in range(0, self.query.shape[1], self.rows):
                yield b, start, min(start + self.rows, self.query.shape[1])

    def compute(self, b, start, stop):
        """The block, `(rows, S, U)`, in the buffer."""
        out = self.buffer[: stop - start]
        query, key = self.query[b, start:stop, None], self.key[b]
        if self.extreme:
            torch.add(query, key, out=out)
            return out.mul_(-2).sigmoid_()
        torch.mul(query, key, out=out)
        return out.add_(1).reciprocal_()

    def logits(self, reciprocals, vector):
        product = reciprocals.view(-1, vector.shape[0]) @ vector
        product = product.view(reciprocals.shape[:2])
        return product.mul_(-2).add_(vector.sum())

    def add_gradients(self, block, gradient, reciprocals, sums):
        """Adds a block's share; the factor 4 v is left to `finish`."""
        b, start, stop = block
        by_query, by_key, by_vector = sums
        flat = reciprocals.view(-1, by_vector.shape[0])
        by_vector.addmv_(flat.T, gradient.reshape(-1), alpha=-2)
        by_vector.add_(gradient.sum())
        slope = self.spare[: stop - start]
        torch.mul(reciprocals, reciprocals, out=slope)
        torch.sub(reciprocals, slope, out=slope)
        by_query[b, start:stop] = torch.bmm(gradient[:, None], slope)[:, 0]
        if stop - start == 1:
            by_key[b].addcmul_(gradient[0][:, None], slope[0])
        else:
            slope = slope.transpose(0, 1)  # (S, rows, U)
            by_key[b] += torch.bmm(gradient.T[:, None], slope)[:, 0]


def _zero_sums(query, key, vector):
    return (
        torch.empty_like(query),
        torch.zeros_like(key),
        torch.zeros_like(vector),
    )


def _finish(sums, vector):
    by_query, by_key, by_vector = sums
    return by_query.mul_(4 * vector), by_key.mul_(4 * vector), by_vector


class _Logits(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, vector):
        ctx.save_for_backward(query, key, vector)
        pairs = _Pairs(query, key)
        logits = query.new_empty(*query.shape[:2], key.shape[1])
        for b, start, stop in pairs.blocks():
            reciprocals = pairs.compute(b, start, stop)
            logits[b, start:stop] = pairs.logits(reciprocals, vector)
        return logits

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream):  # pyright: ignore
        query, key, vector = ctx.saved_tensors
        pairs = _Pairs(query, key)
        sums = _zero_sums(query, key, vector)
        for b, start, stop in pairs.blocks():
            pairs.add_gradients(
                (b, start, stop),
                upstream[b, start:stop],
                pairs.compute(b, start, stop),
                sums,
            )
        return _finish(sums, vector)


class _Read(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, vector, value, mask):
        pairs = _Pairs(query, key)
        output = query.new_empty(*query.shape[:2], value.shape[-1])
        normalizer = query.new_empty(*query.shape[:2], 1)
        mask = _expanded(mask, query, key)
        for b, start, stop in pairs.blocks():
            logits = pairs.logits(pairs.compute(b, start, stop), vector)
            if mask is not None:
                logits.masked_fill_(~mask[b, start:stop], float("-inf"))
            total = torch.logsumexp(logits, -1, keepdim=True)
            # A row with nothing to read has no finite sum; any will do.
            total.masked_fill_(torch.isinf(total), 0.0)
            normalizer[b, start:stop] = total
            output[b, start:stop] = logits.sub_(total).exp_() @ value[b]
        ctx.save_for_backward(
            query, key, vector, value, mask, output, normalizer
        )
        return output

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream):  # pyright: ignore
        query, key, vector, value, mask, output, normalizer = ctx.saved_tensors
        pairs = _Pairs(query, key)
        sums = _zero_sums(query, key, vector)
        by_value = torch.zeros_like(value)
        shared = (upstream * output).sum(-1, keepdim=True)
        for b, start, stop in pairs.blocks():
            reciprocals = pairs.compute(b, start, stop)
            logits = pairs.logits(reciprocals, vector)
            if mask is not None:
                logits.masked_fill_(~mask[b, start:stop], float("-inf"))
            scores = logits.sub_(normalizer[b, start:stop]).exp_()
            given = upstream[b, start:stop]
            by_value[b].addmm_(scores.T, given)
            gradient = torch.mm(given, value[b].T).sub_(shared[b, start:stop])
            gradient.mul_(scores)
            pairs.add_gradients((b, start, stop), gradient, reciprocals, sums)
        return *_finish(sums, vector), by_value, None


def _expanded(mask, query, key):
    if mask is None:
        return None
    return mask.expand(*query.shape[:2], key.shape[1])
