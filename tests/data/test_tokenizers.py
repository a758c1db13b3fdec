import json

import keras
import pytest

from keras_attention.data.bpe_tokenizer import BPETokenizer
from keras_attention.data.character_tokenizer import CharacterTokenizer
from keras_attention.data.tokenizers import (
    SPECIAL_TOKENS,
    SentencePieceTokenizer,
    Tokenizer,
    WordTokenizer,
    join_words,
    load_tokenizer,
    split_words,
)

TEXTS = [
    "The small black cats sleep.",
    "The cat's house, and l'arbre vert!",
    "Où est l'école? «Là-bas», dit-il: 1,000 fois.",
    "El niño come (mucho) pan; ¿y tú? ¡No!",
]


MAKERS = {
    "word": lambda: WordTokenizer.train(TEXTS, lowercase=False),
    "sentencepiece": lambda: SentencePieceTokenizer.train(TEXTS * 5, 55),
    "bpe": lambda: BPETokenizer.train(TEXTS * 5, 283),
    "character": lambda: CharacterTokenizer.train([*TEXTS, "[]"]),
}


@pytest.fixture(params=MAKERS, scope="module")
def tokenizer(request):
    return MAKERS[request.param]()


@pytest.mark.parametrize(
    "text, words",
    [
        ("", []),
        ("  \n\t ", []),
        ("the cat's house", ["the", "cat", "'s", "house"]),
        ("l’arbre d'un chat", ["l’", "arbre", "d'", "un", "chat"]),
        ("qu'ici il n'y a", ["qu'", "ici", "il", "n", "'y", "a"]),
        ("vingt-deux", ["vingt-deux"]),
        ("3.14 and 1,000,000.", ["3.14", "and", "1,000,000", "."]),
        ("cafe\u0301", ["caf\u00e9"]),
        ("[start] [pad]", ["[", "start", "]", "[", "pad", "]"]),
        ("你好 🙂", ["你好", "🙂"]),
        ("हिन्दी भाषा।", ["हिन्दी", "भाषा", "।"]),
        ("ภาษาไทย", ["ภาษาไทย"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("İstanbul".lower(), ["i̇stanbul"]),
    ],
)
def test_text_is_split_by_the_documented_rules(text, words):
    assert split_words(text) == words


@pytest.mark.parametrize("text", [*TEXTS, "", "n'y va pas.", "(a) [b] 1.5%"])
def test_joining_undoes_splitting(text):
    assert join_words(split_words(text)) == text


def test_texts_come_back_from_their_ids(tokenizer):
    assert tokenizer.detokenize(tokenizer.tokenize(TEXTS)) == TEXTS
    assert tokenizer.tokenize([""]) == [[]]
    assert tokenizer.tokenize([]) == []


def test_what_is_unknown_keeps_its_spelling(tokenizer):
    text = "The 猫犬 cat sleeps"
    surfaces = tokenizer.surfaces(text)
    assert len(surfaces) == len(tokenizer.tokenize([text])[0])
    assert "�" not in "".join(surfaces)
    assert tokenizer.join(surfaces) == text


def test_surfaces_have_the_case_of_the_text_and_as_many_tokens():
    for tokenizer, text, surfaces in (
        (WordTokenizer.train(TEXTS), "The İstanbul", ["The", "İstanbul"]),
        (CharacterTokenizer.train(TEXTS, lowercase=True), "Aç", ["A", "ç"]),
        (CharacterTokenizer.train(TEXTS, lowercase=True), "İ", ["i", "\u0307"]),
    ):
        assert tokenizer.surfaces(text) == surfaces
        assert len(tokenizer.tokenize([text])[0]) == len(surfaces)


def test_ids_hold_no_special_token_and_lie_in_the_vocabulary(tokenizer):
    ids = [i for row in tokenizer.tokenize(TEXTS) for i in row]
    assert min(ids) >= 4 and max(ids) < tokenizer.vocabulary_size


def test_text_that_spells_a_special_token_is_ordinary_text(tokenizer):
    ids = tokenizer.tokenize(["[start] [end] [pad]"])[0]
    assert not {0, 2, 3} & set(ids)


def test_detokenize_stops_at_the_end_and_drops_padding(tokenizer):
    row = tokenizer.tokenize(TEXTS[:1])[0]
    padded = [2, *row, 3, *row, 0, 0]
    assert tokenizer.detokenize([padded]) == TEXTS[:1]


def test_every_id_has_a_name(tokenizer):
    names = tokenizer.tokens(range(tokenizer.vocabulary_size))
    assert tuple(names[:4]) == SPECIAL_TOKENS
    assert len(set(names)) == tokenizer.vocabulary_size


def test_a_saved_tokenizer_is_read_without_knowing_its_class(
    tokenizer, tmp_path
):
    tokenizer.save(tmp_path / "assets" / "source")
    read = load_tokenizer(tmp_path / "assets" / "source")
    assert type(read) is type(tokenizer)
    assert read.get_config() == tokenizer.get_config()
    assert read.tokenize(TEXTS) == tokenizer.tokenize(TEXTS)
    assert read.fingerprint() == tokenizer.fingerprint()


def test_the_config_rebuilds_the_tokenizer_also_through_keras(tokenizer):
    config = json.loads(json.dumps(tokenizer.get_config()))
    again = type(tokenizer).from_config(config)
    assert again.get_config() == tokenizer.get_config()
    keras_config = keras.saving.serialize_keras_object(tokenizer)
    again = keras.saving.deserialize_keras_object(keras_config)
    assert again.tokenize(TEXTS) == tokenizer.tokenize(TEXTS)


def test_ids_outside_the_vocabulary_are_refused(tokenizer):
    size = tokenizer.vocabulary_size
    with pytest.raises(ValueError, match=f"id={size}, vocabulary_size={size}"):
        tokenizer.detokenize([[4, size]])
    with pytest.raises(ValueError, match="id=-1"):
        tokenizer.tokens([-1])


@pytest.mark.parametrize(
    "texts, message",
    [("one", "Received: one str"), (["a", None], "a NoneType at index 1")],
)
def test_texts_must_be_a_list_of_strings(tokenizer, texts, message):
    with pytest.raises(ValueError, match=message):
        tokenizer.tokenize(texts)


def test_the_vocabulary_is_ordered_by_frequency_then_alphabet():
    tokenizer = WordTokenizer.train(["b a c", "c b", "c d"])
    assert tokenizer.vocabulary[4:] == ("c", "b", "a", "d")
    tokenizer = WordTokenizer.train(["b a c", "c b", "c d"], vocabulary_size=6)
    assert tokenizer.vocabulary[4:] == ("c", "b")
    tokenizer = WordTokenizer.train(["b a c", "c b", "c d"], min_count=2)
    assert tokenizer.vocabulary[4:] == ("c", "b")


def test_unknown_words_become_unk_and_case_is_folded_on_request():
    tokenizer = WordTokenizer.train(["the cat"])
    assert tokenizer.tokenize(["The COW"]) == [[5, 1]]
    tokenizer = WordTokenizer.train(["the cat"], lowercase=False)
    assert tokenizer.tokenize(["The cat"]) == [[1, 4]]


def test_the_vocabulary_file_has_one_token_per_line(tmp_path):
    WordTokenizer.train(["l'été"]).save(tmp_path)
    data = (tmp_path / "vocabulary.txt").read_bytes()
    assert data.decode() == "[pad]\n[unk]\n[start]\n[end]\nl'\nété\n"
    description = json.loads((tmp_path / "tokenizer.json").read_text())
    assert description == {
        "class_name": "WordTokenizer",
        "config": {"lowercase": True},
    }


SPECIAL = "[pad]\n[unk]\n[start]\n[end]\n"


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "must begin with .*Received: 0 tokens"),
        (b"[pad]\n[unk]\ncat\n", "must begin with"),
        (
            SPECIAL.encode() + b"cat\ndog\ncat\n",
            "'cat' at ids 4 and 6 .lines 5",
        ),
        (SPECIAL.encode() + b"cat\n\ndog\n", "'' at id 5 .line 6"),
        (SPECIAL.encode() + b"big cat\n", "'big cat' at id 4"),
        (SPECIAL.encode() + b"cat\n\xff\n", "UTF-8.*byte 0xff on line 6"),
    ],
)
def test_a_bad_vocabulary_file_is_refused(tmp_path, data, message):
    WordTokenizer.train(["cat dog"]).save(tmp_path)
    (tmp_path / "vocabulary.txt").write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        load_tokenizer(tmp_path)
    assert "vocabulary.txt" in str(error.value)


@pytest.mark.parametrize("name", ["tokenizer.json", "vocabulary.txt"])
def test_a_missing_file_is_named(tmp_path, name):
    WordTokenizer.train(["cat"]).save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=f"must have the file .*{name}"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "must be a JSON object.*JSONDecodeError"),
        ("[1]", "must be a JSON object"),
        ('{"class_name": "WordTokenizer"}', "KeyError: 'config'"),
        (
            '{"class_name": "Abacus", "config": {}}',
            "out of .*SentencePieceTokenizer, .*KeyError: 'Abacus'",
        ),
        (
            '{"class_name": "WordTokenizer", "config": {"size": 3}}',
            "must hold the arguments of WordTokenizer.*'size'",
        ),
    ],
)
def test_a_bad_description_is_refused(tmp_path, text, message):
    WordTokenizer.train(["cat"]).save(tmp_path)
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_tokenizer(tmp_path)


def test_loading_through_the_wrong_class_is_refused(tmp_path):
    WordTokenizer.train(["cat"]).save(tmp_path)
    assert isinstance(WordTokenizer.load(tmp_path), WordTokenizer)
    assert isinstance(Tokenizer.load(tmp_path), WordTokenizer)
    with pytest.raises(ValueError, match="holds a WordTokenizer"):
        SentencePieceTokenizer.load(tmp_path)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"texts": []}, "at least one word"),
        ({"texts": ["  "]}, "1 texts with 0 words"),
        ({"texts": ["a"], "vocabulary_size": 4}, "vocabulary_size=4"),
        ({"texts": ["a"], "min_count": 0}, "min_count=0"),
    ],
)
def test_words_cannot_be_learned_from_nothing(arguments, message):
    with pytest.raises(ValueError, match=message):
        WordTokenizer.train(**arguments)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"texts": []}, "at least one text"),
        ({"texts": ["ab"], "vocabulary_size": 999}, "999, 1 texts.*too high"),
        ({"texts": ["ab"], "model_type": "words"}, "model_type='words'"),
    ],
)
def test_subwords_cannot_be_learned_from_too_little(arguments, message):
    with pytest.raises(ValueError, match=message):
        SentencePieceTokenizer.train(**arguments)


def test_bytes_that_are_no_sentencepiece_model_are_refused():
    with pytest.raises(ValueError, match="7 bytes that are not one"):
        SentencePieceTokenizer(b"garbage")


def test_sentencepiece_training_is_deterministic_and_lowercases():
    one = SentencePieceTokenizer.train(TEXTS * 5, 50, lowercase=True)
    two = SentencePieceTokenizer.train(TEXTS * 5, 50, lowercase=True)
    assert one.proto == two.proto
    assert one.detokenize(one.tokenize(["The CAT"])) == ["the cat"]
    bpe = SentencePieceTokenizer.train(TEXTS * 5, 70, model_type="bpe")
    assert bpe.detokenize(bpe.tokenize(TEXTS)) == TEXTS


def test_one_call_learns_the_subwords_of_two_languages():
    english, spanish = TEXTS[:2] * 9, TEXTS[3:] * 9
    for cls, size in ((SentencePieceTokenizer, 44), (BPETokenizer, 300)):
        joint = cls.train([*english, *spanish], size)
        for texts in (english, spanish):
            (ids,) = joint.tokenize(texts[:1])
            assert joint.detokenize([ids]) == texts[:1]
            assert len(ids) < len(texts[0].encode())
    only = SentencePieceTokenizer.train(english, 28)
    assert only.unk_id in only.tokenize(spanish[:1])[0]
