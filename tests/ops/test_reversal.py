import numpy as np
from keras import ops

from keras_attention.ops.reversal import reverse_readable


def test_only_what_is_readable_is_reversed():
    ids = np.array([[5, 6, 7, 8, 0], [9, 4, 0, 0, 0], [0, 0, 0, 0, 0]])
    result = ops.convert_to_numpy(reverse_readable(ids, ids != 0))
    expected = [[8, 7, 6, 5, 0], [4, 9, 0, 0, 0], [0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(result, expected)


def test_twice_is_what_it_was():
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    mask = np.arange(5) < np.array([[4], [1]])
    once = reverse_readable(x, mask)
    np.testing.assert_array_equal(ops.convert_to_numpy(once)[0, 0], x[0, 3])
    np.testing.assert_array_equal(ops.convert_to_numpy(once)[0, 4], x[0, 4])
    twice = ops.convert_to_numpy(reverse_readable(once, mask))
    np.testing.assert_array_equal(twice, x)
