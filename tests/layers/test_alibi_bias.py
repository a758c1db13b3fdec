import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import AlibiBias, MultiHeadAttention

T, S, D = 5, 7, 6


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def normal(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape).astype("float32")


def test_it_is_the_equation_in_both_directions():
    """Press et al., 2022, section 3, and its slopes for 8 heads."""
    bias = numpy(AlibiBias(8)(normal(2, T, D), normal(2, S, D)))
    assert bias.shape == (1, 8, T, S)
    for n, t, s in np.ndindex(8, T, S):
        assert bias[0, n, t, s] == -abs(t - s) / 2 ** (n + 1)


def test_one_sequence_is_both_query_and_value():
    bias = numpy(AlibiBias(1)(normal(2, 3, D)))
    expected = -np.array([[0, 1, 2], [1, 0, 1], [2, 1, 0]]) / 256
    np.testing.assert_array_equal(bias[0, 0], expected)


def test_a_table_starts_where_it_is_told():
    layer = AlibiBias(8)
    for first in (-3, ops.convert_to_tensor(-3, "int32")):
        table = numpy(layer.table(first, 5))
        np.testing.assert_array_equal(table[0], [-1.5, -1, -0.5, 0, -0.5])


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "float16"])
def test_a_table_is_exact_in_low_precision(dtype):
    table = AlibiBias(2, dtype=dtype).table(-4096, 2)
    assert keras.backend.standardize_dtype(table.dtype) == "float32"
    np.testing.assert_array_equal(numpy(table)[0], [-256, -4095 / 16])


def test_what_it_returns_is_what_attention_adds():
    query, value = normal(2, T, D), normal(2, S, D, seed=1)
    bias = AlibiBias(3)
    layer = MultiHeadAttention(3, 4, position_bias=bias)
    plain = MultiHeadAttention(3, 4)
    plain.build(query.shape, value.shape)
    layer.build(query.shape, value.shape)
    layer.set_weights(plain.get_weights())
    np.testing.assert_allclose(
        numpy(layer(query, value)),
        numpy(plain(query, value, attention_bias=bias(query, value))),
        atol=1e-6,
    )
    x, y = keras.Input((None, D)), keras.Input((None, D))
    model = keras.Model([x, y], plain(x, y, attention_bias=bias(x, y)))
    np.testing.assert_allclose(
        numpy(model([query, value])), numpy(layer(query, value)), atol=1e-6
    )


def test_masks_of_the_sequences_are_not_masks_of_pairs():
    x = keras.layers.Masking()(normal(2, T, D))
    assert getattr(AlibiBias(2)(x), "_keras_mask", None) is None


def test_bad_arguments_say_what_must_hold():
    with pytest.raises(ValueError, match="`num_heads` must be a positive"):
        AlibiBias(0)
