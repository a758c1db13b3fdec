"""All scores of captions in one call."""

import warnings
from collections.abc import Callable, Sequence

from keras_attention.metrics.caption_overlap import (
    bleu_of_words,
    rouge_of_words,
)
from keras_attention.metrics.caption_score import (
    MAX_ORDER,
    CaptionScore,
    split_captions,
)
from keras_attention.metrics.caption_words import caption_words
from keras_attention.metrics.cider import cider_d_of_words, cider_of_words
from keras_attention.metrics.meteor import meteor_of_words

_BLEU = tuple(f"bleu_{order}" for order in range(1, MAX_ORDER + 1))
_OTHERS = {
    "rouge_l": rouge_of_words,
    "cider_d": cider_d_of_words,
    "cider": cider_of_words,
    "meteor": meteor_of_words,
}


def caption_scores(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str] = (*_BLEU, "rouge_l", "cider_d"),
    tokenize: Callable[[str], list[str]] = caption_words,
) -> dict[str, CaptionScore]:
    """Scores captions by the metrics that papers on captions report.

    They are those that COCO's server prints (Chen et al., 2015), where
    `cider_d` is called CIDEr; `meteor` has to be asked for, since it loads
    for half a minute. Each is a function of its own as well: `caption_bleu`,
    `rouge_l`, `cider_d`, `cider`, `meteor`.

    Args:
        hypotheses: The captions, one per image, as plain text.
        references: The right captions of each image, one or more.
        metrics: Any of `"bleu_1"` to `"bleu_4"`, `"rouge_l"`, `"cider_d"`,
            `"cider"` and `"meteor"`.
        tokenize: From a text to its words. `str.split` takes text as it is.

    Returns:
        From the name of each metric to its score. Where `meteor` is asked for
        and Java or the extra `coco` is missing, a warning says so and its
        score is left out.

    Raises:
        ValueError: If there are no captions, not a list of references for
            each, or a metric is unknown.

    Examples:
        >>> scores = caption_scores(
        ...     ["a dog runs on the grass", "two cats sleep"],
        ...     [["a dog runs on grass", "the dog is on the grass"],
        ...      ["two cats sleep on a bed"]],
        ... )
        >>> print(*scores.values(), sep="\\n")
        BLEU-1 0.717
        BLEU-2 0.717
        BLEU-3 0.665
        BLEU-4 0.515
        ROUGE-L 0.777
        CIDEr-D 4.638

    Reference:
        [Chen et al., 2015](https://arxiv.org/abs/1504.00325), section 3
    """
    known = (*_BLEU, *_OTHERS)
    if isinstance(metrics, str) or not set(metrics) <= set(known):
        raise ValueError(
            f"`metrics` must be a list of any of {', '.join(known)}. "
            f"Received: metrics={metrics!r}."
        )
    words = split_captions(hypotheses, references, tokenize)
    scores = {}
    if set(metrics) & set(_BLEU):
        scores |= zip(_BLEU, bleu_of_words(*words), strict=True)
    for name, function in _OTHERS.items():
        if name in metrics:
            try:
                scores[name] = function(*words)
            except (ImportError, FileNotFoundError) as error:
                warnings.warn(f"METEOR is left out. {error}", stacklevel=2)
    return {name: scores[name] for name in metrics if name in scores}
