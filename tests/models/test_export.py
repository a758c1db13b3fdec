"""A search that is exported finds, without the library, what it found."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_attention.data import WordTokenizer
from keras_attention.data.tokenizers import load_tokenizer
from keras_attention.models.export import SpecialIds
from tests.model_checks import SOURCE, TARGET, make

BACKEND = keras.backend.backend()
on_tensorflow = pytest.mark.skipif(
    BACKEND != "tensorflow", reason="only TensorFlow exports"
)

SENTENCES = ["a b c d", "e", "j i h", "a c e g i b d f h j", "b a"]
MODELS = "RNNSearch", "Seq2SeqLSTM", "LuongNMT, local", "Transformer"


def padded(sentences, behind=0):
    rows = SOURCE.tokenize(sentences)
    ids = np.zeros((len(rows), max(map(len, rows)) + behind), "int32")
    for b, row in enumerate(rows):
        ids[b, : len(row)] = row
    return ids


def check_same(served, hypotheses, attends):
    """What was served is, result by result, what `hypotheses` returned."""
    served = {name: np.array(value) for name, value in served.items()}
    assert ("scores" in served) == attends
    for b, found in enumerate(hypotheses):
        assert (served["lengths"][b] > 0).sum() == len(found)
        for n, expected in enumerate(found):
            length = served["lengths"][b, n]
            ids = served["token_ids"][b, n]
            assert TARGET.tokens(ids[:length]) == expected.target_tokens
            assert (ids[length:] == TARGET.pad_id).all()
            for name, value in (
                ("log_probabilities", expected.log_probability),
                ("hypothesis_scores", expected.hypothesis_score),
            ):
                np.testing.assert_allclose(
                    served[name][b, n], value, rtol=1e-4, atol=1e-5
                )
            if attends:
                readable = len(expected.source_tokens)
                scores = served["scores"][b, n]
                np.testing.assert_allclose(
                    scores[:length, :readable], expected.scores, atol=1e-5
                )
                assert not scores[length:].any()
                assert not scores[:, readable:].any()


@on_tensorflow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "options",
    [
        dict(num_beams=1, num_results=1),
        dict(
            num_beams=3,
            num_results=2,
            length_penalty="gnmt",
            length_alpha=0.7,
            coverage_beta=0.3,
            early_stopping=True,
        ),
    ],
    ids=["greedy", "beams"],
)
def test_a_saved_model_finds_the_same_hypotheses(name, options, tmp_path):
    import tensorflow as tf

    model = make(name)
    if not model.attends:
        options = {**options, "coverage_beta": 0.0}
    model.export_translator(tmp_path / "served", **options)
    loaded = tf.saved_model.load(tmp_path / "served")
    # In one batch, padded to 16 tokens.
    found = model.hypotheses(SENTENCES, **options)
    for rows, padding in ((slice(0, 3), 0), (slice(3, 5), 5)):
        sentences = SENTENCES[rows]
        served = loaded.serve(padded(sentences, padding))
        check_same(served, found[rows], model.attends)
        longest = max(map(len, SOURCE.tokenize(sentences)))
        assert served["token_ids"].shape[2] == 2 * longest + 10


# A program on a machine that has neither this library nor Keras. TensorFlow
# would import Keras by itself, where it finds it.
PROGRAM = """
import sys

sys.modules["keras"] = sys.modules["keras_attention"] = None
import numpy as np
import tensorflow as tf

served, ids, found = sys.argv[1:]
loaded = tf.saved_model.load(served)
serve = loaded.signatures["serving_default"]
outputs = serve(encoder_token_ids=tf.constant(np.load(ids)))
assert not any(
    module
    for name, module in sys.modules.items()
    if name.partition(".")[0] in ("keras", "keras_attention")
)
np.savez(found, **{name: x.numpy() for name, x in outputs.items()})
"""


@pytest.mark.one_backend
@on_tensorflow
def test_tensorflow_alone_serves_it(tmp_path):
    model = make("LuongNMT, local")
    options = dict(num_beams=2, num_results=2, max_length=6)
    model.export_translator(tmp_path / "served", **options)
    np.save(tmp_path / "ids.npy", padded(SENTENCES[:3]))
    subprocess.run(
        [
            sys.executable,
            "-c",
            PROGRAM,
            *(tmp_path / name for name in ("served", "ids.npy", "found.npz")),
        ],
        check=True,
        cwd=tmp_path,
    )
    with np.load(tmp_path / "found.npz") as served:
        found = model.hypotheses(SENTENCES[:3], **options)
        check_same(served, found, attends=True)
        assert served["token_ids"].shape == (3, 2, 6)
    for side, tokenizer in (("source", SOURCE), ("target", TARGET)):
        read = load_tokenizer(tmp_path / "served" / f"{side}_tokenizer")
        assert read.fingerprint() == tokenizer.fingerprint()


@on_tensorflow
def test_a_model_without_tokenizers_is_told_the_special_ids(tmp_path):
    import tensorflow as tf

    # Of Marian's kind: padding is the last id, and starts the target.
    pad, end = 13, 0
    model = make(
        "Transformer",
        source_vocabulary_size=14,
        target_vocabulary_size=14,
        share_embeddings=True,
        output_bias=True,
        position_layout="halves",
        pad_token_id=pad,
    )
    special_ids = (pad, pad, end)
    model.export_translator(tmp_path / "served", special_ids=special_ids)
    assert not list((tmp_path / "served").glob("*_tokenizer"))
    loaded = tf.saved_model.load(tmp_path / "served")
    ids = np.array([[1, 5, pad, pad], [9, 0, 4, pad]], "int32")
    served = loaded.serve(ids)
    search = model._searcher(
        16,
        num_beams=1,
        ids=SpecialIds(*special_ids),
        length_penalty="average",
        length_alpha=1.0,
    )
    found = search(tf.constant(ids), tf.constant([14, 16], tf.int32))
    for name in ("token_ids", "lengths"):
        np.testing.assert_array_equal(served[name], getattr(found, name))
    np.testing.assert_allclose(
        served["hypothesis_scores"], found.hypothesis_scores, rtol=1e-4
    )


@on_tensorflow
def test_special_ids_are_told_once(tmp_path):
    sizes = dict(source_vocabulary_size=14, target_vocabulary_size=12)
    for model, ids in (
        (make("Seq2SeqLSTM", **sizes), None),
        (make("Seq2SeqLSTM"), (0, 2, 3)),
    ):
        with pytest.raises(ValueError, match="must come from its tokenizer"):
            model.export_translator(tmp_path / "served", special_ids=ids)
    assert not list(tmp_path.iterdir())


@on_tensorflow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(num_beams=2, num_results=3), "at most `num_beams`"),
        (dict(num_beams=1, coverage_beta=1.0), "needs beams"),
        (dict(num_beams=2, coverage_beta=1.0), "a model with attention"),
        (dict(max_length=0), "`max_length` must be a positive integer"),
        (dict(length_penalty="lenght"), "`length_penalty` must be one of"),
    ],
)
def test_bad_arguments_leave_nothing_behind(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        make("Seq2SeqLSTM").export_translator(tmp_path / "served", **options)
    assert not list(tmp_path.iterdir())


@on_tensorflow
def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(self, folder):
        raise OSError("the disk is full")

    monkeypatch.setattr(WordTokenizer, "save", fail)
    with pytest.raises(OSError, match="the disk is full"):
        make("Seq2SeqLSTM").export_translator(tmp_path / "served")
    assert not list(tmp_path.iterdir())


@on_tensorflow
def test_what_is_there_is_left_alone(tmp_path):
    model = make("Seq2SeqLSTM")
    (tmp_path / "notes.txt").write_text("mine")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(ValueError, match="must not hold anything"):
            model.export_translator(path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@on_tensorflow
def test_no_kernel_of_a_gpu_is_written(tmp_path, monkeypatch):
    # Where there is a GPU, Keras's LSTM asks for its kernel, unless told.
    asked = []

    def lstm(*args, **kwargs):
        asked.append(args)
        raise NotImplementedError

    monkeypatch.setattr("keras.src.backend.lstm", lstm)
    model = make("Seq2SeqLSTM")
    before = [layer.use_cudnn for layer in model.encoder]
    asked.clear()
    model.export_translator(tmp_path / "served")
    assert not asked
    assert (
        [layer.use_cudnn for layer in model.encoder] == before == ["auto"] * 2
    )


@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow exports")
def test_other_backends_say_how_to_export(tmp_path):
    with pytest.raises(RuntimeError, match="KERAS_BACKEND=tensorflow") as error:
        make("Seq2SeqLSTM").export_translator(tmp_path / "served")
    assert f"the backend {BACKEND}" in str(error.value)
    assert not list(tmp_path.iterdir())
