import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.ops import dot_product, tiles
from keras_attention.ops.additive import on_accelerator
from keras_attention.ops.dot_product import dot_product_attention
from tests.gradients import gradients

B, T, S, N, K, H, V = 2, 11, 13, 6, 3, 5, 7
BACKEND = keras.backend.backend()


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles so small that there are several, and padded ones."""
    monkeypatch.setattr(tiles, "QUERIES", 4)
    monkeypatch.setattr(tiles, "KEYS", 6)
    monkeypatch.setattr(tiles, "CAUSAL_KEYS", 3)


def inputs(seed=0, dtype="float32"):
    rng = np.random.default_rng(seed)
    shapes = ((B, T, N, H), (B, S, K, H), (B, S, K, V))
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def random_mask(shape, seed=1):
    """Some of everything, and one query that may read nothing."""
    mask = np.random.default_rng(seed).random(shape) > 0.4
    if shape[-2] == T:
        mask[..., 2, :] = False
    return mask


def reference(query, key, value, mask=None, causal=False, bias=None):
    """Vaswani et al., 2017, section 3.2.1, one query of one head at a time."""
    output = np.zeros((B, T, N, V))
    for b, t, n in np.ndindex(B, T, N):
        logits = key[b, :, n // (N // K)] @ query[b, t, n] / np.sqrt(H)
        if bias is not None:
            logits = logits + np.broadcast_to(bias, (B, N, T, S))[b, n, t]
        reads = np.ones(S, bool)
        if mask is not None:
            reads &= np.broadcast_to(mask, (B, N, T, S))[b, n, t]
        if causal:
            reads &= np.arange(S) <= t
        if reads.any():
            weights = np.exp(logits[reads])
            weights /= weights.sum()
            output[b, t, n] = weights @ value[b, reads, n // (N // K)]
    return output


def paths():
    """Every way this backend can compute an output."""
    known = [dot_product.dense_attention, tiles.tiled_attention]
    return known + [dot_product.fused_attention] * (BACKEND == "torch")


@pytest.mark.parametrize("path", paths())
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    "mask_shape, bias_shape",
    [
        (None, None),
        ((B, 1, 1, S), (1, N, T, S)),
        ((B, N, T, S), (B, 1, 1, S)),
        ((1, N, T, 1), (1, 1, T, 1)),
        ((1, 1, T, S), None),
    ],
)
def test_every_path_is_the_equation(
    path, causal, mask_shape, bias_shape, small_tiles
):
    mask = None if mask_shape is None else random_mask(mask_shape)
    rng = np.random.default_rng(2)
    bias = None
    if bias_shape is not None:
        bias = rng.normal(size=bias_shape).astype("float32")
    output = path(
        *map(ops.convert_to_tensor, inputs()),
        None if mask is None else ops.convert_to_tensor(mask),
        causal,
        None if bias is None else ops.convert_to_tensor(bias),
        H**-0.5,
    )
    output = output[0] if isinstance(output, tuple) else output
    np.testing.assert_allclose(
        ops.convert_to_numpy(output),
        reference(*inputs(), mask, causal, bias),
        atol=2e-6,
    )


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("path", paths()[1:])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("bias_shape", [(1, N, T, S), (B, 1, 1, S)])
def test_gradients_of_every_path_are_those_of_one_product(
    path, causal, bias_shape, jit_compile, small_tiles
):
    rng = np.random.default_rng(3)
    mask = ops.convert_to_tensor(random_mask((B, 1, T, S)))
    arrays = [*inputs(), rng.normal(size=bias_shape).astype("float32")]

    def run(function):
        def output(query, key, value, bias):
            result = function(query, key, value, mask, causal, bias, 0.3)
            return result[0] if isinstance(result, tuple) else result

        return gradients(output, *arrays, jit_compile=jit_compile)

    for mine, dense in zip(
        run(path), run(dot_product.dense_attention), strict=True
    ):
        np.testing.assert_allclose(mine, dense, atol=1e-5)


@pytest.mark.parametrize("path", paths())
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_a_row_with_nothing_to_read_is_zero(path, dtype, small_tiles):
    query, key, value = (ops.cast(x, dtype) for x in inputs())
    mask = random_mask((B, 1, T, S))
    output = path(query, key, value, ops.convert_to_tensor(mask), True)
    output = output[0] if isinstance(output, tuple) else output
    assert keras.backend.standardize_dtype(output.dtype) == dtype
    output = ops.convert_to_numpy(ops.cast(output, "float32"))
    empty = ~(mask & np.tri(T, S, dtype=bool)).any(-1)[:, 0]  # (B, T)
    assert 0 < empty.sum() < empty.size
    assert (output[empty] == 0).all()
    assert (output[~empty] != 0).any(-1).all()
    tolerance = {"float16": 5e-3, "bfloat16": 4e-2, "float32": 2e-6}[dtype]
    query, *others = inputs()
    # The path's own scale is 1.
    expected = reference(query * np.sqrt(H), *others, mask, True)
    np.testing.assert_allclose(output, expected, atol=tolerance)


def test_masked_blocks_before_what_is_read_do_no_harm(small_tiles):
    query, key, value = inputs()
    mask = np.zeros((1, 1, 1, S), bool)
    mask[..., -1] = True
    output = tiles.tiled_attention(
        *map(ops.convert_to_tensor, (query, key, value)),
        ops.convert_to_tensor(mask),
    )
    expected = np.repeat(value[:, -1:], N // K, axis=2).repeat(T, axis=1)
    np.testing.assert_allclose(ops.convert_to_numpy(output), expected)


def test_large_logits_do_not_overflow(small_tiles):
    query, key, value = inputs()
    query[:, :, :] = 0
    query[..., 0] = 1e4
    key[..., 0] = np.arange(S)[:, None]
    for path in paths():
        output = path(*map(ops.convert_to_tensor, (query, key, value)))
        output = output[0] if isinstance(output, tuple) else output
        expected = np.repeat(value[:, -1:], N // K, axis=2).repeat(T, axis=1)
        np.testing.assert_allclose(
            ops.convert_to_numpy(output), expected, atol=1e-6
        )


def test_scores_are_the_softmax_and_do_not_move_the_output():
    arrays = list(map(ops.convert_to_tensor, inputs()))
    output, none = dot_product_attention(*arrays, causal=True)
    assert none is None
    again, scores = dot_product_attention(
        *arrays, causal=True, return_scores=True
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(output), ops.convert_to_numpy(again), atol=1e-6
    )
    scores = ops.convert_to_numpy(scores)
    assert scores.shape == (B, N, T, S)
    np.testing.assert_allclose(scores.sum(-1), 1, atol=1e-6)
    assert (scores[..., ~np.tri(T, S, dtype=bool)] == 0).all()


def test_dropout_keeps_the_expected_output_and_returns_scores_undropped():
    arrays = list(map(ops.convert_to_tensor, inputs()))
    plain, scores = dot_product_attention(*arrays, return_scores=True)
    seed = keras.random.SeedGenerator(4)
    total = 0
    for _ in range(200):
        output, kept = dot_product_attention(
            *arrays, dropout_rate=0.3, seed=seed, return_scores=True
        )
        total = total + ops.convert_to_numpy(output)
    np.testing.assert_allclose(
        ops.convert_to_numpy(kept), ops.convert_to_numpy(scores), atol=1e-6
    )
    assert np.abs(total / 200 - ops.convert_to_numpy(plain)).mean() < 0.03


def test_long_sequences_take_the_tiles(monkeypatch, small_tiles):
    taken = []

    def spy(*arguments):
        taken.append(arguments)
        return tiles.tiled_attention(*arguments)

    monkeypatch.setattr(dot_product, "tiled_attention", spy)
    arrays = list(map(ops.convert_to_tensor, inputs()))
    dot_product_attention(*arrays, flash_attention=False)
    assert not taken
    for threshold in "TILES_FROM", "TILES_FROM_ON_ACCELERATOR":
        monkeypatch.setattr(dot_product, threshold, T * S)
    output, _ = dot_product_attention(*arrays, flash_attention=False)
    assert len(taken) == 1
    np.testing.assert_allclose(
        ops.convert_to_numpy(output), reference(*inputs()), atol=2e-6
    )


@pytest.mark.skipif(BACKEND != "tensorflow", reason="static shapes elsewhere")
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("from_", [T * S, T * S + 1])
def test_unknown_lengths_choose_when_they_are_known(
    monkeypatch, small_tiles, jit_compile, from_
):
    import tensorflow as tf

    monkeypatch.setattr(dot_product, "TILES_FROM", from_)
    mask = random_mask((B, 1, T, S))

    def specs(*shapes):
        return [tf.TensorSpec(shape, "float32") for shape in shapes]

    @tf.function(
        jit_compile=jit_compile,
        input_signature=[
            *specs((None, None, N, H), (None, None, K, H), (None, None, K, V)),
            tf.TensorSpec((None, 1, None, None), "bool"),
        ],
    )
    def run(query, key, value, mask):
        with tf.GradientTape() as tape:
            tape.watch((query, key, value))
            output, _ = dot_product_attention(query, key, value, mask, True)
            loss = tf.reduce_sum(output**2)
        return output, tape.gradient(loss, (query, key, value))

    output, found = run(*map(tf.constant, inputs()), tf.constant(mask))
    np.testing.assert_allclose(
        output, reference(*inputs(), mask, True), atol=2e-6
    )
    expected = gradients(
        lambda *x: ops.sum(
            dot_product.dense_attention(
                *x, ops.convert_to_tensor(mask), True, None, H**-0.5
            )[0]
            ** 2
        )[None],
        *inputs(),
    )
    weight = np.random.default_rng(1).normal(size=1)
    for mine, other in zip(found, expected[1:], strict=True):
        np.testing.assert_allclose(mine, other / weight, atol=1e-4)


@pytest.mark.skipif(BACKEND != "jax", reason="the way to its kernel")
@pytest.mark.parametrize("causal", [False, True])
def test_jax_kernels_are_kept_from_rows_with_nothing_to_read(causal):
    query, key, _ = inputs()
    mask = random_mask((B, 1, T, S))
    bias = np.random.default_rng(5).normal(size=(1, N, 1, S))
    arguments = (mask, causal, bias.astype("float32"), H**-0.5)
    output = dot_product.fused_attention(query, key, key, *arguments)
    dense, _ = dot_product.dense_attention(query, key, key, *arguments)
    np.testing.assert_allclose(output, dense, atol=2e-6)
    assert (np.asarray(output)[:, 2] == 0).all()


@pytest.mark.skipif(BACKEND != "jax", reason="the way to its kernel")
def test_odd_lengths_with_a_mask_are_kept_from_cudnn(monkeypatch):
    """It would refuse them, but only once there is a gradient to compute."""
    import jax

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for length, of_pairs, expected in (
        (4, True, True),
        (5, True, False),
        (5, False, True),
    ):
        heads = ops.zeros((1, length, 2, 8), "bfloat16")
        fits = dot_product.has_fused_kernel(heads, heads, None, of_pairs)
        assert fits == expected


@pytest.mark.skipif(
    BACKEND != "torch" or on_accelerator(),
    reason="the way to torch's kernel; on a GPU it takes half precision only",
)
def test_a_kernel_of_torch_takes_values_of_another_size_than_keys():
    """One that never holds the logits, or it would refuse."""
    arrays = list(map(ops.convert_to_tensor, inputs()))
    output, _ = dot_product_attention(*arrays, flash_attention=True)
    np.testing.assert_allclose(
        ops.convert_to_numpy(output), reference(*inputs()), atol=2e-6
    )


@pytest.mark.skipif(BACKEND != "tensorflow", reason="it has a fused kernel")
def test_a_fused_kernel_is_not_to_be_had_on_tensorflow():
    arrays = list(map(ops.convert_to_tensor, inputs()))
    with pytest.raises(ValueError, match="not supported in tensorflow"):
        dot_product_attention(*arrays, flash_attention=True)
