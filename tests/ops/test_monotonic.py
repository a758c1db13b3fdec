import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.ops.monotonic import linear_recurrence, monotonic_scores
from tests.gradients import gradients

B, T, S = 3, 5, 13  # S is no power of 2
EXACT = ("parallel", "recursive")


def reference(choose, previous):
    """Raffel et al., 2017, equation 9: a sum over where a step began."""
    scores = np.zeros(choose.shape)
    for b, s in np.ndindex(choose.shape):
        for start in range(s + 1):
            passed = np.prod(1 - choose[b, start:s], dtype="float64")
            scores[b, s] += choose[b, s] * previous[b, start] * passed
    return scores


def run(choose, previous, mode):
    inputs = map(ops.convert_to_tensor, (choose, previous))
    return ops.convert_to_numpy(monotonic_scores(*inputs, mode))


def random_step(seed=0):
    rng = np.random.default_rng(seed)
    choose = rng.uniform(size=(B, S)).astype("float32")
    return choose, rng.dirichlet(np.ones(S), size=B).astype("float32")


@pytest.mark.parametrize("mode", EXACT)
def test_it_is_the_papers_sum(mode):
    choose, previous = random_step()
    np.testing.assert_allclose(
        run(choose, previous, mode), reference(choose, previous), atol=1e-6
    )


@pytest.mark.parametrize("mode", [*EXACT, "hard"])
def test_all_modes_agree_on_certain_choices(mode):
    choose = np.round(random_step()[0])
    for first in (0, 4, S - 1):
        previous = np.eye(S, dtype="float32")[[first] * B]
        scores = run(choose, previous, mode)
        np.testing.assert_array_equal(scores, reference(choose, previous))
        for b in range(B):
            chosen = first + np.flatnonzero(choose[b, first:])[:1]
            np.testing.assert_array_equal(np.flatnonzero(scores[b]), chosen)


@pytest.mark.parametrize("mode", EXACT)
def test_nothing_is_lost_behind_a_certain_choice_or_many_likely_ones(mode):
    # Reading goes on at position 1, past which the closed form with clipped
    # quotients sees nothing: it divides 1 by the product of decays, here 0.
    choose = np.array([[1, 0, 1]], "float32")
    previous = np.array([[0, 1, 0]], "float32")
    np.testing.assert_array_equal(run(choose, previous, mode), [[0, 0, 1]])
    # The product of decays is 2 ** -300 at the end, below any float32.
    choose, previous = np.full((1, 301), 0.5, "float32"), np.eye(301)[-1:]
    scores = run(choose, previous.astype("float32"), mode)
    np.testing.assert_array_equal(scores, 0.5 * previous)


def test_scores_are_how_often_a_reader_stops():
    """The hard process of Raffel et al., 2017, section 2.2, many times."""
    rng = np.random.default_rng(1)
    choose = rng.uniform(0, 0.5, size=(T, S)).astype("float32")
    expected, scores = [], np.eye(S, dtype="float32")[:1]
    for t in range(T):
        scores = run(choose[t : t + 1], scores, "parallel")
        expected.append(scores[0])
    readers = 40_000
    place = np.zeros(readers, int)  # S once the end is passed
    for t in range(T):
        stopped = np.zeros(readers, bool)
        while not (stopped | (place == S)).all():
            going = ~stopped & (place < S)
            here = choose[t][np.minimum(place, S - 1)]
            stopped |= going & (rng.uniform(size=readers) < here)
            place += going & ~stopped
        counted = np.bincount(place, minlength=S + 1)[:S] / readers
        # Six standard errors.
        np.testing.assert_allclose(counted, expected[t], atol=0.015)
    assert sum(expected[-1]) < 0.9  # some passed the end


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("parallel", [False, True])
def test_the_gradient_is_that_of_the_unrolled_recurrence(parallel, jit_compile):
    def unrolled(decay, added):
        x = [added[:, 0]]
        for s in range(1, S):
            x.append(decay[:, s] * x[-1] + added[:, s])
        return ops.stack(x, axis=-1)

    inputs = random_step(2)
    got, expected = (
        gradients(function, *inputs, jit_compile=jit_compile)
        for function in (
            lambda *inputs: linear_recurrence(*inputs, parallel),
            unrolled,
        )
    )
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("mode", [*EXACT, "hard"])
def test_one_position_is_chosen_or_not(mode):
    choose = np.array([[1], [0]], "float32")
    np.testing.assert_array_equal(run(choose, choose * 0 + 1, mode), choose)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_lengths_may_be_unknown(jit_compile):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("lengths are unknown on TensorFlow only")
    import tensorflow as tf

    for mode in EXACT:
        compiled = tf.function(
            lambda choose, previous, mode=mode: monotonic_scores(
                choose, previous, mode
            ),
            jit_compile=jit_compile,
            input_signature=[tf.TensorSpec((None, None))] * 2,
        )
        for length in (1, 2, S):
            choose, previous = (x[:, :length] for x in random_step())
            np.testing.assert_allclose(
                compiled(choose, previous),
                reference(choose, previous),
                atol=1e-6,
            )
