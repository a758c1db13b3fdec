import math
from collections import Counter

import numpy as np
import pytest

from keras_attention.data.synthetic import english_french
from keras_attention.data.tokenizers import split_words
from keras_attention.metrics import (
    alignment_accuracy,
    bleu,
    bleu_by_length,
    chrf,
)

REFERENCES = [
    "le petit chat noir dort sous la maison",
    "maintenant nos chiens suivent deux vaches",
    "la grenouille chante toujours ici",
    "les loups courent sans mes chevaux",
    "une abeille attend près de l'arbre",
]
HYPOTHESES = [
    "le petit chat dort sous la maison",
    "maintenant nos chiens suivent deux vaches",
    "la grenouille verte chante ici toujours",
    "les loups courent sans mes chevaux",
    "une vache attend près du bel arbre",
]


def reference_bleu(hypotheses, references):
    """Papineni et al., 2002, section 2.3, on words between spaces."""
    log_precision = 0
    for n in range(1, 5):
        matches = total = 0
        for hypothesis, reference in zip(hypotheses, references, strict=True):
            grams = [
                Counter(
                    tuple(words[i : i + n]) for i in range(len(words) - n + 1)
                )
                for words in (hypothesis.split(), reference.split())
            ]
            matches += (grams[0] & grams[1]).total()
            total += grams[0].total()
        log_precision += math.log(matches / total) / 4
    ours = sum(len(text.split()) for text in hypotheses)
    theirs = sum(len(text.split()) for text in references)
    return 100 * math.exp(min(0, 1 - theirs / ours) + log_precision)


def test_bleu_equals_the_formula_of_the_paper():
    score = bleu(HYPOTHESES, REFERENCES, num_resamples=0)
    assert score.score == pytest.approx(
        reference_bleu(HYPOTHESES, REFERENCES), abs=1e-6
    )
    assert score.name == "BLEU" and score.confidence is None
    assert "tok:13a" in score.signature and "version:" in score.signature


def test_the_confidence_interval_is_that_of_resampled_sentences():
    score = bleu(HYPOTHESES * 9, REFERENCES * 9)
    rng = np.random.default_rng(0)
    resampled = []
    for _ in range(300):
        rows = rng.integers(0, 45, 45) % 5
        resampled.append(
            reference_bleu(
                [HYPOTHESES[i] for i in rows], [REFERENCES[i] for i in rows]
            )
        )
    low, high = np.quantile(resampled, [0.025, 0.975])
    assert score.confidence == pytest.approx((high - low) / 2, rel=0.25)
    assert "bs:1000" in score.signature
    assert f"± {score.confidence:.2f}" in str(score)
    assert bleu(HYPOTHESES * 9, REFERENCES * 9) == score


def test_right_translations_have_full_marks():
    for metric in (bleu, chrf):
        score = metric(REFERENCES, REFERENCES, num_resamples=10)
        assert score.score == pytest.approx(100)
        assert score.confidence == pytest.approx(0, abs=1e-6)


def test_chrf_forgives_a_wrong_ending_more_than_bleu():
    wrong = [text.replace("courent", "court") for text in REFERENCES]
    lost = [100 - metric(wrong, REFERENCES, 0).score for metric in (chrf, bleu)]
    assert 0 < lost[0] < lost[1]
    assert chrf(wrong, REFERENCES, 0).name == "chrF2"


def test_each_length_range_is_scored_alone():
    scores = bleu_by_length([3, 10, 11, 30, 41], HYPOTHESES, REFERENCES)
    assert [(s.shortest, s.longest, s.num_sentences) for s in scores] == [
        (1, 10, 2),
        (11, 20, 1),
        (21, 30, 1),
        (41, None, 1),
    ]
    assert scores[0].score == bleu(HYPOTHESES[:2], REFERENCES[:2])
    assert scores[2].score.score == pytest.approx(100)


@pytest.mark.parametrize("metric", [bleu, chrf])
def test_what_matches_nowhere_scores_zero_for_certain(metric):
    score = metric(["a", "b"], ["c d", "e f"])
    assert (score.score, score.confidence) == (0, 0)
    assert "0.00 ± 0.00" in str(score)


def test_one_match_beside_none_has_a_wide_interval():
    # A quarter of the resamples hold no match at all.
    score = chrf(["ici le chat dort", "xyz"], ["ici le chat dort", "abcd"])
    assert 0 < score.score < 100 and score.confidence == pytest.approx(50)


def brute_force_accuracy(scores, links, possible):
    right, diagonal, cross_right, cross_diagonal = [], [], [], []
    for matrix, sure, maybe in zip(scores, links, possible, strict=True):
        num_targets, num_sources = matrix.shape
        for t in range(num_targets):
            if not any(target == t for _, target in sure):
                continue
            best = max(range(num_sources), key=lambda s: matrix[t, s])
            middle = min(
                math.floor(t * num_sources / num_targets + 0.5),
                num_sources - 1,
            )
            right.append((best, t) in {*sure, *maybe})
            diagonal.append((middle, t) in {*sure, *maybe})
            if any(
                (s < a and t > b) or (s > a and t < b)
                for s, target in sure
                if target == t
                for a, b in sure
            ):
                cross_right.append(right[-1])
                cross_diagonal.append(diagonal[-1])
    return (
        [np.mean(x) for x in (right, cross_right, diagonal, cross_diagonal)],
        len(right),
        len(cross_right),
    )


@pytest.mark.parametrize("use_possible", [True, False])
def test_alignment_accuracy_equals_a_loop_over_words(use_possible):
    rng = np.random.default_rng(3)
    pairs = english_french(60, seed=5)
    scores, links, possible = [], [], []
    for pair in pairs:
        shape = len(split_words(pair.target)), len(split_words(pair.source))
        matrix = rng.random(shape)
        for s, t in pair.links + pair.possible_links:
            matrix[t, s] += 0.4
        scores.append(matrix)
        links.append(pair.links)
        possible.append(pair.possible_links)
    accuracy = alignment_accuracy(
        scores, links, possible if use_possible else None
    )
    if not use_possible:
        possible = [()] * len(pairs)
    shares, num_words, num_crossing = brute_force_accuracy(
        scores, links, possible
    )
    assert [
        accuracy.overall,
        accuracy.crossing,
        accuracy.diagonal_overall,
        accuracy.diagonal_crossing,
    ] == pytest.approx(shares)
    assert accuracy.num_words == num_words
    assert accuracy.num_crossing == num_crossing
    assert accuracy.sure == alignment_accuracy(scores, links).overall
    assert 0.3 < accuracy.overall < 0.9
    assert accuracy.diagonal_crossing < 0.3


def test_looking_at_every_link_is_all_right_and_a_diagonal_is_not():
    pairs = english_french(50, seed=9)
    scores = []
    for pair in pairs:
        # A row for [end] follows the words.
        matrix = np.zeros(
            (len(split_words(pair.target)) + 1, len(split_words(pair.source)))
        )
        for s, t in pair.links:
            matrix[t, s] = 1
        scores.append(matrix)
    accuracy = alignment_accuracy(scores, [pair.links for pair in pairs])
    assert accuracy.overall == accuracy.crossing == 1
    assert accuracy.diagonal_crossing < 0.3


def test_without_crossing_links_their_share_is_not_a_number():
    accuracy = alignment_accuracy([np.eye(3)], [[(0, 0), (2, 2)]])
    assert (accuracy.overall, accuracy.num_words) == (1, 2)
    assert math.isnan(accuracy.crossing) and accuracy.num_crossing == 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([np.eye(2)], []), "1 scores, 0 links"),
        (([np.eye(2)], [()]), "1 sentences without links"),
        (([np.ones(2)], [[(0, 0)]]), r"shape \(2,\) for sentence 0"),
        (([np.ones((2, 3))], [[(2, 2)]]), r"link \(2, 2\).*\(2, 3\)"),
        (([np.eye(2)], [[(0, 0)]], [[(-1, 0)]]), r"link \(-1, 0\)"),
    ],
)
def test_bad_alignments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        alignment_accuracy(*arguments)


@pytest.mark.parametrize(
    "function, arguments, message",
    [
        (bleu, ([], []), "0 hypotheses, 0 references"),
        (chrf, (["a"], ["a", "b"]), "1 hypotheses, 2 references"),
        (bleu, ("a", "a"), "Received: a string"),
        (chrf, (["a"], ["a"], -1), "num_resamples=-1"),
        (bleu_by_length, ([3], ["a", "b"], ["a", "b"]), "1 lengths, 2"),
        (bleu_by_length, ([3], ["a"], ["a"], [10, 5]), r"limits=\[10, 5\]"),
    ],
)
def test_bad_corpora_are_refused(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)
