"""The REINFORCE gradient of hard attention, proved by enumeration.

A recurrent decoder with L locations and T steps has L^T paths, few enough to
try them all: the exact gradient is that of the sum over paths, and the mean
of an unbiased estimator over all paths must equal it. What is known to be
biased must not, or the test would prove nothing.
"""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention import layers, losses
from tests.gradients import weight_gradients

L, T, D, V, N, U, K = 3, 3, 2, 5, 4, 7, 3  # locations, steps, ..., words
PATHS = np.array(list(itertools.product(range(L), repeat=T)))  # (27, T)
WORDS = np.array([0, 2, 1])


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


class Toy:
    """A decoder that says K words, and tells how likely it was to."""

    def __init__(self):
        keras.utils.set_random_seed(4)
        self.decoder = layers.AttentionRNN(
            keras.layers.GRUCell(N, reset_after=False),
            layers.HardAttention(U, seed=3),
        )
        self.head = keras.layers.Dense(K)
        rng = np.random.default_rng(8)
        self.x = rng.normal(size=(1, T, D)).astype("float32")
        self.memory = 2 * rng.normal(size=(1, L, V)).astype("float32")
        self.run(PATHS)
        # Far from uniform, so that a missing factor shows.
        vector = self.decoder.attention.score_vector
        vector.assign(3 * vector)
        self.head.kernel.assign(2 * self.head.kernel)

    @property
    def variables(self):
        return [
            *self.decoder.trainable_variables,
            *self.head.trainable_variables,
        ]

    def run(self, paths=None, examples=None):
        """Log likelihood, log probability and entropy: `(paths, T)` each."""
        count = len(paths) if examples is None else examples
        result = self.decoder(
            np.repeat(self.x, count, axis=0),
            np.repeat(self.memory, count, axis=0),
            training=True,
            noise=None if paths is None else {"sample": paths},
        )
        log_words = ops.log_softmax(self.head(result["outputs"]), axis=-1)
        words = ops.one_hot(WORDS, K)
        return (
            ops.sum(log_words * words, axis=-1),
            result["log_probability"],
            result["entropy"],
        )

    def exact(self):
        """The gradient of the expected log likelihood, by all paths."""

        def expected():
            likelihood, probability, _ = self.run(PATHS)
            paths = ops.exp(ops.sum(probability, axis=1))
            return ops.sum(paths * ops.sum(likelihood, axis=1))

        return weight_gradients(expected, self.variables)

    def mean_estimate(self, estimate, paths=PATHS):
        """The mean over paths of a loss's gradient, upwards."""

        def loss():
            likelihood, probability, entropy = self.run(paths)
            likely = ops.exp(ops.sum(ops.stop_gradient(probability), axis=1))
            return ops.sum(likely * estimate(likelihood, probability, entropy))

        _, found = weight_gradients(loss, self.variables)
        return [-g for g in found]


@pytest.fixture(scope="module")
def toy():
    return Toy()


@pytest.fixture(scope="module")
def exact(toy):
    return toy.exact()


def difference(found, expected):
    return max(
        np.abs(a - b).max() for a, b in zip(found, expected, strict=True)
    )


def run_in_numpy(toy, path, weights):
    """Log likelihood and log probability of a path, in float64.

    Xu et al., 2015, equations 4 to 9, with the cell of Cho et al., 2014, and
    the attention of Bahdanau et al., 2015, A.1.2.
    """
    kernel, recurrent, bias, v, W, K_, head, head_bias = weights
    memory, state, total, chosen = toy.memory[0], np.zeros(N), 0.0, 0.0

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    for t in range(T):
        logits = np.tanh(state @ W + memory @ K_) @ v
        alpha = np.exp(logits) / np.exp(logits).sum()
        chosen += np.log(alpha[path[t]])
        x = np.concatenate([toy.x[0, t], memory[path[t]]])
        z, r, h = (slice(i * N, (i + 1) * N) for i in range(3))
        update = sigmoid(x @ kernel[:, z] + state @ recurrent[:, z] + bias[z])
        reset = sigmoid(x @ kernel[:, r] + state @ recurrent[:, r] + bias[r])
        new = np.tanh(
            x @ kernel[:, h] + (reset * state) @ recurrent[:, h] + bias[h]
        )
        state = update * state + (1 - update) * new
        words = state @ head + head_bias
        total += words[WORDS[t]] - np.log(np.exp(words).sum())
    return total, chosen


def toy_weights(toy):
    cell, attention = toy.decoder.cell, toy.decoder.attention
    variables = [
        cell.kernel,
        cell.recurrent_kernel,
        cell.bias,
        attention.score_vector,
        attention.query_dense.kernel,
        attention.key_dense.kernel,
        toy.head.kernel,
        toy.head.bias,
    ]
    return variables, [numpy(v).astype("float64") for v in variables]


def test_the_exact_gradient_is_that_of_the_papers_equations(toy, exact):
    variables, weights = toy_weights(toy)
    likelihood, probability, _ = map(numpy, toy.run(PATHS))

    def expected(weights):
        paths = [run_in_numpy(toy, path, weights) for path in PATHS]
        return sum(np.exp(chosen) * total for total, chosen in paths)

    for i, path in enumerate(PATHS):
        total, chosen = run_in_numpy(toy, path, weights)
        assert likelihood[i].sum() == pytest.approx(total, abs=1e-4)
        assert probability[i].sum() == pytest.approx(chosen, abs=1e-4)
    value, found = exact
    assert value == pytest.approx(expected(weights), abs=1e-4)
    rng = np.random.default_rng(0)
    steps = [1e-5 * rng.normal(size=w.shape) for w in weights]
    ahead, behind = (
        expected([w + sign * s for w, s in zip(weights, steps, strict=True)])
        for sign in (1, -1)
    )
    order = [id(v) for v in toy.variables]
    slope = sum(
        (found[order.index(id(v))] * s).sum()
        for v, s in zip(variables, steps, strict=True)
    )
    assert slope == pytest.approx((ahead - behind) / 2, rel=1e-3, abs=1e-8)


def reinforce(**kwargs):
    def estimate(likelihood, probability, entropy):
        return losses.reinforce_loss(likelihood, probability, **kwargs)

    return estimate


UNBIASED = {
    "whole caption": reinforce(),
    "whole caption, a baseline": reinforce(baseline=-3.0),
    "reward to go": reinforce(reward_to_go=True),
    "reward to go, a baseline per step": reinforce(
        reward_to_go=True, baseline=np.array([[-5.0, -3.0, -1.0]], "float32")
    ),
}


@pytest.mark.parametrize("name", UNBIASED)
def test_the_mean_estimate_is_the_exact_gradient(toy, exact, name):
    found = toy.mean_estimate(UNBIASED[name])
    assert difference(found, exact[1]) < 2e-5


def own_sample_first(likelihood, probability, entropy):
    """A moving average that has seen the sample it is compared with."""
    total = ops.sum(likelihood, axis=1, keepdims=True)
    return losses.reinforce_loss(
        likelihood, probability, baseline=0.9 * -3.0 + 0.1 * total
    )


def immediate_reward(likelihood, probability, entropy):
    score = ops.stop_gradient(likelihood) * probability
    return -ops.sum(likelihood + score, axis=1)


BIASED = {
    "no score term": (reinforce(score_weight=0.0), 0.02),
    "immediate reward": (immediate_reward, 0.02),
    "own sample in the baseline": (own_sample_first, 0.002),
}


@pytest.mark.parametrize("name", BIASED)
def test_what_is_biased_does_not_pass(toy, exact, name):
    estimate, least = BIASED[name]
    assert difference(toy.mean_estimate(estimate), exact[1]) > least


def test_leave_one_out_is_unbiased_over_all_pairs(toy, exact):
    pairs = np.array(list(itertools.product(PATHS, repeat=2)))  # (729, 2, T)

    def loss():
        likelihood, probability, _ = toy.run(pairs.reshape(-1, T))
        rewards = ops.sum(likelihood, axis=1, keepdims=True)
        baseline = losses.leave_one_out_baseline(rewards, num_samples=2)
        each = losses.reinforce_loss(likelihood, probability, baseline=baseline)
        likely = ops.exp(ops.sum(ops.stop_gradient(probability), axis=1))
        likely = ops.prod(ops.reshape(likely, (-1, 2)), axis=1)
        return ops.sum(likely * ops.mean(ops.reshape(each, (-1, 2)), axis=1))

    _, found = weight_gradients(loss, toy.variables)
    assert difference([-g for g in found], exact[1]) < 5e-5


def test_semi_sampling_mixes_the_hard_and_the_soft_gradient(toy, exact):
    """T4: one draw per example, all of whose steps are soft or hard."""
    soft = np.full((1, T), -1)

    def soft_likelihood():
        return ops.sum(toy.run(soft)[0])

    _, by_soft = weight_gradients(soft_likelihood, toy.variables)
    mixed = [0.5 * h + 0.5 * s for h, s in zip(exact[1], by_soft, strict=True)]

    def loss():
        paths = np.concatenate([PATHS, soft])
        likelihood, probability, _ = toy.run(paths)
        each = losses.reinforce_loss(likelihood, probability)
        likely = ops.exp(ops.sum(ops.stop_gradient(probability), axis=1))
        share = np.full(len(paths), 0.5, "float32")
        return ops.sum(ops.convert_to_tensor(share) * likely * each)

    _, found = weight_gradients(loss, toy.variables)
    assert difference([-g for g in found], mixed) < 2e-5
    # Drawn anew for each step it would be another mean.
    assert difference(by_soft, exact[1]) > 1e-3


def test_the_bound_is_below_the_marginal_likelihood(toy):
    """T3: Xu et al., 2015, equation 10, with equality for one path."""
    likelihood, probability, _ = map(numpy, toy.run(PATHS))
    total, paths = likelihood.sum(1), np.exp(probability.sum(1))
    assert paths.sum() == pytest.approx(1, abs=1e-5)
    bound = (paths * total).sum()
    marginal = float(losses.marginal_log_likelihood(paths, total))
    assert marginal == pytest.approx(np.log((paths * np.exp(total)).sum()))
    assert bound < marginal - 1e-3
    certain = np.eye(len(paths), dtype="float32")[5]
    marginal = float(losses.marginal_log_likelihood(certain, total))
    assert marginal == pytest.approx(total[5], abs=1e-6)


def test_the_layers_own_draws_follow_the_paths(toy):
    """Chi-square over the 27 paths of 20,000 sequences."""
    count = 20_000
    sampled = toy.decoder(
        np.repeat(toy.x, count, axis=0),
        np.repeat(toy.memory, count, axis=0),
        training=True,
    )["sample"]
    index = numpy(sampled) @ L ** np.arange(T)[::-1]
    counts = np.bincount(index, minlength=len(PATHS))
    _, probability, _ = toy.run(PATHS)
    expected = count * np.exp(numpy(probability).sum(1))
    often = expected > 5  # the rest as one, as chi-square asks for
    counts = np.append(counts[often], counts[~often].sum())
    expected = np.append(expected[often], expected[~often].sum() + 1e-9)
    chi_square = ((counts - expected) ** 2 / np.maximum(expected, 1)).sum()
    assert chi_square < 64  # p = 5e-5 with 26 degrees of freedom


@pytest.fixture(scope="module")
def gradient_of_each_path(toy):
    """`(27, paths' own gradients)` of log likelihood and of score."""

    def gradient(path, which):
        def loss():
            return ops.sum(toy.run(path[None])[which])

        found = weight_gradients(loss, toy.variables)[1]
        return np.concatenate([g.ravel() for g in found])

    return [
        np.stack([gradient(path, which) for path in PATHS]) for which in (0, 1)
    ]


@pytest.mark.one_backend
def test_samples_of_the_layer_estimate_the_gradient(
    toy, exact, gradient_of_each_path
):
    """T5: the mean over 50,000 draws is within 4.5 standard errors."""
    count = 50_000
    sampled = toy.decoder(
        np.repeat(toy.x, count, axis=0),
        np.repeat(toy.memory, count, axis=0),
        training=True,
    )["sample"]
    index = numpy(sampled) @ L ** np.arange(T)[::-1]
    shares = np.bincount(index, minlength=len(PATHS)) / count
    by_words, by_score = gradient_of_each_path
    rewards = numpy(toy.run(PATHS)[0]).sum(1)[:, None]
    expected = np.concatenate([g.ravel() for g in exact[1]])

    def largest(estimates):
        mean = shares @ estimates
        spread = np.sqrt(shares @ (estimates - mean) ** 2 / count)
        return np.abs((mean - expected) / np.maximum(spread, 1e-7)).max()

    assert largest(by_words + rewards * by_score) < 4.5
    assert largest(by_words) > 6  # without the score term


@pytest.mark.one_backend
def test_the_best_constant_baseline_has_less_variance(
    toy, gradient_of_each_path
):
    """T7: b* = E[f |d log pi|^2] / E[|d log pi|^2]."""
    by_words, by_score = gradient_of_each_path
    likelihood, probability, _ = map(numpy, toy.run(PATHS))
    rewards, paths = likelihood.sum(1), np.exp(probability.sum(1))

    def variance(baseline):
        each = by_words + (rewards - baseline)[:, None] * by_score
        mean = paths @ each
        return paths @ ((each - mean) ** 2).sum(1)

    size = (by_score**2).sum(1)
    best = (paths @ (rewards * size)) / (paths @ size)
    assert variance(best) < 0.8 * variance(0.0)


def test_the_moving_average_is_used_before_it_is_updated():
    baseline = losses.MovingAverageBaseline(momentum=0.9)
    expected = 0.0
    for reward in (-5.0, 2.0, 7.0):
        rewards = ops.array([reward - 1, reward + 1])
        assert float(baseline(rewards, training=True)) == pytest.approx(
            expected, abs=1e-6
        )
        expected = 0.9 * expected + 0.1 * reward
    for training in (False, None):
        assert float(baseline(ops.array([9.0]), training=training)) == (
            pytest.approx(expected, abs=1e-6)
        )


def test_one_step_is_the_gradient_of_the_authors_code():
    """T8: d cost / d alpha = (b - c) / 10 (-s / alpha) + l (log alpha + 1).

    With c the cost of the words, through the softmax to the logits; the
    signs are those of the code of 2015.
    """
    alpha = np.array([0.2, 0.5, 0.3])
    s, cost, b, entropy_weight = 1, 2.5, 1.7, 0.002
    by_alpha = (b - cost) / 10 * -np.eye(3)[s] / alpha
    by_alpha += entropy_weight * (np.log(alpha) + 1)
    expected = (np.diag(alpha) - np.outer(alpha, alpha)) @ by_alpha
    logits = keras.Variable(np.log(alpha), dtype="float32")

    def loss():
        log_alpha = ops.log_softmax(ops.convert_to_tensor(logits))
        entropy = -ops.sum(ops.exp(log_alpha) * log_alpha)
        value = losses.reinforce_loss(
            ops.array([[-cost]]),
            ops.reshape(log_alpha[s], (1, 1)),
            ops.reshape(entropy, (1, 1)),
            baseline=-b,
            score_weight=0.1,
            entropy_weight=entropy_weight,
        )
        return ops.sum(value)

    _, (found,) = weight_gradients(loss, [logits])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_steps_that_are_masked_count_nowhere():
    rng = np.random.default_rng(2)
    likelihood, probability, entropy = rng.normal(size=(3, 2, 4))
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 0]], bool)
    for to_go in (False, True):
        kwargs = dict(reward_to_go=to_go, entropy_weight=0.1, baseline=0.3)
        got = losses.reinforce_loss(
            *map(ops.array, (likelihood, probability, entropy)),
            mask=mask,
            **kwargs,
        )
        for b, length in enumerate(mask.sum(1)):
            total = 0
            for t in range(length):
                reward = likelihood[b, t if to_go else 0 : length].sum() - 0.3
                total -= likelihood[b, t] + reward * probability[b, t]
                total -= 0.1 * entropy[b, t]
            assert float(got[b]) == pytest.approx(total, abs=1e-5)


def test_a_location_that_cannot_be_read_does_not_count():
    scores = ops.array([[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])
    likelihood = ops.log(ops.array([[0.2, 0.4, 0.9], [0.1, 0.1, 0.1]]))
    total = numpy(losses.marginal_log_likelihood(scores, likelihood))
    assert total[0] == pytest.approx(np.log(0.3), abs=1e-6)
    assert total[1] == -np.inf


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: losses.reinforce_loss(x, x, entropy=x), "go together"),
        (lambda x: losses.reinforce_loss(x, x, entropy_weight=1), "together"),
        (lambda x: losses.reinforce_loss(x, x[:, 1:]), "one shape"),
        (lambda x: losses.reinforce_loss(x[0], x[0]), "one shape"),
        (lambda x: losses.leave_one_out_baseline(x, 1), "2 or more"),
        (lambda x: losses.leave_one_out_baseline(x, 3), "multiple"),
        (lambda x: losses.MovingAverageBaseline(1.5), "momentum"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(ops.ones((4, 2)))
