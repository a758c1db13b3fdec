"""The rules of the grammar are stated here again, apart from the generator.

The lexicon is read from the module; what a French sentence may look like is
not.
"""

from collections import Counter

import pytest

from keras_attention.data.synthetic import english_french_splits
from keras_attention.data.synthetic.english_french import (
    ANIMATE_NOUNS,
    CLOSING_ADVERBS,
    COLOR_ADJECTIVES,
    INTRANSITIVE_VERBS,
    NOUNS,
    SIZE_ADJECTIVES,
    STATE_ADJECTIVES,
    TRANSITIVE_VERBS,
    english_french,
)
from keras_attention.data.tokenizers import join_words, split_words

PAIRS = english_french(2000, seed=11)

FRENCH_NOUNS = {}  # form: set of (plural, feminine)
for *_, singular, plural, feminine in NOUNS:
    FRENCH_NOUNS.setdefault(singular, set()).add((False, feminine))
    FRENCH_NOUNS.setdefault(plural, set()).add((True, feminine))
BEFORE = {form for row in SIZE_ADJECTIVES for form in row[1:]}
BEHIND = {
    form for row in STATE_ADJECTIVES + COLOR_ADJECTIVES for form in row[1:]
}
FEMININE_ADJECTIVES = {
    "petit": "petite", "grand": "grande", "beau": "belle", "bel": "belle",
    "vieux": "vieille", "vieil": "vieille", "noir": "noire",
}  # fmt: skip
DETERMINERS = {
    "le": (False, False), "la": (False, True), "l'": (False, None),
    "un": (False, False), "une": (False, True), "mon": (False, None),
    "ma": (False, True), "notre": (False, None), "ce": (False, False),
    "cet": (False, False), "cette": (False, True), "du": (False, False),
    "les": (True, None), "mes": (True, None), "nos": (True, None),
    "ces": (True, None), "deux": (True, None), "trois": (True, None),
    "des": (True, None),
}  # fmt: skip
VERBS = {
    form: form == plural
    for *_, singular, plural in TRANSITIVE_VERBS + INTRANSITIVE_VERBS
    for form in (singular, plural)
}


EXPECTED = {
    "my wolf follows the black cat's dogs":
        "mon loup suit les chiens du chat noir",
    "my yellow goats hear my tree under my forests now":
        "maintenant mes chèvres jaunes entendent mon arbre sous mes forêts",
    "these black frogs run sometimes and my big calm black horse's cow "
    "dances under three frogs":
        "parfois ces grenouilles noires courent et la vache de mon grand "
        "cheval noir calme danse sous trois grenouilles",
    "a goat's frog quickly sleeps here because a bird quickly loves my small "
    "red goat's dogs":
        "ici la grenouille d'une chèvre dort vite parce qu'un oiseau "
        "aime vite les chiens de ma petite chèvre rouge",
    "the fox's wolf quickly hears the young boats while the cow waits here":
        "le loup du renard entend vite les jeunes bateaux pendant "
        "qu'ici la vache attend",
    "two cows quickly love the cows without this bee but my sad dog sings near "
    "the small dog":
        "deux vaches aiment vite les vaches sans cette abeille mais mon "
        "chien triste chante près du petit chien",
    "three goats often sleep with our horse's car and my horse's frogs follow "
    "these goats now":
        "trois chèvres dorment souvent avec la voiture de notre cheval et "
        "maintenant les grenouilles de mon cheval suivent ces chèvres",
}  # fmt: skip


def noun_phrases(words):
    """`(determiner, adjectives before, noun, adjectives behind)` of each."""
    for i, word in enumerate(words):
        if word not in DETERMINERS:
            continue
        j = i + 1
        while words[j] in BEFORE:
            j += 1
        end = j + 1
        while end < len(words) and words[end] in BEHIND:
            end += 1
        yield word, words[i + 1 : j], words[j], words[j + 1 : end]


def starts_with_vowel(word):
    return word[0] in "aeiouéèêôh"


def links_of(pair):
    source, target = split_words(pair.source), split_words(pair.target)
    return {(source[s], target[t]) for s, t in pair.links}


def test_a_few_sentences_are_what_a_french_speaker_would_write():
    by_source = {pair.source: pair.target for pair in english_french(60, 7)}
    for source, target in EXPECTED.items():
        assert by_source[source] == target


def test_determiners_and_adjectives_agree_with_their_noun():
    seen = 0
    for pair in PAIRS:
        for determiner, before, noun, behind in noun_phrases(
            split_words(pair.target)
        ):
            plural, feminine = DETERMINERS[determiner]
            readings = {
                (p, f)
                for p, f in FRENCH_NOUNS[noun]
                if p == plural and feminine in (None, f)
            }
            assert len(readings) == 1, (pair.target, noun)
            ((plural, feminine),) = readings
            for adjective in [*before, *behind]:
                assert (adjective[-1] in "sx") == plural or (
                    adjective == "vieux" and not plural
                ), pair.target
                stem = adjective.removesuffix("s")
                if stem in FEMININE_ADJECTIVES or adjective == "vieux":
                    assert not feminine, pair.target
                if stem in FEMININE_ADJECTIVES.values():
                    assert feminine, pair.target
                seen += 1
    assert seen > 1000


def test_size_stands_before_the_noun_and_color_next_to_it():
    orders = Counter()
    colors = {form for row in COLOR_ADJECTIVES for form in row[1:]}
    for pair in PAIRS:
        for _, before, _, behind in noun_phrases(split_words(pair.target)):
            assert len(before) <= 1 and len(behind) <= 2
            if len(behind) == 2:
                assert behind[0] in colors and behind[1] not in colors
            orders[len(before), len(behind)] += 1
    assert min(orders[1, 1], orders[0, 1], orders[1, 0], orders[0, 2]) > 20


def test_elision_and_contraction_follow_the_next_word():
    seen = Counter()
    elided = {"l'", "d'", "qu'"}
    for pair in PAIRS:
        words = split_words(pair.target)
        for word, following in zip(words, words[1:], strict=False):
            vowel = starts_with_vowel(following)
            if word in elided | {"cet", "bel", "vieil"}:
                assert vowel, pair.target
                seen[word] += 1
            if word in {"le", "la", "de", "que", "ce", "ma", "beau"}:
                assert not vowel, pair.target
            if word == "vieux" and following in FRENCH_NOUNS and vowel:
                assert (True, False) in FRENCH_NOUNS[following], pair.target
            assert (word, following) not in {("de", "le"), ("de", "les")}
        for determiner, before, noun, _ in noun_phrases(words):
            if determiner == "mon" and (False, True) in FRENCH_NOUNS[noun]:
                assert starts_with_vowel(noun) and not before  # mon école
                seen["mon"] += 1
    assert min(seen[w] for w in [*elided, "cet", "bel", "vieil", "mon"]) > 2


def test_verbs_agree_with_their_subject():
    for pair in PAIRS:
        words = split_words(pair.target)
        for i, verb in enumerate(words):
            if verb not in VERBS:
                continue
            # Back to the determiner of the clause's first noun phrase.
            subject = None
            for j in range(i - 1, -1, -1):
                if words[j] in {"et", "mais", "quand", "que", "qu'"}:
                    break
                owner = words[j] == "du" or words[j - 1] in {"de", "d'"}
                if words[j] in DETERMINERS and not owner:
                    subject = words[j]
            assert DETERMINERS[subject][0] == VERBS[verb], pair.target


def test_a_before_a_vowel_is_an():
    for pair in PAIRS:
        words = split_words(pair.source)
        for word, following in zip(words, words[1:], strict=False):
            assert (word == "an") == (
                word in ("a", "an") and following[0] in "aeiou"
            )


def test_links_join_words_that_translate_each_other():
    meanings = {}
    for english, english_plural, french, french_plural, _ in NOUNS:
        meanings.setdefault(english, set()).add(french)
        meanings.setdefault(english_plural, set()).add(french_plural)
    for rows in (SIZE_ADJECTIVES, STATE_ADJECTIVES, COLOR_ADJECTIVES):
        meanings.update({row[0]: set(row[1:]) for row in rows})
    for third, base, french, french_plural in (
        TRANSITIVE_VERBS + INTRANSITIVE_VERBS
    ):
        meanings.update({third: {french}, base: {french_plural}})
    meanings.update({
        "'s": {"le", "la", "l'", "les", "de", "d'", "du", "des"},
        "the": {"le", "la", "l'", "les", "du", "des"},
        "near": {"près", "de", "d'", "du", "des"},
        "quickly": {"vite"},
        "because": {"parce", "que", "qu'"},
        "while": {"pendant", "que", "qu'"},
        "my": {"mon", "ma", "mes"}, "our": {"notre", "nos"},
        "this": {"ce", "cet", "cette"}, "a": {"un", "une"},
        "an": {"un", "une"}, "now": {"maintenant"}, "here": {"ici"},
    })  # fmt: skip
    for pair in PAIRS:
        for english, french in links_of(pair):
            assert french in meanings.get(english, {french}), pair


def test_every_word_of_both_sides_has_a_link_in_range():
    for pair in PAIRS:
        assert {s for s, _ in pair.links} == set(
            range(len(split_words(pair.source)))
        )
        assert {t for _, t in pair.links} == set(
            range(len(split_words(pair.target)))
        )
        assert list(pair.links) == sorted(set(pair.links))


def test_links_of_a_sentence_are_those_a_reader_would_draw():
    pair = next(
        pair
        for pair in english_french(60, 7)
        if pair.source.startswith("the fox's wolf quickly hears")
    )
    assert pair.target == EXPECTED[pair.source]
    assert pair.links == (
        (0, 2), (1, 3), (2, 0), (2, 2), (3, 1),  # le loup du renard
        (4, 5), (5, 4),  # entend vite
        (6, 6), (7, 7), (8, 8),  # les jeunes bateaux
        (9, 9), (9, 10),  # pendant qu'
        (10, 12), (11, 13), (12, 14), (13, 11),  # ici la vache attend
    )  # fmt: skip
    assert pair.possible_links == (
        (1, 2), (3, 0),  # du renard, le loup
        (8, 6), (11, 12), (13, 10),  # les bateaux, la vache, qu'ici
    )  # fmt: skip


def test_possible_links_are_none_of_the_sure_ones_and_of_function_words():
    function_words = {*DETERMINERS, "de", "d'", "que", "qu'"}
    nouns = {form for row in NOUNS for form in row[:2]}
    for pair in PAIRS:
        assert not set(pair.links) & set(pair.possible_links)
        target = split_words(pair.target)
        assert {target[t] for _, t in pair.possible_links} <= function_words
        source = split_words(pair.source)
        for s, t in pair.possible_links:
            if source[s] not in nouns:
                assert (s, t + 1) in pair.links
                assert target[t] not in {"un", "une", "les", "mes", "deux"}
        linked = {t for _, t in pair.possible_links}
        assert all(
            t in linked for t, word in enumerate(target) if word in DETERMINERS
        )


def test_many_links_cross():
    near, far = 0, 0
    for pair in PAIRS:
        for s, t in pair.links:
            crossed = [
                abs(s - a) for a, b in pair.links if (s - a) * (t - b) < 0
            ]
            near += bool(crossed)
            far += max(crossed, default=0) >= 4
    links = sum(len(pair.links) for pair in PAIRS)
    assert near > 0.4 * links and far > 0.1 * links


def test_the_example_of_the_command_line_is_in_the_grammar():
    words = {word for pair in PAIRS for word in split_words(pair.source)}
    assert words.issuperset(["the", "small", "black", "cats", "sleep"])


def test_lexicons_have_about_a_hundred_words():
    pairs = english_french(4000, seed=3)
    english = {word for p in pairs for word in split_words(p.source)}
    french = {word for p in pairs for word in split_words(p.target)}
    assert 85 <= len(english) <= 110
    assert 100 <= len(french) <= 135


def test_words_are_drawn_without_regard_to_those_before():
    """All subjects precede all verbs about equally often."""
    counts = Counter()
    nouns = {form for row in ANIMATE_NOUNS for form in row[:1]}
    verbs = {row[0] for row in INTRANSITIVE_VERBS}
    for pair in english_french(20000, seed=5, min_words=3, max_words=4):
        words = split_words(pair.source)
        counts.update(
            (noun, verb)
            for noun, verb in zip(words, words[1:], strict=False)
            if noun in nouns and verb in verbs
        )
    assert len(counts) == len(nouns) * len(verbs)
    mean = counts.total() / len(counts)
    assert all(0.7 * mean < count < 1.3 * mean for count in counts.values())


def test_lengths_are_uniform_in_the_range_asked_for():
    lengths = Counter(len(split_words(pair.source)) for pair in PAIRS)
    assert set(lengths) == set(range(4, 19))
    assert min(lengths.values()) > 80
    long = english_french(60, seed=2, min_words=45, max_words=50)
    assert {len(split_words(pair.source)) for pair in long} == set(
        range(45, 51)
    )


def test_up_to_18_words_have_one_or_two_clauses_and_longer_ones_more():
    conjunctions = {"and", "but", "when", "because", "while"}

    def clauses(pair):
        return 1 + sum(w in conjunctions for w in split_words(pair.source))

    assert {clauses(pair) for pair in PAIRS} == {1, 2}
    long = english_french(60, seed=2, min_words=50, max_words=50)
    assert {clauses(pair) for pair in long} <= {4, 5, 6}


def test_closing_adverbs_move_to_the_front_of_the_clause():
    moved = dict(CLOSING_ADVERBS)
    pair = next(
        p
        for p in PAIRS
        if p.source.split()[-1] in moved and " and " not in p.source
    )
    assert moved[pair.source.split()[-1]] in pair.target.split()


def test_no_multiset_of_source_words_is_in_two_splits():
    splits = english_french_splits(3000, 200, 250, seed=1, max_words=6)
    assert [len(split) for split in splits] == [3000, 200, 250]
    train, validation, test = [
        [tuple(sorted(split_words(pair.source))) for pair in split]
        for split in splits
    ]
    assert len({*validation, *test}) == 450
    assert not {*validation, *test} & {*train}


def test_excluded_pairs_do_not_come_back_in_another_order():
    excluded = english_french(400, seed=1, min_words=3, max_words=4)
    taken = {tuple(sorted(split_words(p.source))) for p in excluded}
    pairs = english_french(400, 1, 3, 4, exclude=excluded)
    assert not taken & {tuple(sorted(split_words(p.source))) for p in pairs}


def test_a_seed_gives_the_same_pairs_and_another_one_others():
    assert english_french(50, seed=4) == english_french(50, seed=4)
    assert english_french(50, seed=4) != english_french(50, seed=5)
    assert english_french_splits(9, 3, 3, 2) == english_french_splits(
        9, 3, 3, 2
    )


def test_joined_sentences_split_into_the_same_words():
    for pair in PAIRS[:200]:
        for text in (pair.source, pair.target):
            assert join_words(split_words(text)) == text


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_pairs": -1}, "must not be negative. Received: -1"),
        ({"num_pairs": 1, "min_words": 2}, "3 <= `min_words`.*min_words=2"),
        (
            {"num_pairs": 1, "min_words": 9, "max_words": 8},
            "min_words=9, max_words=8",
        ),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        english_french(**arguments)


def test_more_held_out_sentences_than_there_are_is_an_error():
    with pytest.raises(ValueError, match="enough sentences.*max_words=3"):
        english_french_splits(10, 0, 5000, min_words=3, max_words=3)
