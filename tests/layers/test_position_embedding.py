import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import PositionEmbedding
from tests.gradients import gradients

B, T, D, M = 2, 5, 7, 11


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def test_each_position_has_its_vector():
    layer = PositionEmbedding(M)
    embedding = numpy(layer(np.zeros((B, T, D))))
    vectors = numpy(layer.embeddings)
    assert vectors.shape == (M, D)
    for b, t in np.ndindex(B, T):
        np.testing.assert_array_equal(embedding[b, t], vectors[t])


def test_a_step_is_its_row_of_the_whole():
    layer = PositionEmbedding(M)
    x = np.zeros((B, T, D), "float32")
    whole = numpy(layer(x))
    for start in (3, ops.convert_to_tensor(3, "int32")):
        step = numpy(layer(x[:, :1], start_index=start))
        np.testing.assert_array_equal(step[:, 0], whole[:, 3])


def test_gradient_is_the_sum_over_examples_of_the_positions_seen():
    layer = PositionEmbedding(M)
    x = np.zeros((B, T, D), "float32")
    layer.build(x.shape)
    weights = np.random.default_rng(3).normal(size=(B, T, D))

    def run(embeddings):
        return layer.stateless_call([embeddings], [], x, start_index=2)[0]

    _, found = gradients(run, numpy(layer.embeddings))
    expected = np.zeros((M, D))
    expected[2 : 2 + T] = weights.sum(0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_positions_beyond_the_longest_are_an_error():
    layer = PositionEmbedding(M)
    layer(np.zeros((B, M, D)))
    with pytest.raises(ValueError, match="start_index=0 and a length of 12"):
        layer(np.zeros((B, M + 1, D)))
    with pytest.raises(ValueError, match="start_index=7 and a length of 5"):
        layer(np.zeros((B, T, D)), start_index=M - T + 1)
    with pytest.raises(ValueError, match="must be below `max_length`"):
        layer(keras.Input((M + 1, D)))
    with pytest.raises(ValueError, match="`max_length` must be a positive"):
        PositionEmbedding(0)


def test_unknown_sizes_masks_and_dtypes_pass_through():
    tokens = keras.Input((None,))
    x = keras.layers.Embedding(11, D, mask_zero=True)(tokens)
    y = PositionEmbedding(M, dtype="mixed_bfloat16")(x)
    assert y.shape == (None, None, D) and y.dtype == "bfloat16"
    assert y._keras_mask is not None
    model = keras.Model(tokens, y)
    found = model(np.ones((B, T)))
    assert found.shape == (B, T, D)
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"


def test_sequences_do_not_start_at_positions_of_their_own():
    x = np.zeros((2, 2, 4), "float32")
    with pytest.raises(ValueError, match=r"one position.*shape \(2,\)"):
        PositionEmbedding(7)(x, start_index=np.array([1, 2]))
