import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers.projection import (
    can_project_at_once,
    project,
    project_at_once,
    projection,
)

B, T, D = 2, 3, 5
SIZES = (7, 2), (1, 3), (4, 11)


def make(sizes, use_bias=True, num_inputs=1, **options):
    layer = projection(
        "made",
        3,
        num_inputs,
        sizes,
        use_bias,
        kernel_initializer="glorot_uniform",
        bias_initializer="random_normal",
        **options,
    )
    layer.build((B, T, D) if num_inputs == 1 else (B, T, 13, D))
    return layer


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


@pytest.mark.parametrize("use_bias", (True, False))
@pytest.mark.parametrize("dtype", ("float32", "mixed_bfloat16"))
def test_at_once_is_one_after_the_other(use_bias, dtype):
    layers = [make(sizes, use_bias, dtype=dtype) for sizes in SIZES]
    assert can_project_at_once(layers)
    x = draw(B, T, D)
    found = project_at_once(layers, x)
    for layer, sizes, output in zip(layers, SIZES, found, strict=True):
        assert tuple(output.shape) == (B, T, *sizes)
        expected = layer(x)
        assert output.dtype == expected.dtype
        atol = 1e-5 if dtype == "float32" else 0.05
        np.testing.assert_allclose(numpy(output), numpy(expected), atol=atol)


@pytest.mark.parametrize(
    "num_inputs, activation", [(1, None), (1, "sigmoid"), (2, None)]
)
def test_without_a_call_it_is_the_call(num_inputs, activation):
    layer = make((7, 2), num_inputs=num_inputs, activation=activation)
    x = draw(B, T, D) if num_inputs == 1 else draw(B, T, 13, D)
    found = project(layer, x, num_inputs)
    np.testing.assert_allclose(numpy(found), numpy(layer(x)), atol=1e-5)


def test_what_a_layer_does_beside_is_not_left_out():
    first, second = make(SIZES[0]), make(SIZES[1])
    assert not can_project_at_once([first, first])  # the l2 score's
    assert not can_project_at_once([first, make(SIZES[1], use_bias=False)])
    second.quantize("int8")
    assert not can_project_at_once([first, second])
    penalized = make(SIZES[0], activity_regularizer=keras.regularizers.L2(1.0))
    assert not can_project_at_once([penalized, first])
    project(penalized, draw(B, T, D))
    assert len(penalized.losses) == 1


def test_low_rank_updates_count():
    layers = [make(sizes) for sizes in SIZES]
    layers[1].enable_lora(2)
    layers[1].lora_kernel_b.assign(np.ones(layers[1].lora_kernel_b.shape))
    x = draw(B, T, D)
    for layer, output in zip(layers, project_at_once(layers, x), strict=True):
        np.testing.assert_allclose(numpy(output), numpy(layer(x)), atol=1e-5)
