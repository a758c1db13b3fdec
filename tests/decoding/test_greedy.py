import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.decoding import greedy
from tests.decoding.history_model import (
    END,
    START,
    Hypothesis,
    compiled,
    each_compiler,
    initial_state,
    note_call,
    random_memory,
    step,
)


def argmax_loop(memory, max_length):
    """One source, from the definition."""
    hypothesis = Hypothesis(memory)
    while not hypothesis.ended and len(hypothesis.tokens) < max_length:
        hypothesis = max(
            hypothesis.extensions(), key=lambda new: new.total.item()
        )
    return hypothesis


@each_compiler
def test_greedy_equals_an_argmax_loop(how):
    memory = random_memory(23, vocabulary_size=5, source_length=3, seed=1)
    shapes = []

    def spy(token_ids, given, state):
        shapes.append((tuple(token_ids.shape), tuple(given["logits"].shape)))
        return step(token_ids, given, state)

    decoded = compiled(
        lambda m, s: greedy(
            spy, m, s, START, END, 7, pad_token=-1, return_extras=("scores",)
        ),
        how,
    )(memory, initial_state(23))
    assert set(shapes) == {((23, 1), (23, 101, 5))}
    # Ends at several places, and not everywhere.
    assert len(np.unique(decoded.lengths)) > 4
    for b in range(23):
        own = {key: table[b : b + 1] for key, table in memory.items()}
        best = argmax_loop(own, 7)
        length = len(best.tokens)
        padding = [-1] * (7 - length)
        assert decoded.token_ids[b].tolist() == [*best.tokens, *padding]
        assert decoded.lengths[b] == length
        for found in (decoded.log_probabilities, decoded.hypothesis_scores):
            np.testing.assert_allclose(found[b], best.total[0], rtol=1e-5)
        scores = decoded.extras["scores"][b]
        np.testing.assert_allclose(scores[:length], np.stack(best.scores)[:, 0])
        assert not scores[length:].any()


@each_compiler
def test_a_sentence_with_a_limit_of_its_own_stops_there(how):
    memory = random_memory(5, vocabulary_size=5, source_length=3, seed=1)
    limits = np.array([1, 7, 3, 2, 5], "int32")
    decoded = compiled(
        lambda m, s, limits: greedy(
            step, m, s, START, END, 7, pad_token=-1, max_lengths=limits
        ),
        how,
    )(memory, initial_state(5), limits)
    for b, limit in enumerate(limits):
        own = {key: table[b : b + 1] for key, table in memory.items()}
        best = argmax_loop(own, limit)
        padding = [-1] * (7 - len(best.tokens))
        assert decoded.token_ids[b].tolist() == [*best.tokens, *padding]
        np.testing.assert_allclose(
            decoded.log_probabilities[b], best.total[0], rtol=1e-5
        )


def count_down(token_ids, memory, state):
    """Produces n, n - 1, ..., 0 for the number n of each source."""
    logits = 5.0 * ops.one_hot(state, 7, dtype="float16")
    extras = {"left": ops.expand_dims(state, 1)}  # (B, K)
    return ops.expand_dims(logits, 1), ops.maximum(state - 1, 0), extras


@each_compiler
def test_a_sentence_ends_for_itself_and_its_score_stays(how):
    decoded = compiled(
        lambda s: greedy(
            count_down,
            {"mask": None},
            s,
            6,
            END,
            4,
            pad_token=9,
            return_extras=("left",),
        ),
        how,
    )(np.array([2, 0, 5], "int32"))
    assert decoded.token_ids.tolist() == [
        [2, 1, 0, 9],
        [0, 9, 9, 9],
        [5, 4, 3, 2],
    ]
    assert decoded.lengths.tolist() == [3, 1, 4]
    assert decoded.extras["left"].tolist() == [
        [2, 1, 0, 0],
        [0, 0, 0, 0],
        [5, 4, 3, 2],
    ]
    each = 5 - np.log(np.exp(5) + 6)
    np.testing.assert_allclose(
        decoded.log_probabilities, each * decoded.lengths, rtol=1e-5
    )
    assert decoded.log_probabilities.dtype == "float32"


@each_compiler
def test_banned_tokens_are_skipped_and_others_keep_their_probability(how):
    def constant(token_ids, memory, state):
        return ops.log(memory), state, {}

    memory = np.array([[[0.1, 0.3, 0.6]], [[0.5, 0.3, 0.2]]], "float32")
    decoded = compiled(
        lambda m: greedy(constant, m, {}, 1, END, 2, banned_tokens=(2,)), how
    )(memory)
    assert decoded.token_ids.tolist() == [[1, 1], [0, 0]]
    np.testing.assert_allclose(
        np.exp(decoded.log_probabilities), [0.3 * 0.3, 0.5], rtol=1e-5
    )


def test_the_loop_stops_when_all_sentences_have_ended():
    calls = []

    def counted(token_ids, memory, state):
        note_call(calls)
        return count_down(token_ids, memory, state)

    state = ops.convert_to_tensor(np.array([2, 0], "int32"))
    decoded = greedy(counted, {}, state, 6, END, 512)
    ops.convert_to_numpy(decoded.lengths)  # waits for the last step
    assert len(calls) == 3
    assert tuple(decoded.token_ids.shape) == (2, 512)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only here B can be None"
)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_batch_may_be_unknown(jit_compile):
    import tensorflow as tf

    @tf.function(
        jit_compile=jit_compile,
        input_signature=[tf.TensorSpec((None,), "int32")],
    )
    def run(state):
        return greedy(count_down, {}, state, 6, END, 4, return_extras=("left",))

    for numbers in ([2, 0, 5], [1]):
        decoded = run(np.array(numbers, "int32"))
        assert decoded.lengths.numpy().tolist() == [
            min(n + 1, 4) for n in numbers
        ]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"max_length": 0}, "`max_length` must be a positive integer.*=0"),
        ({"max_lengths": [1, 2, 4]}, "each from 1 to `max_length`.*=3"),
        ({"pad_token": None}, "`pad_token` must be an integer"),
        ({"end_token": 7}, "`end_token` must be in the vocabulary, 0 to 6"),
        ({"start_token": 1.5}, "`start_token` must be an integer"),
        ({"banned_tokens": (0,)}, "`end_token` must not be among"),
        ({"return_extras": ("scores",)}, r"'scores'.*extras=\['left'\]"),
        ({"state": {}}, "`memory` or `state` must hold a tensor"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    arguments = {
        "memory": {},
        "state": np.array([2, 0, 5], "int32"),
        "start_token": 6,
        "end_token": END,
        "max_length": 3,
        **arguments,
    }
    with pytest.raises(ValueError, match=message):
        greedy(count_down, **arguments)
