import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.decoding import greedy, sample
from tests.decoding.history_model import (
    END,
    START,
    Hypothesis,
    compiled,
    each_compiler,
    initial_state,
    random_memory,
    step,
)

CHOICES = {
    "all": {},
    "cool": dict(temperature=0.5),
    "two": dict(top_k=2),
    "nucleus": dict(top_p=0.6),
    "all cuts": dict(temperature=2.0, top_k=4, top_p=0.7),
}


def distribution(log_probs, temperature=1.0, top_k=None, top_p=None):
    """What is drawn from, token by token, from the definition."""
    order = sorted(range(len(log_probs)), key=lambda v: -log_probs[v])
    weights = {v: np.exp(log_probs[v] / temperature) for v in order[:top_k]}
    total, kept = sum(weights.values()), {}
    for token, weight in weights.items():
        if top_p is None or sum(kept.values()) < top_p:
            kept[token] = weight / total
    return {v: kept[v] / sum(kept.values()) for v in sorted(kept)}


def drawn(memory, noise, max_length, **choices):
    """One sequence of one source: the first token whose sum passes u."""
    hypothesis = Hypothesis(memory)
    while not hypothesis.ended and len(hypothesis.tokens) < max_length:
        _, log_probs, _ = hypothesis.look()
        shares = distribution(log_probs[0], **choices)
        reached = np.cumsum(list(shares.values()))
        first = np.argmax(reached > noise[len(hypothesis.tokens)])
        hypothesis = hypothesis.extensions()[list(shares)[first]]
    return hypothesis


@each_compiler
@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
def test_tokens_are_drawn_from_what_is_kept(choices, how):
    memory = random_memory(5, vocabulary_size=7, source_length=3, seed=2)
    noise = np.random.default_rng(3).random((6, 5, 3)).astype("float32")
    decoded = compiled(
        lambda m, s, noise: sample(
            step,
            m,
            s,
            START,
            END,
            6,
            num_results=3,
            noise=noise,
            pad_token=-1,
            return_extras=("scores",),
            **choices,
        ),
        how,
    )(memory, initial_state(5), noise)
    assert decoded.token_ids.shape == (5, 3, 6)
    for b, k in np.ndindex(5, 3):
        own = {key: table[b : b + 1] for key, table in memory.items()}
        expected = drawn(own, noise[:, b, k], 6, **choices)
        length = len(expected.tokens)
        padding = [-1] * (6 - length)
        assert decoded.token_ids[b, k].tolist() == [*expected.tokens, *padding]
        assert decoded.lengths[b, k] == length
        np.testing.assert_allclose(
            decoded.log_probabilities[b, k], expected.total[0], rtol=1e-5
        )
        scores = decoded.extras["scores"][b, k]
        np.testing.assert_allclose(
            scores[:length], np.stack(expected.scores)[:, 0]
        )
        assert not scores[length:].any()


def test_each_token_comes_as_often_as_it_should():
    logits = np.log([[[0.1, 0.2, 0.3, 0.4]]]).astype("float32")

    def die(token_ids, memory, state):
        return ops.repeat(memory, token_ids.shape[1], axis=1), state, {}

    seed = keras.random.SeedGenerator(0)
    decoded = sample(die, logits, {}, 0, 0, 1, num_results=20000, seed=seed)
    tokens = ops.convert_to_numpy(decoded.token_ids).reshape(-1)
    counts = np.bincount(tokens, minlength=4)
    expected = 20000 * np.array([0.1, 0.2, 0.3, 0.4])
    # Chi-square with 3 degrees of freedom: 16.3 is passed once in a thousand.
    assert ((counts - expected) ** 2 / expected).sum() < 16.3


def test_one_token_to_choose_from_is_greedy():
    memory = random_memory(11, vocabulary_size=5, source_length=3, seed=1)
    arguments = (step, memory, initial_state(11), START, END, 7)
    expected = greedy(*arguments)
    found = sample(*arguments, top_k=1, seed=0)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(found.token_ids)[:, 0],
        ops.convert_to_numpy(expected.token_ids),
    )


def test_what_hypotheses_share_is_not_expanded():
    seen = []

    def look(token_ids, memory, state):
        seen.append(tuple(state["shared"].shape))
        logits = ops.repeat(memory[:, None], token_ids.shape[1], axis=1)
        return logits, state, {}

    logits = ops.zeros((2, 5))
    state = {"shared": ops.zeros((2, 3)), "own": ops.zeros((2, 4))}
    sample(look, logits, state, 1, 0, 2, num_results=3, seed=0)
    assert set(seen) == {(2, 3)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(temperature=0), "`temperature` must be"),
        (dict(top_k=0), "`top_k` must be a positive integer"),
        (dict(top_p=0.0), "`top_p` must be a share"),
        (dict(top_p=1.5), "`top_p` must be a share"),
        (dict(num_results=0), "`num_results` must be a positive integer"),
        (dict(noise=np.zeros((3, 2, 1))), "must have shape"),
        (dict(noise=np.zeros((7, 2))), "must have shape"),
    ],
)
def test_bad_arguments_are_told(options, message):
    memory = random_memory(2, vocabulary_size=5, source_length=3)
    with pytest.raises(ValueError, match=message):
        sample(step, memory, initial_state(2), START, END, 7, **options)
