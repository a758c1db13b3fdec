"""Generated data sets: seeded, and nothing to download."""

from keras_attention.data.synthetic.english_french import (
    TranslationPair,
    english_french,
    english_french_splits,
)

__all__ = ["TranslationPair", "english_french", "english_french_splits"]
