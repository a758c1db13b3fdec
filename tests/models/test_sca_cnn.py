import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_attention.data import WordTokenizer
from keras_attention.models import SCACNN
from keras_attention.models.backbone_attention import ATTENTIONS

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


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("attention", ATTENTIONS)
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
