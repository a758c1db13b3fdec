import json
from collections import Counter

import pytest

from keras_attention.data.bpe_tokenizer import SMALLEST, BPETokenizer
from keras_attention.data.tokenizers import load_tokenizer

TEXTS = [
    "low low low low low lower lower",
    "newest newest newest newest newest newest widest widest widest",
]


def learned(tokenizer):
    """The pairs in the order in which they were joined."""
    return [tuple(x) for x in json.loads(tokenizer.model)["model"]["merges"]]


def merges_by_hand(texts, number):
    """Sennrich et al., 2016, algorithm 1, on words with the space before.

    Of pairs that are as frequent, the one whose first symbol, then second,
    was there first: letters by their code, then what was joined.
    """
    words = Counter(
        tuple("Ġ" + word) for text in texts for word in text.split()
    )
    order = sorted({x for word in words for x in word})
    found = []
    for _ in range(number):
        pairs = Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:], strict=False):
                pairs[pair] += count
        best = min(pairs, key=lambda p: (-pairs[p], *map(order.index, p)))
        found.append(best)
        order.append("".join(best))
        merged = Counter()
        for word, count in words.items():
            symbols, i = [], 0
            while i < len(word):
                if word[i : i + 2] == best:
                    symbols.append("".join(best))
                    i += 2
                else:
                    symbols.append(word[i])
                    i += 1
            merged[tuple(symbols)] += count
        words = merged
    return found


def test_the_most_frequent_pair_is_joined_first():
    tokenizer = BPETokenizer.train(TEXTS, SMALLEST + 9)
    assert learned(tokenizer) == merges_by_hand(TEXTS, 9)


@pytest.mark.parametrize(
    "text",
    [
        "你好, мир! 🙂👩‍👧",
        "tabs\tand  two  spaces\nlines ",
        " before",
        "\x00\x7f",
        "  ",
    ],
)
def test_any_text_comes_back_whatever_was_learned(text):
    tokenizer = BPETokenizer.train(["only english"], SMALLEST)
    ids = tokenizer.tokenize([text])
    assert tokenizer.detokenize(ids) == [text]
    assert min(ids[0]) >= 4


def test_text_in_front_is_split_as_it_is_behind_a_space():
    tokenizer = BPETokenizer.train(TEXTS, 290)
    first, both = tokenizer.tokenize(["low", "newest low"])
    assert both[-len(first) :] == first


def test_a_text_that_spells_a_special_token_learns_none_either():
    texts = ["[start] [end] [pad] [unk]"] * 50
    tokenizer = BPETokenizer.train(texts, 300)
    (ids,) = tokenizer.tokenize(texts[:1])
    assert min(ids) >= 4
    assert tokenizer.detokenize([ids]) == texts[:1]


def test_tokens_that_are_no_text_are_named_by_their_bytes():
    tokenizer = BPETokenizer.train(["a"], SMALLEST)
    (ids,) = tokenizer.tokenize(["é▁\n"])
    assert tokenizer.tokens(ids) == [
        *("▁", "<0xC3>", "<0xA9>", "<0xE2>", "<0x96>", "<0x81>", "<0x0A>")
    ]
    # Half of a letter, as a model may write it, is shown and does not fail.
    assert tokenizer.detokenize([[*ids[:2], 1]]) == ["\ufffd[unk]"]


def test_it_lowercases_on_request_and_joins_accents():
    tokenizer = BPETokenizer.train(TEXTS, 270, lowercase=True)
    assert tokenizer.detokenize(tokenizer.tokenize(["LOW É"])) == ["low é"]
    one, other = tokenizer.tokenize(["cafe\u0301", "caf\u00e9"])
    assert one == other


def test_training_is_repeatable():
    one, two = (BPETokenizer.train(TEXTS * 9, 290) for _ in range(2))
    assert one.model == two.model
    assert one.fingerprint() == two.fingerprint()
    assert one.vocabulary_size < 290  # nothing is left to join


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"texts": []}, "at least one text"),
        ({"texts": [" "]}, "at least one text"),
        ({"texts": ["a"], "vocabulary_size": 259}, "size=259. Use 260 or more"),
        ({"texts": "abc"}, "Received: one str"),
    ],
)
def test_it_cannot_learn_from_too_little(arguments, message):
    with pytest.raises(ValueError, match=message):
        BPETokenizer.train(**arguments)


def changed(change):
    model = json.loads(BPETokenizer.train(["ab"], SMALLEST).model)
    change(model)
    return json.dumps(model)


@pytest.mark.parametrize(
    "model, message",
    [
        ("no json", "7 characters that are not one"),
        ("{}", "KeyError"),
        (changed(lambda m: m["model"].update(type="Unigram")), "a Unigram aft"),
        (changed(lambda m: m["added_tokens"].append({})), "1 added tokens"),
        (
            changed(lambda m: m["pre_tokenizer"].update(type="Whitespace")),
            "after Whitespace",
        ),
        (
            changed(lambda m: m["model"]["vocab"].pop("[pad]")),
            "must count from",
        ),
    ],
)
def test_a_model_of_another_kind_is_refused(model, message):
    with pytest.raises(ValueError, match=message):
        BPETokenizer(model)


def test_a_file_that_is_cut_short_is_named(tmp_path):
    BPETokenizer.train(TEXTS, 270).save(tmp_path)
    path = tmp_path / "bpe.json"
    path.write_text(path.read_text("utf-8")[:1000], "utf-8")
    with pytest.raises(ValueError, match="bpe.json must be whole"):
        load_tokenizer(tmp_path)
