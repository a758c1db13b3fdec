import io

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.data import MarianTokenizer, WordTokenizer
from keras_attention.models import Seq2SeqLSTM, Transformer

LETTERS = "abcdefghij"
SOURCES = ["a b c d", "e", "j i h"]


@pytest.fixture(scope="module")
def model():
    """Untrained, but with an output that is far from uniform."""
    keras.utils.set_random_seed(0)
    tokenizer = WordTokenizer.train(list(LETTERS))
    model = Transformer(
        num_layers=1,
        hidden_dim=12,
        num_heads=3,
        intermediate_dim=7,
        tie_output=False,
        source_tokenizer=tokenizer,
        target_tokenizer=tokenizer,
    )
    kernel = model.output_layer.kernel
    kernel.assign(np.random.default_rng(5).normal(size=kernel.shape))
    return model


def test_hypotheses_come_best_first_and_begin_with_the_translation(model):
    found = model.hypotheses(SOURCES, num_results=3, num_beams=4, max_length=6)
    best = model.translate(SOURCES, num_beams=4, max_length=6)
    for hypotheses, translation in zip(found, best, strict=True):
        assert len({tuple(x.target_tokens) for x in hypotheses}) == 3
        scores = [x.hypothesis_score for x in hypotheses]
        assert scores == sorted(scores, reverse=True)
        assert hypotheses[0].target_tokens == translation.target_tokens
        for x in hypotheses:
            length = len(x.target_tokens)
            assert x.scores.shape == (length, len(x.source_tokens))
            np.testing.assert_allclose(
                x.hypothesis_score, x.log_probability / length, rtol=1e-5
            )
            assert x.ended == (x.target_tokens[-1] == "[end]")


def test_coverage_ranks_by_what_was_read_of_the_words_alone(model):
    beta = 0.7
    found = model.hypotheses(
        SOURCES,
        num_results=2,
        num_beams=3,
        max_length=5,
        length_penalty=None,
        coverage_beta=beta,
    )
    for x in [x for hypotheses in found for x in hypotheses]:
        coverage = np.log(np.minimum(x.scores.sum(0), 1)).sum()
        np.testing.assert_allclose(
            x.hypothesis_score,
            x.log_probability + beta * coverage,
            rtol=1e-4,
        )


def test_samples_repeat_with_a_seed_and_vary_without(model):
    options = dict(num_results=5, max_length=7, temperature=2.0)
    one, again = (model.sample(SOURCES, seed=1, **options) for _ in range(2))
    other = model.sample(SOURCES, **options)

    def texts(found):
        return [[x.text for x in results] for results in found]

    assert texts(one) == texts(again) != texts(other)
    assert all(len(set(row)) > 1 for row in texts(one))


def test_a_sample_of_the_likeliest_token_is_greedy(model):
    drawn = model.sample(SOURCES, top_k=1, max_length=7)
    greedy = model.translate(SOURCES, max_length=7)
    for (sample,), translation in zip(drawn, greedy, strict=True):
        assert sample.target_tokens == translation.target_tokens
        np.testing.assert_allclose(
            sample.log_probability, translation.log_probability, rtol=1e-5
        )


def test_links_are_those_of_the_largest_scores(model):
    for x in model.translate(SOURCES, max_length=6):
        links = [link.split("-") for link in x.pharaoh().split()]
        assert len(links) == len(x.target_tokens) - x.ended
        for t, (source, target) in enumerate(links):
            assert int(target) == t
            assert x.scores[t, int(source)] == x.scores[t].max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(num_results=3, num_beams=2), "at most `num_beams`"),
        (dict(num_results=1, num_beams=1, coverage_beta=1.0), "needs beams"),
        (dict(batch_size=0), "`batch_size` must be a positive integer"),
        (dict(max_length=0), "`max_length` must be a positive integer"),
    ],
)
def test_bad_arguments_are_told(model, options, message):
    with pytest.raises(ValueError, match=message):
        model.hypotheses(SOURCES, **options)


def test_a_model_without_attention_has_no_coverage_and_no_links():
    tokenizer = WordTokenizer.train(list(LETTERS))
    model = Seq2SeqLSTM(
        embedding_dim=3,
        hidden_dim=5,
        num_layers=1,
        source_tokenizer=tokenizer,
        target_tokenizer=tokenizer,
    )
    with pytest.raises(ValueError, match="a model with attention"):
        model.translate(SOURCES, num_beams=2, coverage_beta=0.1)
    for replace_unknown in (True, {"a": "b"}):
        with pytest.raises(ValueError, match="the model must attend"):
            model.translate(SOURCES, replace_unknown=replace_unknown)
    (translation,) = model.translate(["a b"], max_length=2)
    with pytest.raises(ValueError, match="does not attend"):
        translation.pharaoh()


class Scripted(Seq2SeqLSTM):
    """Writes and reads as a table says, by the token before.

    Args:
        script: For each token the probabilities of the next ones and the
            scores by which they are read.
    """

    step_extras = ("scores",)

    def follow(self, script):
        tokenizer = self.target_tokenizer
        size = tokenizer.vocabulary_size
        # What is not in the script ends at once.
        self.probabilities = np.full((size, size), 1e-9, "float32")
        self.probabilities[:, tokenizer.end_id] = 1.0
        self.reads = np.zeros((size, 8), "float32")
        names = tokenizer.tokens(range(size))
        for token, (following, scores) in script.items():
            row = names.index(token)
            for name, probability in following.items():
                self.probabilities[row, names.index(name)] = probability
            self.reads[row, : len(scores)] = scores
        return self

    def start(self, encoder_token_ids, max_length, num_beams):
        return {}, {"last": ops.zeros_like(encoder_token_ids[:, 0])}

    def step(self, token_ids, memory, state):
        def rows(table):
            return ops.take(ops.convert_to_tensor(table), token_ids, axis=0)

        logits = ops.log(rows(self.probabilities))
        return logits, state, {"scores": rows(self.reads)}


def scripted(script, source_tokenizer=None, targets="le chat noir dort"):
    return Scripted(
        embedding_dim=2,
        hidden_dim=2,
        num_layers=1,
        source_tokenizer=source_tokenizer
        or WordTokenizer.train(["the black cat"]),
        target_tokenizer=WordTokenizer.train([targets]),
    ).follow(script)


# Reads, at each step, another word of "The black Wumpus"; padding is at 3.
GREEDY = {
    "[start]": ({"le": 9.0}, [0.9, 0.1, 0.0]),
    "le": ({"[unk]": 9.0}, [0.1, 0.3, 0.5, 0.9]),
    "[unk]": ({"noir": 9.0}, [0.2, 0.7, 0.1]),
    "noir": ({"[end]": 9.0}, [0.8, 0.1, 0.1]),
}


def test_an_unknown_word_becomes_the_source_word_that_it_read():
    model = scripted(GREEDY)
    (plain,) = model.translate(["The black Wumpus"])
    assert plain.text == "le [unk] noir"
    assert plain.source_tokens == ["the", "black", "[unk]"]

    (x,) = model.translate(["The black Wumpus"], replace_unknown=True)
    # Not "The" or "black", which were read a step before and after it.
    assert x.text == "le Wumpus noir"
    assert x.source_tokens == ["The", "black", "Wumpus"]
    assert x.target_tokens == ["le", "Wumpus", "noir", "[end]"]
    np.testing.assert_array_equal(x.scores, plain.scores)
    assert x[4:] == plain[4:] and x.pharaoh() == plain.pharaoh()
    # A known word is copied too, if it is that which was read.
    assert model.generate("a Wumpus cat", replace_unknown=True) == "le cat noir"


@pytest.mark.parametrize(
    ("dictionary", "text"),
    [
        ({"Wumpus": "Wumpe", "wumpus": "other"}, "le Wumpe noir"),
        ({"wumpus": "Wumpe d'eau"}, "le Wumpe d'eau noir"),
        ({"black": "noir", "[unk]": "rien"}, "le Wumpus noir"),
        ({}, "le Wumpus noir"),
    ],
)
def test_a_dictionary_goes_before_copying(dictionary, text):
    model = scripted(GREEDY)
    source = "The black Wumpus"
    assert model.generate(source, replace_unknown=dictionary) == text


def test_each_hypothesis_copies_what_it_read_itself():
    model = scripted(
        {
            "[start]": ({"le": 0.6, "chat": 0.4, "[end]": 1e-9}, [1.0]),
            "le": ({"[unk]": 1.0, "[end]": 1e-9}, [0.1, 0.0, 0.9]),
            "chat": ({"[unk]": 1.0, "[end]": 1e-9}, [0.3, 0.6, 0.1]),
            "[unk]": ({}, [0.9, 0.0, 0.1]),
        }
    )
    found = model.hypotheses(
        ["Ann Bob Cyd", "Dan Eve Fay"],
        num_results=2,
        num_beams=2,
        replace_unknown=True,
    )
    assert [[x.text for x in hypotheses] for hypotheses in found] == [
        ["le Cyd", "chat Bob"],
        ["le Fay", "chat Eve"],
    ]


def test_what_reads_nothing_or_is_not_unknown_stays_as_it_is():
    script = {**GREEDY, "le": (GREEDY["le"][0], [0.0, 0.0, 0.0, 0.9])}
    model = scripted(script)
    assert model.generate("a b c", replace_unknown=True) == "le [unk] noir"
    script = {**GREEDY, "le": ({"noir": 9.0}, GREEDY["le"][1])}
    assert scripted(script).generate("a b c", replace_unknown=True) == "le noir"


def test_pieces_are_copied_and_the_end_of_the_source_never():
    sentencepiece = pytest.importorskip("sentencepiece")
    pieces = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the cats sleep", "the dogs"] * 9),
        model_writer=pieces,
        vocab_size=16,
        minloglevel=2,
    )
    known = ["▁", "t", "h", "e", "▁dogs"]
    tokenizer = MarianTokenizer(
        pieces.getvalue(), ["<pad>", "<unk>", "</s>", *known]
    )
    # ▁dogs ▁ 猫犬 </s>, read mostly at the end, then at the letters.
    reads = [0.1, 0.1, 0.3, 0.5]
    model = scripted({**GREEDY, "le": (GREEDY["le"][0], reads)}, tokenizer)
    (x,) = model.translate(["dogs 猫犬"], replace_unknown=True)
    assert x.source_tokens == ["▁dogs", "▁", "猫犬", "</s>"]
    assert x.text == "le 猫犬 noir"


@pytest.mark.parametrize("value", ["lexicon.tsv", 1, {"a": ""}, {"a": 3}])
def test_words_are_replaced_by_words_alone(model, value):
    with pytest.raises(ValueError, match="a mapping from source words"):
        model.translate(SOURCES, replace_unknown=value)
