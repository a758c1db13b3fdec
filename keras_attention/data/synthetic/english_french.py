"""English-French sentences from a small grammar, with known word links.

The set a translator learns in minutes and without a download. It is made so
that a model has to read the source again and again: most words are drawn
uniformly and independently of the words before them, so that they can only be
known by looking, and much of the sentence changes its place:

- `petit`, `grand`, `beau`, `vieux`, `jeune` stand before the noun, the other
  adjectives behind it, in mirrored order: "the small sad black cat", "le petit
  chat noir triste".
- Possessors swap with what they own: "the old wolf's red car", "la voiture
  rouge du vieux loup".
- Adverbs move: "the goat often sings", "la chèvre chante souvent"; one at the
  end of an English clause opens the French one: "the goat sings now",
  "maintenant la chèvre chante".
- "near", "because" and "while" are two French words each.

Determiners and adjectives agree in gender and number, verbs in number. Elision
and contraction are those of French ("l'oiseau", "ce vieil arbre", "mon école",
"parce qu'un chien", "du chat").
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from keras_attention.data.tokenizers import join_words, split_words

# English singular and plural, French singular and plural, feminine.
ANIMATE_NOUNS = (
    ("cat", "cats", "chat", "chats", False),
    ("dog", "dogs", "chien", "chiens", False),
    ("bird", "birds", "oiseau", "oiseaux", False),
    ("horse", "horses", "cheval", "chevaux", False),
    ("mouse", "mice", "souris", "souris", True),
    ("cow", "cows", "vache", "vaches", True),
    ("fox", "foxes", "renard", "renards", False),
    ("wolf", "wolves", "loup", "loups", False),
    ("goat", "goats", "chèvre", "chèvres", True),
    ("bee", "bees", "abeille", "abeilles", True),
    ("frog", "frogs", "grenouille", "grenouilles", True),
)
NOUNS = ANIMATE_NOUNS + (
    ("house", "houses", "maison", "maisons", True),
    ("garden", "gardens", "jardin", "jardins", False),
    ("tree", "trees", "arbre", "arbres", False),
    ("school", "schools", "école", "écoles", True),
    ("forest", "forests", "forêt", "forêts", True),
    ("car", "cars", "voiture", "voitures", True),
    ("boat", "boats", "bateau", "bateaux", False),
)
# English; French masculine singular, the same before a vowel, masculine
# plural, feminine singular, feminine plural.
SIZE_ADJECTIVES = (  # before the French noun
    ("small", "petit", "petit", "petits", "petite", "petites"),
    ("big", "grand", "grand", "grands", "grande", "grandes"),
    ("beautiful", "beau", "bel", "beaux", "belle", "belles"),
    ("old", "vieux", "vieil", "vieux", "vieille", "vieilles"),
    ("young", "jeune", "jeune", "jeunes", "jeune", "jeunes"),
)
STATE_ADJECTIVES = (  # behind the French noun
    ("sad", "triste", "triste", "tristes", "triste", "tristes"),
    ("calm", "calme", "calme", "calmes", "calme", "calmes"),
    ("strange", "étrange", "étrange", "étranges", "étrange", "étranges"),
)
COLOR_ADJECTIVES = (  # behind the French noun, and nearer to it
    ("black", "noir", "noir", "noirs", "noire", "noires"),
    ("red", "rouge", "rouge", "rouges", "rouge", "rouges"),
    ("yellow", "jaune", "jaune", "jaunes", "jaune", "jaunes"),
)
# English; French masculine, the same before a vowel, feminine, feminine before
# a vowel.
SINGULAR_DETERMINERS = (
    ("the", "le", "l'", "la", "l'"),
    ("a", "un", "un", "une", "une"),
    ("my", "mon", "mon", "ma", "mon"),
    ("our", "notre", "notre", "notre", "notre"),
    ("this", "ce", "cet", "cette", "cette"),
)
PLURAL_DETERMINERS = (
    ("the", "les"),
    ("my", "mes"),
    ("our", "nos"),
    ("these", "ces"),
    ("two", "deux"),
    ("three", "trois"),
)
# English third person singular and plural, French likewise.
TRANSITIVE_VERBS = (
    ("sees", "see", "voit", "voient"),
    ("follows", "follow", "suit", "suivent"),
    ("hears", "hear", "entend", "entendent"),
    ("finds", "find", "trouve", "trouvent"),
    ("loves", "love", "aime", "aiment"),
)
INTRANSITIVE_VERBS = (
    ("sleeps", "sleep", "dort", "dorment"),
    ("sings", "sing", "chante", "chantent"),
    ("runs", "run", "court", "courent"),
    ("dances", "dance", "danse", "dansent"),
    ("waits", "wait", "attend", "attendent"),
)
# English, then the French words.
MIDDLE_ADVERBS = (  # before the English verb, behind the French one
    ("often", "souvent"),
    ("always", "toujours"),
    ("slowly", "lentement"),
    ("quickly", "vite"),
)
CLOSING_ADVERBS = (  # at the end of an English clause, French ones open it
    ("now", "maintenant"),
    ("here", "ici"),
    ("sometimes", "parfois"),
)
PREPOSITIONS = (
    ("with", "avec"),
    ("behind", "derrière"),
    ("under", "sous"),
    ("without", "sans"),
    ("near", "près", "de"),
)
CONJUNCTIONS = (
    ("and", "et"),
    ("but", "mais"),
    ("when", "quand"),
    ("because", "parce", "que"),
    ("while", "pendant", "que"),
)

_VOWELS = frozenset("aeéèêioôu")
_ELIDED = {"de": "d'", "que": "qu'"}
_FORM_BEFORE_VOWEL = {*_ELIDED, *_ELIDED.values()} | {
    form
    for _, *forms in SINGULAR_DETERMINERS
    for pair in (forms[:2], forms[2:])
    for form in pair
    if pair[0] != pair[1]
}
_CONTRACTED = {("de", "le"): "du", ("de", "les"): "des"}


@dataclass(frozen=True)
class TranslationPair:
    """A sentence, its translation, and which words stand for which.

    Links come in two kinds, as annotators of real text have them (sure and
    possible: Och and Ney, 2003, section 5.1): a reader who looks at either
    looks at the right place.

    Args:
        source: The source sentence.
        target: The target sentence.
        links: `(source, target)` positions of words that translate each
            other, counted from 0 in `split_words` of the two sentences, in
            ascending order. A word may have several links.
        possible_links: Likewise, words that decide the form of a function
            word without being what it translates: the noun, of its
            determiner's gender and number; the word that follows, where a
            vowel would change the form (le, l'; ma, mon; ce, cet; de, d';
            que, qu'); and the owner, of the `de` that stands for its `'s`.
    """

    source: str
    target: str
    links: tuple[tuple[int, int], ...]
    possible_links: tuple[tuple[int, int], ...] = ()


def english_french(
    num_pairs: int,
    seed: int = 0,
    min_words: int = 4,
    max_words: int = 18,
    exclude: Iterable[TranslationPair] = (),
) -> list[TranslationPair]:
    """Generates English sentences with their French translations.

    Sentence lengths are uniform between `min_words` and `max_words`. Up to 18
    words a sentence has one or two clauses; a longer one has more, about one
    in ten words. The same arguments always give the same pairs.

    Args:
        num_pairs: How many pairs.
        seed: Any integer.
        min_words: Fewest English words, at least 3. The `'s` of a possessor
            counts as a word.
        max_words: Most English words.
        exclude: Pairs to keep away from: no sentence has the same words, in
            whatever order, as the source of one of these.

    Returns:
        The pairs. A short sentence can come twice.

    Raises:
        ValueError: If an argument is out of range, or `exclude` leaves too
            few sentences of a length.

    Examples:
        >>> pair = english_french(3, seed=7)[2]
        >>> print(pair.source, "|", pair.target)
        my yellow goats hear my tree under my forests now | \
maintenant mes chèvres jaunes entendent mon arbre sous mes forêts
        >>> pair.links[:3]
        ((0, 1), (1, 3), (2, 2))
    """
    _check_sizes(min_words, max_words, num_pairs)
    excluded = {_word_multiset(pair.source) for pair in exclude}
    return _generate(
        num_pairs, _Draw(seed), min_words, max_words, excluded, distinct=False
    )


def english_french_splits(
    train: int = 30000,
    validation: int = 500,
    test: int = 500,
    seed: int = 0,
    min_words: int = 4,
    max_words: int = 18,
) -> tuple[list[TranslationPair], list[TranslationPair], list[TranslationPair]]:
    """Generates training, validation and test pairs that share no sentence.

    No two of the three hold sentences with the same multiset of source words,
    so that a test sentence is no rearrangement of a training sentence either.
    Within validation and test, too, all multisets differ.

    Args:
        train: Number of training pairs.
        validation: Number of validation pairs.
        test: Number of test pairs.
        seed: Any integer.
        min_words: Fewest English words, at least 3.
        max_words: Most English words.

    Returns:
        The three lists, in this order.

    Examples:
        >>> train, validation, test = english_french_splits(50, 10, 10)
        >>> len(train), len(validation), len(test)
        (50, 10, 10)
    """
    _check_sizes(min_words, max_words, train, validation, test)
    draw = _Draw(seed)
    excluded = set()
    held_out = _generate(
        test + validation, draw, min_words, max_words, excluded, distinct=True
    )
    train_pairs = _generate(
        train, draw, min_words, max_words, excluded, distinct=False
    )
    return train_pairs, held_out[test:], held_out[:test]


def _check_sizes(min_words, max_words, *sizes):
    if min(sizes) < 0:
        raise ValueError(
            "The number of pairs must not be negative. Received: "
            f"{', '.join(map(str, sizes))}."
        )
    if not 3 <= min_words <= max_words:
        raise ValueError(
            "Lengths must satisfy 3 <= `min_words` <= `max_words`. Received: "
            f"min_words={min_words}, max_words={max_words}."
        )


class _Draw:
    """Uniform draws that stay the same from one Python to the next.

    Only `random.Random.random` promises the same numbers for a seed.
    """

    def __init__(self, seed):
        self._random = random.Random(seed).random

    def integer(self, low, high):
        return low + int(self._random() * (high - low + 1))

    def choice(self, items):
        return items[int(self._random() * len(items))]

    def shuffled(self, items):
        items = list(items)
        for i in range(len(items) - 1, 0, -1):
            j = self.integer(0, i)
            items[i], items[j] = items[j], items[i]
        return items


def _generate(num_pairs, draw, min_words, max_words, excluded, distinct):
    pairs, failures = [], 0
    while len(pairs) < num_pairs:
        num_words = draw.integer(min_words, max_words)
        source, target, links, possible = _sentence(draw, num_words)
        words = tuple(sorted(source))
        if words in excluded:
            failures += 1
            # A tenth of all draws is far from what these lengths can give.
            if failures > 1000 + 9 * num_pairs:
                raise ValueError(
                    "There must be enough sentences of the asked lengths "
                    f"whose words are not taken. Received: {num_pairs} pairs "
                    f"wanted, min_words={min_words}, max_words={max_words}, "
                    f"{len(excluded)} sentences excluded. Ask for fewer pairs "
                    "or longer sentences."
                )
            continue
        if distinct:
            excluded.add(words)
        pairs.append(
            TranslationPair(
                join_words(source), join_words(target), links, possible
            )
        )
    return pairs


def _word_multiset(text):
    return tuple(sorted(split_words(text)))


# A sentence is first a plan: clauses with a subject and a verb, to which parts
# are added at random until the English side has its length. Then both sides
# are written, English first, so that each phrase knows where its words are.


def _sentence(draw, num_words):
    num_clauses = draw.integer(-(-num_words // 13), 1 + num_words // 10)
    clauses = [_Clause(draw) for _ in range(num_clauses)]
    conjunctions = [draw.choice(CONJUNCTIONS) for _ in clauses[1:]]
    missing = num_words - 4 * num_clauses + 1
    while missing:
        parts = [part for clause in clauses for part in clause.parts()]
        parts = [part for part in parts if part[0] <= missing]
        if not parts:  # one word is missing, and no part has one word
            return _sentence(draw, num_words)
        cost, add = draw.choice(parts)
        add()
        missing -= cost
    writer = _Writer()
    for clause, conjunction in zip(clauses, [None, *conjunctions], strict=True):
        if conjunction:
            at = writer.english(conjunction[0])
            for word in conjunction[1:]:
                writer.french(word, at)
        clause.write(writer)
    return writer.finish()


class _NounPhrase:
    def __init__(self, draw, nouns=NOUNS, singular=False):
        self.draw = draw
        self.noun = draw.choice(nouns)
        self.plural = not singular and draw.integer(0, 1) == 1
        self.determiner = draw.choice(
            PLURAL_DETERMINERS if self.plural else SINGULAR_DETERMINERS
        )
        self.adjectives = [None, None, None]  # size, state, color
        self.possessor = None

    def parts(self):
        if None in self.adjectives:
            yield 1, self.add_adjective
        if self.possessor:
            yield from self.possessor.parts()
        else:
            yield 2, self.add_possessor

    def add_adjective(self):
        free = [i for i, word in enumerate(self.adjectives) if word is None]
        i = self.draw.choice(free)
        self.adjectives[i] = self.draw.choice(
            (SIZE_ADJECTIVES, STATE_ADJECTIVES, COLOR_ADJECTIVES)[i]
        )

    def add_possessor(self):
        self.possessor = _Possessor(self.draw)

    def write_english(self, writer):
        if self.possessor:
            self.possessor.write_english(writer)
            self.determiner = ("'s", "le", "l'", "la", "l'")
            if self.plural:
                self.determiner = ("'s", "les")
        self.determiner_at = writer.english(self.determiner[0])
        self.adjectives_at = [
            writer.english(adjective[0]) if adjective else None
            for adjective in self.adjectives
        ]
        self.noun_at = writer.english(self.noun[self.plural])

    def write_french(self, writer):
        size, state, color = zip(
            self.adjectives, self.adjectives_at, strict=True
        )
        feminine, noun = self.noun[4], self.noun[2 + self.plural]
        before_vowel = noun[0] in _VOWELS
        if self.plural:
            determiner = self.determiner[1]
        else:
            elide = before_vowel and size[0] is None
            determiner = self.determiner[1 + 2 * feminine + elide]
        writer.french(determiner, self.determiner_at, self.noun_at)
        for word, at in (size, (noun, self.noun_at), color, state):
            if isinstance(word, tuple):
                masculine = 3 if self.plural else 1 + before_vowel
                word = word[4 + self.plural if feminine else masculine]
            if word:
                writer.french(word, at)
        if self.possessor:
            owner_at = self.possessor.noun_at
            writer.french("de", self.determiner_at, owner_at)
            self.possessor.write_french(writer)


class _Possessor(_NounPhrase):
    def __init__(self, draw):
        super().__init__(draw, ANIMATE_NOUNS, singular=True)

    def parts(self):
        if None in self.adjectives:
            yield 1, self.add_adjective


class _Clause:
    def __init__(self, draw):
        self.draw = draw
        self.subject = _NounPhrase(draw, ANIMATE_NOUNS)
        self.object = None
        self.preposition, self.place = None, None
        self.middle_adverb, self.closing_adverb = None, None

    def parts(self):
        yield from self.subject.parts()
        if self.object:
            yield from self.object.parts()
        else:
            yield 2, self.add_object
        if self.place:
            yield from self.place.parts()
        else:
            yield 3, self.add_place
        if not self.middle_adverb:
            yield 1, self.add_middle_adverb
        if not self.closing_adverb:
            yield 1, self.add_closing_adverb

    def add_object(self):
        self.object = _NounPhrase(self.draw)

    def add_place(self):
        self.preposition = self.draw.choice(PREPOSITIONS)
        self.place = _NounPhrase(self.draw)

    def add_middle_adverb(self):
        self.middle_adverb = self.draw.choice(MIDDLE_ADVERBS)

    def add_closing_adverb(self):
        self.closing_adverb = self.draw.choice(CLOSING_ADVERBS)

    def write(self, writer):
        plural = self.subject.plural
        verb = self.draw.choice(
            TRANSITIVE_VERBS if self.object else INTRANSITIVE_VERBS
        )
        adverb, closing = self.middle_adverb, self.closing_adverb

        self.subject.write_english(writer)
        adverb_at = writer.english(adverb[0]) if adverb else None
        verb_at = writer.english(verb[plural])
        if self.object:
            self.object.write_english(writer)
        if self.place:
            preposition_at = writer.english(self.preposition[0])
            self.place.write_english(writer)
        closing_at = writer.english(closing[0]) if closing else None

        if closing:
            writer.french(closing[1], closing_at)
        self.subject.write_french(writer)
        writer.french(verb[2 + plural], verb_at)
        if adverb:
            writer.french(adverb[1], adverb_at)
        if self.object:
            self.object.write_french(writer)
        if self.place:
            for word in self.preposition[1:]:
                writer.french(word, preposition_at)
            self.place.write_french(writer)


class _Writer:
    def __init__(self):
        self.source = []
        self.target = []  # (word, linked positions, possible positions)

    def english(self, word):
        self.source.append(word)
        return len(self.source) - 1

    def french(self, word, position, *possible):
        self.target.append((word, {position}, {*possible}))

    def finish(self):
        for i, word in enumerate(self.source[:-1]):
            if word == "a" and self.source[i + 1][0] in "aeiou":
                self.source[i] = "an"
        target, links, possible_links = [], [], []
        pending = [(" ", set(), set()), *self.target[::-1]]
        while len(pending) > 1:
            word, linked, possible = pending.pop()
            following, following_linked, following_possible = pending[-1]
            if (word, following) in _CONTRACTED:
                word = _CONTRACTED[word, following]
                linked = linked | following_linked
                possible = possible | following_possible
                pending.pop()
            elif word in _ELIDED and following[0] in _VOWELS:
                word = _ELIDED[word]
            if word in _FORM_BEFORE_VOWEL:
                possible = possible | following_linked
            t = len(target)
            links += [(s, t) for s in linked]
            possible_links += [(s, t) for s in possible - linked]
            target.append(word)
        ordered = tuple(sorted(links)), tuple(sorted(possible_links))
        return self.source, target, *ordered
