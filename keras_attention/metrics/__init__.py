"""Scores of what models make."""

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
    "CorpusScore",
    "LengthScore",
    "alignment_accuracy",
    "bleu",
    "bleu_by_length",
    "chrf",
]
