import math
import shutil
import sys
from collections import Counter

import numpy as np
import pytest

from keras_attention import metrics
from keras_attention.metrics import (
    caption_bleu,
    caption_scores,
    cider,
    cider_d,
    meteor,
    rouge_l,
)

WORDS = [f"w{i}" for i in range(13)]
NEEDS_JAVA = pytest.mark.skipif(not shutil.which("java"), reason="no Java")


@pytest.fixture(scope="module")
def captions():
    """Random captions, some of them empty, with 1 to 5 references each."""
    rng = np.random.default_rng(0)

    def sentence(shortest):
        return " ".join(rng.choice(WORDS, rng.integers(shortest, 11)))

    hypotheses = [sentence(0) for _ in range(233)]
    references = [
        [sentence(1) for _ in range(rng.integers(1, 6))] for _ in hypotheses
    ]
    for i in range(0, 233, 17):
        hypotheses[i] = references[i][0]
    assert {0, 1, 2, 3} <= {len(text.split()) for text in hypotheses}
    return hypotheses, references


def of_pycocoevalcap(name, hypotheses, references):
    """The scores that the code behind COCO's server gives these captions."""
    if name == "bleu":
        module = pytest.importorskip("pycocoevalcap.bleu.bleu")
        scorer, options = module.Bleu(4), {"verbose": 0}
    elif name == "rouge_l":
        module = pytest.importorskip("pycocoevalcap.rouge.rouge")
        scorer, options = module.Rouge(), {}
    else:
        module = pytest.importorskip("pycocoevalcap.cider.cider")
        scorer, options = module.Cider(), {}
    score, per_caption = scorer.compute_score(
        dict(enumerate(references)),
        {i: [hypothesis] for i, hypothesis in enumerate(hypotheses)},
        **options,
    )
    return np.reshape(score, -1), np.reshape(per_caption, (np.size(score), -1))


@pytest.mark.parametrize(
    "name, ours",
    [
        ("bleu", caption_bleu),
        ("rouge_l", lambda *captions: [rouge_l(*captions)]),
        ("cider_d", lambda *captions: [cider_d(*captions)]),
    ],
)
def test_scores_are_those_of_pycocoevalcap(name, ours, captions):
    scores, per_caption = of_pycocoevalcap(name, *captions)
    mine = ours(*captions)
    np.testing.assert_allclose([x.score for x in mine], scores, atol=1e-12)
    np.testing.assert_allclose(
        [x.per_caption for x in mine], per_caption, atol=1e-12
    )
    assert scores.min() > 0.05 and len(scores) == len(mine)
    assert per_caption.max() > 2 * per_caption.mean()


def reference_cider(hypotheses, references):
    """Vedantam et al., 2015, equations 1 to 3, an n-gram at a time."""

    def counts(text, n):
        words = text.split()
        return Counter(
            " ".join(words[i : i + n]) for i in range(len(words) - n + 1)
        )

    def weight(k, text, n):
        h = counts(text, n)
        images = sum(
            min(1, sum(counts(s, n)[k] for s in group)) for group in references
        )
        return h[k] / h.total() * math.log(len(references) / max(1, images))

    scores = []
    for c, group in zip(hypotheses, references, strict=True):
        score = 0
        for n in range(1, 5):
            for s in group:
                vocabulary = sorted(counts(c, n) | counts(s, n))
                g = np.zeros((2, len(vocabulary)))
                for j, k in enumerate(vocabulary):
                    g[0, j] = weight(k, c, n) if counts(c, n) else 0
                    g[1, j] = weight(k, s, n) if counts(s, n) else 0
                norms = np.linalg.norm(g, axis=1).prod()
                score += g[0] @ g[1] / norms / len(group) / 4 if norms else 0
        scores.append(10 * score)
    return scores


def test_cider_is_that_of_the_paper(captions):
    hypotheses, references = captions[0][:17], captions[1][:17]
    score = cider(hypotheses, references)
    per_caption = reference_cider(hypotheses, references)
    np.testing.assert_allclose(score.per_caption, per_caption, atol=1e-12)
    assert score.score == pytest.approx(np.mean(per_caption))
    assert max(per_caption) > 5


def test_one_common_word_of_two_weighs_half():
    # log(2) for every n-gram; "red" of "red dog" and "red cat": a cosine of
    # 1/2 for words, 0 for pairs, none longer. One and the same length.
    score = cider(["red dog", "b"], [["red cat"], ["b"]])
    assert score.per_caption[0] == pytest.approx(10 * 0.5 / 4)
    assert cider_d(["red dog", "b"], [["red cat"], ["b"]]) == (
        metrics.CaptionScore("CIDEr-D", score.score, score.per_caption)
    )


def test_repeating_a_rare_word_gains_less_in_cider_d():
    references = [["a rare bird"], ["a cat"], ["a dog"]]
    captions = ["rare rare rare rare", "a cat", "a dog"]
    plain = cider(captions, references).per_caption[0]
    # Clipped: 1 of 4 counts. The penalty: exp(-1 / 72).
    guarded = cider_d(captions, references).per_caption[0]
    assert guarded == pytest.approx(plain / 4 * math.exp(-1 / 72))
    # rare, bird and "a" that weighs nothing
    assert plain == pytest.approx(10 / math.sqrt(2) / 4)


def test_rouge_l_is_that_of_the_example_in_the_paper():
    # Lin, 2004, section 3.1, with beta = 1 there: 3/4 and 2/4.
    references = [["police killed the gunman"]]
    for text, share in (
        ("police kill the gunman", 3 / 4),
        ("the gunman kill police", 2 / 4),
    ):
        # As precision and recall are equal, beta does not matter.
        assert rouge_l([text], references).score == pytest.approx(share)


def test_rouge_l_takes_recall_for_more_than_precision():
    short = rouge_l(["a b"], [["a b c d"]]).score
    long = rouge_l(["a b c d"], [["a b"]]).score
    assert short == pytest.approx(2.44 * 0.5 / (0.5 + 1.44))
    assert long == pytest.approx(2.44 * 0.5 / (1 + 1.44 * 0.5))


def test_a_short_caption_pays_for_its_length_in_bleu():
    scores = caption_bleu(["a b c d"], [["a b c d e f", "a b c d e f g"]])
    for score in scores:
        assert score.score == pytest.approx(math.exp(1 - 6 / 4))


@pytest.mark.parametrize("hypothesis", ["", "..."])
def test_a_caption_without_words_scores_zero(hypothesis):
    scores = caption_scores(
        [hypothesis, "a dog"],
        [["a cat", "two cats"], ["a dog"]],
        ["bleu_1", "bleu_4", "rouge_l", "cider_d", "cider"],
    )
    for score in scores.values():
        assert score.per_caption[0] == 0 and score.per_caption[1] > 0


def test_a_reference_without_words_matches_nothing():
    empty, alone = (
        caption_scores(["a b c d", "x"], [group, ["x"]])
        for group in (["a b c d", "..."], ["a b c d"])
    )
    assert empty["rouge_l"] == alone["rouge_l"]
    assert empty["cider_d"].per_caption[0] == pytest.approx(
        alone["cider_d"].per_caption[0] / 2
    )
    assert rouge_l([""], [[""]]).score == 0


def test_what_every_image_has_weighs_nothing():
    for metric in (cider, cider_d):
        assert metric(["a dog"] * 3, [["a dog"]] * 3).score == 0
        assert metric(["a dog"], [["a dog"]]).score == 0


def test_short_captions_have_no_long_runs():
    score = caption_bleu(["a dog"], [["a dog"]])
    # No runs of 3 and 4 words: 1e-15 / 1e-9 stands in for either.
    assert [x.score for x in score] == pytest.approx(
        [1, 1, 1e-6 ** (1 / 3), 1e-12 ** (1 / 4)]
    )
    assert cider_d(["dog", "cat"], [["dog"], ["cat"]]).score == 2.5


def test_one_call_gives_what_the_functions_give(captions):
    scores = caption_scores(*captions)
    assert list(scores) == [
        *("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider_d")
    ]
    assert list(scores.values()) == [
        *caption_bleu(*captions),
        rouge_l(*captions),
        cider_d(*captions),
    ]
    assert caption_scores(*captions, metrics=["cider", "bleu_2"]) == {
        "cider": cider(*captions),
        "bleu_2": scores["bleu_2"],
    }
    assert str(scores["bleu_4"]).startswith("BLEU-4 0.")


def test_punctuation_and_case_count_only_if_asked_for():
    captions = ["A dog.", "b"], [["a dog"], ["b"]]
    for metric in (rouge_l, cider, cider_d):
        assert (
            metric(*captions).per_caption[0]
            > metric(*captions, tokenize=str.split).per_caption[0]
            == pytest.approx(0)
        )
    shares = [
        x[0].score
        for x in (caption_bleu(*captions), caption_bleu(*captions, str.split))
    ]
    assert shares == pytest.approx([1, 1 / 3])
    assert caption_scores(*captions, tokenize=str.split)["rouge_l"].score == 0.5


@NEEDS_JAVA
@pytest.mark.slow
@pytest.mark.one_backend
def test_meteor_is_that_of_the_wrapper_of_pycocoevalcap(captions):
    wrapper = pytest.importorskip("pycocoevalcap.meteor.meteor").Meteor()
    hypotheses = ["A dog's running on grass.", "", *captions[0][:20]]
    references = [
        ["the dogs run on the lawn", "a dog is on grass"],
        ["a cat"],
        *captions[1][:20],
    ]
    split = metrics.caption_words
    score, per_caption = wrapper.compute_score(
        {
            i: [" ".join(split(text)) for text in group]
            for i, group in enumerate(references)
        },
        {i: [" ".join(split(text))] for i, text in enumerate(hypotheses)},
    )
    for pipe in (wrapper.meteor_p.stdout, wrapper.meteor_p.stderr):
        pipe.close()
    scores = caption_scores(hypotheses, references, ["meteor", "rouge_l"])
    assert list(scores) == ["meteor", "rouge_l"]
    assert scores["meteor"].score == pytest.approx(score, abs=1e-12)
    assert scores["meteor"].per_caption == pytest.approx(per_caption)
    odd = ["a|||b c", "the café is open"]  # as a separator, and beyond ASCII
    assert min(meteor(odd, [[x] for x in odd], str.split).per_caption) > 0.95


def test_without_java_meteor_is_an_error_or_left_out(monkeypatch):
    pytest.importorskip("pycocoevalcap")
    monkeypatch.setenv("PATH", "")
    captions = ["a dog"], [["a dog"]]
    with pytest.raises(FileNotFoundError, match="needs Java.*Install a Java"):
        meteor(*captions)
    with pytest.warns(UserWarning, match="METEOR is left out.*Java") as warned:
        scores = caption_scores(*captions, metrics=["meteor", "rouge_l"])
    assert scores == {"rouge_l": rouge_l(*captions)}
    assert len(warned) == 1 and warned[0].filename == __file__


def test_without_the_extra_meteor_is_an_error_or_left_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocoevalcap.meteor.meteor", None)
    with pytest.raises(ImportError, match=r"attention-layers\[coco\]"):
        meteor(["a dog"], [["a dog"]])
    with pytest.warns(UserWarning, match=r"METEOR is left out.*\[coco\]"):
        assert caption_scores(["a"], [["a"]], ["meteor"]) == {}


def test_a_java_that_ends_early_is_told(monkeypatch, tmp_path):
    pytest.importorskip("pycocoevalcap")
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho no memory >&2\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="before it.*no memory"):
        meteor(["a dog"] * 99, [["a dog"]] * 99)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([], []), r"at least one. Received: hypotheses=\[\]"),
        (("a dog", ["a dog"]), "hypotheses='a dog'"),
        ((["a"], [["a"], ["b"]]), "1 hypotheses, 2 references"),
        ((["a", 3], [["a"], ["b"]]), r"hypotheses\[1\]=3"),
        ((["a", "b"], [["a"], "b"]), r"references\[1\]='b'"),
        ((["a", "b"], [["a"], []]), r"references\[1\]=\[\]"),
        ((["a"], [["a", None]]), r"references\[0\]=\['a', None\]"),
    ],
)
def test_bad_captions_are_refused(arguments, message):
    for metric in (caption_bleu, rouge_l, cider, cider_d, meteor):
        with pytest.raises(ValueError, match=message):
            metric(*arguments)
    with pytest.raises(ValueError, match=message):
        caption_scores(*arguments)


@pytest.mark.parametrize("wanted", ["bleu_1", ["bleu"], ["CIDEr"]])
def test_an_unknown_metric_is_refused(wanted):
    with pytest.raises(ValueError, match="any of bleu_1, .*Received: metrics="):
        caption_scores(["a"], [["a"]], wanted)
