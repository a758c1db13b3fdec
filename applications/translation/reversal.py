"""Digits to be written backwards.

The first to be written is the last of the source: a model that cannot look
there, such as a window that moves along with the target, must fail.
"""

import random

from keras_attention.data.synthetic import TranslationPair


def reversal_splits(train, validation, test, seed, min_words, max_words):
    """Training, validation and test pairs, with their links.

    Args:
        train: Number of training pairs.
        validation: Number of validation pairs.
        test: Number of test pairs.
        seed: Any integer.
        min_words: Fewest digits of a source.
        max_words: Most digits; lengths are uniform.

    Returns:
        The three lists, in this order.

    Raises:
        ValueError: If the range of lengths is empty.
    """
    if not 1 <= min_words <= max_words:
        raise ValueError(
            "Lengths must satisfy 1 <= `min_words` <= `max_words`. Received: "
            f"min_words={min_words}, max_words={max_words}."
        )
    draw = random.Random(seed)

    def pair():
        length = draw.randint(min_words, max_words)
        digits = draw.choices("0123456789", k=length)
        links = tuple((s, length - 1 - s) for s in range(length))
        source, target = " ".join(digits), " ".join(digits[::-1])
        return TranslationPair(source, target, links)

    return [
        [pair() for _ in range(number)] for number in (train, validation, test)
    ]
