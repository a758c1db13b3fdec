import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.decoding.penalties import coverage_penalty, make_ranking
from tests.decoding.history_model import PENALTIES


@pytest.mark.parametrize("name", PENALTIES)
def test_no_continuation_exceeds_the_bound_and_one_can_reach_it(name):
    max_length = 13
    arguments = {
        "length_penalty": "gnmt",
        "length_alpha": 0.6,
        "word_penalty": 0.0,
        "coverage_beta": 0.0,
        **PENALTIES[name],
    }
    ranking = make_ranking(max_length, coverage_mask=None, **arguments)
    total = ops.convert_to_tensor(np.array([-2.5], "float32"))
    all_read = ops.ones((1, 1, 3))  # the best coverage there is
    for position in range(max_length - 1):
        scores = [
            float(ranking.score(total, later, all_read)[0, 0])
            if arguments["coverage_beta"]
            else float(ranking.score(total, later, None)[0])
            for later in range(position + 1, max_length)
        ]
        bound = float(ranking.bound(total, position)[0])
        assert max(scores) <= bound
        if not arguments["word_penalty"]:
            assert max(scores) == bound


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="only here the longest length can be unknown",
)
@pytest.mark.parametrize("kind", [None, "average", "gnmt"])
@pytest.mark.parametrize("alpha", [0.6, -0.4])
def test_tables_of_an_unknown_length_are_those_of_a_known_one(kind, alpha):
    import tensorflow as tf

    def tables(max_length):
        ranking = make_ranking(max_length, kind, alpha, 0.3, 0.0, None)
        return ranking[:4]

    unknown = tf.function(tables, input_signature=[tf.TensorSpec((), "int32")])
    for length in (1, 7):
        for left, right in zip(unknown(length), tables(length), strict=True):
            np.testing.assert_array_equal(left, right)


def test_the_length_penalties_are_their_formulae():
    def divisor(kind, alpha):
        ranking = make_ranking(7, kind, alpha, 0.0, 0.0, None)
        return ops.convert_to_numpy(ranking.divisor)

    np.testing.assert_allclose(divisor(None, 0.6), np.ones(7))
    np.testing.assert_allclose(divisor("average", 1.0), np.arange(1, 8))
    # One token counts as one under both; seven are (5 + 7) / 6 = 2.
    np.testing.assert_allclose(divisor("gnmt", 1.0)[[0, 6]], [1, 2])
    np.testing.assert_allclose(divisor("gnmt", 0.5)[6], np.sqrt(2), rtol=1e-6)


def test_a_word_read_more_than_once_earns_nothing():
    coverage = ops.convert_to_tensor([[[1.0, 3.0], [0.25, 3.0]]])
    penalty = ops.convert_to_numpy(coverage_penalty(coverage, 2.0))
    np.testing.assert_allclose(penalty, [[0.0, 2 * np.log(0.25)]], rtol=1e-6)
