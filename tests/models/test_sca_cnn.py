import inspect
import itertools
import json

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_attention.data import WordTokenizer
from keras_attention.models import SCACNN
from keras_attention.models.backbone_attention import (
    ATTENTIONS,
    BackboneAttention,
)
from keras_attention.models.tapped_backbone import (
    Packed,
    Pooled,
    TappedBackbone,
)

B, T, V = 2, 3, 19
HEIGHT, WIDTH = 7, 5
SIZES = dict(embedding_dim=13, hidden_dim=11, attention_dim=5, dropout=0.0)
TAPS = ("inner_relu", "block")


def small_backbone(seed=0):
    """A residual connection around the first tap, and a layer after the last.

    Its batch normalizations have statistics that matter.
    """
    keras.utils.set_random_seed(seed)
    images = keras.Input((HEIGHT, WIDTH, 3))
    stem = layers.Conv2D(17, 1, activation="relu", name="stem")(images)
    x = layers.Conv2D(13, 3, padding="same", name="inner")(stem)
    x = layers.BatchNormalization(name="inner_norm")(x)
    x = layers.ReLU(name="inner_relu")(x)
    x = layers.Conv2D(17, 1, name="outer")(x)
    x = layers.BatchNormalization(name="outer_norm")(x)
    x = layers.Add(name="add")([stem, x])
    x = layers.ReLU(name="block")(x)
    x = layers.Conv2D(23, 3, strides=2, name="top")(x)  # (B, 3, 2, 23)
    backbone = keras.Model(images, x)
    randomize(backbone)
    return backbone


def layers_alone():
    """A backbone of one layer, which is the one that is looked at."""
    images = layers.Input((HEIGHT, WIDTH, 3))
    return keras.Model(images, layers.Conv2D(4, 1, name="layer")(images))


def randomize(model):
    rng = np.random.default_rng(1)
    for weight in model.weights:
        noise = rng.normal(size=weight.shape, scale=0.3)
        noise = np.abs(noise) if "variance" in weight.path else noise
        weight.assign(ops.convert_to_numpy(weight) + noise)


def small_model(backbone=None, taps=TAPS, **kwargs):
    backbone = backbone or small_backbone()
    model = SCACNN(V, backbone, taps, **{**SIZES, **kwargs})
    randomize(model)
    return model


def inputs(batch=B):
    rng = np.random.default_rng(2)
    return {
        "images": rng.normal(size=(batch, HEIGHT, WIDTH, 3)).astype("float32"),
        "decoder_token_ids": rng.integers(1, V, (batch, T)),
    }


def value(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum()


def spatial(layer, v, h):
    """a = tanh((W_s V + b_s) + W_hs h), alpha = softmax(W_i a)."""
    W_hs, b_s, W_s = map(
        value, (*layer.query_dense.weights, layer.key_dense.kernel)
    )
    W_i = value(layer.score_vector)
    places = v.reshape(-1, v.shape[-1])
    logits = [W_i @ np.tanh(place @ W_s + b_s + h @ W_hs) for place in places]
    return softmax(logits).reshape(*v.shape[:2], 1)


def channel(layer, v, h):
    """b = tanh((W_c (x) mean V + b_c) + W_hc h), beta = softmax(W_i' b)."""
    W_hc, b_c = map(value, layer.query_dense.weights)
    W_c, W_i = value(layer.key_vector)[0], value(layer.score_vector)
    logits = [
        W_i @ np.tanh(W_c * mean + b_c + h @ W_hc) for mean in v.mean((0, 1))
    ]
    return softmax(logits)


def weigh(layer, kind, rescale, v, h):
    """The weighed map and the scores of its places and channels."""
    scores = {}
    for name in kind.split("_"):
        part = layer if kind == name else getattr(layer, f"{name}_attention")
        weights = {"channel": channel, "spatial": spatial}[name](part, v, h)
        scores[name] = weights
        v = v * weights * (weights.size if rescale else 1)
    return v, scores


def length_one(x):
    return x / (np.sqrt((x**2).sum()) + 1e-8)


def look(model, image, h):
    """What one image looks like to `h`; unweighed if that is None."""
    layer = model.backbone.get_layer
    taps = model.decoder.rnn.attention.tap_layers
    scores = {}

    def run(names, x):
        for name in names:
            x = layer(name)(x, training=False)
        return x

    def weighed(index, x):
        if h is None or index >= len(taps):
            return x
        x, found = weigh(
            taps[index], model.attention, model.rescale, value(x)[0], h
        )
        scores.update(found)
        return x.astype("float32")[None]

    stem = layer("stem")(image[None])
    x = run(["inner", "inner_norm", "inner_relu"], stem)
    x = weighed(0, x)
    x = layer("add")([stem, run(["outer", "outer_norm"], x)])
    x = weighed(1, layer("block")(x))
    grid = value(layer("top")(x))[0]
    return length_one(grid.mean((0, 1))), scores


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def reference(model, image, token_ids):
    """Chen et al., 2017, section 3, one word at a time."""
    decoder = model.decoder
    words = value(decoder.embedding.embeddings)[token_ids]
    first, _ = look(model, image, None)
    h, c = (
        np.tanh(first @ value(layer.kernel) + value(layer.bias))
        for layer in decoder.state_layers
    )
    kernel, recurrent, bias = map(value, decoder.rnn.cell.weights)
    logits, reads = [], []
    for word in words:
        z, scores = look(model, image, h)
        gates = np.concatenate([word, z]) @ kernel + h @ recurrent + bias
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        deep = h @ value(decoder.output_layer.kernel)
        deep = np.tanh(deep + value(decoder.output_layer.bias) + word)
        logits.append(deep @ value(decoder.word_layer.kernel))
        reads.append(scores)
    return np.array(logits) + value(decoder.word_layer.bias), reads


@pytest.mark.parametrize(
    "attention, rescale",
    [*((attention, True) for attention in ATTENTIONS), (ATTENTIONS[-1], False)],
)
def test_it_is_the_equations_of_the_paper(attention, rescale):
    model = small_model(attention=attention, rescale=rescale)
    given = inputs()
    logits = value(model(given))
    read = model.forced(*map(ops.convert_to_tensor, given.values()))
    for row in range(B):
        expected, scores = reference(model, *(x[row] for x in given.values()))
        np.testing.assert_allclose(logits[row], expected, atol=1e-5)
        for t in range(T):
            places = scores[t].get("spatial", np.full(35, 1 / 35)).ravel()
            found = value(read["scores"])[row, t]
            np.testing.assert_allclose(found, places, atol=1e-6)
            if "channel" in scores[t]:
                found = value(read["channel_scores"])[row, t]
                np.testing.assert_allclose(
                    found, scores[t]["channel"], atol=1e-6
                )
    assert ("channel_scores" in read) == ("channel" in attention)


def test_the_order_makes_a_difference():
    given = inputs()
    one, other = (
        small_model(attention=attention)
        for attention in ("channel_spatial", "spatial_channel")
    )
    for a, b in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(value(a), value(b))
    assert np.abs(value(one(given)) - value(other(given))).max() > 1e-3


def tapped_attention(taps=TAPS, attention="channel_spatial", **kwargs):
    """An attention alone, and the memory of two images."""
    backbone = small_backbone()
    tapped = TappedBackbone(backbone, taps)
    layer = BackboneAttention(tapped, attention, 5, True, **kwargs)
    layer.build((None, None, 11), (None, 1, 17 * 35 + 13 * 35))
    for tap in layer.tap_layers:
        randomize(tap)
    images = ops.convert_to_tensor(inputs()["images"])
    packed = Packed()(tapped.bottom(images))
    return backbone, layer, images, packed


def pooled(grid):
    return np.array([length_one(x) for x in value(grid).mean((1, 2))])


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_equal_scores_leave_the_backbone_as_it_is(attention):
    backbone, layer, images, packed = tapped_attention(attention=attention)
    for weight in layer.weights:
        if "score_vector" in weight.path:
            weight.assign(np.zeros(weight.shape))
    query = np.random.default_rng(3).normal(size=(B, 11))
    maps = np.random.default_rng(4).normal(size=(B, HEIGHT, WIDTH, 13))
    weighed = layer.tap_layers[0](maps.astype("float32"), query)
    np.testing.assert_array_equal(value(weighed), maps.astype("float32"))
    context, _, _ = layer.step(query, layer.memory(packed), {})
    plain = pooled(backbone(images))
    np.testing.assert_allclose(value(context), plain, rtol=1e-5, atol=1e-6)
    # As what the first state is made of, whatever the scores.
    first = Pooled(layer.tapped)(packed)
    np.testing.assert_allclose(value(first), plain, rtol=1e-5, atol=1e-6)


def scaled_by_hand(backbone, images, factors):
    """The backbone, layer by layer, with the maps of some times a factor."""

    def run(name, x):
        return backbone.get_layer(name)(x) * factors.get(name, 1.0)

    stem = run("stem", images)
    x = run("inner_relu", run("inner_norm", run("inner", stem)))
    x = run("outer_norm", run("outer", x))
    return run("top", run("block", run("add", [stem, x])))


@pytest.mark.parametrize(
    "taps, crossing",
    [
        (["stem"], ["stem"]),  # read twice, weighed both times
        (["stem", "inner", "top"], ["stem"]),
        (["inner_relu"], ["inner_relu", "stem"]),
        (["outer", "add", "block"], ["outer", "stem"]),
        (["top"], ["top"]),  # nothing is run again
    ],
)
def test_what_follows_a_tap_goes_on_from_what_becomes_of_its_map(
    taps, crossing
):
    backbone = small_backbone()
    images = ops.convert_to_tensor(inputs()["images"])
    tapped = TappedBackbone(backbone, taps)
    names = [x._keras_history.operation.name for x in tapped.crossing]
    assert names == crossing
    factors = {name: index + 2.0 for index, name in enumerate(taps)}
    packed = Packed()(tapped.bottom(images))
    found = tapped.run(
        tapped.unpack(packed), lambda index, x: x * (index + 2.0)
    )
    expected = scaled_by_hand(backbone, images, factors)
    np.testing.assert_allclose(
        value(found), value(expected), rtol=1e-5, atol=1e-4
    )


def test_a_step_is_one_row_of_a_call_and_hypotheses_are_apart():
    _, layer, _, packed = tapped_attention(attention="spatial_channel")
    query = np.random.default_rng(3).normal(size=(B, 3, 11))
    query = ops.convert_to_tensor(query.astype("float32"))
    expected, expected_scores = layer(
        query, packed, return_attention_scores=True
    )
    memory = layer.memory(packed)
    together, _, extras = layer.step(query, memory, {}, True)
    assert tuple(extras["scores"].shape) == (B, 3, 35)
    assert tuple(extras["channel_scores"].shape) == (B, 3, 17)
    for k in range(3):
        alone, _, extras_alone = layer.step(query[:, k], memory, {}, True)
        for whole in (expected, together):
            np.testing.assert_allclose(
                value(whole)[:, k], value(alone), atol=1e-5
            )
        for whole in (expected_scores, extras["scores"]):
            np.testing.assert_allclose(
                value(whole)[:, k], value(extras_alone["scores"]), atol=1e-6
            )
        np.testing.assert_allclose(
            value(extras["channel_scores"])[:, k],
            value(extras_alone["channel_scores"]),
            atol=1e-6,
        )


def test_training_reaches_every_layer_that_is_not_frozen():
    model = small_model(taps=("inner_relu",), attention="spatial")
    for name in ("stem", "top"):
        model.backbone.get_layer(name).trainable = False
    before = {x.path: value(x) for x in model.weights}
    model.compile(
        keras.optimizers.SGD(1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=keras.backend.backend() != "torch",
    )
    target = np.random.default_rng(5).integers(1, V, (B, T))
    assert np.isfinite(model.train_on_batch(inputs(), target))
    same = {
        x.path
        for x in model.weights
        if np.array_equal(value(x), before[x.path])
    }
    frozen = {f"{x}/{y}" for x in ("stem", "top") for y in ("kernel", "bias")}
    statistics = {x for x in before if "/moving_" in x}
    assert len(statistics) == 4 and same == frozen | statistics


@pytest.mark.one_backend
def test_fit_compiles_for_batches_of_a_size_that_is_not_known():
    """As arrays come: the last batch may be smaller."""
    model = small_model(
        layers_alone(), taps=("layer",), attention="spatial_channel"
    )
    model.compile(
        "sgd",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=keras.backend.backend() != "torch",
    )
    target = np.random.default_rng(5).integers(1, V, (3, T))
    found = model.fit(inputs(3), target, batch_size=2, verbose=0)
    assert np.isfinite(found.history["loss"]).all()


CAPTIONS = ["one two three", "four five", "six"]


def test_a_model_that_was_saved_answers_alike(tmp_path):
    tokenizer = WordTokenizer.train(CAPTIONS)
    backbone = small_backbone()
    backbone.trainable = False
    model = SCACNN(None, backbone, TAPS, tokenizer=tokenizer, **SIZES)
    randomize(model)
    images = inputs(3)["images"]
    read = model.align(images, CAPTIONS)
    for one, length in zip(read, (4, 3, 2), strict=True):
        assert one.scores.shape == (length, HEIGHT, WIDTH)
        np.testing.assert_allclose(one.scores.sum((1, 2)), 1.0, rtol=1e-5)
    model.save(tmp_path / "model.keras")
    model.save_to_preset(tmp_path / "preset")
    for other in (
        keras.saving.load_model(tmp_path / "model.keras"),
        SCACNN.from_preset(tmp_path / "preset"),
    ):
        assert not other.backbone.trainable_weights
        # Written down, since JSON has no tuples.
        config, expected_config = (
            json.dumps(x.get_config()) for x in (other, model)
        )
        assert config == expected_config
        for a, b in zip(model.weights, other.weights, strict=True):
            np.testing.assert_array_equal(value(a), value(b))
        ids = {**inputs(3), "decoder_token_ids": np.ones((3, T), "int32")}
        np.testing.assert_allclose(
            value(other(ids)), value(model(ids)), atol=1e-5
        )


def test_every_argument_is_in_the_config():
    arguments = set(inspect.signature(SCACNN.__init__).parameters)
    config = small_model().get_config()
    extra = {"name", "trainable"}
    assert set(config) - extra == arguments - {"self", "kwargs"}


def test_half_precision_is_near_float32():
    given = inputs()
    model, other = small_model(), small_model(dtype="mixed_bfloat16")
    expected, found = model(given), other(given)
    assert found.dtype != expected.dtype
    np.testing.assert_allclose(value(found), value(expected), atol=0.2)


def scenes():
    """Every way to colour four cells, and the colours row by row."""
    colours = "red", "green", "blue"
    grids = np.array(list(itertools.product(range(3), repeat=4)))
    images = np.zeros((len(grids), 2, 2, 5), "float32")
    images[..., :3] = np.eye(3)[grids].reshape(-1, 2, 2, 3)
    images[..., 3:] = [[(-1, -1), (-1, 1)], [(1, -1), (1, 1)]]  # where it is
    return images, [" ".join(colours[i] for i in grid) for grid in grids]


@pytest.mark.one_backend
def test_it_learns_what_cannot_be_told_without_looking_at_places():
    keras.utils.set_random_seed(0)
    images, captions = scenes()
    tokenizer = WordTokenizer.train(captions)
    # Of linear layers, the mean of all places tells what is there, not where.
    grid = keras.Input(images.shape[1:])
    x = layers.Conv2D(8, 1, name="first")(grid)
    x = layers.Conv2D(8, 1, name="second")(x)
    model = SCACNN(
        backbone=keras.Model(grid, x),
        taps=["first"],
        attention="spatial",
        embedding_dim=16,
        hidden_dim=32,
        attention_dim=16,
        dropout=0.0,
        tokenizer=tokenizer,
    )
    rows = np.array(tokenizer.tokenize(captions))
    one = np.ones((len(rows), 1), "int32")
    given = np.concatenate([one * tokenizer.start_id, rows], axis=1)
    target = np.concatenate([rows, one * tokenizer.end_id], axis=1)
    train = np.random.default_rng(0).permutation(len(rows))[:60]
    model.compile(
        keras.optimizers.Adam(0.02),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    history = model.fit(
        {"images": images[train], "decoder_token_ids": given[train]},
        target[train],
        batch_size=30,
        epochs=100,
        verbose=0,
    )
    assert history.history["loss"][-1] < 0.1 * history.history["loss"][0]
    found = model.caption(images, max_length=6, batch_size=81)
    assert found[0].scores.shape == (5, 2, 2)
    exact = [x.text == y for x, y in zip(found, captions, strict=True)]
    assert np.mean(exact) >= 0.9


@pytest.mark.one_backend
def test_the_papers_size_is_that_of_the_authors_code():
    config = SCACNN.presets["sca_cnn_resnet152"]
    assert config["taps"] == ("conv5_block3_2_relu", "conv5_block3_out")
    model = SCACNN.from_preset(
        "sca_cnn_resnet152",
        backbone=small_backbone(),
        taps=TAPS,
        vocabulary_size=V,
    )
    shapes = {
        x.path.split("decoder/")[-1]: tuple(x.shape) for x in model.weights
    }
    # Wemb, W and Wc side by side, ff_state, ff_logit_lstm, ff_logit.
    assert shapes["embedding/embeddings"] == (V, 100)
    assert shapes["rnn/cell/kernel"] == (100 + 23, 4000)
    assert shapes["initial_output/kernel"] == (23, 1000)
    assert shapes["output/kernel"] == (1000, 100)
    assert shapes["words/kernel"] == (100, V)
    assert not any("context_output" in path for path in shapes)
    # Wc_att_1, Wd_att_1, U_att_1; Wc_att_2, Wd_att_2, U_att_2.
    assert shapes["rnn/attention/tap_1/channel/key_vector"] == (1, 512)
    assert shapes["rnn/attention/tap_1/channel/query/kernel"] == (1000, 512)
    assert shapes["rnn/attention/tap_1/spatial/key/kernel"] == (17, 512)
    assert shapes["rnn/attention/tap_1/spatial/score_vector"] == (512,)


def without_size():
    images = keras.Input((None, None, 3))
    return keras.Model(images, layers.Conv2D(5, 1, name="only")(images))


def shared_layer():
    images = x = keras.Input((HEIGHT, WIDTH, 3))
    layer = layers.Conv2D(3, 1, name="twice")
    return keras.Model(images, layer(layer(x)))


def pooled_output():
    images = keras.Input((HEIGHT, WIDTH, 3))
    x = layers.Conv2D(5, 1, name="only")(images)
    return keras.Model(images, layers.GlobalAveragePooling2D()(x))


def two_outputs():
    images = keras.Input((HEIGHT, WIDTH, 3))
    x = layers.Conv2D(5, 1, name="only")(images)
    return keras.Model(images, [x, x])


def without_grid():
    images = keras.Input((HEIGHT, WIDTH, 3))
    x = layers.Conv2D(5, 1)(images)
    weights = layers.GlobalAveragePooling2D(name="squeeze")(x)
    weights = layers.Reshape((1, 1, 5))(weights)
    return keras.Model(images, layers.Multiply()([x, weights]))


@pytest.mark.parametrize(
    "backbone, taps, message",
    [
        (lambda: None, TAPS, "must be a functional"),
        (lambda: keras.Sequential([layers.Conv2D(3, 1)]), TAPS, "functional"),
        (pooled_output, ["only"], "output of `backbone` must be a grid"),
        (two_outputs, ["only"], "1 inputs and 2 outputs"),
        (small_backbone, (), "one or more"),
        (small_backbone, ["block", "block"], "different layers"),
        (small_backbone, ["relu"], "'block', 'top'"),
        (small_backbone, ["block", "inner_relu"], "in the order of the flow"),
        (small_backbone, ["stem", "block", "add"], "'add' comes after 1"),
        (shared_layer, ["twice"], "called 2 times"),
        (without_size, ["only"], "must be known"),
        (without_grid, ["squeeze"], "tapped layer 'squeeze' must be a grid"),
    ],
)
def test_a_backbone_or_taps_that_do_not_fit_are_refused(
    backbone, taps, message
):
    with pytest.raises(ValueError, match=message):
        SCACNN(V, backbone(), taps)


def test_bad_arguments_and_masks_are_refused():
    with pytest.raises(ValueError, match="`attention` must be one of"):
        small_model(attention="channels")
    with pytest.raises(ValueError, match="`gate` must be one of"):
        small_model(gate="matrix")
    with pytest.raises(ValueError, match="needs a vocabulary"):
        SCACNN(backbone=small_backbone(), taps=TAPS)
    _, layer, _, packed = tapped_attention()
    query = np.zeros((B, 2, 11), "float32")
    with pytest.raises(ValueError, match="there can be no mask"):
        layer(query, packed, value_mask=np.ones((B, 1), bool))
