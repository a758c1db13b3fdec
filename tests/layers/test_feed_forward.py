import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import FeedForward

B, T, D, F = 2, 5, 7, 11


def test_it_is_the_equation_at_each_position():
    layer = FeedForward(F)
    x = np.random.default_rng(0).normal(size=(B, T, D)).astype("float32")
    layer.build(x.shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    first, b1, second, b2 = layer.get_weights()
    output = ops.convert_to_numpy(layer(x))
    for b, t in np.ndindex(B, T):
        wide = np.maximum(x[b, t] @ first + b1, 0)
        np.testing.assert_allclose(output[b, t], wide @ second + b2, atol=1e-4)


def test_choices_reach_the_parts():
    layer = FeedForward(
        F, activation="tanh", use_bias=False, kernel_initializer="ones"
    )
    x = np.random.default_rng(0).normal(size=(B, 3, T, D)).astype("float32")
    expected = np.tanh(x.sum(-1, keepdims=True)) * F
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(x)),
        np.broadcast_to(expected, x.shape),
        atol=1e-4,
    )
    assert [w.path.split("/")[-2:] for w in layer.weights] == [
        ["intermediate", "kernel"],
        ["output", "kernel"],
    ]


def test_dropout_works_on_the_wider_layer_in_training_only():
    layer = FeedForward(
        F, "linear", 0.5, kernel_initializer="ones", use_bias=False, seed=3
    )
    x = np.ones((B, T, 1), "float32")
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), F)
    dropped = ops.convert_to_numpy(layer(x, training=True)) / 2
    np.testing.assert_allclose(dropped, dropped.round())
    assert len(np.unique(dropped)) > 2


def test_masks_and_unknown_sizes_pass_through():
    tokens = keras.Input((None,))
    x = keras.layers.Embedding(11, D, mask_zero=True)(tokens)
    y = FeedForward(F, dtype="mixed_bfloat16")(x)
    assert y.shape == (None, None, D) and y.dtype == "bfloat16"
    assert y._keras_mask is not None


def test_bad_arguments_say_what_must_hold():
    with pytest.raises(ValueError, match="`intermediate_dim` must be a pos"):
        FeedForward(0)
    with pytest.raises(ValueError, match=r"`dropout` must be a number in"):
        FeedForward(F, dropout=-0.1)
