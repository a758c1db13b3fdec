import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.data import WordTokenizer
from keras_attention.layers import TransformerEncoderBlock
from keras_attention.losses import SparseCategoricalCrossentropy
from keras_attention.models import ConvEncoder, TransformerCaptioner
from keras_attention.ops import hypothesis_cache
from tests.models.torch_captioner import TorchCaptioner

GRID, C, T, V = (2, 3), 7, 5, 13
B, S = 3, 6
CAPTIONS = ["a red ring and a blue cross", "a blue ring", "a red cross"]
LOSS = SparseCategoricalCrossentropy()


def numpy(x):
    return ops.convert_to_numpy(x)


def make(**options):
    """With weights that all matter: norms and biases too are random."""
    keras.utils.set_random_seed(5)
    options = {
        "vocabulary_size": V,
        "feature_shape": (*GRID, C),
        "num_layers": 2,
        "hidden_dim": 22,
        "num_heads": 11,
        "intermediate_dim": 17,
        "dropout": 0.0,
        **options,
    }
    model = TransformerCaptioner(**options)
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if weight.path.endswith(("bias", "beta", "gamma")):
            noise = 0.3 * rng.standard_normal(weight.shape)
            weight.assign(numpy(ops.cast(weight, "float32")) + noise)
    return model


def batch(vocabulary=V):
    rng = np.random.default_rng(0)
    ids = rng.integers(1, vocabulary, (B, T + 1)).astype("int32")
    weights = np.ones((B, T), "float32")
    weights[0, 2:] = 0
    x = {
        "features": rng.normal(size=(B, *GRID, C)).astype("float32"),
        "decoder_token_ids": ids[:, :-1],
    }
    return x, ids[:, 1:], weights


OPTIONS = {
    "pre-norm": {},
    "post-norm": dict(normalize_first=False),
    "coordinates": dict(coordinates=True, tie_output=False),
    "pre-norm encoder": dict(num_encoder_layers=2),
    "post-norm encoder": dict(
        num_encoder_layers=1, normalize_first=False, coordinates=True
    ),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_it_computes_what_torch_does_with_its_weights(name):
    model = make(**OPTIONS[name])
    x, _, _ = batch()
    logits, scores = TorchCaptioner(model)(x)
    np.testing.assert_allclose(numpy(model(x)), logits, atol=5e-5)
    read = model.forced(*map(ops.array, x.values()))
    np.testing.assert_allclose(numpy(read["scores"]), scores, atol=1e-5)


def test_stepping_is_calling(monkeypatch):
    """Of two hypotheses, through several segments of the cache."""
    monkeypatch.setattr(hypothesis_cache, "FIRST", 2)
    model = make(num_encoder_layers=1, coordinates=True)
    x, _, _ = batch()
    source, ids = map(ops.array, x.values())
    memory, state = model.start(source, T, 2)
    state["slots"] = ops.repeat(state["slots"], 2, axis=0)  # as a search does
    expected = numpy(model(x))
    forced = numpy(model.forced(source, ids)["scores"])
    for t in range(T):
        words = ops.repeat(ids[:, t : t + 1], 2, axis=1)
        logits, state, read = model.step(words, memory, state)
        for k in range(2):
            np.testing.assert_allclose(
                numpy(logits)[:, k], expected[:, t], atol=2e-5
            )
            np.testing.assert_allclose(
                numpy(read["scores"])[:, k], forced[:, t], atol=1e-5
            )


@pytest.mark.parametrize("num_beams", [1, 3])
def test_captions_are_what_the_whole_call_scores(num_beams, monkeypatch):
    monkeypatch.setattr(hypothesis_cache, "FIRST", 2)
    words = WordTokenizer.train(CAPTIONS)
    model = make(vocabulary_size=None, tokenizer=words, tie_output=False)
    rng = np.random.default_rng(2)
    # Words that do not follow themselves, or one would be written for ever.
    table = rng.normal(size=(words.vocabulary_size, 22))
    model.get_layer("decoder_embedding").embeddings.assign(table)
    kernel = rng.normal(size=table.T.shape) - table.T
    model.get_layer("output").kernel.assign(kernel)
    source = batch()[0]["features"]
    found = model.hypotheses(source, num_beams, num_beams, max_length=7)
    assert [len(row) for row in found] == [num_beams] * B
    found = [caption for row in found for caption in row]
    names = words.tokens(range(words.vocabulary_size))
    written = [[names.index(token) for token in c.tokens] for c in found]
    assert max(map(len, written)) > 4
    assert max(len(set(ids)) for ids in written) > 2
    given = np.full((len(found), 7), words.start_id, "int32")
    for row, ids in zip(given, written, strict=True):
        row[1 : len(ids)] = ids[:-1]
    source = np.repeat(source, num_beams, axis=0)
    logits = model({"features": source, "decoder_token_ids": given})
    likely = numpy(ops.log_softmax(logits))
    scores = model.forced(ops.array(source), ops.array(given))["scores"]
    scores = numpy(scores).reshape(-1, 7, *GRID)
    for row, (caption, ids) in enumerate(zip(found, written, strict=True)):
        length = len(ids)
        total = likely[row, np.arange(length), ids].sum()
        assert caption.log_probability == pytest.approx(total, abs=1e-4)
        assert caption.scores.shape == (length, *GRID)
        np.testing.assert_allclose(
            caption.scores, scores[row, :length], atol=1e-5
        )
        if num_beams == 1:
            likely[row, :, [words.pad_id, words.start_id]] = -np.inf
            assert likely[row, :length].argmax(-1).tolist() == ids


def test_each_word_reads_all_places_and_nothing_else():
    words = WordTokenizer.train(CAPTIONS)
    model = make(vocabulary_size=None, tokenizer=words)
    x, _, _ = batch()
    for caption in model.align(x["features"], CAPTIONS):
        assert caption.scores.shape == (len(caption.tokens), *GRID)
        np.testing.assert_allclose(caption.scores.sum((1, 2)), 1, atol=1e-5)
        assert caption.scores.min() > 0
    with pytest.raises(ValueError, match="was made for features of shape"):
        model.caption(x["features"][:, :, :2])


@pytest.mark.parametrize("coordinates", [False, True])
def test_places_are_a_set_unless_they_know_where_they_are(coordinates):
    model = make(num_encoder_layers=1, coordinates=coordinates)
    x, _, _ = batch()
    turned = {**x, "features": x["features"][:, ::-1]}
    moved = np.abs(numpy(model(turned)) - numpy(model(x))).max()
    assert moved > 0.05 if coordinates else moved < 2e-5


def test_features_of_any_size_are_read_alike():
    model = make()
    model.get_layer("project_features").bias.assign(np.zeros(22))
    x, _, _ = batch()
    larger = {**x, "features": 1000 * x["features"]}
    np.testing.assert_allclose(numpy(model(larger)), numpy(model(x)), atol=1e-3)


SAVED = {
    "pre-norm": dict(num_encoder_layers=1, coordinates=True),
    "post-norm": dict(normalize_first=False, tie_output=False, dropout=0.2),
    "bfloat16": dict(dtype="mixed_bfloat16"),
}


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_model_answers_alike(name, tmp_path):
    words = WordTokenizer.train(CAPTIONS)
    model = make(vocabulary_size=None, tokenizer=words, **SAVED[name])
    x, _, _ = batch(words.vocabulary_size)
    expected = numpy(model(x))
    model.save(tmp_path / "model.keras")
    model.save_to_preset(tmp_path / "preset")
    for again in (
        keras.saving.load_model(tmp_path / "model.keras"),
        TransformerCaptioner.from_preset(tmp_path / "preset"),
    ):
        assert again.get_config() == model.get_config()
        for one in (again, again.decoder_blocks[1], again.get_layer("places")):
            assert one.dtype_policy == model.dtype_policy
        found = numpy(again(x))
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_it_trains_in_low_precision_compiled_by_xla():
    words = WordTokenizer.train(CAPTIONS)
    model = make(
        vocabulary_size=None,
        tokenizer=words,
        num_layers=1,
        dropout=0.1,
        dtype="mixed_bfloat16",
    )
    x, y, weights = batch(words.vocabulary_size)
    xla = keras.backend.backend() != "torch"
    model.compile(keras.optimizers.Adam(0.01), LOSS, jit_compile=xla)
    losses = model.fit(
        x, y, sample_weight=weights, batch_size=B, epochs=5, verbose=0
    ).history["loss"]
    assert losses[-1] < losses[0]
    written = model.generate(x["features"], max_length=4)
    assert len(written) == B


def test_low_rank_updates_train_alone():
    model = make(num_encoder_layers=1)
    x, y, _ = batch()
    model.enable_lora(2)
    names = {w.path.split("/")[-2] for w in model.trainable_weights}
    assert names == {"query", "key", "value", "attention_output"}
    blocks = {w.path.split("/")[0] for w in model.trainable_weights}
    assert blocks == {"encoder_block_0", "decoder_block_0", "decoder_block_1"}
    assert not any(w.name == "kernel" for w in model.trainable_weights)
    model.compile("adam", LOSS)
    before = numpy(model(x))
    model.fit(x, y, verbose=0)
    assert np.abs(numpy(model(x)) - before).max() > 1e-6


def graph(frozen, thawed=()):
    """An encoder whose config holds its layers: a block and a norm."""
    images = keras.Input((4, 4, 6))
    x = keras.layers.Reshape((16, 6))(images)
    x = TransformerEncoderBlock(7, 2, name="block")(x)
    x = keras.layers.LayerNormalization(name="last_norm")(x)
    encoder = keras.Model(images, x)
    for layer in frozen:
        (encoder.get_layer(layer) if layer else encoder).trainable = False
    for layer in thawed:
        encoder.get_layer(layer).trainable = True
    return encoder


@pytest.mark.parametrize(
    "frozen, thawed, trained",
    [
        ([""], [], set()),
        (["block"], [], {"last_norm"}),
        ([""], ["last_norm"], {"last_norm"}),
        (["last_norm"], [], {"block"}),
    ],
)
def test_what_is_frozen_of_an_encoder_stays_frozen(frozen, thawed, trained):
    """Keras alone says of a config's block that it is, and trains it."""
    model = make(feature_shape=None, encoder=graph(frozen, thawed))
    again = TransformerCaptioner.from_config(model.get_config())
    for one in (model, again):
        paths = {w.path for w in one.encoder.weights}
        paths &= {w.path for w in one.trainable_weights}
        assert {path.split("/")[0] for path in paths} == trained


def test_a_frozen_encoder_of_ours_stays_frozen():
    encoder = ConvEncoder((16, 16, 3), (4, 6))
    encoder.trainable = False
    model = make(feature_shape=None, encoder=encoder)
    again = TransformerCaptioner.from_config(model.get_config())
    assert len(again.trainable_weights) == len(model.trainable_weights)


def test_presets_are_made_with_an_encoder_and_words_of_ones_own():
    base = TransformerCaptioner.from_preset(
        "transformer_captioner_base", feature_shape=(4, 4, C), vocabulary_size=V
    )
    # Vaswani et al., 2017, table 3: two attentions, a feed-forward part and
    # three normalizations in each of six blocks, and one at the end.
    d, wide = 512, 2048
    block = 8 * (d * d + d) + 2 * d * wide + wide + d + 6 * d
    outside = (C + 1) * d + 2 * d + V * d
    assert base.count_params() == 6 * block + 2 * d + outside
    assert base.decoder_blocks[0].num_heads == 8


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(feature_shape=None), "Pass one of them"),
        (dict(encoder=keras.Sequential()), "Pass one of them"),
        (dict(feature_shape=(None, None, 7)), "of a fixed size"),
        (dict(hidden_dim=23), "must be a multiple of `num_heads`"),
        (dict(num_layers=0), "`num_layers` must be a positive integer"),
        (dict(num_encoder_layers=-1), "`num_encoder_layers` must be"),
        (dict(intermediate_dim=0), "`intermediate_dim` must be"),
        (dict(vocabulary_size=None), "needs a vocabulary"),
        (dict(dropout=1.5), "`dropout` must be"),
        (dict(coordinate=True), "coordinate"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)
