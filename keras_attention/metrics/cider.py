"""CIDEr-D and CIDEr: agreement with what most people say of an image."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from keras_attention.metrics.caption_score import (
    MAX_ORDER,
    CaptionScore,
    mean_score,
    ngram_counts,
    split_captions,
    split_references,
)
from keras_attention.metrics.caption_words import caption_words

_SIGMA = 6.0  # of the penalty for another length, in words


class _Vector(NamedTuple):
    """The weights g of a caption's n-grams."""

    weights: dict[tuple[str, ...], float]
    norms: list[float]  # of the n-grams of each order
    length: int  # in words


class CIDErD:
    """Rewards captions by CIDEr-D against frequencies of a fixed corpus.

    For training that samples captions and rewards them (self-critical
    training, Rennie et al., 2017). Each n-gram counts by how rare it is in
    the references of the training set, which are counted here, once; `score`
    then takes any few captions. With the references of the scored captions as
    the corpus, the mean is `cider_d`, which has the equation.

    Args:
        references: The right captions of each image of the corpus.
        tokenize: From a text to its words. `str.split` takes text as it is.

    Raises:
        ValueError: If there are no images, or one without references.

    Examples:
        >>> corpus = [["a red dog", "a dog"], ["two cats"], ["a cat"]]
        >>> reward = CIDErD(corpus)
        >>> reward.score(["a red dog", "a cat"], [corpus[0]] * 2).round(2)
        array([4.65, 0.26])

    Reference:
        [Vedantam et al., 2015](https://arxiv.org/abs/1411.5726), CIDEr-D;
        [Rennie et al., 2017](https://arxiv.org/abs/1612.00563)
    """

    def __init__(
        self,
        references: Sequence[Sequence[str]],
        tokenize: Callable[[str], list[str]] = caption_words,
    ):
        self.tokenize = tokenize
        self.rarity = _Rarity(split_references(references, tokenize))

    def score(
        self,
        hypotheses: Sequence[str],
        references: Sequence[Sequence[str]],
    ) -> np.ndarray:
        """CIDEr-D of each caption.

        Args:
            hypotheses: The captions, as plain text.
            references: The right captions of each one's image. Several
                captions of one image may share a list: its words are counted
                once.

        Returns:
            One number per caption, from 0 to 10.

        Raises:
            ValueError: If there are no captions, or not a list of references
                for each.
        """
        return self.rarity.score(
            *split_captions(hypotheses, references, self.tokenize),
            guarded=True,
        )


def cider_d(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    tokenize: Callable[[str], list[str]] = caption_words,
) -> CaptionScore:
    """Scores captions by CIDEr-D: what COCO's server prints as "CIDEr".

    An n-gram k that a caption has h_k times weighs (Vedantam et al., 2015,
    equation 1; their division by the number of n-grams cancels below)

        g_k = h_k log(images / images with k in a reference)

    and a caption c of an image with m references s_j scores, as the mean over
    n = 1 to 4 (sigma = 6, lengths l in words)

        10 / m sum_j exp(-(l_c - l_j)^2 / (2 sigma^2))
                     min(g(c), g(s_j)) . g(s_j) / (|g(c)| |g(s_j)|)

    The minimum and the penalty for another length keep a caption from gaining
    by repeating rare words; `cider` has neither. As in the code of COCO,
    words are not stemmed, and an n-gram of no reference counts as if one
    image had it.

    Args:
        hypotheses: The captions, as plain text.
        references: The right captions of each image, one or more. They are
            the corpus too: what all images have weighs nothing, so that a
            single image scores 0. `CIDErD` counts another corpus.
        tokenize: From a text to its words. `str.split` takes text as it is.

    Returns:
        The score, from 0 to 10, the mean over captions. Papers print it times
        100: their 115.0 is 1.150 here.

    Raises:
        ValueError: If there are no captions, or not a list of references for
            each.

    Examples:
        >>> print(cider_d(["a dog", "two cats"],
        ...               [["a dog", "a red dog"], ["two cats"]]))
        CIDEr-D 4.253

    Reference:
        [Vedantam et al., 2015](https://arxiv.org/abs/1411.5726), CIDEr-D
    """
    return cider_d_of_words(*split_captions(hypotheses, references, tokenize))


def cider(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    tokenize: Callable[[str], list[str]] = caption_words,
) -> CaptionScore:
    """Scores captions by the first CIDEr, without the guards of CIDEr-D.

    Not what COCO's server prints under this name: that is `cider_d`. A
    caption that repeats its rarest right words does well here. With the
    weights g of `cider_d`, the mean over n = 1 to 4 of (Vedantam et al.,
    2015, equations 1 to 3, times 10 as in the authors' code)

        10 / m sum_j g(c) . g(s_j) / (|g(c)| |g(s_j)|)

    Words are not stemmed, unlike in the paper.

    Args:
        hypotheses: The captions, as plain text.
        references: The right captions of each image, one or more. They are
            the corpus too, as for `cider_d`.
        tokenize: From a text to its words. `str.split` takes text as it is.

    Returns:
        The score, from 0 to 10, the mean over captions.

    Raises:
        ValueError: If there are no captions, or not a list of references for
            each.

    Examples:
        >>> references = [["a red dog"], ["two cats"], ["a cat"]]
        >>> captions = ["red red red dog", "two cats", "a cat"]
        >>> for metric in (cider, cider_d):
        ...     print(f"{metric(captions, references).per_caption[0]:.2f}")
        2.95
        1.85

    Reference:
        [Vedantam et al., 2015](https://arxiv.org/abs/1411.5726), section 3
    """
    return cider_of_words(*split_captions(hypotheses, references, tokenize))


def cider_d_of_words(hypotheses, references):
    """`cider_d` of captions that are split already."""
    scores = _Rarity(references).score(hypotheses, references, guarded=True)
    return mean_score("CIDEr-D", scores)


def cider_of_words(hypotheses, references):
    """`cider` of captions that are split already."""
    scores = _Rarity(references).score(hypotheses, references, guarded=False)
    return mean_score("CIDEr", scores)


class _Rarity:
    """How rare each n-gram is in a corpus of references."""

    def __init__(self, references):
        if not len(references):
            raise ValueError(
                "`references` must hold the captions of at least one image. "
                "Received: an empty list."
            )
        images = Counter()
        for captions in references:
            images.update(set().union(*map(ngram_counts, captions)))
        self.highest = math.log(len(references))
        self.logs = {
            gram: self.highest - math.log(number)
            for gram, number in images.items()
        }

    def vector(self, words):
        weights = {
            gram: count * self.logs.get(gram, self.highest)
            for gram, count in ngram_counts(words).items()
        }
        squares = [0.0] * MAX_ORDER
        for gram, weight in weights.items():
            squares[len(gram) - 1] += weight * weight
        return _Vector(weights, [math.sqrt(x) for x in squares], len(words))

    def score(self, hypotheses, references, guarded):
        # Samples of one image share its references: each is counted once.
        vectors = {}
        scores = []
        for words, captions in zip(hypotheses, references, strict=True):
            vector = self.vector(words)
            total = 0.0
            for caption in captions:
                key = tuple(caption)
                if key not in vectors:
                    vectors[key] = self.vector(caption)
                total += _similarity(vector, vectors[key], guarded)
            scores.append(10 * total / (MAX_ORDER * len(captions)))
        return np.array(scores)


def _similarity(hypothesis, reference, guarded):
    """Sum over orders of the cosine, with the guards of CIDEr-D or without."""
    products = [0.0] * MAX_ORDER
    for gram, ours in hypothesis.weights.items():
        theirs = reference.weights.get(gram, 0.0)
        products[len(gram) - 1] += theirs * (
            min(ours, theirs) if guarded else ours
        )
    total = sum(
        product / (norm * other)
        for product, norm, other in zip(
            products, hypothesis.norms, reference.norms, strict=True
        )
        if norm and other  # 0 where all images have every n-gram
    )
    if guarded:
        difference = hypothesis.length - reference.length
        total *= math.exp(-(difference**2) / (2 * _SIGMA**2))
    return total
