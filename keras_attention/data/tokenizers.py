"""Text to token ids and back.

Every tokenizer here has the same four special tokens at the same four places;
`MarianTokenizer` alone has them where its checkpoint does.
"""

import base64
import hashlib
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import keras

from keras_attention.extras import require

SPECIAL_TOKENS = ("[pad]", "[unk]", "[start]", "[end]")
PAD_ID, UNK_ID, START_ID, END_ID = range(4)

_CONFIG_FILE = "tokenizer.json"
_WORD = re.compile(
    r"\d+(?:[.,]\d+)+"  # 1,000 and 3.14
    r"|\w+['’](?=\w{2})"  # l' in l'arbre
    r"|(?<=\w)['’]\w+"  # 's in cat's
    r"|\w+(?:-\w+)*"  # cat, twenty-two
    r"|[^\w\s]"  # one punctuation mark
)
# Joiners of letters, which Unicode counts as control characters.
_JOINERS = "\u200c\u200d"
_NO_SPACE_BEFORE = frozenset(".,;:!?)]}»%…'’")
_NO_SPACE_AFTER = frozenset("([{«¿¡")


def split_words(text: str) -> list[str]:
    """Splits text into words, clitics and punctuation marks.

    A word is a run of letters and digits, with hyphens inside. Punctuation
    marks stand alone. An apostrophe stays with the shorter side: `l'arbre`
    becomes `l'`, `arbre` (two letters or more follow), `cat's` becomes `cat`,
    `'s`. Text is brought to Unicode form NFC first, so that an accent typed
    in two ways gives one word.

    Args:
        text: One sentence, or any text.

    Returns:
        The words in order. No word holds white space.

    Examples:
        >>> split_words("The cat's house: l'arbre noir, 1,000 times!")
        ['The', 'cat', "'s", 'house', ':', "l'", 'arbre', 'noir', ',', \
'1,000', 'times', '!']
    """
    text = unicodedata.normalize("NFC", text)
    if text.isascii():
        return _WORD.findall(text)
    return [text[m.start() : m.end()] for m in _word_matches(text)]


def first_words(text, number):
    """The text up to the end of its `number`th word, in Unicode form NFC."""
    text = unicodedata.normalize("NFC", text)
    ends = [0, *(match.end() for match in _word_matches(text))]
    return text[: ends[number]] if number < len(ends) else text


def _word_matches(text):
    # What belongs to the letter before it (a vowel sign of Hindi, an accent
    # that has no letter of its own) is no letter to `re`: take it for one.
    letters = "".join(
        "x" if unicodedata.category(c)[0] == "M" or c in _JOINERS else c
        for c in text
    )
    return _WORD.finditer(letters)


def join_words(words: Iterable[str]) -> str:
    """Joins words into text, with spaces where they are usual.

    The inverse of `split_words` for text with one space between words and
    none around apostrophes and closing punctuation. Quotation marks may not
    come back at the side they were at.

    Args:
        words: Words as `split_words` gives them.

    Returns:
        The text.

    Examples:
        >>> join_words(["the", "cat", "'s", "house", ",", "l'", "arbre", "."])
        "the cat's house, l'arbre."
    """
    text, glue = "", True
    for word in words:
        joins_left = word in _NO_SPACE_BEFORE or word[0] in "'’"
        text += word if glue or joins_left else " " + word
        glue = word in _NO_SPACE_AFTER or (len(word) > 1 and word[-1] in "'’")
    return text


class Tokenizer:
    """What every tokenizer offers; inherit to add one.

    A subclass implements `_encode`, `_tokens`, `_decode`, `vocabulary_size`,
    `get_config` and, where the config is too large for JSON, `_save_assets`
    and `_load_assets`. One with unknown tokens defines `_surfaces` and, in
    place of `_decode`, `join`. Ids 0 to 3 are `[pad]`, `[unk]`, `[start]` and
    `[end]`, unless a subclass sets `pad_id`, `unk_id`, `start_id` and `end_id`
    of its own.
    """

    pad_id, unk_id, start_id, end_id = PAD_ID, UNK_ID, START_ID, END_ID
    _class_names: dict[str, type["Tokenizer"]] = {}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        Tokenizer._class_names[cls.__name__] = cls

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, the special ones included."""
        raise NotImplementedError

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Turns texts into ids, without `[start]` and `[end]`.

        Args:
            texts: The texts, one string each.

        Returns:
            One list of ids per text; an empty text gives an empty list.
        """
        return [self._encode(text) for text in check_texts(texts)]

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Names each id of one text, as for the axis of a figure.

        Args:
            ids: The ids of one text; special ones are named too.

        Returns:
            One string per id.
        """
        return self._tokens(self._check_ids(ids))

    def detokenize(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Turns ids into texts.

        Args:
            ids: Rows of ids, such as a `(B, T)` array. A row ends at its
                first `[end]`; `[pad]` and `[start]` are left out.

        Returns:
            One string per row.
        """
        texts = []
        for row in ids:
            kept = []
            for token_id in self._check_ids(row):
                if token_id == self.end_id:
                    break
                if token_id not in (self.pad_id, self.start_id):
                    kept.append(token_id)
            texts.append(self._decode(kept))
        return texts

    def surfaces(self, text: str) -> list[str | None]:
        """The tokens of a text as it spells them, unknown ones too.

        Args:
            text: The text.

        Returns:
            One entry per id of `tokenize`: a string for `join`, or None for
            a token that spells nothing, such as an end token.
        """
        return [*self._surfaces(*check_texts([text]))]

    def join(self, tokens: Sequence[str]) -> str:
        """Joins tokens, as `detokenize` does their ids.

        Args:
            tokens: What `tokens` or `surfaces` gave; they need not be in the
                vocabulary.

        Returns:
            The text.
        """
        raise NotImplementedError("A tokenizer with unknown tokens defines it.")

    def fingerprint(self) -> str:
        """A digest that tokenizers share only if they are the same."""
        same = [type(self).__name__, self.get_config()]
        text = json.dumps(same, sort_keys=True)
        return hashlib.sha256(text.encode("utf-8")).hexdigest()

    def save(self, folder: str | Path) -> None:
        """Writes the tokenizer to a folder, to be read by `load_tokenizer`.

        Args:
            folder: Created if it is not there. One tokenizer per folder.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = self._save_assets(folder, self.get_config())
        description = {"class_name": type(self).__name__, "config": config}
        (folder / _CONFIG_FILE).write_text(
            json.dumps(description, indent=2, ensure_ascii=False) + "\n",
            encoding="utf-8",
        )

    @classmethod
    def load(cls, folder: str | Path) -> "Tokenizer":
        """Reads a tokenizer of this class from a folder made by `save`.

        Args:
            folder: The folder.

        Returns:
            The tokenizer.

        Raises:
            ValueError: If a file is missing, is not UTF-8, or does not hold
                what `save` writes; or if the folder holds another class.
        """
        tokenizer = load_tokenizer(folder)
        if not isinstance(tokenizer, cls):
            raise ValueError(
                f"`folder` must hold a {cls.__name__}. Received: "
                f"folder={str(folder)!r}, which holds a "
                f"{type(tokenizer).__name__}. Use `load_tokenizer(folder)`."
            )
        return tokenizer

    def get_config(self) -> dict:
        """The constructor's arguments, as values that JSON can hold."""
        raise NotImplementedError

    @classmethod
    def from_config(cls, config: dict) -> "Tokenizer":
        """Makes the tokenizer of a config."""
        return cls(**config)

    def _encode(self, text: str) -> list[int]:
        raise NotImplementedError

    def _decode(self, ids: list[int]) -> str:
        return self.join(self._tokens(ids))

    def _surfaces(self, text: str) -> Sequence[str | None]:
        return self._tokens(self._encode(text))

    def _tokens(self, ids: list[int]) -> list[str]:
        raise NotImplementedError

    def _save_assets(self, folder: Path, config: dict) -> dict:
        """Moves large parts of the config into files; returns the rest."""
        return config

    @classmethod
    def _load_assets(cls, folder: Path, config: dict) -> dict:
        """Puts back what `_save_assets` took out."""
        return config

    def _check_ids(self, ids: Sequence[int]) -> list[int]:
        ids = [int(token_id) for token_id in ids]
        for token_id in ids:
            if not 0 <= token_id < self.vocabulary_size:
                raise ValueError(
                    "Ids must lie in the vocabulary. Received: id="
                    f"{token_id}, vocabulary_size={self.vocabulary_size}. "
                    "Use the tokenizer that made the ids."
                )
        return ids


@keras.saving.register_keras_serializable(package="keras_attention")
class WordTokenizer(Tokenizer):
    """Gives each word of a fixed vocabulary an id.

    For small vocabularies, and where a picture should show whole words. Words
    are those of `split_words`; one that is not in the vocabulary becomes
    `[unk]`. For real text with many word forms use `SentencePieceTokenizer`.

    Args:
        vocabulary: The words, id by id, beginning with the special tokens
            `[pad]`, `[unk]`, `[start]`, `[end]`. `WordTokenizer.train` makes
            it from texts.
        lowercase: Whether texts are lowercased before they are split.

    Raises:
        ValueError: If the special tokens are missing, or a word is empty,
            holds white space or comes twice.

    Examples:
        >>> tokenizer = WordTokenizer.train(["The cat sleeps.", "The dog."])
        >>> tokenizer.vocabulary[4:]
        ('.', 'the', 'cat', 'dog', 'sleeps')
        >>> ids = tokenizer.tokenize(["The dog sleeps.", "The cow sleeps."])
        >>> ids
        [[5, 7, 8, 4], [5, 1, 8, 4]]
        >>> tokenizer.detokenize(ids)
        ['the dog sleeps.', 'the [unk] sleeps.']
        >>> tokenizer.surfaces("The cow sleeps.")
        ['The', 'cow', 'sleeps', '.']
    """

    _VOCABULARY_FILE = "vocabulary.txt"

    def __init__(self, vocabulary: Sequence[str], lowercase: bool = True):
        self.vocabulary = _check_vocabulary(vocabulary)
        self.lowercase = bool(lowercase)
        self._ids = {word: i for i, word in enumerate(self.vocabulary)}

    @classmethod
    def train(
        cls,
        texts: Sequence[str],
        vocabulary_size: int | None = None,
        min_count: int = 1,
        lowercase: bool = True,
    ) -> "WordTokenizer":
        """Makes a tokenizer whose vocabulary is the words of some texts.

        Args:
            texts: The texts, one string each.
            vocabulary_size: At most this many ids, the four special ones
                included: the most frequent words stay. None keeps all.
            min_count: A word seen less often than this is left out.
            lowercase: Whether texts are lowercased, here and later.

        Returns:
            The tokenizer. Words are ordered by frequency, ties by alphabet.

        Raises:
            ValueError: If no word is left, or an argument is too small.
        """
        if vocabulary_size is not None and vocabulary_size <= 4:
            raise ValueError(
                "`vocabulary_size` must leave room for words beside the four "
                f"special tokens. Received: vocabulary_size={vocabulary_size}."
                " Use 5 or more, or None for all words."
            )
        if min_count < 1:
            raise ValueError(
                "`min_count` must be at least 1. Received: "
                f"min_count={min_count}."
            )
        counts = Counter()
        for text in check_texts(texts):
            counts.update(split_words(text.lower() if lowercase else text))
        words = sorted(
            (word for word, count in counts.items() if count >= min_count),
            key=lambda word: (-counts[word], word),
        )
        if not words:
            raise ValueError(
                "`texts` must hold at least one word that comes `min_count` "
                f"times. Received: {len(texts)} texts with {len(counts)} "
                f"words, min_count={min_count}."
            )
        if vocabulary_size is not None:
            words = words[: vocabulary_size - len(SPECIAL_TOKENS)]
        return cls([*SPECIAL_TOKENS, *words], lowercase=lowercase)

    @property
    def vocabulary_size(self) -> int:
        return len(self.vocabulary)

    def get_config(self) -> dict:
        return {
            "vocabulary": list(self.vocabulary),
            "lowercase": self.lowercase,
        }

    def _encode(self, text):
        words = split_words(text.lower() if self.lowercase else text)
        return [self._ids.get(word, UNK_ID) for word in words]

    def _tokens(self, ids):
        return [self.vocabulary[token_id] for token_id in ids]

    def _surfaces(self, text):
        return as_written(split_words, text, self.lowercase)

    def join(self, tokens):
        return join_words(tokens)

    def _save_assets(self, folder, config):
        words = "".join(word + "\n" for word in config.pop("vocabulary"))
        (folder / self._VOCABULARY_FILE).write_bytes(words.encode("utf-8"))
        return config

    @classmethod
    def _load_assets(cls, folder, config):
        path = folder / cls._VOCABULARY_FILE
        lines = read_text(path).split("\n")
        if lines[-1] == "":
            lines.pop()
        try:
            return {"vocabulary": _check_vocabulary(lines), **config}
        except ValueError as error:
            raise ValueError(
                f"{path} must hold one token per line. {error}"
            ) from None


@keras.saving.register_keras_serializable(package="keras_attention")
class SentencePieceTokenizer(Tokenizer):
    """Splits text into subwords learned from it, by the SentencePiece library.

    For real text: no word is unknown as long as its letters were seen, and
    the vocabulary has the size you choose. Needs the extra `applications`.

    Args:
        proto: The trained model as bytes (or as base64 text, the form the
            config holds). `SentencePieceTokenizer.train` makes it from texts.

    Raises:
        ValueError: If `proto` is no SentencePiece model, or its ids 0 to 3
            are not the special tokens.

    Examples:
        >>> texts = ["the cats sleep", "the dogs sleep", "a cat, a dog"] * 9
        >>> tokenizer = SentencePieceTokenizer.train(texts, vocabulary_size=19)
        >>> tokenizer.vocabulary_size
        19
        >>> tokenizer.detokenize(tokenizer.tokenize(["a dog sleeps"]))
        ['a dog sleeps']

    Reference:
        [Kudo and Richardson, 2018](https://arxiv.org/abs/1808.06226)
    """

    _MODEL_FILE = "sentencepiece.model"

    def __init__(self, proto: bytes | str):
        sentencepiece = require("sentencepiece", extra="applications")
        self.proto = (
            base64.b64decode(proto) if isinstance(proto, str) else proto
        )
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(self.proto)
        except RuntimeError:
            raise ValueError(
                "`proto` must be a SentencePiece model. Received: "
                f"{len(self.proto)} bytes that are not one. Make it with "
                "`SentencePieceTokenizer.train(texts)`."
            ) from None
        first = tuple(self._processor.IdToPiece(i) for i in range(4))
        if first != SPECIAL_TOKENS:
            raise ValueError(
                f"Pieces 0 to 3 must be {', '.join(SPECIAL_TOKENS)}. "
                f"Received: {', '.join(first)}. Train the model with "
                "`SentencePieceTokenizer.train(texts)`."
            )

    @classmethod
    def train(
        cls,
        texts: Sequence[str],
        vocabulary_size: int = 8000,
        model_type: str = "unigram",
        character_coverage: float = 1.0,
        lowercase: bool = False,
    ) -> "SentencePieceTokenizer":
        """Learns subwords from texts.

        The same texts and arguments give the same model: training runs on
        one thread. For one vocabulary of both languages pass the texts of
        both: `train([*sources, *targets])`.

        Args:
            texts: The texts, one string each.
            vocabulary_size: Number of ids, the four special ones included.
            model_type: `"unigram"` or `"bpe"`.
            character_coverage: Share of the characters that become pieces;
                0.9995 is usual for scripts with thousands of signs.
            lowercase: Whether text is lowercased, here and later.

        Returns:
            The tokenizer.

        Raises:
            ValueError: If the texts are empty, or have too few or too many
                letters for `vocabulary_size`.
        """
        sentencepiece = require("sentencepiece", extra="applications")
        if model_type not in ("unigram", "bpe"):
            raise ValueError(
                '`model_type` must be "unigram" or "bpe". Received: '
                f"model_type={model_type!r}."
            )
        texts = [text for text in check_texts(texts) if text.strip()]
        if not texts:
            raise ValueError(
                "`texts` must hold at least one text with a word in it. "
                "Received: none."
            )
        model = io.BytesIO()
        names = dict(
            zip(("pad", "unk", "bos", "eos"), SPECIAL_TOKENS, strict=True)
        )
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=model,
                vocab_size=vocabulary_size,
                model_type=model_type,
                character_coverage=character_coverage,
                normalization_rule_name="nmt_nfkc" + "_cf" * lowercase,
                num_threads=1,
                minloglevel=2,
                max_sentence_length=1 << 20,
                **{f"{name}_id": i for i, name in enumerate(names)},
                **{f"{name}_piece": piece for name, piece in names.items()},
            )
        except RuntimeError as error:
            reason = str(error).strip().rpartition("] ")[2]
            raise ValueError(
                "SentencePiece could not learn `vocabulary_size` pieces from "
                f"these texts. Received: vocabulary_size={vocabulary_size}, "
                f"{len(texts)} texts. It says: {reason}"
            ) from None
        return cls(model.getvalue())

    @property
    def vocabulary_size(self) -> int:
        return self._processor.GetPieceSize()

    def get_config(self) -> dict:
        return {"proto": base64.b64encode(self.proto).decode("ascii")}

    def _encode(self, text):
        return self._processor.EncodeAsIds(text)

    def _tokens(self, ids):
        return [self._processor.IdToPiece(token_id) for token_id in ids]

    def _surfaces(self, text):
        # As SentencePiece normalizes it; a run of unknown letters is a piece.
        return self._processor.EncodeAsPieces(text)

    def join(self, tokens):
        return self._processor.DecodePieces(list(tokens))

    def _save_assets(self, folder, config):
        (folder / self._MODEL_FILE).write_bytes(self.proto)
        return {}

    @classmethod
    def _load_assets(cls, folder, config):
        return {"proto": read_bytes(folder / cls._MODEL_FILE)}


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """Reads the tokenizer that `Tokenizer.save` wrote, whatever its class.

    Args:
        folder: The folder.

    Returns:
        The tokenizer.

    Raises:
        ValueError: If a file is missing, is not UTF-8, or does not hold what
            `save` writes.
    """
    path = Path(folder) / _CONFIG_FILE
    try:
        description = json.loads(read_text(path))
        name, config = description["class_name"], description["config"]
        cls = Tokenizer._class_names[name]
        config = dict(config)
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, ValueError) and not isinstance(
            error, json.JSONDecodeError
        ):
            raise
        raise ValueError(
            f"{path} must be a JSON object with a `class_name` out of "
            f"{', '.join(sorted(Tokenizer._class_names))} and its `config`. "
            f"Received: {type(error).__name__}: {error}. Save the tokenizer "
            "again with `tokenizer.save(folder)`."
        ) from None
    try:
        return cls.from_config(cls._load_assets(Path(folder), config))
    except TypeError as error:
        raise ValueError(
            f"The `config` in {path} must hold the arguments of {name}. "
            f"Received: {error}. Save the tokenizer again with "
            "`tokenizer.save(folder)`."
        ) from None


def check_texts(texts):
    """The texts as a list, or an error unless they are strings."""
    if isinstance(texts, (str, bytes)):
        raise ValueError(
            "`texts` must be a list of strings. Received: one "
            f"{type(texts).__name__}. Put it in a list: `[text]`."
        )
    texts = list(texts)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(
                "`texts` must be a list of strings. Received: a "
                f"{type(text).__name__} at index {i}."
            )
    return texts


def as_written(split, text, lowercase):
    """The tokens of a text that is split in lower case, in the case it has."""
    tokens = split(text)
    if lowercase and len(tokens) != len(folded := split(text.lower())):
        return folded  # a capital that is two small letters
    return tokens


def _check_vocabulary(vocabulary):
    vocabulary = tuple(vocabulary)
    if vocabulary[: len(SPECIAL_TOKENS)] != SPECIAL_TOKENS:
        raise ValueError(
            f"A vocabulary must begin with {', '.join(SPECIAL_TOKENS)}. "
            f"Received: {len(vocabulary)} tokens beginning with "
            f"{list(vocabulary[:4])}. Make it with `WordTokenizer.train`."
        )
    first_seen = {}
    for i, word in enumerate(vocabulary):
        if not isinstance(word, str) or not word or re.search(r"\s", word):
            raise ValueError(
                "Each token of a vocabulary must be a word without white "
                f"space. Received: {word!r} at id {i} (line {i + 1})."
            )
        if first_seen.setdefault(word, i) != i:
            raise ValueError(
                "The tokens of a vocabulary must be unique. Received: "
                f"{word!r} at ids {first_seen[word]} and {i} "
                f"(lines {first_seen[word] + 1} and {i + 1})."
            )
    return vocabulary


def read_bytes(path):
    """What a file of a saved tokenizer holds."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"A saved tokenizer must have the file {path}. Received: "
            f"{error.strerror}. Make it with `tokenizer.save(folder)`."
        ) from None


def read_text(path):
    """What a text file of a saved tokenizer holds."""
    data = read_bytes(path)
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path} must be UTF-8 text. Received: byte "
            f"0x{data[error.start]:02x} on line {line}."
        ) from None
