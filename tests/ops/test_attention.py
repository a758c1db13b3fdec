import numpy as np
import pytest
from keras import ops

from keras_attention.ops.attention import attend


def test_equal_logits_read_the_mean():
    value = np.arange(12, dtype="float32").reshape(1, 4, 3)
    output, scores = attend(ops.zeros((1, 2, 4)), ops.array(value))
    np.testing.assert_allclose(
        ops.convert_to_numpy(output)[0], np.stack([value[0].mean(0)] * 2)
    )
    np.testing.assert_allclose(ops.convert_to_numpy(scores), 0.25)


def test_dropout_keeps_the_expectation_and_reports_what_was_there_before():
    value = ops.ones((1, 4096, 1))
    output, scores = attend(
        ops.zeros((1, 1, 4096)), value, dropout_rate=0.5, seed=3
    )
    assert float(output[0, 0, 0]) == pytest.approx(1, abs=0.1)
    assert float(output[0, 0, 0]) != 1
    np.testing.assert_allclose(ops.convert_to_numpy(scores), 1 / 4096)
