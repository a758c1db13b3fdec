import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import AttentionRNN, CoverageAttention

B, T, S, D, E, V, U = 3, 5, 7, 11, 13, 2, 17
LENGTHS = np.array([S, 4, 0])
MASK = np.arange(S) < LENGTHS[:, None]


def sources():
    rng = np.random.default_rng(0)
    shapes = (B, T, D), (B, S, V), (B, S, E)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def made(**kwargs):
    layer = CoverageAttention(U, **kwargs)
    layer.build((B, T, D), (B, S, V), (B, S, E))
    rng = np.random.default_rng(1)
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    return layer


def reference(layer, query, value, key):
    """Tu et al., 2016, section 3.1, and See et al., 2017, equations 10-12."""
    W, K = numpy(layer.query_dense.kernel), numpy(layer.key_dense.kernel)
    v, w_c = numpy(layer.score_vector), numpy(layer.feature_dense.kernel)[0]
    b_attn = numpy(layer.query_dense.bias) if layer.use_bias else 0
    output, scores = np.zeros((B, T, V)), np.zeros((B, T, S))
    losses = np.zeros((B, T))
    for n in range(B):
        fertility = np.ones(S)
        if layer.fertility is not None:
            U_f = numpy(layer.fertility_dense.kernel)[:, 0]
            fertility = layer.fertility / (1 + np.exp(-key[n] @ U_f))
        coverage, read = np.zeros(S), np.zeros(S)
        for t in range(T):
            for s in range(LENGTHS[n]):
                hidden = query[n, t] @ W + key[n, s] @ K + b_attn
                hidden = hidden + coverage[s] * w_c
                scores[n, t, s] = np.exp(v @ np.tanh(hidden))
            scores[n, t] /= max(scores[n, t].sum(), 1e-30)
            output[n, t] = scores[n, t] @ value[n]
            losses[n, t] = np.minimum(scores[n, t], read).sum()
            coverage = coverage + scores[n, t] / fertility
            read = read + scores[n, t]
    return output, scores, losses


@pytest.mark.parametrize(
    "arguments", [{}, {"fertility": 2.0}, {"use_bias": True}]
)
def test_it_is_the_papers_recurrence(arguments):
    inputs = sources()
    layer = made(**arguments)
    *got, extras = layer(
        *inputs,
        value_mask=MASK,
        return_attention_scores=True,
        return_extras=True,
    )
    expected = reference(layer, *inputs)
    for one, other in zip(
        [*got, extras["coverage_loss"]], expected, strict=True
    ):
        np.testing.assert_allclose(numpy(one), other, atol=2e-5)


def test_its_state_is_the_sum_of_the_scores():
    query, value, key = sources()
    layer = made(fertility=2.0)
    _, scores = layer(query, value, key, return_attention_scores=True)
    memory = layer.memory(value, key)
    state = layer.initial_state(memory)
    for t in range(T):
        _, state, _ = layer.step(query[:, t], memory, state)
    np.testing.assert_allclose(
        numpy(state["coverage"]), numpy(scores).sum(axis=1), atol=1e-5
    )


def test_reading_the_same_twice_costs_one_and_reading_anew_nothing():
    layer = CoverageAttention(1, score_initializer="ones")
    query, value = np.zeros((1, 3, D)), np.eye(4)[None]
    layer(query, value)
    layer.query_dense.kernel.assign(ops.zeros((D, 1)))
    layer.key_dense.kernel.assign([[2.0], [1], [0], [-1]])
    layer.score_vector.assign([1e3])
    for repelled, losses, read in ((0, [0, 1, 1], 0), (-9, [0, 0, 0], 2)):
        layer.feature_dense.kernel.assign([[repelled]])
        _, scores, extras = layer(
            query, value, return_attention_scores=True, return_extras=True
        )
        np.testing.assert_allclose(
            numpy(extras["coverage_loss"])[0], losses, atol=1e-6
        )
        assert numpy(scores)[0, 2].argmax() == read


def test_a_masked_query_costs_nothing():
    query, value, key = sources()
    _, extras = made()(
        query,
        value,
        key,
        query_mask=np.arange(T)[None].repeat(B, 0) != 2,
        return_extras=True,
    )
    loss = numpy(extras["coverage_loss"])
    assert not loss[:, 2].any() and loss[:, 3:].all()


@pytest.mark.one_backend
def test_a_model_can_train_against_reading_twice():
    """The loss of See et al., 2017, equation 13, through `fit` alone."""
    keras.utils.set_random_seed(0)
    layer = AttentionRNN(keras.layers.GRUCell(5), CoverageAttention(U))
    x, value = keras.Input((T, 3)), keras.Input((S, 3))
    result = layer(x, value)
    model = keras.Model([x, value], result["coverage_loss"])
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(64, n, 3)).astype("float32") for n in (T, S)]
    model.compile(keras.optimizers.Adam(0.02), "mean_absolute_error")
    losses = model.fit(inputs, np.zeros((64, T)), epochs=20, verbose=0)
    losses = losses.history["loss"]
    assert losses[-1] < 0.7 * losses[0]


def test_symbolic_extras_have_the_shape_of_real_ones():
    query, value = keras.Input((None, D)), keras.Input((None, V))
    for scores in (False, True):
        layer = CoverageAttention(U, dtype="mixed_bfloat16")
        *specs, extras = layer(
            query, value, return_attention_scores=scores, return_extras=True
        )
        assert len(specs) == 1 + scores
        assert extras["coverage_loss"].shape == (None, None)
        model = keras.Model([query, value], extras)
        loss = model(sources()[:2])["coverage_loss"]
        assert tuple(loss.shape) == (B, T)
        assert keras.backend.standardize_dtype(loss.dtype) == "float32"


@pytest.mark.parametrize("fertility", [0, -1.0, "two"])
def test_fertility_must_be_positive(fertility):
    with pytest.raises(ValueError, match="`fertility` must be positive"):
        CoverageAttention(U, fertility=fertility)
