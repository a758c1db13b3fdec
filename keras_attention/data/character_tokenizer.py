"""Characters as tokens."""

import json
import unicodedata
from collections import Counter
from collections.abc import Sequence

import keras

from keras_attention.data.tokenizers import (
    SPECIAL_TOKENS,
    UNK_ID,
    Tokenizer,
    as_written,
    check_texts,
    read_text,
)


@keras.saving.register_keras_serializable(package="keras_attention")
class CharacterTokenizer(Tokenizer):
    """Gives each character an id, spaces included.

    For scripts without spaces, for spelling (dates, names, numbers), and
    where a vocabulary must be small and text must come back letter by
    letter. Sentences are long this way, and attention with them: for prose
    use `SentencePieceTokenizer` or `BPETokenizer`. Text is brought to Unicode
    form NFC first; a character that is not in the vocabulary becomes `[unk]`.

    Args:
        vocabulary: The tokens, id by id: the special ones `[pad]`, `[unk]`,
            `[start]`, `[end]`, then single characters.
            `CharacterTokenizer.train` makes it from texts.
        lowercase: Whether texts are lowercased first.

    Raises:
        ValueError: If the special tokens are missing, or one of the others is
            not a single character or comes twice.

    Examples:
        >>> tokenizer = CharacterTokenizer.train(["a cat", "a dog"])
        >>> tokenizer.vocabulary[4:]
        ('a', ' ', 'c', 'd', 'g', 'o', 't')
        >>> ids = tokenizer.tokenize(["a goat", "a cow"])
        >>> ids
        [[4, 5, 8, 9, 4, 10], [4, 5, 6, 9, 1]]
        >>> tokenizer.detokenize(ids)
        ['a goat', 'a co[unk]']
    """

    _VOCABULARY_FILE = "characters.json"

    def __init__(self, vocabulary: Sequence[str], lowercase: bool = False):
        self.vocabulary = _check_vocabulary(vocabulary)
        self.lowercase = bool(lowercase)
        self._ids = {x: i for i, x in enumerate(self.vocabulary)}

    @classmethod
    def train(
        cls,
        texts: Sequence[str],
        vocabulary_size: int | None = None,
        min_count: int = 1,
        lowercase: bool = False,
    ) -> "CharacterTokenizer":
        """Makes a tokenizer whose vocabulary is the characters of some texts.

        Args:
            texts: The texts, one string each.
            vocabulary_size: At most this many ids, the four special ones
                included: the most frequent characters stay. None keeps all.
            min_count: A character seen less often than this is left out.
            lowercase: Whether texts are lowercased, here and later.

        Returns:
            The tokenizer. Characters are ordered by frequency, then by code.

        Raises:
            ValueError: If no character is left, or an argument is too small.
        """
        if vocabulary_size is not None and vocabulary_size <= 4:
            raise ValueError(
                "`vocabulary_size` must leave room for characters beside the "
                "four special tokens. Received: "
                f"vocabulary_size={vocabulary_size}. Use 5 or more, or None "
                "for all characters."
            )
        if min_count < 1:
            raise ValueError(
                "`min_count` must be at least 1. Received: "
                f"min_count={min_count}."
            )
        counts = Counter()
        for text in check_texts(texts):
            counts.update(_normalize(text, lowercase))
        kept = sorted(
            (x for x, count in counts.items() if count >= min_count),
            key=lambda x: (-counts[x], x),
        )
        if not kept:
            raise ValueError(
                "`texts` must hold at least one character that comes "
                f"`min_count` times. Received: {len(texts)} texts with "
                f"{len(counts)} characters, min_count={min_count}."
            )
        if vocabulary_size is not None:
            kept = kept[: vocabulary_size - len(SPECIAL_TOKENS)]
        return cls([*SPECIAL_TOKENS, *kept], lowercase=lowercase)

    @property
    def vocabulary_size(self) -> int:
        return len(self.vocabulary)

    def get_config(self) -> dict:
        return {
            "vocabulary": list(self.vocabulary),
            "lowercase": self.lowercase,
        }

    def _encode(self, text):
        text = _normalize(text, self.lowercase)
        return [self._ids.get(x, UNK_ID) for x in text]

    def _tokens(self, ids):
        return [self.vocabulary[token_id] for token_id in ids]

    def _surfaces(self, text):
        return as_written(
            lambda x: list(_normalize(x, False)), text, self.lowercase
        )

    def join(self, tokens):
        return "".join(tokens)

    def _save_assets(self, folder, config):
        # JSON, because a line break may be one of them.
        text = json.dumps(config.pop("vocabulary"), ensure_ascii=False)
        path = folder / self._VOCABULARY_FILE
        path.write_bytes(f"{text}\n".encode())
        return config

    @classmethod
    def _load_assets(cls, folder, config):
        path = folder / cls._VOCABULARY_FILE
        try:
            vocabulary = _check_vocabulary(json.loads(read_text(path)))
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{path} must be a JSON list of tokens. Received: {error}."
            ) from None
        return {"vocabulary": vocabulary, **config}


def _normalize(text, lowercase):
    return unicodedata.normalize("NFC", text.lower() if lowercase else text)


def _check_vocabulary(vocabulary):
    if not isinstance(vocabulary, (list, tuple)):
        raise ValueError(
            "A vocabulary must be a list of strings. Received: a "
            f"{type(vocabulary).__name__}. Make it with "
            "`CharacterTokenizer.train`."
        )
    vocabulary = tuple(vocabulary)
    if vocabulary[: len(SPECIAL_TOKENS)] != SPECIAL_TOKENS:
        raise ValueError(
            f"A vocabulary must begin with {', '.join(SPECIAL_TOKENS)}. "
            f"Received: {len(vocabulary)} tokens beginning with "
            f"{list(vocabulary[:4])}. Make it with `CharacterTokenizer.train`."
        )
    seen: set[str] = set(SPECIAL_TOKENS)
    for i, x in enumerate(vocabulary[len(SPECIAL_TOKENS) :], 4):
        if not isinstance(x, str) or len(x) != 1 or x in seen:
            raise ValueError(
                "Each token after the special ones must be one character, "
                f"and must come once. Received: {x!r} at id {i}."
            )
        seen.add(x)
    return vocabulary
