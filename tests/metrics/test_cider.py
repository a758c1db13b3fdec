"""Rewards by CIDEr-D; the metrics themselves are in test_captioning.py."""

import math
import pickle

import numpy as np
import pytest

from keras_attention.metrics import CIDErD, cider_d

CORPUS = [
    ["a red dog", "a dog runs"],
    ["two cats sleep"],
    ["a cat"],
    ["a dog and a cat"],
]


def test_the_own_references_as_corpus_give_cider_d():
    captions = ["a dog", "cats sleep on a bed", "a cat", "dog cat"]
    rewards = CIDErD(CORPUS).score(captions, CORPUS)
    assert tuple(rewards) == cider_d(captions, CORPUS).per_caption
    assert rewards.dtype == "float64" and rewards.shape == (4,)


def test_a_reward_depends_on_its_own_caption_only():
    reward = CIDErD(CORPUS)
    captions = ["a red dog", "red red dog", "a cat", ""]
    references = [CORPUS[0], CORPUS[0], CORPUS[2], CORPUS[1]]
    together = reward.score(captions, references)
    alone = [
        reward.score([caption], [group])[0]
        for caption, group in zip(captions, references, strict=True)
    ]
    assert together.tolist() == alone
    assert alone[0] > alone[1] > 0 == alone[3]


def test_frequencies_are_those_of_the_corpus():
    # "dog" is in 2 of 4 images and "red" in 1: log 2 and log 4. New words
    # count as if one image had them.
    reward = CIDErD(CORPUS).score(["dog", "zebra"], [["red dog"], ["zebra"]])
    rare, common = math.log(4), math.log(2)
    cosine = common / math.hypot(rare, common)
    assert reward == pytest.approx(
        [10 * cosine * math.exp(-1 / 72) / 4, 10 / 4]
    )


def test_it_can_be_sent_to_another_process():
    reward = pickle.loads(pickle.dumps(CIDErD(CORPUS, str.split)))
    assert reward.score(["a cat."], [["a cat"]]) < reward.score(
        ["a cat"], [["a cat"]]
    )


def test_the_best_of_samples_is_the_one_that_agrees():
    rng = np.random.default_rng(1)
    words = ["a", "red", "dog", "runs", "two", "cats", "sleep", "and"]
    samples = [" ".join(rng.choice(words, 4)) for _ in range(30)]
    rewards = CIDErD(CORPUS).score([*samples, "a dog runs"], [CORPUS[0]] * 31)
    assert rewards.argmax() == 30 and 0 < np.median(rewards) < rewards[30] / 2


def test_bad_corpora_are_refused():
    with pytest.raises(ValueError, match="at least one image"):
        CIDErD([])
    with pytest.raises(ValueError, match=r"references\[1\]='a cat'"):
        CIDErD([["a dog"], "a cat"])
    with pytest.raises(ValueError, match="1 hypotheses, 2 references"):
        CIDErD(CORPUS).score(["a"], [["a"], ["b"]])
