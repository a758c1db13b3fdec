"""Readers, tokenizers and batches, and sets that are generated."""

from keras_attention.data import synthetic
from keras_attention.data.marian_tokenizer import MarianTokenizer
from keras_attention.data.tokenizers import (
    SentencePieceTokenizer,
    Tokenizer,
    WordTokenizer,
    join_words,
    load_tokenizer,
    split_words,
)
from keras_attention.data.translation import (
    SkippedRow,
    TranslationBatches,
    filter_by_length,
    read_tsv,
    split_blocks,
)

__all__ = [
    "MarianTokenizer",
    "SentencePieceTokenizer",
    "SkippedRow",
    "Tokenizer",
    "TranslationBatches",
    "WordTokenizer",
    "filter_by_length",
    "join_words",
    "load_tokenizer",
    "read_tsv",
    "split_blocks",
    "split_words",
    "synthetic",
]
