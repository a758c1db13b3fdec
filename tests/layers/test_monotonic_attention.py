import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import AttentionRNN, MonotonicAttention

B, T, S, D, E, V, U = 3, 5, 7, 11, 13, 2, 17
LENGTHS = np.array([S, 4, 0])
MASK = np.arange(S) < LENGTHS[:, None]


def arrays(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def sources():
    return arrays((B, T, D), (B, S, V), (B, S, E))


def made(*args, randomized=True, **kwargs):
    """A layer with weights far from zero, or those it starts with."""
    layer = MonotonicAttention(U, *args, **kwargs)
    layer.build((B, T, D), (B, S, V), (B, S, E))
    if randomized:
        rng = np.random.default_rng(1)
        for weight in layer.trainable_weights:
            weight.assign(rng.normal(size=weight.shape))
    return layer


def energies(layer, query, key):
    """Raffel et al., 2017, section 2.4."""
    W, K = numpy(layer.query_dense.kernel), numpy(layer.key_dense.kernel)
    query = query @ W + numpy(layer.query_dense.bias)
    key = key @ K
    g, r = numpy(layer.score_scale), numpy(layer.score_bias)
    if layer.score == "general":
        return np.array([g * query @ k + r for k in key])
    v = numpy(layer.score_vector)
    v = g * v / np.sqrt((v**2).sum())
    return np.array([v @ np.tanh(query + k) + r for k in key])


def soft_reference(layer, query, value, key):
    """Raffel et al., 2017, equations 11 to 14, one position at a time."""
    output, scores = np.zeros((B, T, V)), np.zeros((B, T, S))
    for b in range(B):
        before = np.eye(S)[0]
        for t in range(T):
            e = energies(layer, query[b, t], key[b])
            p, q = 1 / (1 + np.exp(-e)), np.zeros(S)
            for s in range(LENGTHS[b]):
                q[s] = before[s] + ((1 - p[s - 1]) * q[s - 1] if s else 0)
                scores[b, t, s] = p[s] * q[s]
                output[b, t] += scores[b, t, s] * value[b, s]
            before = scores[b, t]
    return output, scores


def hard_reference(layer, query, value, key):
    """Raffel et al., 2017, section 2.2: the positions, S past the end."""
    positions = np.full((B, T), S)
    for b in range(B):
        place = 0
        for t in range(T):
            e = energies(layer, query[b, t], key[b])
            while place < LENGTHS[b] and e[place] <= 0:
                place += 1
            place = place if place < LENGTHS[b] else S
            positions[b, t] = place
    return positions


@pytest.mark.parametrize("score", ["additive", "general"])
@pytest.mark.parametrize("mode", ["parallel", "recursive"])
def test_the_expectation_is_the_papers(mode, score):
    query, value, key = sources()
    layer = made(mode, score)
    output, scores = layer(
        query, value, key, value_mask=MASK, return_attention_scores=True
    )
    expected = soft_reference(layer, query, value, key)
    np.testing.assert_allclose(numpy(output), expected[0], atol=1e-5)
    np.testing.assert_allclose(numpy(scores), expected[1], atol=1e-5)


@pytest.mark.parametrize("score", ["additive", "general"])
def test_hard_takes_the_first_positive_energy_and_never_goes_back(score):
    query, value, key = sources()
    layer = made("hard", score)
    layer.score_bias.assign(-0.2)
    output, scores = layer(
        query, value, key, value_mask=MASK, return_attention_scores=True
    )
    positions = hard_reference(layer, query, value, key)
    assert (np.diff(positions, axis=1) > 0).any() and (positions < S).any()
    expected = np.eye(S + 1)[positions][..., :S]
    np.testing.assert_array_equal(numpy(scores), expected)
    np.testing.assert_allclose(numpy(output), expected @ value, atol=1e-6)


def test_all_modes_agree_on_certain_energies():
    query, value, key = sources()
    layer = made()
    layer.score_scale.assign(1e5)
    results = {}
    for mode in ("hard", "recursive", "parallel"):
        layer.mode = mode
        results[mode] = numpy(layer(query, value, key, value_mask=MASK))
    assert results["hard"].any()
    for mode in ("recursive", "parallel"):
        np.testing.assert_allclose(results[mode], results["hard"], atol=1e-6)


def test_it_starts_hesitant_by_an_r_of_minus_four():
    query, value, key = sources()
    layer = made(score_initializer="zeros", randomized=False)
    # A vector of zeros has no direction: only r is left.
    layer.score_scale.assign(0.0)
    layer.score_vector.assign(np.ones(U))
    _, scores = layer(query, value, key, return_attention_scores=True)
    p = 1 / (1 + np.exp(4))
    expected = p * (1 - p) ** np.arange(S)
    np.testing.assert_allclose(numpy(scores)[0, 0], expected, rtol=1e-5)


def test_given_noise_is_added_to_the_energies():
    query, value, key = sources()
    layer = made()
    (noise,) = arrays((B, T, S), seed=2)
    noised = numpy(layer(query, value, key, noise={"sigmoid": noise}))
    layer.score_bias.assign(layer.score_bias + 0.5)
    shifted = numpy(layer(query, value, key))
    layer.score_bias.assign(layer.score_bias - 0.5)
    constant = {"sigmoid": np.full((B, T, S), 0.5, "float32")}
    np.testing.assert_allclose(
        numpy(layer(query, value, key, noise=constant)), shifted, atol=1e-5
    )
    memory = layer.memory(value, key)
    state = layer.initial_state(memory)
    for t in range(T):
        context, state, _ = layer.step(
            query[:, t], memory, state, noise={"sigmoid": noise[:, t]}
        )
        np.testing.assert_allclose(numpy(context), noised[:, t], atol=1e-5)


def test_noise_is_drawn_in_training_alone():
    query, value, key = sources()
    layer = made(sigmoid_noise=2.0, seed=1)
    drawn = numpy(layer.draw_noise(50, 20, 30, training=True)["sigmoid"])
    assert drawn.shape == (50, 20, 30)
    assert drawn.std() == pytest.approx(2, abs=0.05)
    assert abs(drawn.mean()) < 0.05
    assert layer.draw_noise(B, T, S) == {}
    plain = numpy(layer(query, value, key))
    first, second = (
        numpy(layer(query, value, key, training=True)) for _ in range(2)
    )
    assert np.abs(first - plain).max() > 1e-3
    assert np.abs(first - second).max() > 1e-3
    memory = layer.memory(value, key)
    state = layer.initial_state(memory)
    quiet, noisy = (
        numpy(layer.step(query[:, 0], memory, state, training=training)[0])
        for training in (False, True)
    )
    np.testing.assert_allclose(quiet, plain[:, 0], atol=1e-6)
    assert np.abs(noisy - quiet).max() > 1e-3
    layer.mode = "hard"
    assert layer.draw_noise(B, T, S, training=True) == {}


def test_a_recurrence_passes_noise_on():
    layer = AttentionRNN(keras.layers.GRUCell(D), made(sigmoid_noise=1.0))
    x, value = arrays((B, T, D), (B, S, E))
    plain = numpy(layer(x, value)["outputs"])
    zeros = {"sigmoid": np.zeros((B, T, S), "float32")}
    np.testing.assert_allclose(
        numpy(layer(x, value, noise=zeros)["outputs"]), plain, atol=1e-6
    )
    noisy = numpy(layer(x, value, training=True)["outputs"])
    assert np.abs(noisy - plain).max() > 1e-4


def test_a_compiled_step_on_jax_cannot_draw():
    if keras.backend.backend() != "jax":
        pytest.skip("other backends draw anywhere")
    import jax

    query, value, key = sources()
    layer = made(sigmoid_noise=1.0)
    memory = layer.memory(value, key)
    state = layer.initial_state(memory)
    with pytest.raises(ValueError, match="cannot draw"):
        jax.jit(lambda x: layer.step(x, memory, state, training=True)[0])(
            query[:, 0]
        )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"mode": "soft"}, "`mode` must be one of"),
        ({"score": "dot"}, "`score` must be one of"),
        ({"sigmoid_noise": -1}, "`sigmoid_noise` must be a finite number"),
        ({"initial_score_bias": None}, "`initial_score_bias` must be"),
        ({"units": 0}, "`units` must be a positive"),
    ],
)
def test_bad_arguments_are_explained(arguments, message):
    with pytest.raises(ValueError, match=message):
        MonotonicAttention(**{"units": U, **arguments})


def test_a_bad_mode_or_noise_is_explained():
    query, value, key = sources()
    layer = made()
    with pytest.raises(ValueError, match="`mode` must be one of"):
        layer.mode = "soft"
    for noise in (
        {"gumbel": np.zeros((B, T, S))},
        {"sigmoid": np.zeros((B, T, S + 1))},
        {"sigmoid": np.zeros((B, S))},
    ):
        with pytest.raises(ValueError, match="`noise` must be a dict of"):
            layer(query, value, key, noise=noise)
