import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.decoding import beam_search, greedy
from tests.decoding.history_model import (
    END,
    PENALTIES,
    START,
    Hypothesis,
    compiled,
    compilers,
    each_compiler,
    initial_state,
    note_call,
    random_memory,
    score,
    step,
)

each_penalty = pytest.mark.parametrize("name", PENALTIES)


def searcher(how, max_length, step=step, **arguments):
    """A compiled search, `run(memory, state, coverage_mask=None)`."""

    def with_mask(memory, state, mask):
        return beam_search(
            step,
            memory,
            state,
            START,
            END,
            max_length,
            coverage_mask=mask,
            **arguments,
        )

    masked = compiled(with_mask, how)
    plain = compiled(lambda *inputs: with_mask(*inputs, None), how)

    def run(memory, state, mask=None):
        if mask is None:
            return plain(memory, state)
        return masked(memory, state, mask)

    return run


def search(how, memory, max_length, step=step, state=None, **arguments):
    if state is None:
        state = initial_state(len(memory["logits"]))
    return searcher(how, max_length, step=step, **arguments)(memory, state)


@functools.cache
def output_space():
    """200 models, and every output they have: 121 ended, 243 cut."""
    memory = random_memory(batch=200, vocabulary_size=4, source_length=3)
    complete, alive = [], [Hypothesis(memory)]
    for _ in range(5):
        extended = [new for old in alive for new in old.extensions()]
        complete += [new for new in extended if new.ended]
        alive = [new for new in extended if not new.ended]
    assert (len(complete), len(alive)) == (121, 243)
    return memory, complete + alive


def check_results(decoded, hypotheses, penalty, num_results):
    """The results are the best of the hypotheses, in order, and complete."""
    values = np.stack([score(h, penalty) for h in hypotheses], axis=1)
    order = np.argsort(-values, axis=1, kind="stable")[:, :num_results]
    for b, n in np.ndindex(order.shape):
        value = values[b, order[b, n]]
        found = decoded.hypothesis_scores[b, n]
        np.testing.assert_allclose(found, value, rtol=2e-5, atol=2e-5)
        if np.sum(np.abs(values[b] - value) < 1e-4) > 1:
            continue  # too close to call
        best = hypotheses[order[b, n]]
        length = len(best.tokens)
        tokens = list(best.tokens) + [9] * (
            decoded.token_ids.shape[-1] - length
        )
        assert decoded.token_ids[b, n].tolist() == tokens
        assert decoded.lengths[b, n] == length
        np.testing.assert_allclose(
            decoded.log_probabilities[b, n],
            best.total[b],
            rtol=2e-5,
            atol=2e-5,
        )
        scores = decoded.extras["scores"][b, n]
        expected = [at_position[b] for at_position in best.scores]
        np.testing.assert_allclose(scores[:length], expected, rtol=1e-6)
        assert not scores[length:].any()


@each_penalty
def test_wide_beam_search_equals_brute_force(name):
    memory, hypotheses = output_space()
    decoded = search(
        compilers()[0],
        memory,
        max_length=5,
        num_beams=324,
        num_results=3,
        pad_token=9,
        return_extras=("scores",),
        **PENALTIES[name],
    )
    check_results(decoded, hypotheses, PENALTIES[name], num_results=3)
    # Worth nothing if all outputs ended at the same place, or none did.
    if name in ("gnmt 0.6", "average 1"):
        assert len(np.unique(decoded.lengths)) >= 4


def slow_beam_search(memory, max_length, num_beams, early_stopping=False):
    """One source after the other, from the definition, with no other stop."""
    finished, alive = [], [Hypothesis(memory)]
    for _ in range(max_length):
        extended = [new for old in alive for new in old.extensions()]
        extended.sort(key=lambda new: -new.total.item())
        candidates = extended[: 2 * num_beams]
        finished += [new for new in candidates[:num_beams] if new.ended]
        alive = [new for new in candidates if not new.ended][:num_beams]
        if early_stopping and len(finished) >= num_beams:
            return finished
    return finished + alive


@pytest.mark.parametrize(
    "name, num_beams",
    [
        ("none", 3),
        ("gnmt 0.6", 7),
        ("average 1", 3),
        ("word -0.7", 2),
        ("gnmt 1, coverage 0.2", 1),
        ("gnmt 1, coverage 0.2", 3),
    ],
)
def test_narrow_beam_search_equals_its_definition(name, num_beams):
    memory = random_memory(11, vocabulary_size=5, source_length=3, seed=1)
    num_results = min(2, num_beams)
    decoded = search(
        compilers()[-1],
        memory,
        max_length=7,
        num_beams=num_beams,
        num_results=num_results,
        pad_token=9,
        return_extras=("scores",),
        **PENALTIES[name],
    )
    for b in range(11):
        own = {key: table[b : b + 1] for key, table in memory.items()}
        hypotheses = slow_beam_search(own, 7, num_beams)
        parts = [part[b : b + 1] for part in keras.tree.flatten(decoded)]
        result = keras.tree.pack_sequence_as(decoded, parts)
        check_results(result, hypotheses, PENALTIES[name], num_results)


@each_compiler
def test_early_stopping_waits_for_as_many_hypotheses_as_beams(how):
    memory = random_memory(13, vocabulary_size=4, source_length=3, seed=8)
    penalty = {"length_penalty": "average", "length_alpha": 3.0}
    arguments = {"num_beams": 3, "num_results": 2, "pad_token": 9}
    decoded = search(
        how,
        memory,
        max_length=7,
        early_stopping=True,
        return_extras=("scores",),
        **arguments,
        **penalty,
    )
    for b in range(13):
        own = {key: table[b : b + 1] for key, table in memory.items()}
        hypotheses = slow_beam_search(own, 7, 3, early_stopping=True)
        parts = [part[b : b + 1] for part in keras.tree.flatten(decoded)]
        result = keras.tree.pack_sequence_as(decoded, parts)
        check_results(result, hypotheses, penalty, num_results=2)
    # It is a shortcut: without it, better results are found.
    patient = search(how, memory, max_length=7, **arguments, **penalty)
    gain = patient.hypothesis_scores - decoded.hypothesis_scores
    assert gain.min() >= 0
    assert gain.max() > 0


@each_compiler
def test_a_sentence_alone_is_found_as_in_a_batch(how):
    memory = random_memory(5, vocabulary_size=7, source_length=3, seed=2)
    run = searcher(
        how,
        max_length=11,
        num_beams=3,
        num_results=3,
        return_extras=("scores",),
    )
    together = run(memory, initial_state(5))
    assert len(np.unique(together.lengths)) > 2
    for b in range(5):
        own = {key: table[b : b + 1] for key, table in memory.items()}
        alone = run(own, initial_state(1))
        for left, right in zip(
            keras.tree.flatten(alone), keras.tree.flatten(together), strict=True
        ):
            np.testing.assert_allclose(left[0], right[b], rtol=1e-5, atol=1e-6)


@each_compiler
def test_a_sentence_with_a_limit_of_its_own_is_found_as_alone(how):
    memory = random_memory(5, vocabulary_size=7, source_length=3, seed=2)
    limits = np.array([1, 4, 11, 2, 7], "int32")
    options = {"num_beams": 3, "num_results": 3, "return_extras": ("scores",)}
    together = compiled(
        lambda m, s, limits: beam_search(
            step, m, s, START, END, 11, max_lengths=limits, **options
        ),
        how,
    )(memory, initial_state(5), limits)
    assert (together.lengths[:, 0] == limits).sum() > 1
    for b, limit in enumerate(limits):
        own = {key: table[b : b + 1] for key, table in memory.items()}
        alone = search(how, own, int(limit), **options)
        same = {"rtol": 1e-5, "atol": 1e-6}
        for left, right in zip(alone[1:4], together[1:4], strict=True):
            np.testing.assert_allclose(left[0], right[b], **same)
        for left, right in (
            (alone.token_ids, together.token_ids),
            (alone.extras["scores"], together.extras["scores"]),
        ):
            np.testing.assert_allclose(left[0], right[b, :, :limit], **same)
            assert not right[b, :, limit:].any()


@each_compiler
def test_one_beam_without_penalties_is_greedy(how):
    memory = random_memory(13, vocabulary_size=5, source_length=3, seed=3)
    narrow = search(
        how,
        memory,
        max_length=7,
        num_beams=1,
        length_penalty=None,
        return_extras=("scores",),
    )
    single = compiled(
        lambda m, s: greedy(
            step, m, s, START, END, 7, return_extras=("scores",)
        ),
        how,
    )(memory, initial_state(13))
    assert len(np.unique(single.lengths)) > 2
    for left, right in zip(
        keras.tree.flatten(narrow), keras.tree.flatten(single), strict=True
    ):
        np.testing.assert_allclose(left[:, 0], right, rtol=1e-5, atol=1e-6)


def chain(*rows):
    """Memory for `gather_step` from probabilities."""
    with np.errstate(divide="ignore"):
        return {"log": np.log(np.array([rows], "float32"))}


def gather_step(token_ids, memory, state):
    """Markov: the next token depends on the last one only."""
    return ops.take(memory["log"][0], token_ids, axis=0), state, {}


@each_compiler
def test_finished_hypotheses_are_frozen(how):
    # An end is likely at once; behind an end token everything else is sure,
    # so that a hypothesis that went on would change its tokens and length.
    memory = chain([0, 0, 1], [0.9, 0.05, 0.05], [0.1, 0.1, 0.8])
    decoded = search(
        how,
        memory,
        max_length=13,
        step=gather_step,
        state={},
        num_beams=2,
        num_results=2,
        length_penalty="average",
        length_alpha=1.0,
        pad_token=7,
    )
    at_once = np.flatnonzero(decoded.lengths[0] == 1)
    assert at_once.size == 1
    assert decoded.token_ids[0, at_once[0]].tolist() == [END] + [7] * 12
    np.testing.assert_allclose(
        decoded.log_probabilities[0, at_once[0]], np.log(0.9), rtol=1e-6
    )


@each_compiler
def test_hypotheses_that_never_end_are_returned(how):
    memory = chain([1, 0, 0], [0, 0.25, 0.75], [0, 0.5, 0.5])
    decoded = search(
        how,
        memory,
        max_length=3,
        step=gather_step,
        state={},
        num_beams=2,
        num_results=2,
        length_penalty="average",
        length_alpha=1.0,
    )
    assert decoded.lengths.tolist() == [[3, 3]]
    assert decoded.token_ids[0, :, 0].tolist() == [2, 2]
    np.testing.assert_allclose(
        decoded.hypothesis_scores[0],
        np.log([0.75 * 0.5 * 0.75, 0.75 * 0.5 * 0.5]) / 3,
        rtol=1e-5,
    )


@each_compiler
def test_more_beams_than_hypotheses_leave_places_empty(how):
    memory = chain([0.5, 0.5, 0], [0.2, 0.5, 0.3], [0.25, 0.5, 0.25])
    decoded = search(
        how,
        memory,
        max_length=1,
        step=gather_step,
        state={},
        num_beams=5,
        num_results=5,
        length_penalty=None,
    )
    np.testing.assert_allclose(
        np.exp(decoded.hypothesis_scores[0]), [0.5, 0.3, 0.2, 0, 0], rtol=1e-5
    )
    assert decoded.token_ids[0, :, 0].tolist() == [1, 2, 0, 0, 0]
    assert decoded.lengths[0].tolist() == [1, 1, 1, 0, 0]
    assert np.isneginf(decoded.log_probabilities[0, 3:]).all()


@each_compiler
def test_a_vocabulary_of_one_token_is_enough(how):
    memory = {"log": np.zeros((1, 1, 1), "float32")}

    def only_end(token_ids, memory, state):
        return ops.zeros((*ops.shape(token_ids), 1)), state, {}

    def run(memory):
        return beam_search(only_end, memory, {}, 0, 0, 3, num_beams=3)

    decoded = compiled(run, how)(memory)
    assert decoded.lengths.tolist() == [[1]]
    assert decoded.hypothesis_scores.tolist() == [[0.0]]


@each_compiler
def test_ties_give_different_hypotheses_of_equal_score(how):
    memory = chain([0.25] * 4, [0.25] * 4, [0.25] * 4, [0.25] * 4)
    decoded = search(
        how,
        memory,
        max_length=3,
        step=gather_step,
        state={},
        num_beams=64,
        num_results=4,
        length_penalty="average",
        length_alpha=1.0,
    )
    # Every hypothesis has the average log 0.25.
    np.testing.assert_allclose(
        decoded.hypothesis_scores, np.full((1, 4), np.log(0.25)), rtol=1e-6
    )
    assert len({tuple(ids) for ids in decoded.token_ids[0]}) == 4


@each_compiler
def test_where_nothing_is_allowed_a_hypothesis_dies(how):
    # 2 leads to nothing but -inf, 1 goes on: no NaN, and 1 is found.
    memory = chain([1, 0, 0], [0.5, 0.1, 0.4], [0, 0, 0])
    decoded = search(
        how,
        memory,
        max_length=5,
        step=gather_step,
        state={},
        num_beams=2,
        num_results=2,
        length_penalty=None,
    )
    np.testing.assert_allclose(
        np.exp(decoded.hypothesis_scores[0]), [0.5, 0.05], rtol=1e-5
    )


@each_compiler
def test_banned_tokens_never_appear_and_take_no_one_elses_share(how):
    memory = chain([0.2, 0.2, 0.6], [0.1, 0.3, 0.6], [1, 0, 0])
    decoded = search(
        how,
        memory,
        max_length=2,
        step=gather_step,
        state={},
        num_beams=3,
        num_results=3,
        banned_tokens=(2,),
        length_penalty=None,
    )
    assert not np.any(decoded.token_ids == 2)
    np.testing.assert_allclose(
        np.exp(decoded.hypothesis_scores[0]), [0.1, 0.09, 0.03], rtol=1e-5
    )


@each_compiler
def test_coverage_ignores_padding_and_survives_what_is_never_read(how):
    memory = random_memory(7, vocabulary_size=4, source_length=3, seed=4)
    memory["scores"][:, :, 2] = 0.0  # padding, read by nothing
    mask = np.ones((7, 3), bool)
    padded = np.array([[True, True, False]] * 7)
    run = searcher(
        how, max_length=3, num_beams=36, num_results=2, coverage_beta=0.5
    )
    short = {**memory, "scores": memory["scores"][:, :, :2]}
    without = run(short, initial_state(7))
    masked = run(memory, initial_state(7), padded)
    counted = run(memory, initial_state(7), mask)
    np.testing.assert_allclose(
        masked.hypothesis_scores, without.hypothesis_scores, rtol=1e-5
    )
    np.testing.assert_allclose(
        counted.hypothesis_scores,
        masked.hypothesis_scores + 0.5 * np.log(1e-10),
        rtol=1e-5,
    )


@each_compiler
def test_state_of_any_structure_and_dtype_follows_its_hypothesis(how):
    memory = random_memory(3, vocabulary_size=5, source_length=2, seed=5)
    state = (
        initial_state(3),
        [np.zeros((3, 5, 2), "float16"), np.zeros((3,), "bool")],
        (np.zeros((3, 1, 1, 2), "int64"), {}),
        np.zeros((), "int32"),
    )
    dtypes = []

    def wrapped(token_ids, memory, state):
        own, (half, flag), (integer, empty), scalar = state
        dtypes.append(
            [keras.backend.standardize_dtype(x.dtype) for x in (half, flag)]
        )
        # Each leaf holds the same: a function of the history.
        value = ops.reshape(own["hash"], (-1, 1, 1))
        same = ops.all(half[:, 0, 0] == ops.cast(own["hash"], "float16"))
        logits, new, extras = step(token_ids, memory, own)
        half = ops.cast(
            ops.reshape(new["hash"], (-1, 1, 1)), "float16"
        ) + ops.zeros_like(half)
        extras["agrees"] = ops.broadcast_to(
            ops.logical_and(same, ops.all(flag == (value[:, 0, 0] % 2 == 1))),
            ops.shape(token_ids),
        )
        flag = new["hash"] % 2 == 1
        state = (new, [half, flag], (integer + 1, empty), scalar + 1)
        return logits, state, extras

    decoded = search(
        how,
        memory,
        7,
        step=wrapped,
        state=state,
        num_beams=3,
        return_extras=("agrees",),
    )
    plain = search(how, memory, 7, num_beams=3)
    np.testing.assert_array_equal(decoded.token_ids, plain.token_ids)
    inside = np.arange(7) < decoded.lengths[..., None]
    np.testing.assert_array_equal(decoded.extras["agrees"], inside)
    assert dtypes[0] == ["float16", "bool"]


@each_compiler
def test_memory_is_neither_copied_nor_reordered(how):
    memory = random_memory(3, vocabulary_size=5, source_length=2, seed=6)
    seen = []

    def run(memory, state):
        def spy(token_ids, given, state):
            seen.append(given is memory)
            assert given["logits"].shape[0] == 3
            assert tuple(token_ids.shape) == (3, 4)
            assert tuple(state["hash"].shape) == (12,)
            return step(token_ids, given, state)

        return beam_search(spy, memory, state, START, END, 5, num_beams=4)

    compiled(run, how)(memory, initial_state(3))
    assert seen
    assert all(seen)


def count_steps(memory, max_length, **arguments):
    """Steps of a search as they run."""
    calls = []

    def counted(token_ids, memory, state):
        note_call(calls)
        return gather_step(token_ids, memory, state)

    memory = keras.tree.map_structure(ops.convert_to_tensor, memory)
    decoded = beam_search(
        counted, memory, {}, START, END, max_length, **arguments
    )
    ops.convert_to_numpy(decoded.lengths)  # waits for the last step
    return len(calls)


def test_the_search_stops_when_nothing_better_can_come():
    # The end has 0.9 after every token.
    memory = chain([0.9, 0.1, 0], [0.9, 0.05, 0.05], [0.9, 0.05, 0.05])
    # log 0.9 against at best log 0.1, over all lengths.
    assert count_steps(memory, 64, num_beams=2, length_penalty=None) == 1
    # A second result takes one more step.
    assert (
        count_steps(memory, 64, num_beams=2, num_results=2, length_penalty=None)
        == 2
    )
    # log 0.1 is worse than log 0.9 over 5 tokens; over 64 tokens it is still
    # better, and so is log 0.005 a step later, but log 0.00025 is not.
    average = {"length_penalty": "average", "length_alpha": 1.0}
    assert count_steps(memory, 5, num_beams=2, **average) == 1
    assert count_steps(memory, 64, num_beams=2, **average) == 3


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_beams": 0}, "`num_beams` must be a positive integer.*=0"),
        ({"num_results": 5}, "`num_results` must be at most.*=5, num_beams=4"),
        ({"num_results": 0}, "`num_results` must be a positive integer"),
        ({"max_length": 0}, "`max_length` must be a positive integer"),
        ({"max_length": 2.5}, "`max_length` must be a positive integer"),
        ({"length_penalty": "wu"}, "`length_penalty` must be one of None, 'gn"),
        ({"length_alpha": None}, "`length_alpha` must be a finite number"),
        ({"word_penalty": np.inf}, "`word_penalty` must be a finite number"),
        ({"coverage_beta": -1.0}, "`coverage_beta` must be .* 0 or more"),
        ({"coverage_mask": [[1]]}, "`coverage_mask` must come with"),
        (
            {"coverage_mask": [[0.5]], "coverage_beta": 1.0},
            "`coverage_mask`.* 0.5",
        ),
        ({"max_lengths": [4]}, "each from 1 to `max_length`.*=3"),
        ({"max_lengths": [0]}, "each from 1 to `max_length`"),
        ({"max_lengths": [1, 2]}, r"one integer per sentence.*\(2,\)"),
        ({"max_lengths": [1.5]}, "one integer per sentence"),
        ({"pad_token": 2.5}, "`pad_token` must be an integer.*=2.5"),
        ({"coverage_beta": 1.0}, "'scores' in its extras for `coverage_beta`"),
        ({"return_extras": ("x",)}, "'x' in its extras for `return_extras`"),
        ({"end_token": 3}, "`end_token` must be in the vocabulary, 0 to 2"),
        ({"start_token": 7}, "`start_token` must be in the vocabulary"),
        ({"start_token": -1}, "`start_token` must be an integer"),
        ({"banned_tokens": (1, 9)}, r"`banned_tokens\[1\]` must be in the"),
        ({"banned_tokens": (0,)}, "`end_token` must not be among"),
        ({"memory": {}}, "`memory` or `state` must hold a tensor"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    memory = chain([0.9, 0.1, 0], [0.9, 0.05, 0.05], [0.9, 0.05, 0.05])
    arguments = {
        "memory": memory,
        "state": {},
        "start_token": START,
        "end_token": END,
        "max_length": 3,
        **arguments,
    }

    def tolerant(token_ids, memory, state):
        return gather_step(ops.clip(token_ids, 0, 2), memory, state)

    with pytest.raises(ValueError, match=message):
        beam_search(tolerant, **arguments)


@pytest.mark.parametrize(
    "outcome, message",
    [
        (lambda x, s: (x, s), "must return three things"),
        (lambda x, s: (x[:, 0], s, {}), r"logits of shape \(B, K, V\)"),
        (lambda x, s: (x[:, :1], s, {}), r"logits of shape \(B, K, V\)"),
        (lambda x, s: (x, {}, {}), "a state of the structure"),
        (
            lambda x, s: (x, {"a": ops.cast(s["a"], "float16")}, {}),
            "the shapes and dtypes.*float16",
        ),
        (
            lambda x, s: (x, {"a": ops.concatenate([s["a"]] * 2, 1)}, {}),
            r"the shapes and dtypes.*\(6, 10\)",
        ),
        (lambda x, s: (x, s, {"scores": x[:, 0]}), "Extras must have the shap"),
    ],
)
def test_a_step_that_breaks_its_contract_is_told(outcome, message):
    def broken(token_ids, memory, state):
        return outcome(ops.zeros((3, 2, 7)), state)

    state = {"a": np.zeros((3, 5), "float32")}
    with pytest.raises(ValueError, match=message):
        beam_search(
            broken, {}, state, START, END, 3, 2, return_extras=("scores",)
        )


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="only here sizes can be None",
)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_batch_and_source_length_may_be_unknown(jit_compile):
    import tensorflow as tf

    @tf.function(
        jit_compile=jit_compile,
        input_signature=[
            {
                "logits": tf.TensorSpec((None, 101, 5)),
                "scores": tf.TensorSpec((None, 101, None)),
            },
            {
                "hash": tf.TensorSpec((None,), "int32"),
                "position": tf.TensorSpec((None,), "int32"),
            },
        ],
    )
    def run(memory, state):
        def unknown(token_ids, memory, state):
            logits, state, extras = step(
                token_ids, {**memory, "scores": memory["logits"]}, state
            )
            length = ops.shape(memory["scores"])[-1]
            scores = extras["scores"][..., :length]
            return logits, state, {"scores": scores}

        return beam_search(
            unknown,
            memory,
            state,
            START,
            END,
            7,
            num_beams=3,
            num_results=2,
            coverage_beta=0.1,
            return_extras=("scores",),
        )

    for batch, length in [(2, 3), (5, 4)]:
        memory = random_memory(batch, 5, source_length=length, seed=7)
        decoded = run(memory, initial_state(batch))
        assert tuple(decoded.token_ids.shape) == (batch, 2, 7)
        assert tuple(decoded.extras["scores"].shape) == (batch, 2, 7, length)
        memory["scores"] = memory["logits"][..., :length].copy()
        known = search(
            "graph",
            memory,
            7,
            num_beams=3,
            num_results=2,
            coverage_beta=0.1,
            return_extras=("scores",),
        )
        for left, right in zip(
            keras.tree.flatten(known), keras.tree.flatten(decoded), strict=True
        ):
            np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="only here a length can be a tensor",
)
def test_the_longest_length_may_be_unknown():
    import tensorflow as tf

    memory = random_memory(3, 5, source_length=4, seed=2)
    limits = np.array([2, 7, 4], "int32")
    options = dict(num_beams=3, num_results=2, early_stopping=True)

    @tf.function(input_signature=[tf.TensorSpec((), "int32")])
    def run(max_length):
        return beam_search(
            step,
            memory,
            initial_state(3),
            START,
            END,
            max_length,
            max_lengths=limits,
            **options,
        )

    for length in (7, 11):
        known = search("graph", memory, length, max_lengths=limits, **options)
        for left, right in zip(
            keras.tree.flatten(known),
            keras.tree.flatten(run(length)),
            strict=True,
        ):
            np.testing.assert_array_equal(left, right)
