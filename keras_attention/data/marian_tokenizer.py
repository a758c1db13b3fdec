import base64
import json
import re
from collections.abc import Sequence
from pathlib import Path

import keras

from keras_attention.data.tokenizers import Tokenizer
from keras_attention.extras import require

SIDES = ("source", "target")
PAD, UNKNOWN, END = "<pad>", "<unk>", "</s>"
LANGUAGE = re.compile(r">>\S+?<<")

VOCABULARY_FILE = "vocab.json"
TARGET_VOCABULARY_FILE = "target_vocab.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
PIECES_FILES = {"source": "source.spm", "target": "target.spm"}

# All that a folder may hold of them.
HUGGINGFACE_FILES = (
    *PIECES_FILES.values(),
    VOCABULARY_FILE,
    TARGET_VOCABULARY_FILE,
    TOKENIZER_CONFIG_FILE,
)


@keras.saving.register_keras_serializable(package="keras_attention")
class MarianTokenizer(Tokenizer):
    """Splits text as the Marian checkpoints of Hugging Face do.

    SentencePiece cuts text into pieces, and a vocabulary that both languages
    may share gives each piece its id; a piece that is not in it becomes
    `<unk>`. Sources end with `</s>`, as these models were trained; an empty
    source gives no ids. Where the vocabulary has language tags, a source may
    begin with one, such as `>>fra<<`, which stays one token.

    The special ids are the checkpoint's and not those of other tokenizers:
    `pad_id` is that of `<pad>`, `unk_id` of `<unk>`, `end_id` of `</s>`.
    `Transformer.from_preset` makes both tokenizers of a checkpoint.

    Args:
        proto: The SentencePiece model as bytes (or as base64 text, the form
            the config holds).
        vocabulary: The pieces, id by id, `<pad>`, `<unk>` and `</s>` among
            them.
        side: "source" or "target".
        start_id: Id that a target begins with; that of `<pad>` if None.

    Raises:
        ValueError: `proto` is no SentencePiece model, the vocabulary lacks a
            special token or has one twice, or `side` is neither.

    Examples:
        >>> import io
        >>> import sentencepiece
        >>> model = io.BytesIO()
        >>> sentencepiece.SentencePieceTrainer.train(
        ...     sentence_iterator=iter(["the cats sleep", "the dogs"] * 9),
        ...     model_writer=model, vocab_size=16, minloglevel=2)
        >>> pieces = ["▁", "t", "h", "e", "▁dogs"]
        >>> tokenizer = MarianTokenizer(
        ...     model.getvalue(), ["</s>", "<unk>", *pieces, "<pad>"])
        >>> tokenizer.pad_id, tokenizer.unk_id, tokenizer.end_id
        (7, 1, 0)
        >>> ids = tokenizer.tokenize(["the dogs"])
        >>> tokenizer.tokens(ids[0])
        ['▁', 't', 'h', 'e', '▁dogs', '</s>']
        >>> tokenizer.detokenize(ids)
        ['the dogs']

    Reference:
        [Junczys-Dowmunt et al., 2018](https://arxiv.org/abs/1804.00344);
        [Tiedemann and Thottingal, 2020](https://aclanthology.org/2020.eamt-1.61)
        for the checkpoints.
    """

    _PIECES_FILE = "sentencepiece.model"

    def __init__(
        self,
        proto: bytes | str,
        vocabulary: Sequence[str],
        side: str = "source",
        start_id: int | None = None,
    ):
        sentencepiece = require("sentencepiece", extra="hub")
        if side not in SIDES:
            raise ValueError(
                f"`side` must be one of {SIDES}. Received: side={side!r}."
            )
        self.proto = (
            base64.b64decode(proto) if isinstance(proto, str) else proto
        )
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(self.proto)
        except RuntimeError:
            raise ValueError(
                "`proto` must be a SentencePiece model. Received: "
                f"{len(self.proto)} bytes that are not one. Read them from a "
                f"checkpoint's {PIECES_FILES[side]}."
            ) from None
        self.vocabulary = tuple(vocabulary)
        self.side = side
        self._ids = {piece: i for i, piece in enumerate(self.vocabulary)}
        missing = [x for x in (PAD, UNKNOWN, END) if x not in self._ids]
        if missing or len(self._ids) < len(self.vocabulary):
            twice = len(self.vocabulary) - len(self._ids)
            raise ValueError(
                f"`vocabulary` must hold {PAD}, {UNKNOWN} and {END}, and each "
                f"piece once. Received: {len(self.vocabulary)} pieces, "
                f"missing={missing}, {twice} of them again. Read them from a "
                f"checkpoint's {VOCABULARY_FILE}."
            )
        self.pad_id = self._ids[PAD]
        self.unk_id = self._ids[UNKNOWN]
        self.end_id = self._ids[END]
        self.start_id = self.pad_id if start_id is None else start_id
        self._check_ids([self.start_id])

    @classmethod
    def from_huggingface(
        cls, folder: str | Path, start_id: int | None = None
    ) -> tuple["MarianTokenizer", "MarianTokenizer"]:
        """Reads both tokenizers from the files of a Hugging Face checkpoint.

        Args:
            folder: Holds `source.spm`, `target.spm` and `vocab.json`, and
                `target_vocab.json` where the languages have a vocabulary
                each.
            start_id: Id that a target begins with; that of `<pad>` if None.

        Returns:
            That of the source and that of the target.

        Raises:
            ValueError: A file is missing or does not hold what it should.
        """
        folder = Path(folder)
        names = [*PIECES_FILES.values(), VOCABULARY_FILE]
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise ValueError(
                f"A Marian tokenizer needs the files {', '.join(names)}. "
                f"Received: {str(folder)!r} without {', '.join(missing)}. "
                "Download them too."
            )
        separate = False
        if (folder / TOKENIZER_CONFIG_FILE).is_file():
            config = _read_json(folder / TOKENIZER_CONFIG_FILE)
            separate = config.get("separate_vocabs", False)
        vocabulary = read_vocabulary(folder / VOCABULARY_FILE)
        targets = vocabulary
        if separate:
            targets = read_vocabulary(folder / TARGET_VOCABULARY_FILE)
        source, target = (
            (folder / name).read_bytes() for name in PIECES_FILES.values()
        )
        return (
            cls(source, vocabulary, "source"),
            cls(target, targets, "target", start_id),
        )

    @property
    def vocabulary_size(self) -> int:
        return len(self.vocabulary)

    @property
    def languages(self) -> list[str]:
        """The language tags of the vocabulary, such as `>>fra<<`."""
        return [x for x in self.vocabulary if LANGUAGE.fullmatch(x)]

    def get_config(self) -> dict:
        return {
            "proto": base64.b64encode(self.proto).decode("ascii"),
            "vocabulary": list(self.vocabulary),
            "side": self.side,
            "start_id": self.start_id,
        }

    def _encode(self, text):
        tag, pieces = self._split(text)
        if not pieces:
            return []
        ids = [self._ids.get(x, self.unk_id) for x in (*tag, *pieces)]
        return [*ids, self.end_id] if self.side == "source" else ids

    def _surfaces(self, text):
        tag, pieces = self._split(text)
        if not pieces:
            return []
        spelled = [*(None for _ in tag), *pieces]
        return [*spelled, None] if self.side == "source" else spelled

    def _split(self, text):
        tag = []
        if self.side == "source":
            tag, text = self._split_language(text)
        return tag, self._processor.encode(text, out_type=str)

    def _split_language(self, text):
        found = LANGUAGE.match(text)
        if found is None:
            return [], text
        if found[0] not in self._ids:
            known = ", ".join(self.languages) or "none"
            raise ValueError(
                "A language tag must be one that the vocabulary has. "
                f"Received: {found[0]!r} at the start of {text[:60]!r}. "
                f"Known ones: {known}."
            )
        return [found[0]], text[found.end() :]

    def _tokens(self, ids):
        return [self.vocabulary[token_id] for token_id in ids]

    def join(self, tokens):
        text = self._processor.decode_pieces(list(tokens))
        return text.replace("▁", " ").strip()

    def _save_assets(self, folder, config):
        (folder / self._PIECES_FILE).write_bytes(self.proto)
        pieces = {x: i for i, x in enumerate(config.pop("vocabulary"))}
        _write_json(folder / VOCABULARY_FILE, pieces)
        del config["proto"]
        return config

    @classmethod
    def _load_assets(cls, folder, config):
        return {
            "proto": _read_bytes(folder / cls._PIECES_FILE),
            "vocabulary": read_vocabulary(folder / VOCABULARY_FILE),
            **config,
        }


def read_vocabulary(path: Path) -> list[str]:
    """The pieces of a `{piece: id}` file, id by id."""
    ids = _read_json(path)
    if sorted(map(str, ids.values())) != sorted(map(str, range(len(ids)))):
        raise ValueError(
            f"{str(path)!r} must give its pieces the ids from 0 to one less "
            f"than their number. Received: {len(ids)} pieces, other ids. "
            "Download it again."
        )
    return sorted(ids, key=ids.__getitem__)


def write_huggingface_files(
    folder: Path, source: MarianTokenizer, target: MarianTokenizer
) -> None:
    """Writes the files that transformers' `MarianTokenizer` reads."""
    separate = source.vocabulary != target.vocabulary
    for side, tokenizer in zip(SIDES, (source, target), strict=True):
        (folder / PIECES_FILES[side]).write_bytes(tokenizer.proto)
    for name, tokenizer in (
        (VOCABULARY_FILE, source),
        *([(TARGET_VOCABULARY_FILE, target)] if separate else []),
    ):
        pieces = {x: i for i, x in enumerate(tokenizer.vocabulary)}
        _write_json(folder / name, pieces)
    _write_json(
        folder / TOKENIZER_CONFIG_FILE,
        {
            "tokenizer_class": "MarianTokenizer",
            "separate_vocabs": separate,
            "model_max_length": 512,
            "eos_token": END,
            "pad_token": PAD,
            "unk_token": UNKNOWN,
        },
    )


def _read_bytes(path):
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"A tokenizer's folder must hold the file {path}. Received: "
            f"{error.strerror}. Put it back."
        ) from None


def _read_json(path):
    data = _read_bytes(path)
    try:
        value = json.loads(data.decode("utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{str(path)!r} must be a JSON file. Received: {error}."
        ) from None
    if not isinstance(value, dict):
        raise ValueError(
            f"{str(path)!r} must hold a JSON object. Received: a "
            f"{type(value).__name__}."
        )
    return value


def _write_json(path, value):
    text = json.dumps(value, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
