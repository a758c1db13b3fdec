"""Generated data sets: seeded, and nothing to download."""

from keras_attention.data.synthetic.english_french import (
    TranslationPair,
    english_french,
    english_french_splits,
)
from keras_attention.data.synthetic.images import corner_match, glyphs, shapes
from keras_attention.data.synthetic.videos import roll_motion

__all__ = [
    "TranslationPair",
    "corner_match",
    "english_french",
    "english_french_splits",
    "glyphs",
    "roll_motion",
    "shapes",
]
