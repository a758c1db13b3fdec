import keras
from keras import ops

from keras_attention.ops import blocks, checks
from keras_attention.ops.additive import on_accelerator
from keras_attention.ops.attention import dropout
from keras_attention.ops.checks import known
from keras_attention.ops.masks import both, window_mask
from keras_attention.ops.relative import toeplitz
from keras_attention.ops.softmax import masked_softmax, wide_dtype
from keras_attention.ops.tiles import Tiles, tiled_attention

# From so many logits per head on, tiles are faster than one product as well as
# lighter (measured on a CPU, TensorFlow and JAX); at a quarter they are even.
TILES_FROM = 512 * 512
# An accelerator does many heads at once, which a loop over heads gives up:
# there tiles are for what would not fit.
TILES_FROM_ON_ACCELERATOR = 8192 * 8192


def dot_product_attention(
    query,
    key,
    value,
    mask=None,
    causal=False,
    bias=None,
    scale=None,
    dropout_rate=0.0,
    seed=None,
    return_scores=False,
    flash_attention=None,
    offset_bias=None,
):
    """Reads values by the scaled dot product of queries and keys.

        logits[n, t, s] = scale * query[t, n] . key[s, n] + bias[n, t, s]
                          + offset_bias[n, s - t + T - 1]
        output[t, n]    = sum_s softmax_s(logits[n, t])[s] * value[s, n]

    Vaswani et al., 2017, section 3.2.1, for N heads at once. A row with
    nothing to read gives zeros. The way it is computed depends on what is
    asked for and on the backend, the result does not: one product; torch's
    or JAX's fused kernel; or, for long sequences, a loop over tiles that
    never holds the logits, forward or backward (Dao et al., 2022).

    Args:
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)` with N a multiple of K: query head n reads
            key/value head n // (N / K).
        value: `(B, S, K, Hv)`.
        mask: Booleans that broadcast to `(B, T, S)` or `(B, N, T, S)`,
            True = may be read.
        causal: Whether query t reads positions 0 to t only.
        bias: Added to the logits; broadcasts to `(B, N, T, S)`.
        scale: Factor of the products, `H ** -0.5` if None.
        dropout_rate: Share of scores dropped; 0 outside training.
        seed: Where dropout draws from.
        return_scores: Whether the scores are asked for.
        flash_attention: True for the backend's fused kernel or an error,
            False for no fused kernel, None for what is best.
        offset_bias: `(N, T + S - 1)`, added to the logits by offset: what
            `ops.relative` calls a table.

    Returns:
        Output `(B, T, N, Hv)`, and scores `(B, N, T, S)` (before dropout)
        or None, both in the dtype of `value`.

    Raises:
        ValueError: A shape is not as above, or sizes do not fit each other.

    Examples:
        >>> from keras import ops
        >>> from keras_attention.ops import dot_product_attention
        >>> query, memory = ops.ones((2, 3, 4, 8)), ops.ones((2, 5, 2, 8))
        >>> read, _ = dot_product_attention(query, memory, memory)
        >>> tuple(read.shape)  # four query heads on two of keys and values
        (2, 3, 4, 8)
    """
    check_heads(query, key, value)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    if mask is not None and len(mask.shape) == 3:
        mask = mask[:, None]  # (B, 1, T, S)
    if return_scores or dropout_rate:
        output, scores = dense_attention(
            query,
            key,
            value,
            mask,
            causal,
            bias,
            scale,
            offset_bias,
            dropout_rate,
            seed,
        )
        return output, scores if return_scores else None
    arguments = (query, key, value, mask, causal, bias, scale, offset_bias)
    of_pairs = any(x is not None for x in (mask, bias, offset_bias))
    if has_fused_kernel(query, value, flash_attention, of_pairs):
        return fused_attention(*arguments, flash_attention), None
    length, key_length = query.shape[1], key.shape[1]
    if known(length, key_length):
        loop = length * key_length >= _tiles_from()
        attention = tiled_attention if loop else _dense_output
        return attention(*arguments), None
    # A decoder's step has no more to save than it reads.
    if length == 1 or not blocks.is_traced_by_tensorflow(query):
        return _dense_output(*arguments), None
    return attention_of_unknown_length(*arguments), None


def check_heads(query, key, value):
    """Raises unless sizes of query, key and value fit each other."""
    checks.shapes(
        query=(query, "BTNH"), key=(key, "BSKH"), value=(value, "BSKV")
    )
    heads, of_keys = query.shape[2], key.shape[2]
    if known(heads, of_keys) and heads % of_keys:
        raise ValueError(
            "The heads of `query` must be a multiple of those of `key`. "
            f"Received: {heads} and {of_keys}, axis 2 of shapes "
            f"{tuple(query.shape)} and {tuple(key.shape)}."
        )


def _tiles_from():
    return TILES_FROM_ON_ACCELERATOR if on_accelerator() else TILES_FROM


def attention_of_unknown_length(
    query, key, value, mask, causal, bias, scale, offset_bias=None, window=None
):
    """Chooses between one product and tiles once the lengths are known.

    Lengths are unknown on TensorFlow only. Arguments of `tiled_attention`.
    """
    tiles = Tiles(query, key, mask, causal, scale, bias, offset_bias, window)
    given = [bias is not None, offset_bias is not None]
    inputs = (query, key, value, bias, offset_bias)

    def dense(query, key, value, *biases):
        rest = iter(biases)
        bias, offset_bias = (next(rest) if is_ else None for is_ in given)
        readable = mask
        if window is not None:
            sizes = ops.shape(query)[1], ops.shape(key)[1]
            readable = both(mask, window_mask(*sizes, *window)[None, None])
        return _dense_output(
            query, key, value, readable, causal, bias, scale, offset_bias
        )

    def log_sum(output):
        return ops.zeros_like(output[..., :1], tiles.dtype)

    return blocks.chosen_when_run(
        ops.shape(query)[1] * ops.shape(key)[1] >= _tiles_from(),
        tiles,
        dense,
        lambda output: (output, log_sum(output)),
        [x for x in inputs if x is not None],
    )


def dense_attention(
    query,
    key,
    value,
    mask=None,
    causal=False,
    bias=None,
    scale=1.0,
    offset_bias=None,
    dropout_rate=0.0,
    seed=None,
):
    """Output and scores of `dot_product_attention`, by one product."""
    heads, key_heads = query.shape[2], key.shape[2]
    batch, length = ops.shape(query)[:2]
    key_length = ops.shape(key)[1]
    # The query heads that share a key head read it as one long query.
    query = ops.transpose(query * scale, (0, 2, 1, 3))  # (B, N, T, H)
    query = ops.reshape(query, (batch, key_heads, *_rows(query, key_heads)))
    key = ops.transpose(key, (0, 2, 3, 1))  # (B, K, H, S)
    logits = ops.matmul(query, key)
    logits = ops.cast(logits, wide_dtype(logits.dtype))
    logits = ops.reshape(logits, (batch, heads, length, key_length))
    if bias is not None:
        logits = logits + ops.cast(bias, logits.dtype)
    if offset_bias is not None:
        offset_bias = toeplitz(offset_bias, length, key_length)  # (N, T, S)
        logits = logits + ops.cast(offset_bias, logits.dtype)
    if causal:
        mask = both(mask, _is_causal(0, 0, length, key_length))
    scores = masked_softmax(logits, mask)  # (B, N, T, S)
    read = ops.cast(dropout(scores, dropout_rate, seed), value.dtype)
    read = ops.reshape(read, (batch, key_heads, *_rows(read, key_heads)))
    output = ops.matmul(read, ops.transpose(value, (0, 2, 1, 3)))
    output = ops.reshape(output, (batch, heads, length, value.shape[-1]))
    output = ops.transpose(output, (0, 2, 1, 3))  # (B, T, N, Hv)
    return output, ops.cast(scores, value.dtype)


def _dense_output(*arguments):
    return dense_attention(*arguments)[0]


def _rows(tensor, key_heads):
    """The last two axes once the heads of a group share an axis with T."""
    group = tensor.shape[1] // key_heads
    shape = ops.shape(tensor)
    return group * shape[2], shape[3]


def _is_causal(row, column, rows, columns):
    """`(1, 1, rows, columns)` from a position on: column at most row."""
    row = row + ops.arange(0, rows, dtype="int32")[:, None]
    column = column + ops.arange(0, columns, dtype="int32")[None, :]
    return (row >= column)[None, None]


def has_fused_kernel(query, value, flash_attention=None, of_pairs=False):
    """Whether the backend has a fused kernel that is right for these.

    torch has one for every device. JAX has cuDNN's, for half precision on a
    GPU and values of the size of keys; its TPU kernel is left out, since it
    reads the first example's mask for the whole batch.

    Args:
        query: `(B, T, N, H)`.
        value: `(B, S, K, Hv)`.
        flash_attention: What the caller demands, None for what is best.
        of_pairs: Whether a mask or a bias is given, with which cuDNN has no
            gradient for odd lengths.
    """
    if flash_attention is not None:
        return flash_attention
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        half = keras.backend.standardize_dtype(query.dtype) in (
            "float16",
            "bfloat16",
        )
        fits = query.shape[-1] == value.shape[-1]
        if of_pairs:
            lengths = (query.shape[1], value.shape[1])
            fits = fits and known(*lengths) and not any(x % 2 for x in lengths)
        return half and fits and jax.default_backend() == "gpu"
    return backend == "torch"


def fused_attention(
    query,
    key,
    value,
    mask=None,
    causal=False,
    bias=None,
    scale=1.0,
    offset_bias=None,
    flash_attention=None,
):
    """Output of `dot_product_attention` by the backend's own kernel."""
    readable = None
    if offset_bias is not None:
        # Kernels take a bias for each pair.
        pairs = toeplitz(offset_bias, query.shape[1], key.shape[1])[None]
        bias = pairs if bias is None else bias + pairs
    if mask is not None:
        if causal:
            length, key_length = query.shape[1], key.shape[1]
            mask = both(mask, _is_causal(0, 0, length, key_length))
            causal = False
        # Kernels give NaN or a mean for a row with nothing to read: such a
        # row reads everything, and is set to zero afterwards.
        readable = ops.any(mask, axis=-1, keepdims=True)  # (B, N, T, 1)
        mask = ops.logical_or(mask, ops.logical_not(readable))
    if keras.backend.backend() == "torch":
        output = _fused_torch(
            query, key, value, mask, causal, bias, scale, flash_attention
        )
    else:
        output = ops.dot_product_attention(
            query,
            key,
            value,
            bias,
            mask,
            scale,
            causal,
            flash_attention=flash_attention,
        )
    if readable is not None:
        readable = ops.transpose(readable, (0, 2, 1, 3))  # (B, T, N, 1)
        output = ops.where(readable, output, ops.zeros_like(output))
    return output


def _fused_torch(query, key, value, mask, causal, bias, scale, flash_attention):
    import torch

    if bias is not None:
        bias = bias.to(query.dtype)
        if causal:
            mask = _is_causal(0, 0, query.shape[1], key.shape[1])
            causal = False
        if mask is not None:
            bias = torch.where(mask, bias, float("-inf"))
        mask = bias
    if mask is not None:
        shape = (*query.shape[:1], mask.shape[1], query.shape[1], key.shape[1])
        mask = mask.expand(shape)
    width = value.shape[-1]
    if query.shape[-1] != width:
        # Kernels that never hold the logits want one size of head, in eights.
        size = -(-max(query.shape[-1], width) // 8) * 8
        query, key, value = (
            torch.nn.functional.pad(x, (0, size - x.shape[-1]))
            for x in (query, key, value)
        )
    kernels = torch.nn.attention.SDPBackend
    allowed = [kernels.FLASH_ATTENTION]
    if flash_attention is None:
        allowed = list(kernels.__members__.values())
        allowed.remove(kernels.ERROR)
    with torch.nn.attention.sdpa_kernel(allowed):
        output = torch.nn.functional.scaled_dot_product_attention(
            query.transpose(1, 2),
            key.transpose(1, 2),
            value.transpose(1, 2),
            attn_mask=mask,
            is_causal=causal,
            scale=scale,
            enable_gqa=query.shape[2] != key.shape[2],
        )
    return output.transpose(1, 2)[..., :width]
