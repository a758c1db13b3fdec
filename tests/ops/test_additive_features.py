import numpy as np
import pytest
from keras import ops

from keras_attention.ops.additive_features import featured_logits
from tests.gradients import gradients

B, K, S, F, U = 2, 3, 5, 7, 11


def inputs():
    rng = np.random.default_rng(0)
    shapes = (B, K, U), (B, S, U), (B, K, S, F), (F, U), (U,)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def test_it_is_the_papers_score():
    query, key, features, projection, vector = inputs()
    got = featured_logits(*map(ops.convert_to_tensor, inputs()))
    expected = np.zeros((B, K, S))
    for b, k, s in np.ndindex(expected.shape):
        shared = query[b, k] + key[b, s] + features[b, k, s] @ projection
        expected[b, k, s] = vector @ np.tanh(shared)
    np.testing.assert_allclose(ops.convert_to_numpy(got), expected, atol=1e-4)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_its_gradient_is_the_plain_one(jit_compile):
    def plain(query, key, features, projection, vector):
        flat = ops.reshape(features, (-1, F))
        projected = ops.reshape(ops.matmul(flat, projection), (B, K, S, U))
        pairs = ops.tanh(query[:, :, None] + key[:, None] + projected)
        return ops.sum(pairs * vector, axis=-1)

    got, expected = (
        gradients(function, *inputs(), jit_compile=jit_compile)
        for function in (featured_logits, plain)
    )
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
