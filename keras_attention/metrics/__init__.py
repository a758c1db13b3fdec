"""Scores of what models make."""

from keras_attention.metrics.caption_overlap import caption_bleu, rouge_l
from keras_attention.metrics.caption_score import CaptionScore
from keras_attention.metrics.caption_words import caption_words
from keras_attention.metrics.captioning import caption_scores
from keras_attention.metrics.cider import CIDErD, cider, cider_d
from keras_attention.metrics.meteor import meteor
from keras_attention.metrics.pointing import PointingScore, pointing
from keras_attention.metrics.translation import (
    AlignmentAccuracy,
    CorpusScore,
    LengthScore,
    alignment_accuracy,
    bleu,
    bleu_by_length,
    chrf,
)

__all__ = [
    "AlignmentAccuracy",
    "CIDErD",
    "CaptionScore",
    "CorpusScore",
    "LengthScore",
    "PointingScore",
    "alignment_accuracy",
    "bleu",
    "bleu_by_length",
    "caption_bleu",
    "caption_scores",
    "caption_words",
    "chrf",
    "cider",
    "cider_d",
    "meteor",
    "pointing",
    "rouge_l",
]
