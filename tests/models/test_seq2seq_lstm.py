import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.data import TranslationBatches, WordTokenizer
from keras_attention.models import Seq2SeqLSTM
from tests.models import lstm_reference as reference
from tests.models.lstm_reference import SIZES, token_ids, value


def small_model(**kwargs):
    keras.utils.set_random_seed(0)
    return reference.with_random_weights(Seq2SeqLSTM(**{**SIZES, **kwargs}))


def logits_of(model, source, target):
    """Sutskever et al., 2014, section 2, one sentence."""
    _, states = reference.read_source(model, source)
    cells = [layer.cell for layer in model.decoder]
    logits = []
    for word in value(model.decoder_embedding.embeddings)[target]:
        h, states = reference.stacked(cells, word, states)
        dense = model.output_dense
        logits.append(h @ value(dense.kernel) + value(dense.bias))
    return np.stack(logits)


@pytest.mark.parametrize("reverse_source", [True, False])
def test_it_computes_the_papers_equations(reverse_source):
    model, inputs = small_model(reverse_source=reverse_source), token_ids()
    logits = value(model(inputs))
    for row, length in enumerate((7, 4)):
        expected = logits_of(
            model,
            inputs["encoder_token_ids"][row, :length],
            inputs["decoder_token_ids"][row],
        )
        np.testing.assert_allclose(logits[row], expected, atol=1e-5)


def test_stepping_gives_the_logits_of_the_whole_call():
    model, inputs = small_model(), token_ids()
    expected = value(model(inputs))
    memory, state = model.start(ops.array(inputs["encoder_token_ids"]))
    for t in range(5):
        ids = ops.array(inputs["decoder_token_ids"][:, t : t + 1])
        logits, state, extras = model.step(ids, memory, state)
        np.testing.assert_allclose(
            value(logits)[:, 0], expected[:, t], atol=1e-5
        )
        assert not extras


def test_padding_changes_nothing():
    model, inputs = small_model(), token_ids()
    expected = value(model(inputs))
    wider = np.pad(inputs["encoder_token_ids"], ((0, 0), (0, 4)))
    np.testing.assert_allclose(
        value(model({**inputs, "encoder_token_ids": wider})),
        expected,
        atol=1e-6,
    )


def test_the_papers_size_has_the_papers_parts():
    config = Seq2SeqLSTM.presets["seq2seq_lstm_sutskever_2014"]
    assert config["embedding_dim"] == config["hidden_dim"] == 1000
    sides = config["source_vocabulary_size"], config["target_vocabulary_size"]
    assert sides == (160_004, 80_004)

    def recurrent(n):
        return 2 * config["num_layers"] * 4 * n * (n + n + 1)

    assert round(recurrent(1000) / 1e6) == 64  # section 3.4
    n, few = 100, 200  # a tenth and less of each keeps the test small
    model = Seq2SeqLSTM.from_preset(
        "seq2seq_lstm_sutskever_2014",
        source_vocabulary_size=few,
        target_vocabulary_size=few,
        embedding_dim=n,
        hidden_dim=n,
    )
    assert model.count_params() == recurrent(n) + few * (3 * n + 1)
    for weights in model.get_weights():
        assert 0.07 < np.abs(weights).max() <= 0.08


PAIRS = [
    (" ".join(digits), " ".join(digits[::-1]))
    for digits in np.random.default_rng(0)
    .integers(0, 10, (9700, 3))
    .astype(str)
]


@pytest.mark.one_backend
def test_it_learns_to_reverse_strings_it_has_not_seen():
    keras.utils.set_random_seed(0)
    tokenizer = WordTokenizer.train(["0 1 2 3 4 5 6 7 8 9"])
    model = Seq2SeqLSTM(
        embedding_dim=32,
        hidden_dim=64,
        num_layers=1,
        initializer_range=None,
        source_tokenizer=tokenizer,
        target_tokenizer=tokenizer,
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
    model.fit(batches, shuffle=False, verbose=0)
    sources, targets = zip(*PAIRS[9600:], strict=True)
    results = model.generate(sources, batch_size=100)
    exact = [a == b for a, b in zip(results, targets, strict=True)]
    assert np.mean(exact) >= 0.9


def test_a_translation_has_no_scores_and_no_limit_of_them(monkeypatch):
    from keras_attention.models import translator

    tokenizer = WordTokenizer.train(["a b c"])
    model = Seq2SeqLSTM(
        embedding_dim=7,
        hidden_dim=5,
        num_layers=1,
        source_tokenizer=tokenizer,
        target_tokenizer=tokenizer,
    )
    sizes = []

    def batches_of(*arguments):
        batches = list(translator_batches(*arguments))
        sizes.extend(len(indices) for indices, _ in batches)
        return batches

    translator_batches = translator.batches_of
    monkeypatch.setattr(translator, "batches_of", batches_of)
    monkeypatch.setattr(translator, "SCORES_AT_ONCE", 1)
    for num_beams in (1, 2):
        results = model.translate(
            ["a b", "c"], num_beams=num_beams, max_length=3
        )
        assert [x.scores for x in results] == [None, None]
        assert len(results[0].target_tokens) == 3 or (
            results[0].target_tokens[-1] == "[end]"
        )
    assert sizes == [2, 2]
    with pytest.raises(ValueError, match="must attend.*a Seq2SeqLSTM"):
        model.align(["a"], ["b"])


def test_it_comes_back_from_files(tmp_path):
    model, inputs = small_model(dtype="mixed_bfloat16"), token_ids()
    expected = value(ops.cast(model(inputs), "float32"))
    model.save_to_preset(tmp_path / "preset")
    model.save(tmp_path / "model.keras")
    for again in (
        Seq2SeqLSTM.from_preset(tmp_path / "preset"),
        keras.saving.load_model(tmp_path / "model.keras"),
    ):
        assert again.get_config() == model.get_config()
        got = value(ops.cast(again(inputs), "float32"))
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_it_quantizes_and_takes_low_rank_updates():
    model, inputs = small_model(), token_ids()
    with pytest.raises(ValueError, match="`layer_names` must name layers"):
        model.enable_lora(2)
    model.enable_lora(2, layer_names=("output",))
    assert {v.name for v in model.trainable_variables} == {
        "bias",
        "lora_kernel_a",
        "lora_kernel_b",
    }
    model = small_model()
    expected = value(model(inputs))
    model.quantize("int8")
    difference = np.abs(value(model(inputs)) - expected).max()
    assert 0 < difference < 0.2
    again = Seq2SeqLSTM.from_config(model.get_config())
    assert again.output_dense.quantization_mode == "int8"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(hidden_dim=0), "`hidden_dim` must be a positive integer"),
        (dict(num_layers=0), "`num_layers` must be a positive integer"),
        (dict(embedding_dim=1.5), "`embedding_dim` must be a positive"),
        (dict(dropout=1.0), r"`dropout` must be a number in \[0, 1\)"),
        (dict(initializer_range=0), "`initializer_range` must be positive"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Seq2SeqLSTM(**{**SIZES, **arguments})
