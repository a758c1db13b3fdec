"""`MarianTokenizer` beside that of the transformers library."""

import json

import keras
import pytest
import transformers

from keras_attention.data import MarianTokenizer, load_tokenizer
from keras_attention.data.marian_tokenizer import write_huggingface_files
from tests.data.marian_files import ENGLISH, OTHERS, write_tokenizers

LANGUAGES = (">>deu<<", ">>fra<<")
UNSEEN = [
    "zebras Ωμέγα 한국어",
    "  two   spaces\tand a tab ",
    "ﬁne ½ Ⅷ ① ＡＢＣ",
    "a >>deu<< b",
    ">> quoted << text",
    "words<<",
]


# transformers asks for sacremoses, and leaves text as it is without.
pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install")


@pytest.fixture(scope="module", params=["shared", "separate"])
def folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    write_tokenizers(folder, request.param == "separate")
    return folder


@pytest.fixture(scope="module")
def many_languages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("languages")
    write_tokenizers(folder, languages=LANGUAGES)
    return folder


def theirs(folder):
    return transformers.MarianTokenizer.from_pretrained(folder)


def test_ids_are_those_of_transformers(folder):
    source, target = MarianTokenizer.from_huggingface(folder)
    reference = theirs(folder)
    texts = [*ENGLISH, *OTHERS, *UNSEEN[:3], *UNSEEN[5:]]
    ids = source.tokenize(texts)
    assert ids == reference(texts).input_ids
    assert any(source.unk_id in row for row in ids)
    expected = reference(text_target=texts).input_ids
    rows = target.tokenize(texts)
    assert [[*row, target.end_id] for row in rows] == expected
    assert any(target.unk_id in row for row in rows)
    assert source.tokens(ids[0]) == reference.tokenize(texts[0]) + ["</s>"]


def test_texts_are_those_of_transformers(folder):
    source, target = MarianTokenizer.from_huggingface(folder)
    reference = theirs(folder)
    for tokenizer, own in ((source, True), (target, False)):
        rows = [
            [x for x in row if x != tokenizer.unk_id]
            for row in tokenizer.tokenize([*ENGLISH, *OTHERS])
        ]
        if source.vocabulary == target.vocabulary:
            expected = reference.batch_decode(
                rows, skip_special_tokens=True, use_source_tokenizer=own
            )
        else:
            # With two vocabularies transformers takes for <pad>, in texts of
            # the target, the piece that has its id: start from the pieces.
            reference._decode_use_source_tokenizer = own
            expected = [
                reference.convert_tokens_to_string(tokenizer.tokens(row))
                for row in [[x for x in row if x != 0] for row in rows]
            ]
        assert tokenizer.detokenize(rows) == expected


def test_special_ids_are_those_of_the_checkpoint(folder):
    source, target = MarianTokenizer.from_huggingface(folder)
    last = source.vocabulary_size - 1
    assert (source.pad_id, source.start_id) == (last, last)
    assert (source.unk_id, source.end_id) == (1, 0)
    assert target.pad_id == target.vocabulary_size - 1
    # A row ends at its end, begins with its start, and skips what fills it.
    row = target.tokenize(["Katzen"])[0]
    framed = [target.start_id, *row, target.pad_id, target.end_id, *row]
    assert target.detokenize([framed]) == ["Katzen"]
    _, target = MarianTokenizer.from_huggingface(folder, start_id=3)
    assert target.start_id == 3
    assert target.detokenize([[3, *row, 0]]) == ["Katzen"]


def test_empty_texts_have_no_ids(folder):
    for tokenizer in MarianTokenizer.from_huggingface(folder):
        assert tokenizer.tokenize(["", "  "]) == [[], []]
        assert tokenizer.detokenize([[], [tokenizer.end_id]]) == ["", ""]


def test_a_language_tag_is_one_token(many_languages):
    source, target = MarianTokenizer.from_huggingface(many_languages)
    reference = theirs(many_languages)
    texts = [">>deu<< the cats", ">>fra<<a dog", *ENGLISH, UNSEEN[3]]
    ids = source.tokenize(texts)
    assert ids == reference(texts).input_ids
    assert source.tokens(ids[0])[0] == ">>deu<<"
    assert source.tokens(ids[1])[0] == ">>fra<<"
    assert source.languages == list(LANGUAGES)
    # Quotation marks are no tag, nor is anything in what is to be written.
    assert source.unk_id != source.tokenize([UNSEEN[4]])[0][0]
    assert len(target.tokenize([">>deu<< Katzen"])[0]) > 5


def test_a_tag_and_the_end_spell_nothing(many_languages):
    source, target = MarianTokenizer.from_huggingface(many_languages)
    ids = source.tokenize([">>fra<<zebras"])[0]
    surfaces = source.surfaces(">>fra<<zebras")
    assert len(surfaces) == len(ids)
    assert surfaces[0] is surfaces[-1] is None
    assert source.join(surfaces[1:-1]) == "zebras"
    assert None not in target.surfaces("zebras")
    assert source.surfaces("") == []


def test_an_unknown_language_is_refused(many_languages, folder):
    source, _ = MarianTokenizer.from_huggingface(many_languages)
    with pytest.raises(ValueError, match=r"'>>eng<<'.*>>deu<<, >>fra<<"):
        source.tokenize([">>eng<< the cats"])
    source, _ = MarianTokenizer.from_huggingface(folder)
    with pytest.raises(ValueError, match="Known ones: none"):
        source.tokenize([">>deu<< the cats"])


def test_a_saved_tokenizer_is_the_same(folder, tmp_path):
    pair = MarianTokenizer.from_huggingface(folder, start_id=5)
    prints = set()
    for tokenizer in pair:
        tokenizer.save(tmp_path / tokenizer.side)
        config = keras.saving.serialize_keras_object(tokenizer)
        for again in (
            load_tokenizer(tmp_path / tokenizer.side),
            keras.saving.deserialize_keras_object(config),
        ):
            assert isinstance(again, MarianTokenizer)
            assert again.get_config() == tokenizer.get_config()
            assert again.fingerprint() == tokenizer.fingerprint()
            assert again.tokenize(ENGLISH) == tokenizer.tokenize(ENGLISH)
        prints.add(tokenizer.fingerprint())
    assert len(prints) == 2


def test_transformers_reads_what_is_written(folder, tmp_path):
    source, target = MarianTokenizer.from_huggingface(folder)
    write_huggingface_files(tmp_path, source, target)
    reference, again = theirs(folder), theirs(tmp_path)
    texts = [*ENGLISH, *OTHERS, *UNSEEN]
    assert again(texts).input_ids == reference(texts).input_ids
    assert again(text_target=texts).input_ids == (
        reference(text_target=texts).input_ids
    )
    assert again.pad_token_id == source.pad_id
    for ours, theirs_ in zip(
        MarianTokenizer.from_huggingface(tmp_path),
        (source, target),
        strict=True,
    ):
        assert ours.fingerprint() == theirs_.fingerprint()


def test_bad_arguments_are_refused(folder):
    source, _ = MarianTokenizer.from_huggingface(folder)
    words = source.vocabulary
    with pytest.raises(ValueError, match="`side` must be one of"):
        MarianTokenizer(source.proto, words, "both")
    with pytest.raises(ValueError, match="must be a SentencePiece model"):
        MarianTokenizer(b"nothing", words)
    with pytest.raises(ValueError, match=r"missing=\['<pad>'\]"):
        MarianTokenizer(source.proto, words[:-1])
    with pytest.raises(ValueError, match="1 of them again"):
        MarianTokenizer(source.proto, [words[5], *words])
    with pytest.raises(ValueError, match="Ids must lie in the vocabulary"):
        MarianTokenizer(source.proto, words, start_id=len(words))


def test_bad_files_are_refused(tmp_path):
    write_tokenizers(tmp_path, separate=True)
    (tmp_path / "target_vocab.json").unlink()
    with pytest.raises(ValueError, match=r"target_vocab.json. Received: No"):
        MarianTokenizer.from_huggingface(tmp_path)
    vocabulary = tmp_path / "vocab.json"
    ids = json.loads(vocabulary.read_text("utf-8"))
    for wrong, message in (
        ({**ids, "more": len(ids) + 1}, "ids from 0 to one less"),
        ({**ids, "more": 3}, "ids from 0 to one less"),
        ([*ids], "must hold a JSON object"),
    ):
        vocabulary.write_text(json.dumps(wrong), encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            MarianTokenizer.from_huggingface(tmp_path)
    vocabulary.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="must be a JSON file"):
        MarianTokenizer.from_huggingface(tmp_path)
    (tmp_path / "source.spm").unlink()
    with pytest.raises(ValueError, match="without source.spm"):
        MarianTokenizer.from_huggingface(tmp_path)
