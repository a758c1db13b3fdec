import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import MultiHeadAttention, SlidingWindowAttention
from tests.gradients import gradients

B, T, D, N, K, H = 2, 41, 7, 4, 2, 3


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def sequence(length=T, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(B, length, D)).astype("float32")


def built(window, causal=False, **arguments):
    """A layer with random weights, biases too."""
    layer = SlidingWindowAttention(
        N, H, window, causal, num_key_value_heads=K, **arguments
    )
    layer.build((B, T, D))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) * 0.5 for w in layer.weights])
    return layer


def reference(layer, x, mask=None):
    """Beltagy et al., 2020, section 3.1, one pair at a time."""
    q, k, v, o = (
        [numpy(dense.kernel), numpy(dense.bias)]
        for dense in (
            layer.query_dense,
            layer.key_dense,
            layer.value_dense,
            layer.output_dense,
        )
    )
    length = x.shape[1]
    output = np.zeros(x.shape) + o[1]
    for b, t, n in np.ndindex(B, length, N):
        first = max(0, t - layer.window)
        last = t if layer.causal else min(length - 1, t + layer.window)
        window = [
            s
            for s in range(first, last + 1)
            if mask is None or (mask[b, t] and mask[b, s])
        ]
        if not window:
            continue
        g = n // (N // K)
        query = x[b, t] @ q[0][:, n] + q[1][n]
        keys = [x[b, s] @ k[0][:, g] + k[1][g] for s in window]
        weights = np.exp([query @ key / np.sqrt(H) for key in keys])
        values = [x[b, s] @ v[0][:, g] + v[1][g] for s in window]
        output[b, t] += weights / weights.sum() @ values @ o[0][n]
    return output


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [1, 5, 60])
def test_it_is_the_equation_at_every_edge(window, causal):
    layer, x = built(window, causal), sequence()
    mask = np.arange(T)[None] < np.array([[T - 9], [T]])
    mask[1, 20:25] = False
    np.testing.assert_allclose(numpy(layer(x)), reference(layer, x), atol=1e-5)
    np.testing.assert_allclose(
        numpy(layer(x, mask=mask)), reference(layer, x, mask), atol=1e-5
    )


@pytest.mark.parametrize("length", [1, 3, 16, 17, 33])
def test_a_length_need_not_fit_the_blocks(length):
    layer, x = built(2), sequence(length)
    np.testing.assert_allclose(numpy(layer(x)), reference(layer, x), atol=1e-5)


def test_equal_keys_give_the_mean_of_the_window():
    x = np.eye(3, dtype="float32")[None]
    layer = SlidingWindowAttention(1, 3, window=1, use_bias=False)
    layer.build(x.shape)
    eye = np.eye(3)
    layer.set_weights([0 * eye[:, None], eye[:, None], eye[:, None], eye[None]])
    expected = [[1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3], [0, 1 / 2, 1 / 2]]
    np.testing.assert_allclose(numpy(layer(x))[0], expected, atol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
def test_it_is_multi_head_attention_with_the_same_band(causal):
    layer, x = built(5, causal), sequence()
    other = MultiHeadAttention(N, H, sliding_window=6, num_key_value_heads=K)
    other.build(x.shape, x.shape)
    other.set_weights(layer.get_weights())
    found = [layer(x), layer(x, x), layer(x, value=x, key=x)]
    expected = numpy(other(x, x, use_causal_mask=causal))
    for output in found:
        np.testing.assert_allclose(numpy(output), expected, atol=1e-6)
    np.testing.assert_allclose(
        numpy(built(5)(x, use_causal_mask=True)),
        numpy(built(5, causal=True)(x)),
        atol=1e-6,
    )


@pytest.mark.parametrize("jit_compile", [False, True])
def test_gradients_are_those_of_all_pairs(jit_compile):
    layer = built(4)

    def by_bands(x):
        return layer(x)

    def by_pairs(x):
        return layer(x, return_attention_scores=True)[0]

    for mine, other in zip(
        gradients(by_bands, sequence(), jit_compile=jit_compile),
        gradients(by_pairs, sequence(), jit_compile=True),
        strict=True,
    ):
        np.testing.assert_allclose(mine, other, atol=1e-5)


@pytest.mark.parametrize("implicit", [False, True])
def test_a_mask_of_one_sequence_hides_positions_and_rows(implicit):
    layer, x = built(3), sequence()
    mask = np.ones((B, T), bool)
    mask[0, 7:12] = False
    changed = np.where(mask[..., None], x, 1e3).astype("float32")
    outputs = []
    for one in (x, changed):
        one = ops.convert_to_tensor(one)
        if implicit:
            one._keras_mask = ops.convert_to_tensor(mask)
        outputs.append(
            numpy(layer(one, **({} if implicit else {"mask": mask})))
        )
    np.testing.assert_allclose(*outputs, atol=1e-5)
    bias = numpy(layer.output_dense.bias)
    np.testing.assert_allclose(
        outputs[0][0, 7:12], np.tile(bias, (5, 1)), atol=1e-6
    )


@pytest.mark.parametrize("window", [2, 60])
def test_steps_over_a_cache_are_the_causal_call(window):
    layer, x = built(window, causal=True), sequence(19)
    expected = numpy(layer(x))
    cache = layer.initial_cache(B, 19)
    output, cache, _ = layer.step_self(x[:, :11], cache)
    np.testing.assert_allclose(numpy(output), expected[:, :11], atol=1e-5)
    for t in range(11, 19):
        output, cache, _ = layer.step_self(x[:, t], cache)
        np.testing.assert_allclose(numpy(output), expected[:, t], atol=1e-5)


@pytest.mark.parametrize("scores", [False, True])
def test_symbolic_shapes_of_one_sequence(scores):
    layer = SlidingWindowAttention(N, H, 2, output_shape=5)
    x = keras.Input((None, D))
    symbolic = layer(x, return_attention_scores=scores)
    shapes = [y.shape for y in keras.tree.flatten(symbolic)]
    assert shapes == [(None, None, 5), (None, N, None, None)][: 1 + scores]
    found = keras.Model(x, symbolic)(sequence())
    shapes = [tuple(y.shape) for y in keras.tree.flatten(found)]
    assert shapes == [(B, T, 5), (B, N, T, T)][: 1 + scores]


def test_what_it_cannot_do_is_refused():
    layer = SlidingWindowAttention(N, H, 2)
    with pytest.raises(ValueError, match="a memory has none.*`step_self`"):
        layer.memory(sequence())
    cache = layer.initial_cache(B, T)
    with pytest.raises(ValueError, match="causal=False.*`causal=True`"):
        layer.step_self(sequence()[:, 0], cache)
    with pytest.raises(ValueError, match="one axis of positions"):
        layer(np.zeros((B, 3, T, D)))
    with pytest.raises(ValueError, match="`mask` is for a call with one"):
        layer(sequence(), sequence(), mask=np.ones((B, T)))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(window=0), "`window` must be a positive integer"),
        (dict(window=2.5), "`window` must be a positive integer"),
        (dict(num_heads=0), "`num_heads` must be a positive"),
        (dict(num_key_value_heads=3), "multiple of `num_key_value_heads`"),
    ],
)
def test_bad_arguments_say_what_must_hold(arguments, message):
    with pytest.raises(ValueError, match=message):
        SlidingWindowAttention(
            **{"num_heads": N, "key_dim": H, "window": 1, **arguments}
        )
