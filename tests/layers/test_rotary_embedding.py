import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import RotaryEmbedding

B, T, N, H = 2, 5, 3, 14


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def normal(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape).astype("float32")


def reference(x, start=0, max_wavelength=10000, layout="interleaved"):
    """Su et al., 2021, equation 34: a matrix for each pair and position."""
    output = np.zeros(x.shape)
    size = x.shape[-1]
    for t, i in np.ndindex(x.shape[1], size // 2):
        angle = (start + t) * max_wavelength ** (-2 * i / size)
        turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        pair = [2 * i, 2 * i + 1]
        if layout == "halves":
            pair = [i, i + size // 2]
        output[:, t, ..., pair] = np.einsum(
            "ij,j...->i...", turn, x[:, t, ..., pair]
        )
    return output


@pytest.mark.parametrize("layout", ["interleaved", "halves"])
@pytest.mark.parametrize("shape", [(B, T, H), (B, T, N, H)])
def test_it_is_the_equation(shape, layout):
    x = normal(*shape)
    layer = RotaryEmbedding(max_wavelength=100.0, layout=layout)
    np.testing.assert_allclose(
        numpy(layer(x, start_index=2)),
        reference(x, 2, 100, layout),
        atol=1e-5,
    )


def test_a_quarter_turn_by_hand():
    # One pair turns by one radian for each position.
    x = np.array([[[1.0, 0.0]] * 2], "float32")
    expected = [[[1, 0], [np.cos(1), np.sin(1)]]]
    np.testing.assert_allclose(numpy(RotaryEmbedding()(x)), expected, atol=1e-6)


@pytest.mark.parametrize("layout", ["interleaved", "halves"])
def test_products_depend_on_the_distance_alone(layout):
    layer = RotaryEmbedding(layout=layout)
    query, key = normal(1, 1, H), normal(1, 1, H, seed=1)

    def product(m, n):
        turned = layer(query, start_index=m), layer(key, start_index=n)
        return (numpy(turned[0]) * numpy(turned[1])).sum()

    assert product(3, 1) == pytest.approx(product(43, 41), abs=1e-4)
    assert product(3, 1) != pytest.approx(product(1, 3), abs=1e-2)


def test_a_step_is_its_row_of_the_whole():
    layer, x = RotaryEmbedding(), normal(B, T, N, H)
    whole = numpy(layer(x))
    for start in (3, ops.convert_to_tensor(3, "int32")):
        step = numpy(layer(x[:, 3:4], start_index=start))
        np.testing.assert_allclose(step[:, 0], whole[:, 3], atol=1e-6)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "float16"])
def test_low_precision_turns_far_positions_right(dtype):
    x = np.ones((1, 4096, 8), "float32")
    layer = RotaryEmbedding(dtype=dtype)
    output = layer(x)
    assert keras.backend.standardize_dtype(output.dtype) == layer.compute_dtype
    # Angles of such positions in bfloat16 would be off by whole turns.
    np.testing.assert_allclose(numpy(output), reference(x), atol=1e-2)


def test_integers_are_read_as_numbers():
    x = np.round(3 * normal(B, T, H))
    output = RotaryEmbedding()(x.astype("int32"))
    assert keras.backend.standardize_dtype(output.dtype) == "float32"
    np.testing.assert_array_equal(numpy(output), numpy(RotaryEmbedding()(x)))


def test_unknown_sizes_and_masks_pass_through():
    tokens = keras.Input((None,))
    x = keras.layers.Embedding(11, H, mask_zero=True)(tokens)
    y = RotaryEmbedding()(x)
    assert y.shape == (None, None, H)
    assert y._keras_mask is not None
    model = keras.Model(tokens, y)
    assert model.predict(np.ones((B, T)), verbose=0).shape == (B, T, H)


def test_bad_arguments_say_what_must_hold():
    with pytest.raises(ValueError, match="one of 'interleaved', 'halves'"):
        RotaryEmbedding(layout="other")
    with pytest.raises(ValueError, match="must be positive.*=0"):
        RotaryEmbedding(max_wavelength=0)
    for shape in ((T, H), (B, T, 7)):
        with pytest.raises(ValueError, match="known and even"):
            RotaryEmbedding()(np.zeros(shape, "float32"))


def test_sequences_do_not_start_at_positions_of_their_own():
    x = np.zeros((2, 2, 4), "float32")
    with pytest.raises(ValueError, match=r"one position.*shape \(2,\)"):
        RotaryEmbedding()(x, start_index=np.array([1, 2]))
