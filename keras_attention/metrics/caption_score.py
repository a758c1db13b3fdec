"""What the metrics of captions share: their result and their arguments."""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

MAX_ORDER = 4  # n-grams of 1 to 4 words: of BLEU and CIDEr


@dataclass(frozen=True)
class CaptionScore:
    """A score of captions: of all, and of each.

    Args:
        name: Such as `"BLEU-4"`.
        score: The score of all captions.
        per_caption: The score of each caption alone, in their order. `score`
            is their mean, except for BLEU and METEOR, which count over all
            captions first.
    """

    name: str
    score: float
    per_caption: tuple[float, ...]

    def __str__(self):
        return f"{self.name} {self.score:.3f}"


def mean_score(name, per_caption):
    """The score of a metric that is the mean over captions."""
    return CaptionScore(
        name, float(np.mean(per_caption)), tuple(map(float, per_caption))
    )


def ngram_counts(words):
    """How often each run of 1 to 4 words occurs, by tuples of words."""
    shifted = [words[i:] for i in range(MAX_ORDER)]
    return Counter(
        chain.from_iterable(
            zip(*shifted[:order], strict=False)
            for order in range(1, MAX_ORDER + 1)
        )
    )


def split_captions(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    tokenize: Callable[[str], list[str]],
) -> tuple[list[list[str]], list[list[list[str]]]]:
    """The words of each caption and of its references.

    Raises:
        ValueError: If `hypotheses` is no list of strings, or there are none,
            or not one list of references for each.
    """
    if isinstance(hypotheses, str) or not len(hypotheses):
        raise ValueError(
            "`hypotheses` must be a list of captions, at least one. "
            f"Received: hypotheses={hypotheses!r}. "
            "Put a single caption in a list: `[caption]`."
        )
    if len(hypotheses) != len(references):
        raise ValueError(
            "There must be one list of references for each caption. Received: "
            f"{len(hypotheses)} hypotheses, {len(references)} references."
        )
    for i, hypothesis in enumerate(hypotheses):
        if not isinstance(hypothesis, str):
            raise ValueError(
                "Captions must be strings. Received: "
                f"hypotheses[{i}]={hypothesis!r}. Turn tokens back into text "
                "first."
            )
    return (
        [tokenize(hypothesis) for hypothesis in hypotheses],
        split_references(references, tokenize),
    )


def split_references(
    references: Sequence[Sequence[str]],
    tokenize: Callable[[str], list[str]],
) -> list[list[list[str]]]:
    """The words of each image's references.

    Raises:
        ValueError: If the references of an image are no list of strings, or
            there are none.
    """
    for i, captions in enumerate(references):
        if (
            isinstance(captions, str)
            or not len(captions)
            or not all(isinstance(caption, str) for caption in captions)
        ):
            raise ValueError(
                "The references of an image must be a list of strings, at "
                f"least one. Received: references[{i}]={captions!r}. "
                "Put a single reference in a list: `[reference]`."
            )
    # Several captions of one image bring its references several times.
    cut = functools.cache(tokenize)
    return [[cut(caption) for caption in captions] for captions in references]
