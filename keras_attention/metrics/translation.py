"""How good translations are, and whether attention looked at the right word.

BLEU and chrF are sacreBLEU's, on plain text, with its signature: a score
without one cannot be compared with another.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from keras_attention.extras import require


@dataclass(frozen=True)
class CorpusScore:
    """A score of a whole corpus.

    Args:
        name: `"BLEU"` or `"chrF2"`.
        score: The score, from 0 to 100.
        confidence: Half the width of the 95 % confidence interval, from
            resampling the sentences; None if that was not asked for.
        signature: How sacreBLEU counted: its version, tokenizer, case, seed.
    """

    name: str
    score: float
    confidence: float | None
    signature: str

    def __str__(self):
        interval = (
            "" if self.confidence is None else f" ± {self.confidence:.2f}"
        )
        return f"{self.name} {self.score:.2f}{interval} ({self.signature})"


@dataclass(frozen=True)
class LengthScore:
    """The score of the sentences whose source has a length in a range.

    Args:
        shortest: Fewest source words.
        longest: Most source words; None if there is no limit.
        num_sentences: How many sentences there are.
        score: Their score.
    """

    shortest: int
    longest: int | None
    num_sentences: int
    score: CorpusScore


@dataclass(frozen=True)
class AlignmentAccuracy:
    """Shares of target words whose most attended source word is a right one.

    Args:
        overall: Of all linked target words.
        sure: The same, if possible links do not count as right.
        crossing: Of target words with a link that crosses another. NaN if
            there are none, as for the shares below.
        diagonal_overall: The same as `overall` for a model that looks at
            source word `round(t S / T)` for target word `t`.
        diagonal_crossing: The same as `crossing` for that model.
        num_words: How many target words `overall` is a share of.
        num_crossing: How many target words `crossing` is a share of.
    """

    overall: float
    sure: float
    crossing: float
    diagonal_overall: float
    diagonal_crossing: float
    num_words: int
    num_crossing: int


def bleu(
    hypotheses: Sequence[str],
    references: Sequence[str],
    num_resamples: int = 1000,
) -> CorpusScore:
    """Scores translations by BLEU (Papineni et al., 2002), as sacreBLEU does.

    Args:
        hypotheses: The translations, as plain text.
        references: One right translation for each.
        num_resamples: Resamples of the sentences for the confidence interval
            (Koehn, 2004); 0 to leave it out.

    Returns:
        The score, its interval and sacreBLEU's signature.

    Raises:
        ValueError: If there are no sentences, or not as many of each.

    Examples:
        >>> score = bleu(["le chat noir dort ici"], ["le chat noir dort ici"])
        >>> round(score.score)
        100

    Reference:
        [Post, 2018](https://aclanthology.org/W18-6319)
    """
    metrics = require("sacrebleu.metrics", extra="applications")
    # Words of the generated sets are split already; the library would warn.
    return _score(
        metrics.BLEU(force=True), hypotheses, references, num_resamples
    )


def chrf(
    hypotheses: Sequence[str],
    references: Sequence[str],
    num_resamples: int = 1000,
) -> CorpusScore:
    """Scores translations by character n-grams (Popovic, 2015), as sacreBLEU.

    Kinder than BLEU to a right stem with a wrong ending.

    Args:
        hypotheses: The translations, as plain text.
        references: One right translation for each.
        num_resamples: Resamples of the sentences for the confidence interval;
            0 to leave it out.

    Returns:
        The score, its interval and sacreBLEU's signature.

    Raises:
        ValueError: If there are no sentences, or not as many of each.

    Examples:
        >>> score = chrf(["le chat noir"], ["le chat noir"], num_resamples=0)
        >>> round(score.score)
        100
    """
    metrics = require("sacrebleu.metrics", extra="applications")

    class CHRF(metrics.CHRF):
        def _compute_score_from_stats(self, stats):
            # Resamples score float32, or Python's 0.0 where nothing matches:
            # of a mix of both the library cannot take the mean.
            score = super()._compute_score_from_stats(stats)
            score.score = float(score.score)
            return score

    return _score(CHRF(), hypotheses, references, num_resamples)


def bleu_by_length(
    source_lengths: Sequence[int],
    hypotheses: Sequence[str],
    references: Sequence[str],
    limits: Sequence[int] = (10, 20, 30, 40),
    num_resamples: int = 1000,
) -> list[LengthScore]:
    """Scores short and long sentences apart (Bahdanau et al., 2015, figure 2).

    Args:
        source_lengths: The number of words of each source sentence.
        hypotheses: The translations, as plain text.
        references: One right translation for each.
        limits: Ascending lengths at which a range ends: (10, 20) gives the
            ranges 1 to 10, 11 to 20, and 21 and more.
        num_resamples: As for `bleu`, which scores each range.

    Returns:
        One entry per range that has sentences, short ones first.

    Raises:
        ValueError: If the three lists differ in length or are empty, or the
            limits do not ascend.

    Examples:
        >>> scores = bleu_by_length([3, 12], ["a b c d", "e f g h"],
        ...                         ["a b c d", "e f g x"], limits=[10])
        >>> [(s.shortest, s.longest, s.num_sentences) for s in scores]
        [(1, 10, 1), (11, None, 1)]
    """
    _check_pairs(hypotheses, references)
    if len(source_lengths) != len(hypotheses):
        raise ValueError(
            "There must be one source length per sentence. Received: "
            f"{len(source_lengths)} lengths, {len(hypotheses)} sentences."
        )
    edges = [0, *limits]
    if any(a >= b for a, b in zip(edges, limits, strict=False)):
        raise ValueError(
            "`limits` must be positive and ascend. Received: "
            f"limits={list(limits)}."
        )
    lengths = np.asarray(source_lengths)
    scores = []
    for low, high in zip(edges, [*limits, None], strict=True):
        chosen = lengths > low
        if high is not None:
            chosen &= lengths <= high
        rows = np.flatnonzero(chosen).tolist()
        if rows:
            score = bleu(
                [hypotheses[i] for i in rows],
                [references[i] for i in rows],
                num_resamples,
            )
            scores.append(LengthScore(low + 1, high, len(rows), score))
    return scores


def alignment_accuracy(
    scores: Sequence[np.ndarray],
    links: Sequence[Iterable[tuple[int, int]]],
    possible_links: Sequence[Iterable[tuple[int, int]]] | None = None,
) -> AlignmentAccuracy:
    """Compares what a decoder attended to with known word links.

    A target word counts as right if the source word with the highest score is
    linked to it, surely or possibly. Words without a sure link do not count.
    Two links cross if they have one order in the source and the other in the
    target; words in their place tell little about attention, since a model
    that looks along the diagonal gets them right too.

    Args:
        scores: Attention scores of each sentence, `(T, S)`: T target words
            and S source words, without padding. A row for `[end]` may follow
            the words.
        links: Sure links of each sentence: pairs of a source and a target
            position.
        possible_links: Links that are right to follow too, but do not make a
            word count nor cross. None if there are none.

    Returns:
        The shares.

    Raises:
        ValueError: If the arguments differ in length, no target word is
            linked, scores are not two-dimensional or a link points out of
            them.

    Examples:
        >>> scores = np.array([[.9, .1, 0], [.1, .2, .7], [0, .8, .2]])
        >>> accuracy = alignment_accuracy([scores], [[(0, 0), (1, 2), (2, 1)]])
        >>> accuracy.overall, accuracy.diagonal_crossing
        (1.0, 0.0)

    Reference:
        [Och and Ney, 2003](https://aclanthology.org/J03-1002), section 5.1,
        for sure and possible links
    """
    if possible_links is None:
        possible_links = [()] * len(links)
    if not len(scores) == len(links) == len(possible_links):
        raise ValueError(
            "There must be scores and links for each sentence. Received: "
            f"{len(scores)} scores, {len(links)} links, "
            f"{len(possible_links)} possible links."
        )
    # (crosses, attended right, diagonal right, attended sure) of target words
    words = []
    for i, (matrix, sure, possible) in enumerate(
        zip(scores, links, possible_links, strict=True)
    ):
        matrix, sure, possible = np.asarray(matrix), set(sure), set(possible)
        _check_links(i, matrix, sure | possible)
        num_targets, num_sources = matrix.shape
        for t in sorted({t for _, t in sure}):
            own = {s for s, target in sure if target == t}
            right = own | {s for s, target in possible if target == t}
            crosses = any((s - a) * (t - b) < 0 for s in own for a, b in sure)
            diagonal = int(t * num_sources / num_targets + 0.5)
            attended = int(matrix[t].argmax())
            words.append(
                (
                    crosses,
                    attended in right,
                    min(diagonal, num_sources - 1) in right,
                    attended in own,
                )
            )
    if not words:
        raise ValueError(
            "There must be a link in at least one sentence. Received: "
            f"{len(links)} sentences without links."
        )
    words = np.array(words)
    crossing = words[words[:, 0]]
    share = crossing.mean(0) if len(crossing) else np.full(4, np.nan)
    return AlignmentAccuracy(
        overall=float(words[:, 1].mean()),
        sure=float(words[:, 3].mean()),
        crossing=float(share[1]),
        diagonal_overall=float(words[:, 2].mean()),
        diagonal_crossing=float(share[2]),
        num_words=len(words),
        num_crossing=len(crossing),
    )


def _score(metric, hypotheses, references, num_resamples):
    _check_pairs(hypotheses, references)
    if num_resamples < 0 or num_resamples == 1:
        raise ValueError(
            "`num_resamples` must be 0, or 2 and more. Received: "
            f"num_resamples={num_resamples}."
        )
    score = metric.corpus_score(
        list(hypotheses), [list(references)], n_bootstrap=num_resamples
    )
    signature = metric.get_signature().format()
    report = json.loads(score.format(signature=signature, is_json=True))
    # Left out where every resample scores 0.
    confidence = report.get("confidence_var", 0.0)
    return CorpusScore(
        name=report["name"],
        score=float(score.score),
        confidence=confidence if num_resamples else None,
        signature=signature,
    )


def _check_pairs(hypotheses, references):
    if isinstance(hypotheses, str) or isinstance(references, str):
        raise ValueError(
            "`hypotheses` and `references` must be lists of strings. "
            "Received: a string. Put it in a list: `[text]`."
        )
    if not len(hypotheses) or len(hypotheses) != len(references):
        raise ValueError(
            "There must be one reference per translation, and at least one. "
            f"Received: {len(hypotheses)} hypotheses, {len(references)} "
            "references."
        )


def _check_links(i, matrix, links):
    if matrix.ndim != 2:
        raise ValueError(
            "Scores must be of shape (T, S). Received: shape "
            f"{matrix.shape} for sentence {i}."
        )
    for s, t in links:
        if not (0 <= t < matrix.shape[0] and 0 <= s < matrix.shape[1]):
            raise ValueError(
                "Links must be (source, target) positions inside the scores. "
                f"Received: link {(s, t)} for sentence {i}, whose scores have "
                f"shape (T, S) = {matrix.shape}."
            )
