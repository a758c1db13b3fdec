"""`MultiHeadAttention(score="l2")`: scores by distance, one projection."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import (
    AlibiBias,
    MultiHeadAttention,
    RotaryEmbedding,
)
from keras_attention.ops import dot_product, l2_scores, tiles
from tests.gradients import gradients

B, T, S, N, D, H, V = 2, 5, 7, 3, 11, 4, 2


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def normal(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape).astype("float32")


def built(**arguments):
    layer = MultiHeadAttention(N, H, V, score="l2", **arguments)
    layer.build((B, T, D), (B, S, D))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) * 0.3 for w in layer.weights])
    return layer


def reference(layer, query, value):
    """Kim et al., 2021, section 3.2, one pair of positions at a time."""
    p, v, o = (
        [numpy(dense.kernel), numpy(dense.bias)]
        for dense in (layer.query_dense, layer.value_dense, layer.output_dense)
    )
    output = np.zeros((B, T, D)) + o[1]
    scores = np.zeros((B, N, T, S))
    for b, n, t in np.ndindex(B, N, T):
        one = query[b, t] @ p[0][:, n] + p[1][n]
        logits = [
            -((one - (value[b, s] @ p[0][:, n] + p[1][n])) ** 2).sum()
            / np.sqrt(H)
            for s in range(S)
        ]
        weights = np.exp(logits - np.max(logits))
        scores[b, n, t] = weights / weights.sum()
        head = scores[b, n, t] @ (value[b] @ v[0][:, n] + v[1][n])
        output[b, t] += head @ o[0][n]
    return output, scores


def test_it_is_the_equation():
    query, value = normal(B, T, D), normal(B, S, D, seed=1)
    layer = built()
    assert layer.key_dense is layer.query_dense
    names = [w.path.split("/")[-2] for w in layer.weights[::2]]
    assert names == ["query", "value", "attention_output"]
    expected, expected_scores = reference(layer, query, value)
    output, scores = layer(query, value, return_attention_scores=True)
    np.testing.assert_allclose(numpy(output), expected, atol=1e-5)
    np.testing.assert_allclose(numpy(scores), expected_scores, atol=1e-5)
    alone = numpy(layer(query, value))
    np.testing.assert_allclose(alone, expected, atol=1e-5)
    context, _, _ = layer.step(query[:, 1], layer.memory(value), {})
    np.testing.assert_allclose(numpy(context), expected[:, 1], atol=1e-5)


def test_each_position_reads_itself_most():
    x = 10 * normal(1, S, D)
    _, scores = MultiHeadAttention(N, H, score="l2")(
        x, x, return_attention_scores=True
    )
    assert (numpy(scores).argmax(-1) == np.arange(S)).all()


def steepest(score, scales):
    """The largest spectral norm of the Jacobian, for inputs of each scale.

    8 tokens of 16 features, the first one 0.
    """
    keras.utils.set_random_seed(0)
    x = normal(3, 8, 16)  # three inputs
    x[:, 0] = 0
    x = np.concatenate([scale * x for scale in scales])
    layer = MultiHeadAttention(2, 8, score=score)
    layer.build((None, 8, 16), (None, 8, 16))
    # Row i of a Jacobian is the gradient in the copy i of its input.
    copies = np.repeat(x, 128, axis=0)
    rows = np.tile(np.eye(128, dtype="float32"), (len(x), 1))
    rows = ops.convert_to_tensor(rows.reshape(-1, 8, 16))

    def chosen(copies):
        return ops.sum(layer(copies, copies) * rows)[None]

    _, found = gradients(chosen, copies, jit_compile=True)
    weight = np.random.default_rng(1).normal(size=1)
    jacobians = (found / weight).reshape(len(scales), 3, 128, 128)
    return np.linalg.norm(jacobians, 2, axis=(-2, -1)).max(1)


def test_large_inputs_do_not_make_it_steeper():
    """Kim et al., 2021, theorem 3.2; the dot product is the control."""
    scales = (0.25, 1, 16, 64)
    slopes = steepest("l2", scales)
    assert (slopes <= 2 * slopes[1]).all()
    control = steepest("scaled_dot", scales)
    assert control[3] > 50 * control[1]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_low_precision_keeps_the_square_of_a_key(dtype):
    """Compiled as well, where XLA may leave out casts there and back."""
    key = ops.cast(3 * normal(S, 64), dtype)
    exact = -(numpy(key).astype("float64") ** 2).sum(-1) / 8
    split = l2_scores.l2_key
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        split = tf.function(split, jit_compile=True)
    elif keras.backend.backend() == "jax":
        import jax

        split = jax.jit(split)
    found = numpy(split(key, 1 / 8))
    np.testing.assert_allclose(found[:, :64], numpy(key))
    # bfloat16 alone would be off by up to 0.2 of these 70.
    assert np.abs(exact).min() > 50
    np.testing.assert_allclose(found[:, 64:].sum(-1), exact, atol=2e-3)


def test_low_precision_is_close_to_float32():
    query, value = normal(B, 50, D), normal(B, 60, D, seed=1)
    layer, low = (
        MultiHeadAttention(2, 16, score="l2", dtype=policy)
        for policy in ("float32", "mixed_bfloat16")
    )
    _, expected = layer(query, value, return_attention_scores=True)
    low.build(query.shape, value.shape)
    low.set_weights(layer.get_weights())
    _, scores = low(query, value, return_attention_scores=True)
    np.testing.assert_allclose(numpy(scores), numpy(expected), atol=1e-2)


def test_long_sequences_give_the_same_in_tiles(monkeypatch):
    monkeypatch.setattr(tiles, "QUERIES", 2)
    monkeypatch.setattr(tiles, "CAUSAL_KEYS", 3)
    query, value = normal(B, T, D), normal(B, S, D, seed=1)
    layer = built()
    layer.flash_attention = False

    def run(*inputs):
        return layer(*inputs, use_causal_mask=True)

    dense = gradients(run, query, value, jit_compile=True)
    monkeypatch.setattr(dot_product, "TILES_FROM", 1)
    tiled = gradients(run, query, value, jit_compile=True)
    for mine, other in zip(tiled, dense, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-4)


@pytest.mark.parametrize("placed", [False, True])
def test_stepping_over_a_cache_is_the_causal_call(placed):
    x = normal(B, T, D)
    arguments = {}
    if placed:
        arguments = dict(rotary=RotaryEmbedding(), position_bias=AlibiBias(N))
    layer = built(**arguments)
    expected = numpy(layer(x, x, use_causal_mask=True))
    cache = layer.initial_cache(B, T)
    for t in range(T):
        output, cache, _ = layer.step_self(x[:, t], cache)
        np.testing.assert_allclose(numpy(output), expected[:, t], atol=1e-5)


def test_it_saves_and_reloads_with_its_one_projection(tmp_path):
    x = keras.Input((None, D))
    model = keras.Model(x, MultiHeadAttention(N, H, score="l2")(x, x))
    inputs = normal(B, T, D)
    expected = numpy(model(inputs))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    layer = again.layers[-1]
    assert layer.key_dense is layer.query_dense
    assert len(layer.weights) == 6
    np.testing.assert_allclose(numpy(again(inputs)), expected, atol=1e-6)
    model.save_weights(tmp_path / "model.weights.h5")
    layer.set_weights([w * 0 for w in layer.get_weights()])
    again.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(numpy(again(inputs)), expected, atol=1e-6)


# Keras says so of all that holds no kernel.
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` m")
def test_lora_and_int8_meet_the_one_projection_once(tmp_path):
    inputs = normal(B, T, D)
    x = keras.Input((None, D))
    model = keras.Model(x, MultiHeadAttention(N, H, score="l2")(x, x))
    layer = model.layers[-1]
    exact = numpy(model(inputs))
    layer.query_dense.enable_lora(2)
    # The place of one frozen kernel, of 6 weights, is taken by two factors.
    assert len(layer.trainable_variables) == 7
    np.testing.assert_allclose(numpy(model(inputs)), exact, atol=1e-6)

    def quantized():
        layer = MultiHeadAttention(N, H, score="l2")
        model = keras.Model(x, layer(x, x))
        exact = numpy(model(inputs))
        model.quantize("int8")
        assert layer.query_dense._kernel.dtype == "int8"
        return model, exact

    model, exact = quantized()
    found = numpy(model(inputs))
    assert 0 < np.abs(found - exact).max() < 0.1
    model.save_weights(tmp_path / "model.weights.h5")
    again, _ = quantized()
    again.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(numpy(again(inputs)), found, atol=1e-6)


def test_bad_arguments_and_inputs_say_what_must_hold():
    with pytest.raises(ValueError, match="one of 'scaled_dot', 'l2'.*'dot'"):
        MultiHeadAttention(N, H, score="dot")
    with pytest.raises(ValueError, match="as many of both.*=1, num_heads=3"):
        MultiHeadAttention(N, H, score="l2", num_key_value_heads=1)
    query, value = normal(B, T, D), normal(B, S, D + 1)
    layer = MultiHeadAttention(N, H, score="l2")
    for tensors in ((query, value), (query, value[..., :D], value)):
        with pytest.raises(ValueError, match="the same number of features"):
            layer(*tensors)
    memory = layer.memory(value)
    with pytest.raises(ValueError, match="the same number of features"):
        layer.step(query[:, 0], memory, {})
