import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import SinePositionEncoding

B, T, D = 2, 5, 7


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def test_it_is_the_equation_for_each_example():
    encoding = numpy(SinePositionEncoding()(np.zeros((B, T, D))))
    for b, t, j in np.ndindex(B, T, D):
        angle = t / 10000 ** (2 * (j // 2) / D)
        wave = np.cos(angle) if j % 2 else np.sin(angle)
        assert encoding[b, t, j] == pytest.approx(wave, abs=1e-6)


def test_a_step_is_its_row_of_the_whole():
    layer = SinePositionEncoding(layout="halves", max_wavelength=100.0)
    x = np.zeros((B, T, D), "float32")
    whole = numpy(layer(x))
    for start in (3, ops.convert_to_tensor(3, "int32")):
        step = numpy(layer(x[:, :1], start_index=start))
        np.testing.assert_allclose(step[:, 0], whole[:, 3], atol=1e-6)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "float16"])
def test_low_precision_keeps_neighbors_distinct(dtype):
    x = np.zeros((1, 4096, 64), "float32")
    exact = numpy(SinePositionEncoding()(x))
    layer = SinePositionEncoding(dtype=dtype)
    encoding = layer(x)
    assert (
        keras.backend.standardize_dtype(encoding.dtype) == layer.compute_dtype
    )
    encoding = numpy(encoding)
    # Computed in bfloat16 only 769 rows are distinct, 2.0 off.
    assert len(np.unique(encoding[0], axis=0)) == 4096
    np.testing.assert_allclose(encoding, exact, atol=4e-3)


def test_unknown_sizes_and_masks_pass_through():
    tokens = keras.Input((None,))
    x = keras.layers.Embedding(11, D, mask_zero=True)(tokens)
    y = SinePositionEncoding()(x)
    assert y.shape == (None, None, D)
    assert y._keras_mask is not None
    model = keras.Model(tokens, y)
    assert model.predict(np.ones((B, T)), verbose=0).shape == (B, T, D)


def test_bad_arguments_say_what_must_hold():
    with pytest.raises(ValueError, match="one of 'interleaved', 'halves'"):
        SinePositionEncoding(layout="other")
    with pytest.raises(ValueError, match="must be positive.*=0"):
        SinePositionEncoding(max_wavelength=0)
    with pytest.raises(ValueError, match=r"\(batch, length, features\)"):
        SinePositionEncoding()(np.zeros((T, D)))


def test_sequences_do_not_start_at_positions_of_their_own():
    x = np.zeros((2, 2, 4), "float32")
    with pytest.raises(ValueError, match=r"one position.*shape \(2,\)"):
        SinePositionEncoding()(x, start_index=np.array([1, 2]))
