import numpy as np
import pytest
from keras import ops

from keras_attention.ops.sinusoids import sinusoids


def reference(length, dim, start=0, max_wavelength=10000):
    """Vaswani et al., 2017, section 3.5, one entry at a time."""
    encoding = np.zeros((length, dim))
    for t, j in np.ndindex(length, dim):
        angle = (start + t) / max_wavelength ** (2 * (j // 2) / dim)
        encoding[t, j] = np.cos(angle) if j % 2 else np.sin(angle)
    return encoding


@pytest.mark.parametrize("dim", [1, 6, 7])
@pytest.mark.parametrize("start", [0, 3])
def test_it_is_the_equation(dim, start):
    encoding = ops.convert_to_numpy(sinusoids(5, dim, start, 100.0))
    assert encoding.dtype == "float32"
    np.testing.assert_allclose(
        encoding, reference(5, dim, start, 100), atol=1e-6
    )


@pytest.mark.parametrize("dim", [6, 7])
def test_halves_are_the_same_numbers_sines_first(dim):
    interleaved = ops.convert_to_numpy(sinusoids(5, dim))
    halves = ops.convert_to_numpy(sinusoids(5, dim, layout="halves"))
    order = [*range(0, dim, 2), *range(1, dim, 2)]
    np.testing.assert_array_equal(halves, interleaved[:, order])


def test_a_start_that_is_a_tensor_gives_the_same():
    start = ops.convert_to_tensor(3, "int32")
    np.testing.assert_allclose(
        ops.convert_to_numpy(sinusoids(5, 6, start)),
        ops.convert_to_numpy(sinusoids(8, 6))[3:],
        atol=1e-6,
    )
