import keras
import numpy as np
import pytest

from keras_attention.data import WordTokenizer
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
    (translation,) = model.translate(["a b"], max_length=2)
    with pytest.raises(ValueError, match="does not attend"):
        translation.pharaoh()
