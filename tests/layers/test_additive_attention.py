import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import AdditiveAttention

B, T, S, D, E, V, U = 2, 3, 5, 7, 11, 13, 4


def inputs():
    rng = np.random.default_rng(0)
    shapes = (B, T, D), (B, S, V), (B, S, E)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def randomize(layer, seed=1):
    """Random weights, biases too: zeros would hide a missing one."""
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])


def reference(layer, query, value, key, mask=None):
    """Bahdanau et al., 2015, appendix A.1.2, one pair at a time."""
    numpy = ops.convert_to_numpy
    W, K = numpy(layer.query_dense.kernel), numpy(layer.key_dense.kernel)
    v = numpy(layer.score_vector)
    bias = numpy(layer.query_dense.bias) if layer.use_bias else 0
    if layer.normalize:
        v = numpy(layer.score_scale) * v / np.sqrt((v**2).sum())
    output = np.zeros((B, T, V))
    for b, t in np.ndindex(B, T):
        readable = [s for s in range(S) if mask is None or mask[b, s]]
        logits = np.array(
            [
                v @ np.tanh(query[b, t] @ W + key[b, s] @ K + bias)
                for s in readable
            ]
        )
        powers = np.exp(logits)
        for s, power in zip(readable, powers, strict=True):
            output[b, t] += power / powers.sum() * value[b, s]
    return output


@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_it_is_the_papers_equation(use_bias, normalize):
    query, value, key = inputs()
    layer = AdditiveAttention(U, use_bias=use_bias, normalize=normalize)
    layer(query, value, key)
    randomize(layer)
    mask = np.arange(S)[None] < np.array([[5], [2]])
    for given in (None, mask):
        got = layer(query, value, key, value_mask=given)
        np.testing.assert_allclose(
            ops.convert_to_numpy(got),
            reference(layer, query, value, key, given),
            atol=1e-5,
        )


def test_zero_scores_read_the_mean():
    query, value, _ = inputs()
    layer = AdditiveAttention(U, score_initializer="zeros")
    output, scores = layer(query, value, return_attention_scores=True)
    np.testing.assert_allclose(ops.convert_to_numpy(scores), 1 / S, atol=1e-7)
    np.testing.assert_allclose(
        ops.convert_to_numpy(output),
        np.repeat(value.mean(1, keepdims=True), T, axis=1),
        atol=1e-6,
    )


def test_identity_projections_give_keras_numbers():
    query, value, _ = inputs()
    query = np.concatenate([query, query], -1)[..., :V]  # Keras wants one size
    theirs = keras.layers.AdditiveAttention()
    expected = theirs([query, value])
    layer = AdditiveAttention(V)
    layer(query, value)
    layer.query_dense.kernel.assign(np.eye(V))
    layer.key_dense.kernel.assign(np.eye(V))
    layer.score_vector.assign(ops.convert_to_numpy(theirs.scale))
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(query, value)),
        ops.convert_to_numpy(expected),
        atol=1e-5,
    )


def test_a_normalized_score_has_the_direction_of_v_and_a_learned_length():
    query, value, _ = inputs()
    layer = AdditiveAttention(U, normalize=True)
    before = ops.convert_to_numpy(layer(query, value))
    assert float(layer.score_scale.numpy()) == pytest.approx(U**-0.5)
    layer.score_vector.assign(3 * layer.score_vector)
    after = ops.convert_to_numpy(layer(query, value))
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_the_two_projections_start_apart_under_one_initializer():
    initializer = keras.initializers.GlorotUniform()  # draws alike each time
    layer = AdditiveAttention(U, kernel_initializer=initializer)
    layer.build((B, T, D), (B, S, D))
    query, key = (
        ops.convert_to_numpy(dense.kernel)
        for dense in (layer.query_dense, layer.key_dense)
    )
    assert np.abs(query - key).max() > 0.01


def test_regularizers_and_constraints_act_on_both_kernels():
    layer = AdditiveAttention(
        U, kernel_regularizer="l2", kernel_constraint="non_neg"
    )
    layer(*inputs()[:2])
    assert len(layer.losses) == 2
    for dense in (layer.query_dense, layer.key_dense):
        assert isinstance(dense.kernel.constraint, keras.constraints.NonNeg)


@pytest.mark.parametrize("units", [0, -3, 2.5, None, True])
def test_units_must_be_a_positive_integer(units):
    with pytest.raises(ValueError, match="`units` must be a positive integer"):
        AdditiveAttention(units)


@pytest.mark.parametrize("dropout", [-0.1, 1, "half"])
def test_dropout_must_be_a_share(dropout):
    with pytest.raises(ValueError, match=r"`dropout` must be a number in"):
        AdditiveAttention(U, dropout=dropout)


def test_a_step_before_any_memory_is_refused():
    with pytest.raises(ValueError, match="Call `memory"):
        AdditiveAttention(U).step(np.zeros((B, D)), {}, {})
