"""Generated data sets: seeded, and nothing to download."""

from keras_attention.data.synthetic.english_french import (
    TranslationPair,
    english_french,
    english_french_splits,
)
from keras_attention.data.synthetic.images import corner_match, glyphs, shapes

__all__ = [
    "TranslationPair",
    "corner_match",
    "english_french",
    "english_french_splits",
    "glyphs",
    "shapes",
]
