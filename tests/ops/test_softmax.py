import keras
import numpy as np
from keras import ops

from keras_attention.ops.softmax import masked_softmax


def test_it_is_the_softmax_over_what_may_be_read():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 7)).astype("float32")
    mask = rng.random((5, 7)) < 0.6
    mask[2] = False
    expected = np.zeros((5, 7))
    for row in range(5):
        powers = np.exp(logits[row][mask[row]])
        expected[row][mask[row]] = powers / powers.sum()
    got = ops.convert_to_numpy(masked_softmax(logits, ops.array(mask)))
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert not got[2].any()


def test_what_is_masked_does_not_count_even_if_it_is_no_number():
    logits = np.array([[1.0, np.inf, np.nan, 1.0]], "float32")
    mask = ops.array([[True, False, False, True]])
    got = ops.convert_to_numpy(masked_softmax(logits, mask))
    np.testing.assert_allclose(got, [[0.5, 0, 0, 0.5]])


def test_it_computes_in_float32_at_least():
    for dtype, expected in (("float16", "float32"), ("float32", "float32")):
        scores = masked_softmax(ops.zeros((1, 3), dtype))
        assert keras.backend.standardize_dtype(scores.dtype) == expected
    # 2048 equal logits sum to one; in float16 or bfloat16 they would not.
    scores = masked_softmax(ops.zeros((1, 2049), "bfloat16"))
    assert abs(float(ops.sum(scores)) - 1) < 1e-6
