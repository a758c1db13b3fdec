"""Dot-product attention that never holds its logits."""

from keras import ops

from keras_attention.ops import blocks
from keras_attention.ops.checks import known
from keras_attention.ops.masks import both
from keras_attention.ops.softmax import wide_dtype
from keras_attention.ops.tile_biases import Offsets, Pairs

# Tiles of QUERIES x KEYS logits, one head at a time: of the sizes tried the
# best on a CPU, with XLA and without. Smaller tiles of a causal product leave
# out more of what is after the diagonal. Those of a window are squares of at
# least and at most so many.
QUERIES, KEYS, CAUSAL_KEYS = 256, 4096, 512
WINDOW_TILES = 64, 128


def tiled_attention(
    query,
    key,
    value,
    mask=None,
    causal=False,
    bias=None,
    scale=1.0,
    offset_bias=None,
    window=None,
):
    """The output of `dot_product_attention`, computed tile by tile.

    Goes through one head after the other, through its queries in blocks, and
    for each block through the keys in blocks, with the running softmax of
    Milakov and Gimelshein, 2018. Blocks after the diagonal of a causal
    product, or outside of a window, are not computed. For the gradient, only
    the output and the logarithm of each row's sum are kept, and the tiles
    computed again (Dao et al., 2022).

    Arguments and result are those of `dot_product_attention`; `window` is
    None, or a pair of ints: query t reads `t - window[0]` to
    `t + window[1]`. There is no second derivative.
    """
    tiles = Tiles(query, key, mask, causal, scale, bias, offset_bias, window)
    return blocks.with_gradient(tiles.forward, tiles.backward)(
        *(x for x in (query, key, value, bias, offset_bias) if x is not None)
    )


class Tiles:
    """The loops over heads and tiles, forward and backward.

    Takes query, key and value, and those of `bias` and `offset_bias` that
    are not None.
    """

    def __init__(
        self,
        query,
        key,
        mask=None,
        causal=False,
        scale=1.0,
        bias=None,
        offset_bias=None,
        window=None,
    ):
        self.dtype = wide_dtype(query.dtype)
        self.scale = scale
        self.before, self.after = window or (None, 0 if causal else None)
        self.group = query.shape[2] // key.shape[2]
        sizes = QUERIES, KEYS if self.after is None else CAUSAL_KEYS
        if window is not None:
            least, most = WINDOW_TILES
            sizes = [max(least, min(most, max(window)))] * 2
        self.queries = _block_size(query.shape[1], sizes[0])
        self.keys = _block_size(key.shape[1], sizes[1])
        self.key_length = ops.shape(key)[1]
        self.pairs = Pairs(self.queries, self.keys)
        self.biases = []
        if bias is not None:
            self.biases.append(self.pairs)
        if offset_bias is not None:
            lengths = ops.shape(query)[1], self.key_length
            self.biases.append(Offsets(self.queries, self.keys, *lengths))
        # Padded with False: what is added is never read.
        self.mask = None if mask is None else self.pairs.pad(mask)
        has_columns = mask is not None and mask.shape[3] != 1
        fits = key.shape[1] is not None and key.shape[1] % self.keys == 0
        self.hide_padding = not (has_columns or fits)

    def prepare(self, query, key, value, *biases):
        """The inputs as the loops take them: scaled, in whole blocks."""
        return (
            blocks.pad_blocks(query * self.scale, 1, self.queries),
            blocks.pad_blocks(key, 1, self.keys),
            blocks.pad_blocks(value, 1, self.keys),
            *(
                kind.pad(ops.cast(bias, self.dtype))
                for kind, bias in zip(self.biases, biases, strict=True)
            ),
        )

    def forward(self, *inputs):
        """Output `(B, T, N, Hv)` and, to be saved, the rows' log-sums too."""
        length = ops.shape(inputs[0])[1]
        output, log_sum = self.loop_forward(*self.prepare(*inputs))
        output = output[:, :length]
        return output, (output, log_sum[:, :length])

    def backward(self, inputs, saved, upstream):
        """The gradient of each input."""
        output, log_sum = saved
        # What the softmax takes off every gradient of a row.
        mean = ops.cast(upstream, self.dtype) * ops.cast(output, self.dtype)
        mean = ops.sum(mean, axis=-1, keepdims=True)
        length, key_length = ops.shape(inputs[0])[1], ops.shape(inputs[1])[1]
        rows = [
            blocks.pad_blocks(x, 1, self.queries, length)
            for x in (log_sum, mean, upstream)
        ]
        query, key, value, *biases = self.loop_backward(
            self.prepare(*inputs), *rows
        )
        gradients = [
            query[:, :length] * self.scale,
            key[:, :key_length],
            value[:, :key_length],
            *(
                kind.unpad(bias, length, key_length)
                for kind, bias in zip(self.biases, biases, strict=True)
            ),
        ]
        return tuple(
            ops.cast(gradient, x.dtype)
            for gradient, x in zip(gradients, inputs, strict=True)
        )

    def loop_forward(self, query, key, value, *biases):
        batch, length, heads, _ = ops.shape(query)
        output = ops.zeros((batch, length, heads, value.shape[-1]), value.dtype)
        log_sum = ops.zeros((batch, length, heads, 1), self.dtype)

        def head(i, carry):
            output, log_sum = carry
            b, n = i // heads, i % heads
            output_n, log_sum_n = self.head_forward(
                _head(query, b, n),
                _head(key, b, n // self.group),
                _head(value, b, n // self.group),
                self.head_biases(biases, b, n),
                self.head_mask(b, n),
            )
            return (
                ops.slice_update(output, (b, 0, n, 0), output_n[None, :, None]),
                ops.slice_update(
                    log_sum, (b, 0, n, 0), log_sum_n[None, :, None]
                ),
            )

        return ops.fori_loop(0, batch * heads, head, (output, log_sum))

    def head_biases(self, biases, b, n):
        return [
            kind.head(bias, b, n)
            for kind, bias in zip(self.biases, biases, strict=True)
        ]

    def head_mask(self, b, n):
        return None if self.mask is None else self.pairs.head(self.mask, b, n)

    def head_forward(self, query, key, value, biases, mask):
        """The same for one head: query `(T, H)`, key `(S, H)`, ..."""
        rows, columns = self.queries, self.keys
        length, key_length = ops.shape(query)[0], ops.shape(key)[0]
        width = value.shape[-1]

        def row_block(i, carry):
            output, log_sum = carry
            row = i * rows
            query_i = ops.slice(query, (row, 0), (rows, query.shape[-1]))

            def tile(j, carry):
                peak, total, context = carry
                column = j * columns
                key_j = ops.slice(key, (column, 0), (columns, key.shape[-1]))
                value_j = ops.slice(value, (column, 0), (columns, width))
                logits = self.logits(query_i, key_j, biases, row, column)
                readable = self.readable(mask, row, column)
                if readable is not None:
                    logits = ops.where(readable, logits, -1e30)
                new_peak = ops.max(logits, axis=-1, keepdims=True)
                new_peak = ops.maximum(peak, new_peak)
                weights = ops.exp(logits - new_peak)
                if readable is not None:
                    weights = ops.where(readable, weights, 0.0)
                decay = ops.exp(peak - new_peak)
                total = total * decay
                total = total + ops.sum(weights, axis=-1, keepdims=True)
                read = ops.matmul(ops.cast(weights, value.dtype), value_j)
                context = context * decay + ops.cast(read, self.dtype)
                return new_peak, total, context

            start = (
                ops.full((rows, 1), -1e30, self.dtype),
                ops.zeros((rows, 1), self.dtype),
                ops.zeros((rows, width), self.dtype),
            )
            peak, total, context = ops.fori_loop(
                *self.key_blocks(row, key_length), tile, start
            )
            # A row with nothing to read has a sum of 0, and a context of 0.
            total = ops.where(total > 0, total, 1.0)
            context = ops.cast(context / total, value.dtype)
            return (
                ops.slice_update(output, (row, 0), context),
                ops.slice_update(log_sum, (row, 0), peak + ops.log(total)),
            )

        start = (
            ops.zeros((length, width), value.dtype),
            ops.zeros((length, 1), self.dtype),
        )
        return ops.fori_loop(0, length // rows, row_block, start)

    def loop_backward(self, inputs, log_sum, mean, upstream):
        query, key, value, *biases = inputs
        batch, _, heads, _ = ops.shape(query)
        start = tuple(ops.zeros(ops.shape(x), self.dtype) for x in inputs)

        def head(i, gradients):
            b, n = i // heads, i % heads
            k = n // self.group
            gradients_n = self.head_backward(
                _head(query, b, n),
                _head(key, b, k),
                _head(value, b, k),
                self.head_biases(biases, b, n),
                self.head_mask(b, n),
                _head(log_sum, b, n),
                _head(mean, b, n),
                _head(upstream, b, n),
            )
            whole = [
                blocks.add_block(total, (b, 0, one, 0), part[None, :, None])
                for total, one, part in zip(
                    gradients[:3], (n, k, k), gradients_n[:3], strict=True
                )
            ]
            for kind, total, part in zip(
                self.biases, gradients[3:], gradients_n[3:], strict=True
            ):
                whole.append(kind.add_head(total, part, b, n))
            return tuple(whole)

        return ops.fori_loop(0, batch * heads, head, start)

    def head_backward(
        self, query, key, value, biases, mask, log_sum, mean, upstream
    ):
        """The same for one head, in the wide dtype."""
        rows, columns = self.queries, self.keys
        length, key_length = ops.shape(query)[0], ops.shape(key)[0]
        sizes = [x.shape[-1] for x in (query, key, value)]

        def row_block(i, gradients):
            row = i * rows
            query_i = ops.slice(query, (row, 0), (rows, sizes[0]))
            upstream_i = ops.slice(upstream, (row, 0), (rows, sizes[2]))
            log_sum_i = ops.slice(log_sum, (row, 0), (rows, 1))
            mean_i = ops.slice(mean, (row, 0), (rows, 1))

            def tile(j, gradients):
                of_query, of_key, of_value, *of_biases = gradients
                column = j * columns
                key_j = ops.slice(key, (column, 0), (columns, sizes[1]))
                value_j = ops.slice(value, (column, 0), (columns, sizes[2]))
                logits = self.logits(query_i, key_j, biases, row, column)
                scores = ops.exp(logits - log_sum_i)
                readable = self.readable(mask, row, column)
                if readable is not None:
                    scores = ops.where(readable, scores, 0.0)
                of_scores = ops.matmul(upstream_i, ops.transpose(value_j))
                of_scores = ops.cast(of_scores, self.dtype)
                of_logits = scores * (of_scores - mean_i)
                of_biases = [
                    kind.add_tile(of_bias, of_logits, row, column)
                    for kind, of_bias in zip(
                        self.biases, of_biases, strict=True
                    )
                ]
                of_logits = ops.cast(of_logits, query.dtype)
                scores = ops.cast(scores, value.dtype)
                return (
                    of_query + self.product(of_logits, key_j),
                    blocks.add_block(
                        of_key,
                        (column, 0),
                        self.product(ops.transpose(of_logits), query_i),
                    ),
                    blocks.add_block(
                        of_value,
                        (column, 0),
                        self.product(ops.transpose(scores), upstream_i),
                    ),
                    *of_biases,
                )

            of_query, *others = gradients
            of_query_i = ops.zeros((rows, sizes[0]), self.dtype)
            of_query_i, *others = ops.fori_loop(
                *self.key_blocks(row, key_length), tile, (of_query_i, *others)
            )
            return ops.slice_update(of_query, (row, 0), of_query_i), *others

        inputs = (query, key, value, *biases)
        start = tuple(ops.zeros(ops.shape(x), self.dtype) for x in inputs)
        return ops.fori_loop(0, length // rows, row_block, start)

    def product(self, a, b):
        """A matrix product in the inputs' dtype, added up in the wide one."""
        return ops.cast(ops.matmul(a, b), self.dtype)

    def logits(self, query_i, key_j, biases, row, column):
        logits = self.product(query_i, ops.transpose(key_j))
        for kind, bias in zip(self.biases, biases, strict=True):
            logits = logits + kind.tile(bias, row, column)
        return logits

    def readable(self, mask, row, column):
        """Booleans that broadcast to the tile at `row` and `column`."""
        rows = row + ops.arange(0, self.queries, dtype="int32")[:, None]
        columns = column + ops.arange(0, self.keys, dtype="int32")[None, :]
        readable = None
        if self.hide_padding:
            readable = columns < self.key_length
        if self.after is not None:
            readable = both(readable, columns <= rows + self.after)
        if self.before is not None:
            readable = both(readable, columns >= rows - self.before)
        if mask is not None:
            readable = both(readable, self.pairs.tile(mask, row, column))
        return readable

    def key_blocks(self, row, key_length):
        """The first block of keys that the queries from `row` on may read,
        and the one behind the last."""
        first, end = 0, key_length // self.keys
        if self.before is not None:
            first = ops.maximum(row - self.before, 0) // self.keys
        if self.after is not None:
            seen = blocks.num_blocks(row + self.queries + self.after, self.keys)
            end = ops.minimum(seen, end)
        return first, end


def _block_size(length, largest):
    """The size of as few, equal blocks as can be; `largest` if unknown."""
    if not known(length):
        return largest
    return blocks.num_blocks(length, blocks.num_blocks(length, largest))


def _head(tensor, b, n):
    """One head `(T, .)` of `(B, T, N, .)`."""
    _, length, _, width = ops.shape(tensor)
    return ops.slice(tensor, (b, 0, n, 0), (1, length, 1, width))[0, :, 0]
