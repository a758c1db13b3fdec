import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.data import TranslationBatches, WordTokenizer
from keras_attention.models import LuongNMT
from tests.models import lstm_reference as reference
from tests.models.lstm_reference import (
    SIZES,
    sigmoid,
    softmax,
    token_ids,
    value,
)

CHOICES = [
    dict(score="dot", input_feeding=True),
    dict(score="general", input_feeding=False, reverse_source=False),
    dict(score="concat", input_feeding=False),
    dict(score="location", max_length=7, input_feeding=True),
    dict(score="dot", alignment="local_monotonic", input_feeding=False),
    dict(score="general", alignment="local_predictive", input_feeding=True),
    dict(score="concat", alignment="local_predictive", input_feeding=False),
]


def label(choices):
    return "-".join(str(x) for x in choices.values())


def small_model(**kwargs):
    keras.utils.set_random_seed(0)
    # A window that leaves something out of a source of seven.
    model = LuongNMT(**{**SIZES, "window": 2, **kwargs})
    return reference.with_random_weights(model)


def scores_of(model, query, annotations, t):
    """Luong et al., 2015, sections 3.1 and 3.2, the equations 7 to 10."""
    layer = model.decoder.attention
    positions = np.arange(len(annotations))
    if model.score == "location":
        logits = (query @ value(layer.location_dense.kernel))[positions]
    else:
        kernels = {
            name: value(dense.kernel)
            for name in ("query", "key")
            if (dense := getattr(layer, f"{name}_dense")) is not None
        }
        logits = np.array(
            [
                {
                    "dot": lambda g: query @ g,
                    "general": lambda g: query @ kernels["query"] @ g,
                    "concat": lambda g: (
                        value(layer.score_vector)
                        @ np.tanh(query @ kernels["query"] + g @ kernels["key"])
                    ),
                }[model.score](g)
                for g in annotations
            ]
        )
    if model.alignment == "global":
        return softmax(logits)
    centre, gaussian = t, 1.0
    if model.alignment == "local_predictive":
        hidden = np.tanh(query @ value(layer.position_dense.kernel))
        share = sigmoid(hidden @ value(layer.position_vector))
        centre = len(annotations) * share
        sigma = model.window / 2
        gaussian = np.exp(-((positions - centre) ** 2) / (2 * sigma**2))
    inside = np.abs(positions - centre) <= model.window
    scores = np.zeros(len(annotations))
    if inside.any():
        scores[inside] = softmax(logits[inside])
    return scores * gaussian


def run(model, source, target):
    """Luong et al., 2015, section 3, one sentence: logits and scores."""
    annotations, states = reference.read_source(model, source)
    if model.input_feeding:
        cells = model.decoder.cell.cells
    else:
        cells = [layer.cell for layer in model.decoder.stack]
    fed = np.zeros(model.hidden_dim)
    logits, all_scores = [], []
    for t, word in enumerate(value(model.decoder_embedding.embeddings)[target]):
        x = np.concatenate([word, fed]) if model.input_feeding else word
        h, states = reference.stacked(cells, x, states)
        scores = scores_of(model, h, annotations, t)
        read = np.concatenate([scores @ annotations, h])
        fed = np.tanh(read @ value(model.decoder.attentional_dense.kernel))
        logits.append(fed @ value(model.output_dense.kernel))
        all_scores.append(scores)
    return np.stack(logits), np.stack(all_scores)


@pytest.mark.parametrize("choices", CHOICES, ids=label)
def test_it_computes_the_papers_equations_called_and_stepped(choices):
    model, inputs = small_model(**choices), token_ids()
    logits = value(model(inputs))
    scores = value(model.forced_scores(*map(ops.array, inputs.values())))
    for row, length in enumerate((7, 4)):
        expected, expected_scores = run(
            model,
            inputs["encoder_token_ids"][row, :length],
            inputs["decoder_token_ids"][row],
        )
        np.testing.assert_allclose(logits[row], expected, atol=1e-5)
        np.testing.assert_allclose(
            scores[row, :, :length], expected_scores, atol=1e-6
        )
        assert not scores[row, :, length:].any()
    memory, state = model.start(ops.array(inputs["encoder_token_ids"]))
    for t in range(5):
        ids = ops.array(inputs["decoder_token_ids"][:, t : t + 1])
        stepped, state, extras = model.step(ids, memory, state)
        np.testing.assert_allclose(
            value(stepped)[:, 0], logits[:, t], atol=1e-5
        )
        np.testing.assert_allclose(
            value(extras["scores"])[:, 0], scores[:, t], atol=1e-6
        )


def test_padding_changes_nothing():
    model, inputs = small_model(**CHOICES[5]), token_ids()
    expected = value(model(inputs))
    wider = np.pad(inputs["encoder_token_ids"], ((0, 0), (0, 4)))
    np.testing.assert_allclose(
        value(model({**inputs, "encoder_token_ids": wider})),
        expected,
        atol=1e-6,
    )


FITTED = [
    dict(score="general", alignment="local_predictive", dropout=0.1),
    dict(score="dot"),
    dict(score="concat", input_feeding=False),
    dict(score="location", max_length=7, input_feeding=False),
    dict(score="general", alignment="local_monotonic", input_feeding=False),
]


def fits(choices, jit_compile):
    """Whether a step of `fit` changes every weight to a finite one."""
    model = small_model(**choices, num_layers=1)
    before = model.get_weights()
    inputs = token_ids()
    model.compile(
        keras.optimizers.SGD(1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit_compile,
    )
    model.fit(inputs, inputs["decoder_token_ids"], verbose=0)
    changes = [
        np.abs(value(variable) - old).max()
        for variable, old in zip(model.weights, before, strict=True)
    ]
    return all(np.isfinite(x) and x > 0 for x in changes)


@pytest.mark.parametrize("choices", FITTED, ids=label)
def test_a_step_of_fit_reaches_every_weight(choices):
    # The default: XLA takes three times as long to compile on TensorFlow.
    assert fits(choices, jit_compile="auto")


@pytest.mark.slow
@pytest.mark.one_backend
@pytest.mark.parametrize("choices", FITTED, ids=label)
def test_a_step_of_fit_reaches_every_weight_under_xla(choices):
    assert fits(choices, jit_compile=True)


def test_the_papers_size_has_the_papers_parts():
    config = LuongNMT.presets["luong_nmt_2015"]
    assert config["embedding_dim"] == config["hidden_dim"] == 1000
    assert config["source_vocabulary_size"] == 50_004
    n, few = 100, 200  # a tenth and less of each keeps the test small
    model = LuongNMT.from_preset(
        "luong_nmt_2015",
        source_vocabulary_size=few,
        target_vocabulary_size=few,
        embedding_dim=n,
        hidden_dim=n,
    )
    lstms = 2 * 4 * 4 * n * (n + n + 1) + 4 * n * n  # and what is fed back
    attention = n * n + n * n + n  # W_a, W_p and v_p
    vectors = 2 * n * n
    assert model.count_params() == lstms + attention + vectors + few * 3 * n
    for weights in model.get_weights():
        if np.issubdtype(weights.dtype, np.floating):
            assert 0.08 < np.abs(weights).max() <= 0.1


PAIRS = [
    (" ".join(digits), " ".join(digits[::-1]))
    for digits in np.random.default_rng(0)
    .integers(0, 10, (9700, 10))
    .astype(str)
]
SOURCES, TARGETS = map(list, zip(*PAIRS[9600:], strict=True))


def train(epochs=1, **choices):
    """A small model after 150 batches of digits to turn around, or more."""
    keras.utils.set_random_seed(0)
    tokenizer = WordTokenizer.train(["0 1 2 3 4 5 6 7 8 9"])
    model = LuongNMT(
        embedding_dim=32,
        hidden_dim=64,
        num_layers=1,
        initializer_range=None,
        source_tokenizer=tokenizer,
        target_tokenizer=tokenizer,
        **choices,
    )
    batches = TranslationBatches.from_text(
        PAIRS[:9600], tokenizer, tokenizer, batch_size=64, num_buckets=1
    )
    model.compile(
        keras.optimizers.Adam(0.01, clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
        jit_compile=keras.backend.backend() != "torch",
    )
    model.fit(batches, epochs=epochs, shuffle=False, verbose=0)
    return model


def solved(model):
    """Shares of translations that are right, and of words read rightly."""
    results = model.translate(SOURCES, batch_size=100)
    exact = [r.text == t for r, t in zip(results, TARGETS, strict=True)]
    read = [
        row.argmax() == 9 - t
        for r in results
        for t, row in enumerate(r.scores[:10])
    ]
    return np.mean(exact), np.mean(read)


@pytest.fixture(scope="module")
def trained():
    return train(score="general")


@pytest.mark.one_backend
def test_it_learns_to_reverse_and_its_alignment_is_the_antidiagonal(trained):
    exact, read = solved(trained)
    assert exact >= 0.99
    assert read >= 0.99


@pytest.mark.slow
@pytest.mark.one_backend
@pytest.mark.parametrize(
    "choices",
    [
        dict(score="general", alignment="local_predictive", window=2),
        dict(score="dot", epochs=2),
        dict(score="concat", epochs=2),
        dict(score="location", max_length=10),
        dict(score="general", input_feeding=False),
    ],
    ids=label,
)
def test_every_way_to_find_the_last_word_first_learns_to_reverse(choices):
    exact, read = solved(train(**choices))
    assert exact >= 0.99
    assert read >= 0.95


@pytest.mark.slow
@pytest.mark.one_backend
def test_monotonic_windows_cannot_read_backwards():
    exact, read = solved(
        train(score="general", alignment="local_monotonic", window=2)
    )
    assert exact <= 0.1
    assert read <= 0.5


@pytest.mark.one_backend
def test_alignments_of_given_translations_are_those_of_its_own(trained):
    own = trained.translate(SOURCES[:5])
    given = trained.align(SOURCES[:5], [result.text for result in own])
    for a, b in zip(own, given, strict=True):
        assert a.target_tokens == b.target_tokens
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-4)


@pytest.mark.one_backend
def test_beams_carry_states_and_what_is_fed_back(trained):
    greedy = trained.translate(SOURCES[:7])
    beam = trained.translate(SOURCES[:7], num_beams=3, length_penalty=None)
    for g, b in zip(greedy, beam, strict=True):
        assert b.log_probability >= g.log_probability - 1e-4
        (given,) = trained.align([" ".join(b.source_tokens)], [b.text])
        np.testing.assert_allclose(b.scores, given.scores, atol=1e-4)


def test_a_source_of_the_longest_length_fits_with_its_padding():
    tokenizer = WordTokenizer.train(["a b c"])
    model = LuongNMT(
        embedding_dim=7,
        hidden_dim=5,
        num_layers=1,
        score="location",
        max_length=5,
        source_tokenizer=tokenizer,
        target_tokenizer=tokenizer,
    )
    (result,) = model.translate(["a b c b a"], max_length=2)
    assert result.scores.shape == (2, 5) or len(result.target_tokens) == 1
    assert model.get_config()["max_length"] == 5
    with pytest.raises(ValueError, match="must not be longer than"):
        model.translate(["a b c " * 3], max_length=2)


@pytest.mark.parametrize("choices", [CHOICES[3], CHOICES[6]], ids=label)
def test_it_comes_back_from_files(choices, tmp_path):
    model = small_model(**choices, dtype="mixed_bfloat16")
    inputs = token_ids()
    expected = value(ops.cast(model(inputs), "float32"))
    model.save_to_preset(tmp_path / "preset")
    model.save(tmp_path / "model.keras")
    for again in (
        LuongNMT.from_preset(tmp_path / "preset"),
        keras.saving.load_model(tmp_path / "model.keras"),
    ):
        assert again.get_config() == model.get_config()
        got = value(ops.cast(again(inputs), "float32"))
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_it_quantizes_and_takes_low_rank_updates():
    model = small_model()
    inputs = token_ids()
    expected = value(model(inputs))
    model.enable_lora(2)
    names = {v.path.split("/")[-2] for v in model.trainable_variables}
    assert names == {"query"}
    model = small_model()
    model.quantize("int8")
    assert model.decoder.attentional_dense.quantization_mode == "int8"
    quantized = value(model(inputs))
    assert 0 < np.abs(quantized - expected).max() < 0.3
    again = LuongNMT.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(value(again(inputs)), quantized, atol=1e-6)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(hidden_dim=0), "`hidden_dim` must be a positive integer"),
        (dict(num_layers=0), "`num_layers` must be a positive integer"),
        (dict(score="product"), "`score` must be one of 'dot', 'general'"),
        (dict(alignment="local"), "`alignment` must be one of 'global'"),
        (dict(window=0), "`window` must be a positive integer"),
        (dict(score="location"), "`max_length` must be a positive integer"),
        (dict(max_length=7), "Leave it out"),
        (
            dict(score="location", max_length=7, alignment="local_monotonic"),
            'score="location" needs alignment="global"',
        ),
        (dict(initializer_range=-1), "`initializer_range` must be positive"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LuongNMT(**{**SIZES, **arguments})
