"""The files of a Marian checkpoint's tokenizers, small and trained here."""

import io
import json

import sentencepiece

ENGLISH = [
    "the small cats sleep",
    "a dog sees the cats, and the cats see a dog!",
    "one hundred twenty-three houses (1,234.5)",
    "my father's house is not here?",
    'She said: "it\'s cold" — and left…',
]
OTHERS = [
    "die kleinen Katzen schlafen über Nacht",
    "Größe, Füße und Äpfel für 12 €",
    "les élèves naïfs mangent où ça ?",
    "кошки спят в доме",
    "猫は小さい家で眠る。",
    "الكلب يرى القطط",
    "बिल्लियाँ घर में सोती हैं।",
    "😀 e\u0301gal",
]


def train(texts, size):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts * 9),
        model_writer=model,
        vocab_size=size,
        hard_vocab_limit=False,
        normalization_rule_name="nmt_nfkc",
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def pieces_of(proto):
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(proto)
    pieces = [processor.IdToPiece(i) for i in range(len(processor))]
    return [x for x in pieces if x not in ("<unk>", "<s>", "</s>")]


def write_tokenizers(folder, separate=False, languages=(), sizes=(97, 211)):
    """Writes source.spm, target.spm and vocab.json, not in SentencePiece's
    order and with pieces missing; returns the sizes of both vocabularies."""
    protos = train(ENGLISH, sizes[0]), train(OTHERS, sizes[1])
    source, target = map(pieces_of, protos)
    if separate:
        vocabularies = [source[::-1][3:], target[::-1][5:]]
    else:
        # Rare letters are missing in the files of real pairs too.
        shared = sorted({*source, *target})
        vocabularies = [[x for i, x in enumerate(shared) if i % 41]] * 2
    vocabularies = [
        ["</s>", "<unk>", *languages, *pieces, "<pad>"]
        for pieces in vocabularies
    ]
    for name, proto in zip(("source", "target"), protos, strict=True):
        (folder / f"{name}.spm").write_bytes(proto)
    files = ["vocab.json", "target_vocab.json"][: 1 + separate]
    for file, vocabulary in zip(files, vocabularies, strict=False):
        ids = {piece: i for i, piece in enumerate(vocabulary)}
        (folder / file).write_text(json.dumps(ids), encoding="utf-8")
    config = {"separate_vocabs": separate, "model_max_length": 512}
    if separate:
        config["target_vocab_file"] = str(folder / "target_vocab.json")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return [len(vocabulary) for vocabulary in vocabularies]
