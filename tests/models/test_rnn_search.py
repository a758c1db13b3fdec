import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.data import TranslationBatches, WordTokenizer
from keras_attention.layers import LocalAttention, LuongAttention
from keras_attention.models import RNNSearch, translator

SIZES = dict(embedding_dim=13, hidden_dim=11, alignment_dim=7, maxout_dim=5)


def small_model(**kwargs):
    keras.utils.set_random_seed(0)
    model = RNNSearch(
        source_vocabulary_size=17, target_vocabulary_size=19, **SIZES, **kwargs
    )
    rng = np.random.default_rng(1)
    # Biases that start at zero would hide a bias left out.
    model.set_weights(
        [w + rng.normal(size=w.shape, scale=0.3) for w in model.get_weights()]
    )
    return model


def token_ids():
    rng = np.random.default_rng(2)
    source = rng.integers(4, 17, (2, 7))
    source[1, 4:] = 0
    target = rng.integers(4, 19, (2, 5))
    return {"encoder_token_ids": source, "decoder_token_ids": target}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(kernel, recurrent, bias, x, h):
    """Appendix A.1.1; Keras's update gate is one minus the paper's."""
    n = len(h)
    w, u, b = (np.split(m, 3, -1) for m in (kernel, recurrent, bias))
    z = sigmoid(x @ w[0] + h @ u[0] + b[0])
    r = sigmoid(x @ w[1] + h @ u[1] + b[1])
    candidate = np.tanh(x @ w[2] + (r * h) @ u[2] + b[2])
    assert candidate.shape == (n,)
    return z * h + (1 - z) * candidate


def reference(model, source, target):
    """Bahdanau et al., 2015, appendix A.2, one sentence at a time."""
    value = ops.convert_to_numpy
    forward, backward = (
        [value(w) for w in layer.cell.weights]
        for layer in (
            model.encoder.forward_layer,
            model.encoder.backward_layer,
        )
    )
    cell = [value(w) for w in model.decoder.cell.weights]
    attention = model.decoder.attention
    W, U, v = map(
        value,
        (
            attention.query_dense.kernel,
            attention.key_dense.kernel,
            attention.score_vector,
        ),
    )
    source_words = value(model.encoder_embedding.embeddings)[source]
    target_words = value(model.decoder_embedding.embeddings)[target]
    states = {}
    for name, weights, order in (
        ("forward", forward, range(len(source))),
        ("backward", backward, reversed(range(len(source)))),
    ):
        h = np.zeros(11)
        for j in order:
            h = gru(*weights, source_words[j], h)
            states[name, j] = h
    annotations = np.stack(
        [
            np.concatenate([states["forward", j], states["backward", j]])
            for j in range(len(source))
        ]
    )
    s = np.tanh(
        states["backward", 0] @ value(model.initial_state.kernel)
        + value(model.initial_state.bias)
    )
    logits, all_scores = [], []
    for word in target_words:
        e = np.array([v @ np.tanh(s @ W + h @ U) for h in annotations])
        scores = np.exp(e) / np.exp(e).sum()
        context = scores @ annotations
        read = np.concatenate([s, word, context])
        pieces = [
            read @ value(dense.kernel) + value(dense.bias)
            for dense in model.deep_outputs
        ]
        deep = np.maximum(*pieces)
        logits.append(
            deep @ value(model.output_dense.kernel)
            + value(model.output_dense.bias)
        )
        s = gru(*cell, np.concatenate([word, context]), s)
        all_scores.append(scores)
    return np.stack(logits), np.stack(all_scores)


def test_it_computes_the_papers_equations():
    model, inputs = small_model(), token_ids()
    logits = ops.convert_to_numpy(model(inputs))
    scores = ops.convert_to_numpy(model.forced_scores(*inputs.values()))
    for row, length in enumerate((7, 4)):
        expected, expected_scores = reference(
            model,
            inputs["encoder_token_ids"][row, :length],
            inputs["decoder_token_ids"][row],
        )
        np.testing.assert_allclose(logits[row], expected, atol=1e-5)
        np.testing.assert_allclose(
            scores[row, :, :length], expected_scores, atol=1e-6
        )
        assert not scores[row, :, length:].any()


def test_stepping_gives_the_logits_of_the_whole_call():
    model, inputs = small_model(), token_ids()
    expected = ops.convert_to_numpy(model(inputs))
    memory, state = model.start(ops.array(inputs["encoder_token_ids"]))
    for t in range(5):
        ids = ops.array(inputs["decoder_token_ids"][:, t : t + 1])
        logits, state, _ = model.step(ids, memory, state)
        np.testing.assert_allclose(
            ops.convert_to_numpy(logits)[:, 0], expected[:, t], atol=1e-5
        )


def test_the_papers_size_has_the_papers_parts():
    config = RNNSearch.presets["rnn_search_bahdanau_2014"]
    assert config["embedding_dim"] == 620
    assert config["hidden_dim"] == config["alignment_dim"] == 1000
    n, m, l_, v = 1000, 620, 500, 30004
    gru_of = lambda inputs: 3 * n * (inputs + n + 1)  # noqa: E731
    expected = (
        2 * v * m
        + 2 * gru_of(m)
        + n * (n + 1)
        + gru_of(m + 2 * n)
        + n * n
        + 2 * n * n
        + n
        + 2 * l_ * (n + m + 2 * n + 1)
        + v * (l_ + 1)
    )
    # A tenth of each vocabulary keeps the test small.
    model = RNNSearch.from_preset(
        "rnn_search_bahdanau_2014",
        source_vocabulary_size=3000,
        target_vocabulary_size=3000,
    )
    difference = (30004 - 3000) * (2 * m + l_ + 1)
    assert model.count_params() == expected - difference


@pytest.mark.parametrize(
    "attention",
    [
        LuongAttention("general"),
        LocalAttention(2, "predictive", "general"),
    ],
    ids=["luong", "local"],
)
def test_it_reads_with_any_attention(attention, tmp_path):
    model, inputs = small_model(attention=attention), token_ids()
    expected = ops.convert_to_numpy(model(inputs))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again.attention) is type(attention)
    np.testing.assert_allclose(
        ops.convert_to_numpy(again(inputs)), expected, atol=1e-6
    )


PAIRS = [
    (" ".join(words), " ".join(reversed(words)).upper())
    for words in (
        np.random.default_rng(i).choice(list("abcdefgh"), 3 + i % 4)
        for i in range(300)
    )
]


@pytest.fixture(scope="module")
def trained():
    """A model that has learnt to reverse and to shout."""
    keras.utils.set_random_seed(0)
    tokenizers = {
        f"{side}_tokenizer": WordTokenizer.train(texts, lowercase=False)
        for side, texts in zip(
            ("source", "target"), zip(*PAIRS, strict=True), strict=True
        )
    }
    model = RNNSearch(
        embedding_dim=16,
        hidden_dim=32,
        alignment_dim=16,
        maxout_dim=16,
        **tokenizers,
    )
    batches = TranslationBatches.from_text(
        PAIRS[:250], *tokenizers.values(), batch_size=50, num_buckets=1
    )
    model.compile(
        keras.optimizers.Adam(0.01, clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
    )
    model.fit(batches, epochs=50, shuffle=False, verbose=0)
    return model


def test_it_learns_to_reverse_and_its_alignment_shows_it(trained):
    sources, targets = map(list, zip(*PAIRS[250:], strict=True))
    results = trained.translate(sources, batch_size=20)
    exact = [r.text == t for r, t in zip(results, targets, strict=True)]
    assert np.mean(exact) >= 0.9
    assert trained.generate(sources) == [r.text for r in results]
    read = [
        row.argmax() == len(r.source_tokens) - 1 - t
        for r in results
        for t, row in enumerate(r.scores[: len(r.source_tokens)])
    ]
    assert np.mean(read) >= 0.8


def test_a_string_gives_a_string_and_order_is_kept(trained):
    together = trained.generate(["a b c d e f", "a", "g h"], batch_size=2)
    alone = [trained.generate(text) for text in ("a b c d e f", "a", "g h")]
    assert together == alone
    assert together[2] == "H G"
    assert trained.generate([]) == trained.align([], []) == []


@pytest.mark.parametrize("num_beams", [1, 3])
def test_the_default_limit_is_that_of_the_sentence_alone(num_beams):
    tokenizer = WordTokenizer.train(["a b c"])
    model = RNNSearch(
        source_tokenizer=tokenizer, target_tokenizer=tokenizer, **SIZES
    )
    bias = np.zeros(tokenizer.vocabulary_size)
    bias[tokenizer.end_id] = -1e9  # never ends
    model.output_dense.bias.assign(bias)
    sources = ["a", "b c " * 10]
    together = model.translate(sources, num_beams=num_beams)
    assert [len(x.target_tokens) for x in together] == [12, 50]
    for one, source in zip(together, sources, strict=True):
        (alone,) = model.translate([source], num_beams=num_beams)
        assert alone.target_tokens == one.target_tokens
        np.testing.assert_allclose(
            alone.hypothesis_score, one.hypothesis_score, rtol=1e-4
        )
    cut = model.translate(sources, num_beams=num_beams, max_length=30)
    assert [len(x.target_tokens) for x in cut] == [30, 30]


def test_long_sentences_are_decoded_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr(translator, "SCORES_AT_ONCE", 2 * 3 * 5 * 10**2)
    rows = [[1] * n for n in (10, 2, 2, 10, 10, 2, 10, 10, 20)]
    sizes = [
        (indices, ids.shape)
        for indices, ids in translator.batches_of(rows, 7, num_beams=5)
    ]
    seen = [i for indices, _ in sizes for i in indices]
    assert sorted(seen) == list(range(9))
    # Three short ones may go with none of ten; three of ten go together.
    assert [len(indices) for indices, _ in sizes] == [3, 3, 2, 1]


def test_a_beam_is_at_least_as_likely_as_greedy(trained):
    sources = [source for source, _ in PAIRS[250:270]]
    greedy = trained.translate(sources)
    beam = trained.translate(sources, num_beams=4, length_penalty=None)
    assert all(
        b.log_probability >= g.log_probability - 1e-4
        for b, g in zip(beam, greedy, strict=True)
    )
    for result, length in [
        *((b, 1) for b in beam),
        *((g, len(g.target_tokens)) for g in greedy),  # the default penalty
    ]:
        score = result.log_probability / length
        assert result.hypothesis_score == pytest.approx(score, rel=1e-5)
    for result in beam:
        assert result.scores.shape == (
            len(result.target_tokens),
            len(result.source_tokens),
        )
        np.testing.assert_allclose(result.scores.sum(-1), 1, atol=1e-4)


def test_a_limit_cuts_translations(trained):
    result = trained.translate(["a b c d e f"], max_length=2)[0]
    assert len(result.target_tokens) == 2


def test_alignments_of_given_translations_are_those_of_its_own(trained):
    sources = [source for source, _ in PAIRS[250:255]]
    own = trained.translate(sources)
    given = trained.align(sources, [result.text for result in own])
    for a, b in zip(own, given, strict=True):
        assert a.target_tokens == b.target_tokens
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-4)


def test_a_preset_folder_brings_back_model_and_tokenizers(trained, tmp_path):
    trained.save_to_preset(tmp_path / "preset")
    again = RNNSearch.from_preset(tmp_path / "preset")
    sources = [source for source, _ in PAIRS[250:260]]
    assert again.generate(sources) == trained.generate(sources)
    assert again.get_config() == trained.get_config()


def test_a_keras_file_brings_back_model_and_tokenizers(trained, tmp_path):
    trained.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.generate(["c b a"]) == trained.generate(["c b a"])


def test_a_vocabulary_that_does_not_match_is_refused(trained, tmp_path):
    trained.save_to_preset(tmp_path)
    other = WordTokenizer.train(["only three words"])
    with pytest.raises(ValueError, match="must match the model"):
        RNNSearch.from_preset(tmp_path, target_tokenizer=other)
    # As many words, two of them in each other's place.
    words = list(trained.target_tokenizer.vocabulary)
    words[5], words[6] = words[6], words[5]
    swapped = WordTokenizer(words, lowercase=False)
    for wrong in (other, swapped):
        wrong.save(tmp_path / "target_tokenizer")
        with pytest.raises(ValueError, match="must hold the vocabulary"):
            RNNSearch.from_preset(tmp_path)


def test_a_published_size_takes_a_vocabulary_of_ones_own(monkeypatch):
    small = dict(embedding_dim=8, hidden_dim=8, alignment_dim=8, maxout_dim=8)
    tokenizer = WordTokenizer.train(["a few words"])
    model = RNNSearch.from_preset(
        "rnn_search_bahdanau_2014",
        source_tokenizer=tokenizer,
        target_tokenizer=tokenizer,
        **small,
    )
    assert model.source_vocabulary_size == tokenizer.vocabulary_size
    assert model.target_vocabulary_size == tokenizer.vocabulary_size


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(), "needs a vocabulary"),
        (
            dict(source_vocabulary_size=0, target_vocabulary_size=3),
            "`source_vocabulary_size` must be a positive integer",
        ),
        (
            dict(
                source_vocabulary_size=3,
                target_vocabulary_size=3,
                hidden_dim=-1,
            ),
            "`hidden_dim` must be a positive integer",
        ),
    ],
)
def test_bad_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RNNSearch(**arguments)


def test_strings_need_tokenizers_and_words(trained):
    with pytest.raises(ValueError, match="needs both tokenizers"):
        small_model().generate("a")
    with pytest.raises(ValueError, match=r"sources\[1\]"):
        trained.generate(["a", " "])
    with pytest.raises(ValueError, match="one target per source"):
        trained.align(["a"], [])
