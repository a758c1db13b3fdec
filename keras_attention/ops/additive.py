import functools
import math

import keras
from keras import ops

from keras_attention.ops import checks
from keras_attention.ops.attention import attend
from keras_attention.ops.blocks import (
    add_block,
    chosen_when_run,
    is_traced_by_tensorflow,
    num_blocks,
    pad_blocks,
    put_block,
    take_block,
    with_gradient,
)
from keras_attention.ops.softmax import masked_softmax, wide_dtype

# Pairs of up to this many numbers are held at once: below it one product is
# as light as a block would be, and faster.
PAIRS_AT_ONCE = 2**20

# Beyond this exp(2 x) of a float32 is of no use to `reciprocals`.
EXTREME = 20.0


def additive_attention(
    query,
    key,
    value,
    score_vector,
    mask=None,
    return_scores=False,
    dropout_rate=0.0,
    seed=None,
):
    """Reads values by a small score network over projected pairs.

        logits[t, s] = score_vector . tanh(query[t] + key[s])
        output[t]    = sum_s softmax_s(logits[t])[s] * value[s]

    Bahdanau et al., 2015, appendix A.1.2, after the projections. The
    `(B, T, S, U)` tensor of all pairs is never held: it is computed in blocks
    of queries, and again for the gradient. Without scores or dropout the
    `(B, T, S)` logits are not held either.

    Args:
        query: `(B, T, U)`, projected.
        key: `(B, S, U)`, projected.
        value: `(B, S, V)`.
        score_vector: `(U,)`.
        mask: Booleans that broadcast to `(B, T, S)`, True = may be read.
        return_scores: Whether the scores are asked for.
        dropout_rate: Share of scores dropped; 0 outside training.
        seed: Where dropout draws from.

    Returns:
        Output `(B, T, V)`, and scores `(B, T, S)` (before dropout) or None,
        both in the dtype of `value`.

    Raises:
        ValueError: A shape is not as above, or sizes do not fit each other.

    Examples:
        >>> from keras import ops
        >>> from keras_attention.ops import additive_attention
        >>> query, memory = ops.zeros((2, 3, 8)), ops.ones((2, 5, 8))
        >>> read, scores = additive_attention(
        ...     query, memory, memory, ops.ones(8), return_scores=True
        ... )
        >>> tuple(read.shape), tuple(scores.shape)
        ((2, 3, 8), (2, 3, 5))
    """
    checks.shapes(
        query=(query, "BTU"),
        key=(key, "BSU"),
        value=(value, "BSV"),
        score_vector=(score_vector, "U"),
    )
    if return_scores or dropout_rate:
        logits = additive_logits(query, key, score_vector)
        output, scores = attend(logits, value, mask, dropout_rate, seed)
        return output, scores if return_scores else None
    output = _by_size(
        functools.partial(_ReadBlocks, mask=mask),
        functools.partial(_read, mask),
        lambda output: (output, ops.zeros_like(output[..., :1])),
        *_wide(query, key, score_vector, value),
    )
    return ops.cast(output, value.dtype), None


def additive_logits(query, key, score_vector):
    """`score_vector . tanh(query[t] + key[s])` of every pair.

    Args:
        query: `(B, T, U)`, projected.
        key: `(B, S, U)`, projected.
        score_vector: `(U,)`.

    Returns:
        `(B, T, S)`, float32 or wider.
    """
    return _by_size(
        _LogitBlocks,
        _logits,
        lambda output: (),
        *_wide(query, key, score_vector),
    )


def _wide(query, *others):
    wide = wide_dtype(query.dtype)
    return [ops.cast(x, wide) for x in (query, *others)]


def _logits(query, key, vector):
    if query.shape[1] == 1:
        return _step_logits(query, key, vector)
    return _pair_logits(query, key, vector)


def _pair_logits(query, key, vector):
    pairs = ops.tanh(query[:, :, None] + key[:, None])  # (B, T, S, U)
    return ops.matmul(pairs, vector)


def _step_logits(query, key, vector):
    """`_logits` of one query each, of which no pair is kept for the gradient.

    A decoder's loop would keep the pairs of all its steps: `(T, B, S, U)`.
    """
    if keras.backend.backend() == "torch":  # keeping is faster than eager ops
        return _pair_logits(query, key, vector)

    def forward(query, key, vector):
        return _pair_logits(query, key, vector), ()

    def backward(inputs, saved, upstream):
        query, key, vector = inputs
        pairs = ops.tanh(query + key)  # (B, S, U)
        weights = upstream[:, 0, :, None]  # (B, S, 1)
        slope = (1 - pairs * pairs) * vector * weights
        return (
            ops.sum(slope, axis=1, keepdims=True),
            slope,
            ops.sum(pairs * weights, axis=(0, 1)),
        )

    return with_gradient(forward, backward)(query, key, vector)


def _read(mask, query, key, vector, value):
    scores = masked_softmax(_logits(query, key, vector), mask)
    return ops.matmul(scores, value)


def _by_size(make_blocks, plain, saved_of, query, key, *rest):
    """Goes by blocks for many pairs and calls `plain` for few."""
    arguments = (query, key, *rest)
    sizes = (*query.shape, key.shape[1])
    if checks.known(*sizes):
        if sizes[1] == 1 or math.prod(sizes) <= PAIRS_AT_ONCE:
            return plain(*arguments)
        return _blocked(make_blocks(query, key), arguments)
    if query.shape[1] == 1 or not is_traced_by_tensorflow(query):
        return plain(*arguments)
    sizes = (*ops.shape(query), ops.shape(key)[1])
    # Their product may be beyond the integers.
    pairs = ops.prod([ops.cast(size, "float32") for size in sizes])
    return chosen_when_run(
        pairs > PAIRS_AT_ONCE,
        make_blocks(query, key),
        plain,
        saved_of,
        arguments,
    )


def _blocked(blocks, inputs):
    if keras.backend.backend() == "torch":
        from keras_attention.ops import additive_torch

        function = getattr(additive_torch, blocks.torch_name)
        masks = () if blocks.mask is None else (blocks.mask,)
        return function(*inputs, *masks)
    return with_gradient(blocks.forward, blocks.backward)(*inputs)


class _Blocks:
    """What both computations over blocks of queries of one example share.

    With `r = 1 / (1 + exp(2 (q + k)))`, `tanh(q + k) = 1 - 2 r` and its
    derivative is `4 (r - r^2)`. `exp(2 q)` and `exp(2 k)` are computed once,
    so that a pair costs a product and a division.
    """

    torch_name: str  # of the same in `additive_torch`

    def __init__(self, query, key, mask=None):
        self.mask = mask
        batch, length, key_length = (
            ops.shape(query)[0],
            ops.shape(query)[1],
            ops.shape(key)[1],
        )
        self.batch, self.length, self.key_length = batch, length, key_length
        static = [query.shape[1], key.shape[1], key.shape[2]]
        self.rows = block_rows(*static)
        self.blocks = num_blocks(length, self.rows)
        self.padded_length = self.blocks * self.rows

    def pad(self, tensor):
        """`(B, T, .)` with zeros up to whole blocks."""
        return pad_blocks(tensor, 1, self.rows, self.length)

    def prepare(self, query, key):
        """Queries padded to whole blocks, and what `reciprocals` needs."""
        self.query = pad_blocks(query, 1, self.rows)
        self.key = key
        self.exp_query = ops.exp(2 * ops.clip(self.query, -EXTREME, EXTREME))
        self.exp_key = ops.exp(2 * ops.clip(key, -EXTREME, EXTREME))
        self.extreme = ops.logical_or(
            ops.any(ops.abs(query) > EXTREME), ops.any(ops.abs(key) > EXTREME)
        )

    def where(self, i):
        """The start of block i: example, query position, 0."""
        return i // self.blocks, i % self.blocks * self.rows, 0

    def queries(self, tensor, i):
        sizes = (1, self.rows, tensor.shape[-1])
        return take_block(tensor, self.where(i), sizes)[0]

    def keys(self, tensor, i):
        sizes = (1, self.key_length, tensor.shape[-1])
        return take_block(tensor, (i // self.blocks, 0, 0), sizes)[0]

    def reciprocals(self, i):
        """`1 / (1 + exp(2 (q + k)))` of block i: `(rows, S, U)`."""
        exp_query = self.queries(self.exp_query, i)[:, None]
        return 1 / (1 + exp_query * self.keys(self.exp_key, i))

    def extreme_reciprocals(self, i):
        """The same where an `exp` alone is beyond the range of its dtype."""
        query = self.queries(self.query, i)[:, None]
        return ops.sigmoid(-2 * (query + self.keys(self.key, i)))

    def logits(self, reciprocals, vector):
        flat = ops.reshape(reciprocals, (-1, reciprocals.shape[-1]))
        product = ops.matmul(flat, vector[:, None])
        product = ops.reshape(product, (self.rows, self.key_length))
        return ops.sum(vector) - 2 * product

    def add_gradients(self, i, gradient, reciprocals, vector, sums):
        """Adds block i's share, given the gradient of its logits."""
        by_query, by_key, by_vector = sums
        slope = reciprocals - reciprocals * reciprocals
        slope = 4 * vector * slope * gradient[..., None]  # (rows, S, U)
        by_query = put_block(
            by_query, self.where(i), ops.sum(slope, axis=1)[None]
        )
        by_key = add_block(
            by_key, (i // self.blocks, 0, 0), ops.sum(slope, axis=0)[None]
        )
        flat = ops.reshape(reciprocals, (-1, reciprocals.shape[-1]))
        product = ops.matmul(ops.reshape(gradient, (1, -1)), flat)[0]
        return by_query, by_key, by_vector + ops.sum(gradient) - 2 * product

    def loop(self, body, *carry):
        """`body(i, reciprocals, *carry) -> carry` for every block.

        One of two loops runs, the other has no rounds: a conditional inside
        would keep XLA from fusing a block, and one around the loops has a
        gradient that XLA cannot compile where sizes are unknown.
        """
        count = self.batch * self.blocks
        usual = ops.where(self.extreme, 0, count)
        for first, last, reciprocals in (
            (0, usual, self.reciprocals),
            (usual, count, self.extreme_reciprocals),
        ):
            carry = ops.fori_loop(
                first,
                last,
                lambda i, x, r=reciprocals: body(i, r(i), *x),
                carry,
            )
        return carry

    def zeros(self, *shape):
        return ops.zeros(shape, self.query.dtype)


class _LogitBlocks(_Blocks):
    torch_name = "blocked_logits"

    def forward(self, query, key, vector):
        self.prepare(query, key)

        def body(i, reciprocals, logits):
            block = self.logits(reciprocals, vector)
            return (put_block(logits, self.where(i), block[None]),)

        empty = self.zeros(self.batch, self.padded_length, self.key_length)
        (logits,) = self.loop(body, empty)
        return logits[:, : self.length], ()

    def backward(self, inputs, saved, upstream):
        query, key, vector = inputs
        self.prepare(query, key)
        upstream = self.pad(upstream)

        def body(i, reciprocals, *sums):
            sizes = (1, self.rows, self.key_length)
            gradient = take_block(upstream, self.where(i), sizes)[0]
            return self.add_gradients(i, gradient, reciprocals, vector, sums)

        sums = self.loop(
            body,
            ops.zeros_like(self.query),
            ops.zeros_like(key),
            ops.zeros_like(vector),
        )
        return sums[0][:, : self.length], *sums[1:]


class _ReadBlocks(_Blocks):
    torch_name = "blocked_read"

    def __init__(self, query, key, mask=None):
        super().__init__(query, key, mask)
        if mask is not None and mask.shape[1] != 1:
            self.padded_mask = pad_blocks(mask, 1, self.rows, value=False)
        else:
            self.padded_mask = mask

    def masked(self, i, logits):
        """Logits of block i, -1e30 where nothing may be read, and where."""
        if self.mask is None:
            return logits, None
        sizes = (1, self.rows, self.key_length)
        readable = take_block(self.padded_mask, self.where(i), sizes)[0]
        return ops.where(readable, logits, -1e30), readable

    def forward(self, query, key, vector, value):
        self.prepare(query, key)

        def body(i, reciprocals, output, normalizer):
            logits = self.logits(reciprocals, vector)
            logits, readable = self.masked(i, logits)
            highest = ops.max(logits, axis=-1, keepdims=True)
            powers = kept(readable, ops.exp(logits - highest))
            total = ops.sum(powers, axis=-1, keepdims=True)
            total = ops.maximum(total, 1e-30)  # no position is readable
            read = ops.matmul(powers / total, self.keys(value, i))
            return (
                put_block(output, self.where(i), read[None]),
                put_block(
                    normalizer, self.where(i), (highest + ops.log(total))[None]
                ),
            )

        output, normalizer = self.loop(
            body,
            self.zeros(self.batch, self.padded_length, value.shape[-1]),
            self.zeros(self.batch, self.padded_length, 1),
        )
        output = output[:, : self.length]
        return output, (output, normalizer[:, : self.length])

    def backward(self, inputs, saved, upstream):
        query, key, vector, value = inputs
        output, normalizer = saved
        self.prepare(query, key)
        # The softmax's Jacobian: gradient - <gradient, scores>.
        shared = ops.sum(upstream * output, axis=-1, keepdims=True)
        upstream, normalizer, shared = map(
            self.pad, (upstream, normalizer, shared)
        )

        def body(i, reciprocals, by_value, *sums):
            logits = self.logits(reciprocals, vector)
            logits, readable = self.masked(i, logits)
            scores = kept(
                readable, ops.exp(logits - self.queries(normalizer, i))
            )
            given = self.queries(upstream, i)  # (rows, V)
            gradient = ops.matmul(given, ops.transpose(self.keys(value, i)))
            gradient = scores * (gradient - self.queries(shared, i))
            by_value = add_block(
                by_value,
                (i // self.blocks, 0, 0),
                ops.matmul(ops.transpose(scores), given)[None],
            )
            return by_value, *self.add_gradients(
                i, gradient, reciprocals, vector, sums
            )

        by_value, by_query, by_key, by_vector = self.loop(
            body,
            ops.zeros_like(value),
            ops.zeros_like(self.query),
            ops.zeros_like(key),
            ops.zeros_like(vector),
        )
        return by_query[:, : self.length], by_key, by_vector, by_value


def kept(readable, numbers):
    """Numbers, 0 where nothing may be read."""
    return numbers if readable is None else ops.where(readable, numbers, 0.0)


def block_rows(length, key_length, units):
    """How many queries a block holds, at least one.

    Measured on a CPU: XLA of JAX is fastest with one row of 2**18 numbers,
    that of TensorFlow with four, torch with one. An accelerator wants work
    for all of its cores at once.
    """
    backend = keras.backend.backend()
    numbers = 2**24
    if not on_accelerator():
        numbers = 2**20 if backend == "tensorflow" else 2**18
    if key_length is None:
        return 4
    rows = max(1, numbers // (key_length * units))
    return rows if length is None else min(rows, length)


def on_accelerator():
    """Whether the backend computes on something else than a CPU."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.default_backend() != "cpu"
    if backend == "torch":
        import torch

        return torch.cuda.is_available()
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU"))
