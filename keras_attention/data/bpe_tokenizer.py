"""Byte-pair encoding on bytes, by the tokenizers library."""

import json
import re
from collections.abc import Sequence

import keras

from keras_attention.data.tokenizers import (
    SPECIAL_TOKENS,
    Tokenizer,
    check_texts,
    read_text,
)
from keras_attention.extras import require

# One token for each byte, beside the special ones.
SMALLEST = len(SPECIAL_TOKENS) + 256


@keras.saving.register_keras_serializable(package="keras_attention")
class BPETokenizer(Tokenizer):
    """Splits text into frequent runs of bytes, so that nothing is unknown.

    Byte-pair encoding (Sennrich et al., 2016) joins the most frequent pair
    of neighbors until the vocabulary is full. It begins with the 256 bytes
    of UTF-8 (Radford et al., 2019, section 2.2), so that any text has ids
    and comes back from them, white space included; only an accent typed in
    two ways comes back in one (Unicode form NFC). Learned by the Tokenizers
    library, in seconds. Needs the extra `applications`.

    Args:
        model: What was learned, as the JSON text of the Tokenizers library.
            `BPETokenizer.train` makes it from texts.

    Raises:
        ValueError: If `model` is no such text, is of another kind than
            `train` makes, or its ids 0 to 3 are not the special tokens.

    Examples:
        >>> texts = ["the cats sleep", "the dogs sleep", "a cat, a dog"] * 9
        >>> tokenizer = BPETokenizer.train(texts, vocabulary_size=275)
        >>> tokenizer.vocabulary_size
        275
        >>> ids = tokenizer.tokenize(["the dog sees"])
        >>> tokenizer.tokens(ids[0])
        ['▁the', '▁dog', '▁', 's', 'ee', 's']
        >>> tokenizer.detokenize(tokenizer.tokenize(["¿un niño? 猫"]))
        ['¿un niño? 猫']

    Reference:
        [Sennrich et al., 2016](https://arxiv.org/abs/1508.07909), section 3.2
    """

    _MODEL_FILE = "bpe.json"

    def __init__(self, model: str):
        tokenizers = require("tokenizers", extra="applications")
        _check_model(model)
        self.model = model
        self._tokenizer = tokenizers.Tokenizer.from_str(model)
        size = self._tokenizer.get_vocab_size()
        pieces = [self._tokenizer.id_to_token(i) for i in range(size)]
        if None in pieces or tuple(pieces[:4]) != SPECIAL_TOKENS:
            raise ValueError(
                f"Ids must count from 0, beginning with "
                f"{', '.join(SPECIAL_TOKENS)}. Received: a model whose ids "
                f"begin with {pieces[:4]}. Make it with "
                "`BPETokenizer.train(texts)`."
            )
        byte_of = _bytes_of_letters()
        self._names = [
            *SPECIAL_TOKENS,
            *(_name(bytes(byte_of[x] for x in p)) for p in pieces[4:]),
        ]

    @classmethod
    def train(
        cls,
        texts: Sequence[str],
        vocabulary_size: int = 8000,
        lowercase: bool = False,
    ) -> "BPETokenizer":
        """Learns which runs of bytes are tokens.

        The same texts and arguments give the same model. For one vocabulary
        of both languages pass the texts of both: `train([*sources,
        *targets])`.

        Args:
            texts: The texts, one string each.
            vocabulary_size: At most this many ids: the four special ones,
                the 256 bytes, and what is joined of them. Fewer come of
                texts in which nothing is left to join.
            lowercase: Whether text is lowercased, here and later.

        Returns:
            The tokenizer.

        Raises:
            ValueError: If the texts are empty or `vocabulary_size` has no
                room for all bytes.
        """
        tokenizers = require("tokenizers", extra="applications")
        if vocabulary_size < SMALLEST:
            raise ValueError(
                "`vocabulary_size` must have room for the four special tokens "
                f"and 256 bytes. Received: vocabulary_size={vocabulary_size}. "
                f"Use {SMALLEST} or more; thousands are usual."
            )
        texts = [text for text in check_texts(texts) if text.strip()]
        if not texts:
            raise ValueError(
                "`texts` must hold at least one text with a word in it. "
                "Received: none."
            )
        parts = tokenizers.normalizers, tokenizers.pre_tokenizers
        normalizers, pre_tokenizers = parts
        tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
        steps = [normalizers.NFC(), normalizers.Prepend(" ")]
        if lowercase:
            steps.insert(0, normalizers.Lowercase())
        tokenizer.normalizer = normalizers.Sequence(steps)
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
            add_prefix_space=False
        )
        # The space before the first word makes it the token it is elsewhere.
        tokenizer.decoder = tokenizers.decoders.Sequence(
            [
                tokenizers.decoders.ByteLevel(),
                tokenizers.decoders.Strip(" ", 1, 0),
            ]
        )
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=vocabulary_size,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=sorted(_bytes_of_letters()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        model = json.loads(tokenizer.to_str())
        # They keep their ids, but text that spells one stays ordinary text.
        model["added_tokens"] = []
        return cls(json.dumps(model, ensure_ascii=False, sort_keys=True))

    @property
    def vocabulary_size(self) -> int:
        return len(self._names)

    def get_config(self) -> dict:
        return {"model": self.model}

    def _encode(self, text):
        return self._tokenizer.encode(text).ids

    def _tokens(self, ids):
        return [self._names[token_id] for token_id in ids]

    def join(self, tokens):
        data = b"".join(map(_bytes, tokens))
        return data.decode("utf-8", errors="replace").removeprefix(" ")

    def _decode(self, ids):
        return self._tokenizer.decode(ids, skip_special_tokens=False)

    def _save_assets(self, folder, config):
        data = config.pop("model").encode("utf-8")
        (folder / self._MODEL_FILE).write_bytes(data)
        return config

    @classmethod
    def _load_assets(cls, folder, config):
        path = folder / cls._MODEL_FILE
        model = read_text(path)
        try:
            _check_model(model)
        except ValueError as error:
            raise ValueError(f"{path} must be whole. {error}") from None
        return {"model": model, **config}


def _check_model(model):
    """Refuses all but what `train` makes."""
    try:
        parts = json.loads(model)
        kinds = parts["model"]["type"], parts["pre_tokenizer"]["type"]
        added = len(parts["added_tokens"])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            "`model` must be the JSON text of a tokenizer. Received: "
            f"{len(model)} characters that are not one ({error!r}). Make it "
            "with `BPETokenizer.train(texts)`."
        ) from None
    if kinds != ("BPE", "ByteLevel") or added:
        raise ValueError(
            "`model` must be byte-pair encoding on bytes, without tokens that "
            f"text could spell. Received: a {kinds[0]} after {kinds[1]}, with "
            f"{added} added tokens. Make it with `BPETokenizer.train(texts)`."
        )


def _bytes_of_letters():
    """From the letter that stands for a byte in a vocabulary to that byte.

    Bytes that print stand for themselves, the others are moved behind 255.
    """
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printed]
    letters = {chr(byte): byte for byte in printed}
    return letters | {chr(256 + i): byte for i, byte in enumerate(others)}


def _bytes(name):
    """The bytes of a token's name, or of a word that is no token."""
    if re.fullmatch("(<0x[0-9A-F]{2}>)+", name):
        return bytes.fromhex(re.sub("<0x|>", "", name))
    return name.replace("▁", " ").encode()


def _name(data):
    """A token as text where it is text that prints, else as its bytes."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    shown = text.replace(" ", "▁")
    if text and "▁" not in text and shown.isprintable():
        return shown
    return "".join(f"<0x{byte:02X}>" for byte in data)
