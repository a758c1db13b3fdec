import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import StochasticDepth

B, T, D = 4000, 2, 3
RATE = 0.3


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("shape", [(B,), (B, D), (B, T, D), (B, 2, T, D)])
def test_an_example_is_dropped_as_a_whole_or_scaled(shape):
    layer = StochasticDepth(RATE, seed=5)
    output = numpy(layer(np.ones(shape, "float32"), training=True))
    first = output.reshape(B, -1)[:, :1]
    np.testing.assert_array_equal(output.reshape(B, -1) - first, 0)
    kept = first[:, 0] != 0
    np.testing.assert_allclose(first[kept], 1 / (1 - RATE), rtol=1e-6)
    # Five standard deviations of a share of 4000 draws.
    assert abs(kept.mean() - (1 - RATE)) < 5 * np.sqrt(RATE * (1 - RATE) / B)


def test_nothing_is_dropped_at_inference_or_at_a_rate_of_zero():
    x = np.random.default_rng(0).normal(size=(5, T, D)).astype("float32")
    layer = StochasticDepth(RATE)
    np.testing.assert_array_equal(numpy(layer(x)), x)
    np.testing.assert_array_equal(numpy(layer(x, training=False)), x)
    np.testing.assert_array_equal(
        numpy(StochasticDepth(0.0)(x, training=True)), x
    )


def test_each_call_draws_anew_and_a_seed_repeats_the_draws():
    x = np.ones((50, D), "float32")
    one, other = StochasticDepth(RATE, seed=1), StochasticDepth(RATE, seed=1)
    first, second = (numpy(one(x, training=True)) for _ in range(2))
    assert (first != second).any()
    np.testing.assert_array_equal(numpy(other(x, training=True)), first)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_low_precision_drops_no_more_than_its_rate(dtype):
    # Block 1 of 12 at a rate of 0.1; a draw in bfloat16 would drop 0.0156.
    rate, batch = 0.1 / 11, 200_000
    layer = StochasticDepth(rate, seed=3, dtype=dtype)
    output = layer(np.ones((batch, 1)), training=True)
    assert keras.backend.standardize_dtype(output.dtype) == layer.compute_dtype
    dropped = (numpy(ops.cast(output, "float32")) == 0).mean()
    assert abs(dropped - rate) < 5 * np.sqrt(rate / batch)


def test_branches_draw_on_their_own():
    one, other = (
        numpy(StochasticDepth(0.5)(np.ones((B, 1)), training=True)) > 0
        for _ in range(2)
    )
    # Both kept, or both dropped: for half of the examples.
    assert abs((one == other).mean() - 0.5) < 5 * np.sqrt(0.25 / B)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_what_is_dropped_gets_no_gradient_in_fit(jit_compile):
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("torch compiles by another way, which Keras leaves off")
    # One weight per example: a dropped example leaves its weight as it was.
    inputs = keras.Input((40,))
    branch = keras.layers.Dense(
        1, use_bias=False, kernel_initializer="ones", name="branch"
    )
    depth = StochasticDepth(RATE, seed=2)
    model = keras.Model(inputs, depth(branch(inputs)))
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=jit_compile)
    model.train_on_batch(np.eye(40), np.zeros((40, 1)))
    moved = np.abs(branch.get_weights()[0][:, 0] - 1) > 1e-6
    assert 0 < moved.sum() < 40
    # d/dw of (w / (1 - rate))^2 / 40, from w = 1.
    np.testing.assert_allclose(
        branch.get_weights()[0][moved],
        1 - 2 / (1 - RATE) ** 2 / 40,
        rtol=1e-5,
    )


def test_masks_pass_through():
    tokens = keras.Input((None,))
    x = keras.layers.Embedding(11, D, mask_zero=True)(tokens)
    y = StochasticDepth(RATE, dtype="mixed_bfloat16")(x)
    assert y.shape == (None, None, D) and y.dtype == "bfloat16"
    assert y._keras_mask is not None


@pytest.mark.parametrize("rate", [-0.1, 1.0, "a half"])
def test_bad_rates_say_what_must_hold(rate):
    with pytest.raises(ValueError, match=r"`rate` must be a number in \[0, 1"):
        StochasticDepth(rate)
