"""BLEU and ROUGE-L of captions with several references each."""

import math
from collections import Counter
from collections.abc import Callable, Sequence

from keras_attention.metrics.caption_score import (
    MAX_ORDER,
    CaptionScore,
    mean_score,
    ngram_counts,
    split_captions,
)
from keras_attention.metrics.caption_words import caption_words

# Stand in for 0 matches and for 0 n-grams, as in the code of COCO.
_TINY, _SMALL = 1e-15, 1e-9
_BETA = 1.2  # recall counts beta**2 times as much as precision


def caption_bleu(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    tokenize: Callable[[str], list[str]] = caption_words,
) -> tuple[CaptionScore, ...]:
    """Scores captions by BLEU-1 to BLEU-4, as the server of COCO does.

    BLEU-n is the geometric mean of the precisions p of runs of 1 to n words,
    less for captions that are too short (Papineni et al., 2002, section 2.3):

        BLEU-n = min(1, exp(1 - r / c)) * (p_1 ... p_n)^(1 / n)

    A run counts as often as it occurs in the reference that has most of it;
    `c` is the number of words, `r` that of the references whose lengths are
    closest. Counts are summed over the captions first. For translations, with
    one reference each, see `bleu`: another tokenizer, and 0 to 100.

    Args:
        hypotheses: The captions, as plain text.
        references: The right captions of each image, one or more.
        tokenize: From a text to its words. `str.split` takes text as it is.

    Returns:
        The four scores, from 0 to 1. As in the code of COCO, 0 matches count
        as 1e-15 and 0 runs as 1e-9: of captions that have fewer than n words
        the precision p_n is 1e-6, not 0.

    Raises:
        ValueError: If there are no captions, or not a list of references for
            each.

    Examples:
        >>> scores = caption_bleu(
        ...     ["a dog runs on the grass"],
        ...     [["a dog runs on grass", "the dog is on the grass"]],
        ... )
        >>> print(*scores, sep=", ")
        BLEU-1 1.000, BLEU-2 1.000, BLEU-3 0.909, BLEU-4 0.707

    Reference:
        [Papineni et al., 2002](https://aclanthology.org/P02-1040), section 2;
        [Chen et al., 2015](https://arxiv.org/abs/1504.00325), section 3
    """
    return bleu_of_words(*split_captions(hypotheses, references, tokenize))


def bleu_of_words(hypotheses, references):
    """`caption_bleu` of captions that are split already."""
    counts = [
        _counts(*pair) for pair in zip(hypotheses, references, strict=True)
    ]
    totals = [sum(column) for column in zip(*counts, strict=True)]
    of_all = _bleu(totals)
    of_each = zip(*map(_bleu, counts), strict=True)
    return tuple(
        CaptionScore(f"BLEU-{order}", score, scores)
        for order, (score, scores) in enumerate(
            zip(of_all, of_each, strict=True), start=1
        )
    )


def _counts(words, references):
    """Words, words of the closest reference, matches and runs per order."""
    length = len(words)
    closest = min((abs(len(r) - length), len(r)) for r in references)[1]
    grams, most = ngram_counts(words), Counter()
    for reference in references:
        most |= ngram_counts(reference)
    matches, totals = [0] * MAX_ORDER, [0] * MAX_ORDER
    for gram, count in grams.items():
        matches[len(gram) - 1] += min(count, most[gram])
        totals[len(gram) - 1] += count
    return [length, closest, *matches, *totals]


def _bleu(counts):
    """BLEU-1 to BLEU-4 of the counts of one caption, or of their sums."""
    length, closest = counts[:2]
    matches, totals = counts[2 : 2 + MAX_ORDER], counts[2 + MAX_ORDER :]
    ratio = (length + _TINY) / (closest + _SMALL)
    penalty = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    scores, product = [], 1.0
    for order, (match, total) in enumerate(
        zip(matches, totals, strict=True), start=1
    ):
        product *= (match + _TINY) / (total + _SMALL)
        scores.append(product ** (1 / order) * penalty)
    return scores


def rouge_l(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    tokenize: Callable[[str], list[str]] = caption_words,
) -> CaptionScore:
    """Scores captions by ROUGE-L, as the server of COCO does.

    The longest common subsequence of a caption and a reference, as a share P
    of the caption's words and R of the reference's, the best over references
    of either (Lin, 2004, section 3.1, equation 4, with beta = 1.2):

        ROUGE-L = (1 + beta^2) P R / (R + beta^2 P)

    Args:
        hypotheses: The captions, as plain text.
        references: The right captions of each image, one or more.
        tokenize: From a text to its words. `str.split` takes text as it is.

    Returns:
        The score, from 0 to 1, the mean over captions. A caption without
        words scores 0.

    Raises:
        ValueError: If there are no captions, or not a list of references for
            each.

    Examples:
        >>> score = rouge_l(["police killed the gunman"],
        ...                 [["the gunman was killed by police"]])
        >>> round(score.score, 3)
        0.386

    Reference:
        [Lin, 2004](https://aclanthology.org/W04-1013), section 3;
        [Chen et al., 2015](https://arxiv.org/abs/1504.00325), section 3
    """
    return rouge_of_words(*split_captions(hypotheses, references, tokenize))


def rouge_of_words(hypotheses, references):
    """`rouge_l` of captions that are split already."""
    return mean_score(
        "ROUGE-L",
        [_rouge(*pair) for pair in zip(hypotheses, references, strict=True)],
    )


def _rouge(words, references):
    common = [_longest_common(words, reference) for reference in references]
    if not max(common):
        return 0.0
    precision = max(common) / len(words)
    recall = max(
        length / max(1, len(reference))
        for length, reference in zip(common, references, strict=True)
    )
    weight = _BETA**2
    return (1 + weight) * precision * recall / (recall + weight * precision)


def _longest_common(a, b):
    """The length of the longest common subsequence."""
    row = [0] * (len(b) + 1)  # of what was read of `a`, over prefixes of `b`
    for word in a:
        diagonal = 0
        for j, other in enumerate(b, start=1):
            above = row[j]
            row[j] = diagonal + 1 if word == other else max(above, row[j - 1])
            diagonal = above
    return row[-1]
