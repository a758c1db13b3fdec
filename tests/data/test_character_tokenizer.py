import json

import pytest

from keras_attention.data.character_tokenizer import CharacterTokenizer
from keras_attention.data.tokenizers import SPECIAL_TOKENS, load_tokenizer


def test_characters_are_ordered_by_frequency_then_code():
    train = CharacterTokenizer.train
    texts = ["bca", "c b", "c"]
    assert train(texts).vocabulary[4:] == ("c", "b", " ", "a")
    assert train(texts, vocabulary_size=6).vocabulary[4:] == ("c", "b")
    assert train(texts, min_count=2).vocabulary[4:] == ("c", "b")


def test_unknown_characters_are_unk_and_case_is_kept_unless_asked():
    tokenizer = CharacterTokenizer.train(["abA"])
    assert tokenizer.tokenize(["bAx"]) == [[6, 4, 1]]
    assert tokenizer.detokenize([[6, 4, 1]]) == ["bA[unk]"]
    tokenizer = CharacterTokenizer.train(["abA"], lowercase=True)
    assert tokenizer.tokenize(["BA"]) == [[5, 4]]


def test_an_accent_typed_in_two_ways_is_one_character():
    tokenizer = CharacterTokenizer.train(["e\u0301"])
    assert tokenizer.vocabulary[4:] == ("\u00e9",)
    assert tokenizer.tokenize(["\u00e9"]) == [[4]]


def test_white_space_and_line_breaks_survive_the_folder(tmp_path):
    text = "a\tb\n c\u2028d"
    CharacterTokenizer.train([text]).save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert again.detokenize(again.tokenize([text])) == [text]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"texts": []}, "0 texts with 0 characters"),
        ({"texts": ["ab"], "min_count": 2}, "1 texts with 2 characters"),
        ({"texts": ["a"], "vocabulary_size": 4}, "vocabulary_size=4"),
        ({"texts": ["a"], "min_count": 0}, "min_count=0"),
        ({"texts": "abc"}, "Received: one str"),
    ],
)
def test_characters_cannot_be_learned_from_nothing(arguments, message):
    with pytest.raises(ValueError, match=message):
        CharacterTokenizer.train(**arguments)


@pytest.mark.parametrize(
    "vocabulary, message",
    [
        ({"a": 1}, "Received: a dict"),
        (["a", "b"], "must begin with .*Received: 2 tokens"),
        ([*SPECIAL_TOKENS, "a", "bc"], "'bc' at id 5"),
        ([*SPECIAL_TOKENS, "a", ""], "'' at id 5"),
        ([*SPECIAL_TOKENS, "a", "b", "a"], "'a' at id 6"),
        ([*SPECIAL_TOKENS, 7], "7 at id 4"),
    ],
)
def test_a_bad_vocabulary_is_refused(tmp_path, vocabulary, message):
    with pytest.raises(ValueError, match=message):
        CharacterTokenizer(vocabulary)
    CharacterTokenizer.train(["a"]).save(tmp_path)
    (tmp_path / "characters.json").write_text(json.dumps(vocabulary))
    with pytest.raises(ValueError, match=message):
        load_tokenizer(tmp_path)


def test_a_file_that_is_no_list_is_named(tmp_path):
    CharacterTokenizer.train(["a"]).save(tmp_path)
    (tmp_path / "characters.json").write_text("[")
    with pytest.raises(ValueError, match="characters.json must be a JSON"):
        load_tokenizer(tmp_path)
