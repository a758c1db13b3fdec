import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers.layer_normalization import LayerNormalization
from keras_attention.ops.layer_norm import layer_norm
from tests.gradients import gradients

B, T, D = 2, 3, 5
EPSILON = 1e-3


def plain(x, gamma, beta):
    """Ba et al., 2016, left to the backend to differentiate."""
    centered = x - ops.mean(x, axis=-1, keepdims=True)
    variance = ops.mean(centered * centered, axis=-1, keepdims=True)
    return centered / ops.sqrt(variance + EPSILON) * gamma + beta


def ours(x, gamma, beta):
    return layer_norm(x, gamma, beta, EPSILON)


def draw(dtype="float32"):
    rng = np.random.default_rng(0)
    return [rng.normal(size=s).astype(dtype) for s in ((B, T, D), (D,), (D,))]


@pytest.mark.parametrize("jit_compile", (False, True))
def test_value_and_gradient_are_those_of_the_equation(jit_compile):
    found = gradients(ours, *draw(), jit_compile=jit_compile)
    expected = gradients(plain, *draw(), jit_compile=jit_compile)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def slope(norm):
    """The gradient by `x` of a weighted sum: what a penalty differentiates."""
    weights = np.random.default_rng(1).normal(size=(B, T, D)).astype("float32")

    def function(x, gamma, beta):
        if keras.backend.backend() == "jax":
            import jax

            return jax.grad(lambda x: (weights * norm(x, gamma, beta)).sum())(x)
        if keras.backend.backend() == "torch":
            import torch

            loss = (x.new_tensor(weights) * norm(x, gamma, beta)).sum()
            return torch.autograd.grad(loss, x, create_graph=True)[0] + 0 * beta
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(weights * norm(x, gamma, beta))
        return tape.gradient(loss, x) + 0 * beta

    return function


def test_its_gradient_has_a_gradient():
    found, expected = (
        gradients(slope(norm), *draw()) for norm in (ours, plain)
    )
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    assert np.abs(expected[1]).max() > 0.1


def test_half_precision_is_normalized_in_float32():
    half, gamma, beta = (ops.cast(array, "bfloat16") for array in draw())
    found = ours(half, gamma, beta)
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"
    exact = plain(*(ops.cast(x, "float32") for x in (half, gamma, beta)))
    expected = ops.cast(exact, "bfloat16")
    np.testing.assert_array_equal(
        *(
            ops.convert_to_numpy(ops.cast(y, "float32"))
            for y in (found, expected)
        )
    )


def test_the_layer_is_that_of_keras():
    x = draw()[0]
    layers = LayerNormalization(), keras.layers.LayerNormalization()
    outputs = [ops.convert_to_numpy(layer(x)) for layer in layers]
    np.testing.assert_allclose(*outputs, atol=1e-5)
    configs = [layer.get_config() for layer in layers]
    for config in configs:
        del config["name"]
    assert configs[0] == configs[1]
