import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.ops import bands, dot_product, sliding_window, tiles
from keras_attention.ops.sliding_window import sliding_window_attention
from tests.gradients import compiled, gradients

B, T, S, N, K, H, V = 2, 53, 61, 6, 3, 5, 7
BACKEND = keras.backend.backend()


def inputs(lengths=(T, S), seed=0):
    rng = np.random.default_rng(seed)
    t, s = lengths
    shapes = ((B, t, N, H), (B, s, K, H), (B, s, K, V))
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def table(before, after):
    rng = np.random.default_rng(3)
    return rng.normal(size=(N, before + 1 + after)).astype("float32")


def mask_of(shape, seed=1):
    """Some of everything; where there are queries, one that reads nothing."""
    mask = np.random.default_rng(seed).random(shape) > 0.3
    if len(shape) > 2 and shape[-2] > 1:
        mask[..., 2, :] = False
    return mask


def reference(
    query, key, value, before, after, source=None, pairs=None, bias=None
):
    """Full attention under the mask of a window, one query at a time."""
    (t_all, s_all), output = (query.shape[1], key.shape[1]), None
    output = np.zeros((B, t_all, N, V))
    reads = np.ones((B, N, t_all, s_all), bool)
    if source is not None:
        reads &= source
    if pairs is not None:
        reads &= pairs
    for b, n, t in np.ndindex(B, N, t_all):
        window = range(max(0, t - before), min(s_all, t + after + 1))
        window = [s for s in window if reads[b, n, t, s]]
        if not window:
            continue
        k = n // (N // K)
        logits = key[b, window, k] @ query[b, t, n] / np.sqrt(H)
        if bias is not None:
            logits = logits + [bias[n, s - t + before] for s in window]
        weights = np.exp(logits - logits.max())
        output[b, t, n] = weights / weights.sum() @ value[b, window, k]
    return output


def tensors(*arrays):
    return [None if x is None else ops.convert_to_tensor(x) for x in arrays]


def run(arrays, before, after, source=None, pairs=None, bias=None, **kwargs):
    masks = tensors(source, pairs)

    def read(query, key, value, bias=None):
        return sliding_window_attention(
            query, key, value, before, after, *masks, bias, **kwargs
        )[0]

    # A seed is kept up to date outside of a trace of JAX only.
    read = read if kwargs else compiled(read)
    arrays = arrays if bias is None else [*arrays, bias]
    return ops.convert_to_numpy(read(*tensors(*arrays)))


@pytest.mark.parametrize(
    "lengths, before, after",
    [
        ((T, S), 2, 2),
        ((S, T), 3, 0),
        ((T, S), 0, 17),
        ((T, T), 19, 5),
        ((S, 3), 3, 3),
        ((3, S), 0, 0),
        ((1, 1), 2, 0),
        ((T, S), 100, 100),
    ],
)
def test_a_window_is_full_attention_under_its_mask(lengths, before, after):
    """In blocks with a bias; without in tiles, where loops are compiled."""
    arrays = inputs(lengths)
    bias = table(before, after)
    source = mask_of((B, 1, 1, lengths[1]))
    expected = reference(*arrays, before, after, source, bias=bias)
    output = run(arrays, before, after, source, bias=bias)
    np.testing.assert_allclose(output, expected, atol=2e-6)
    expected = reference(*arrays, before, after)
    np.testing.assert_allclose(run(arrays, before, after), expected, atol=2e-6)


@pytest.mark.parametrize(
    "shape",
    [
        (B, N, T, S),
        (1, N, 1, S),
        (1, 1, T, S),
        (B, 1, T, 1),
        (1, 1, 1, S),
        (1, 1, 1, 1),
    ],
)
@pytest.mark.parametrize("with_source", [False, True])
def test_masks_of_pairs_count_within_the_window(shape, with_source):
    arrays = inputs()
    source = mask_of((B, 1, 1, S), seed=2) if with_source else None
    pairs = mask_of(shape)
    expected = reference(*arrays, 4, 2, source, pairs)
    np.testing.assert_allclose(
        run(arrays, 4, 2, source, pairs), expected, atol=2e-6
    )


def dense(query, key, value, before, after, mask=None, bias=None):
    """Output by one product; the mask is `(B, N, T, S)`."""
    offset = np.arange(key.shape[1]) - np.arange(query.shape[1])[:, None]
    inside = (-before <= offset) & (offset <= after)
    mask = ops.convert_to_tensor(inside if mask is None else inside & mask)
    mask = ops.broadcast_to(mask, (1,) * (4 - mask.ndim) + tuple(mask.shape))
    if bias is not None:
        index = np.clip(offset + before, 0, before + after).astype("int32")
        bias = ops.take(bias, index, axis=1)[None]
    return dot_product.dense_attention(
        query, key, value, mask, bias=bias, scale=H**-0.5
    )[0]


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("before, after", [(3, 0), (5, 18)])
@pytest.mark.parametrize("with_bias", [False, True])
def test_gradients_are_those_of_one_product(
    monkeypatch, before, after, with_bias, jit_compile
):
    """In blocks; without a bias in tiles, where there are compiled loops."""
    monkeypatch.setattr(tiles, "WINDOW_TILES", (8, 16))
    arrays = inputs()
    source = mask_of((B, 1, 1, S))
    masks, mask = tensors(source), source
    if with_bias:
        arrays.append(table(before, after))
        mask = source & mask_of((B, 1, T, S))
        masks = tensors(source, mask_of((B, 1, T, S)))

    def windowed(query, key, value, bias=None):
        arguments = [*masks, None][:2]
        return sliding_window_attention(
            query, key, value, before, after, *arguments, bias
        )[0]

    def whole(query, key, value, bias=None):
        return dense(query, key, value, before, after, mask, bias)

    found = gradients(windowed, *arrays, jit_compile=jit_compile)
    expected = gradients(whole, *arrays, jit_compile=True)
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, other, atol=2e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_sequences_go_by_tiles_and_keep_no_scores(
    monkeypatch, jit_compile
):
    if BACKEND == "torch":
        pytest.skip("it has no compiled loops")
    taken = []

    def spy(*arguments, **kwargs):
        taken.append(kwargs["window"])
        return tiles.tiled_attention(*arguments, **kwargs)

    monkeypatch.setattr(sliding_window, "tiled_attention", spy)
    monkeypatch.setattr(sliding_window, "on_accelerator", lambda: False)
    pairs = tensors(mask_of((1, 1, T, S)))

    def read(*arrays):
        return sliding_window_attention(*arrays, 3, 2, *pairs)[0]

    output, *_ = gradients(read, *inputs(), jit_compile=jit_compile)
    assert set(taken) == {(3, 2)}
    expected = reference(*inputs(), 3, 2, mask_of((1, 1, T, S)))
    np.testing.assert_allclose(output, expected, atol=2e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_close_and_empty_rows_are_zero(dtype):
    arrays = inputs()
    source, pairs = mask_of((B, 1, 1, S)), mask_of((1, 1, T, S))
    source[1] = False
    expected = reference(*arrays, 3, 3, source, pairs)
    half = [ops.cast(x, dtype) for x in arrays]
    output, _ = sliding_window_attention(
        *half, 3, 3, *tensors(source, pairs), ops.cast(table(3, 3) * 0, dtype)
    )
    assert keras.backend.standardize_dtype(output.dtype) == dtype
    output = ops.convert_to_numpy(ops.cast(output, "float32"))
    np.testing.assert_allclose(output, expected, atol=4e-2)
    assert (output[1] == 0).all() and (output[:, 2] == 0).all()


def test_scores_are_zero_outside_and_do_not_move_the_output():
    arrays = inputs()
    bias = table(4, 1)
    output, scores = sliding_window_attention(
        *tensors(*arrays), 4, 1, bias=tensors(bias)[0], return_scores=True
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(output), run(arrays, 4, 1, bias=bias), atol=2e-6
    )
    scores = ops.convert_to_numpy(scores)
    offset = np.arange(S) - np.arange(T)[:, None]
    inside = (offset >= -4) & (offset <= 1)
    assert ((scores > 0) == inside).all()


def test_dropout_drops_scores_and_keeps_the_mean():
    arrays = inputs((23, 23))
    seed = keras.random.SeedGenerator(4)
    total = sum(
        run(arrays, 2, 2, dropout_rate=0.3, seed=seed) for _ in range(50)
    )
    expected = run(arrays, 2, 2)
    assert np.abs(total / 50 - expected).mean() < 0.05
    once = run(arrays, 2, 2, dropout_rate=0.3, seed=seed)
    assert np.abs(once - expected).max() > 0.1


def test_no_product_grows_with_all_pairs(monkeypatch):
    seen = []

    def spy(query, key, *arguments, **kwargs):
        seen.append((query.shape[1], key.shape[1]))
        return dot_product.dot_product_attention(
            query, key, *arguments, **kwargs
        )

    monkeypatch.setattr(sliding_window, "dot_product_attention", spy)
    run(inputs(), 2, 2, bias=table(2, 2))
    assert seen == [(16, 20)]
    seen.clear()
    run(inputs(), 40, 40)  # a slab would hold more than there is
    assert seen == [(T, S)]


@pytest.mark.parametrize("causal", [False, True])
def test_tiles_leave_out_what_is_outside_of_a_window(monkeypatch, causal):
    monkeypatch.setattr(tiles, "WINDOW_TILES", (4, 4))
    before, after = 9, 0 if causal else 3
    seen = []
    logits = tiles.Tiles.logits

    def spy(self, *arguments):
        seen.append(None)
        return logits(self, *arguments)

    monkeypatch.setattr(tiles.Tiles, "logits", spy)
    output = tiles.tiled_attention(
        *tensors(*inputs()), scale=H**-0.5, window=(before, after)
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(output),
        reference(*inputs(), before, after),
        atol=2e-6,
    )
    if BACKEND == "torch":  # whose loops run as Python does
        assert len(seen) <= B * N * 14 * 5 < B * N * 14 * 16


@pytest.mark.skipif(BACKEND != "tensorflow", reason="static shapes elsewhere")
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(
    "limit, tiles_from", [(512 * 512, 1), (0, 1), (0, 512 * 512)]
)
def test_unknown_lengths_give_the_same(
    monkeypatch, limit, tiles_from, jit_compile
):
    """In bands, in tiles and by one product."""
    import tensorflow as tf

    monkeypatch.setattr(bands, "LOGITS_OF_A_BLOCK", limit)
    monkeypatch.setattr(dot_product, "TILES_FROM", tiles_from)
    monkeypatch.setattr(tiles, "WINDOW_TILES", (8, 8))

    @tf.function(
        jit_compile=jit_compile,
        input_signature=[
            tf.TensorSpec((None, None, N, H)),
            tf.TensorSpec((None, None, K, H)),
            tf.TensorSpec((None, None, K, V)),
            tf.TensorSpec((None, 1, 1, None), "bool"),
            tf.TensorSpec((1, 1, None, None), "bool"),
        ],
    )
    def run(query, key, value, source, pairs):
        with tf.GradientTape() as tape:
            tape.watch((query, key, value))
            output, _ = sliding_window_attention(
                query, key, value, 3, 2, source, pairs
            )
            loss = tf.reduce_sum(output**2)
        return output, tape.gradient(loss, (query, key, value))

    for lengths in ((T, S), (5, 3)):
        arrays = inputs(lengths)
        source = mask_of((B, 1, 1, lengths[1]))
        pairs = mask_of((1, 1, *lengths))
        output, found = run(*arrays, source, pairs)
        expected = reference(*arrays, 3, 2, source, pairs)
        np.testing.assert_allclose(output, expected, atol=2e-6)
        with tf.GradientTape() as tape:
            variables = tensors(*arrays)
            tape.watch(variables)
            mask = source & pairs
            loss = tf.reduce_sum(dense(*variables, 3, 2, mask) ** 2)
        for mine, other in zip(
            found, tape.gradient(loss, variables), strict=True
        ):
            np.testing.assert_allclose(mine, other, atol=2e-5)


@pytest.mark.skipif(BACKEND != "jax", reason="sizes are symbols on JAX only")
@pytest.mark.parametrize("limit", [0, 512 * 512])
def test_symbolic_lengths_give_the_same(monkeypatch, limit):
    import jax

    monkeypatch.setattr(bands, "LOGITS_OF_A_BLOCK", limit)
    monkeypatch.setattr(tiles, "WINDOW_TILES", (8, 8))
    b, t, s = jax.export.symbolic_shape("b, t, s")
    specs = [
        jax.ShapeDtypeStruct(shape, dtype)
        for shape, dtype in (
            ((b, t, N, H), "float32"),
            ((b, s, K, H), "float32"),
            ((b, s, K, V), "float32"),
            ((b, 1, 1, s), "bool"),
            ((1, 1, t, s), "bool"),
        )
    ]

    def read(query, key, value, *masks):
        return sliding_window_attention(query, key, value, 3, 2, *masks)[0]

    exported = jax.export.export(jax.jit(read))(*specs)
    for lengths in ((T, S), (5, 3)):
        arrays = inputs(lengths)
        masks = mask_of((B, 1, 1, lengths[1])), mask_of((1, 1, *lengths))
        np.testing.assert_allclose(
            exported.call(*arrays, *masks),
            reference(*arrays, 3, 2, *masks),
            atol=2e-6,
        )
