"""Spatial and channel attention, and their block."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import (
    ChannelAttention,
    SpatialAttention,
    SpatialChannelAttention,
)
from keras_attention.ops import channels
from tests.gradients import gradients

B, H, W, C, D, U = 2, 3, 5, 7, 11, 13


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(B, H, W, C)).astype("float32")


@pytest.fixture
def query():
    return np.random.default_rng(1).normal(size=(B, D)).astype("float32")


def scaled(layer, features, query):
    """A layer whose weights, biases included, make scores that differ."""
    layer(features, query)
    rng = np.random.default_rng(2)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    return layer


def softmax(logits):
    powers = np.exp(logits - np.max(logits))
    return powers / powers.sum()


def spatial_reference(layer, features, query):
    """Chen et al., 2017, section 3, one place at a time."""
    W_hs, b_s, W_s, W_i = map(
        numpy,
        (
            layer.query_dense.kernel,
            layer.query_dense.bias,
            layer.key_dense.kernel,
            layer.score_vector,
        ),
    )
    output, scores = np.zeros(features.shape), np.zeros(features.shape[:3])
    for b in range(len(features)):
        logits = [
            np.tanh(features[b, i, j] @ W_s + b_s + query[b] @ W_hs) @ W_i
            for i, j in np.ndindex(*features.shape[1:3])
        ]
        scores[b] = softmax(logits).reshape(features.shape[1:3])
        for i, j in np.ndindex(*features.shape[1:3]):
            output[b, i, j] = scores[b, i, j] * features[b, i, j]
    places = np.prod(features.shape[1:3])
    return output * (places if layer.rescale else 1), scores


def channel_reference(layer, features, query):
    """Chen et al., 2017, section 3, one channel at a time."""
    W_hc, b_c, W_c, W_i = map(
        numpy,
        (
            layer.query_dense.kernel,
            layer.query_dense.bias,
            layer.key_vector,
            layer.score_vector,
        ),
    )
    output, scores = np.zeros(features.shape), np.zeros(features.shape[::3])
    for b in range(len(features)):
        logits = [
            np.tanh(W_c[0] * features[b, ..., c].mean() + b_c + query[b] @ W_hc)
            @ W_i
            for c in range(features.shape[3])
        ]
        scores[b] = softmax(logits)
        for c in range(features.shape[3]):
            output[b, ..., c] = scores[b, c] * features[b, ..., c]
    return output * (features.shape[3] if layer.rescale else 1), scores


REFERENCES = {
    SpatialAttention: spatial_reference,
    ChannelAttention: channel_reference,
}


@pytest.mark.parametrize("make", REFERENCES)
@pytest.mark.parametrize("rescale", [True, False])
def test_it_is_the_equation_of_the_paper(make, rescale, features, query):
    layer = scaled(make(U, rescale=rescale), features, query)
    output, scores = layer(features, query, return_attention_scores=True)
    expected = REFERENCES[make](layer, features, query)
    np.testing.assert_allclose(numpy(output), expected[0], atol=1e-5)
    np.testing.assert_allclose(numpy(scores), expected[1], atol=1e-6)


@pytest.mark.parametrize("order", ["channel_spatial", "spatial_channel"])
def test_the_second_looks_at_what_the_first_has_weighed(order, features, query):
    layer = scaled(SpatialChannelAttention(U, order), features, query)
    output, scores = layer(features, query, return_attention_scores=True)
    expected, found = features, {}
    for name in order.split("_"):
        part = getattr(layer, f"{name}_attention")
        reference = REFERENCES[type(part)]
        expected, found[name] = reference(part, expected, query)
    np.testing.assert_allclose(numpy(output), expected, atol=1e-4)
    for name in ("channel", "spatial"):
        np.testing.assert_allclose(numpy(scores[name]), found[name], atol=1e-5)


def test_the_order_makes_a_difference(features, query):
    one = scaled(SpatialChannelAttention(U), features, query)
    other = SpatialChannelAttention(U, "spatial_channel")
    other(features, query)
    other.set_weights(one.get_weights())
    difference = numpy(one(features, query)) - numpy(other(features, query))
    assert np.abs(difference).max() > 0.1


@pytest.mark.parametrize(
    "make",
    [
        SpatialAttention,
        ChannelAttention,
        SpatialChannelAttention,
        lambda *args, **kwargs: SpatialChannelAttention(
            *args, order="spatial_channel", **kwargs
        ),
    ],
)
@pytest.mark.parametrize("size", [3, 7, 41])  # n * (1 / n) is not 1 for 41
def test_rescaled_equal_scores_leave_the_map_as_it_is(make, size, query):
    shape = (B, size, 1, size)
    features = np.random.default_rng(3).normal(size=shape).astype("float32")
    layer = make(U, score_initializer="zeros")
    # To rounding: a GPU's softmax of 41 equal scores is not 1/41 to the bit.
    same = functools.partial(np.testing.assert_allclose, rtol=1e-6)
    same(numpy(layer(features, query)), features)
    # And a second block after it, as in two layers of a network.
    second = make(U, score_initializer="zeros")
    result = second(layer(features, query), query)
    same(numpy(result), features)
    mask = np.arange(size)[None, :, None] < np.array([[[size]], [[2]]])
    same(
        numpy(layer(features, query, features_mask=mask)),
        np.where(mask[..., None], features, 0),
    )


def test_channel_attention_has_no_weight_that_depends_on_the_channels(query):
    few, many = ChannelAttention(U), ChannelAttention(U)
    for layer, size in ((few, 3), (many, 17)):
        layer(np.zeros((B, H, W, size), "float32"), query)
    assert few.count_params() == many.count_params() == D * U + 3 * U
    many.set_weights(few.get_weights())
    # So one layer may weigh maps of any number of channels.
    assert tuple(few(np.zeros((B, H, W, 5)), query).shape) == (B, H, W, 5)


@pytest.mark.parametrize(
    "make", [SpatialAttention, ChannelAttention, SpatialChannelAttention]
)
def test_each_of_several_queries_weighs_the_map_for_itself(make, features):
    queries = np.random.default_rng(4).normal(size=(B, 3, D)).astype("float32")
    layer = scaled(make(U), features, queries)
    mask = np.random.default_rng(5).random((B, H, W)) < 0.7
    rows = np.array([[True, True, False], [False, True, True]])
    together, scores = layer(
        features,
        queries,
        features_mask=mask,
        query_mask=rows,
        return_attention_scores=True,
    )
    for t in range(3):
        alone, alone_scores = layer(
            features,
            queries[:, t],
            features_mask=mask,
            return_attention_scores=True,
        )
        pairs = zip(
            keras.tree.flatten((together, scores)),
            keras.tree.flatten((alone, alone_scores)),
            strict=True,
        )
        for several, one in pairs:
            several, one = numpy(several)[:, t], numpy(one)
            np.testing.assert_allclose(
                several[rows[:, t]], one[rows[:, t]], atol=1e-5
            )
            assert not several[~rows[:, t]].any()


@pytest.mark.parametrize(
    "make", [SpatialAttention, ChannelAttention, SpatialChannelAttention]
)
def test_masked_places_are_left_out_as_if_they_were_not_there(
    make, features, query
):
    layer = scaled(make(U), features, query)
    mask = np.zeros((B, H, W), bool)
    mask[:, :2, :4] = True
    padded = np.where(mask[..., None], features, np.inf)
    padded[1] = np.inf
    mask[1] = False
    output, scores = layer(
        padded, query, features_mask=mask, return_attention_scores=True
    )
    cropped = numpy(layer(features[:, :2, :4], query))
    np.testing.assert_allclose(
        numpy(output)[0, :2, :4], cropped[0], rtol=1e-5, atol=1e-5
    )
    assert not numpy(output)[0, 2:].any() and not numpy(output)[0, :, 4:].any()
    # An image with nothing to read.
    for result in keras.tree.flatten((output, scores)):
        assert not numpy(result)[1].any()


def test_masks_of_keras_count_on_both_tensors(features):
    queries = np.random.default_rng(8).normal(size=(B, 3, D)).astype("float32")
    features[:, 1:, 2:] = 0  # what Masking looks for
    queries[1, 2:] = 0
    layer = scaled(SpatialChannelAttention(U), features, queries)
    masking = keras.layers.Masking()
    implicit = layer(masking(features), masking(queries))
    explicit = layer(
        features,
        queries,
        features_mask=features.any(axis=-1),
        query_mask=queries.any(axis=-1),
    )
    np.testing.assert_allclose(numpy(implicit), numpy(explicit), atol=1e-6)
    assert not numpy(implicit)[1, 2].any()
    # Zeros that are read count in the means.
    without = numpy(layer(features, queries))
    assert np.abs(without - numpy(explicit)).max() > 1e-3


@pytest.mark.parametrize("rows", [1, 4, 100])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_channel_logits_in_blocks_are_those_at_once(
    rows, jit_compile, monkeypatch
):
    rng = np.random.default_rng(6)
    shapes = ((5, C), (5, U), (U,), (U,))
    inputs = [rng.normal(size=shape).astype("float32") for shape in shapes]
    monkeypatch.setattr(channels, "PAIRS_AT_ONCE", rows * C * U)
    results = gradients(
        channels.channel_logits, *inputs, jit_compile=jit_compile
    )
    expected = gradients(channels._logits, *inputs)
    for result, other in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, other, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="JAX and torch have no tape"
)
def test_channel_logits_of_an_unknown_batch_train_under_a_second_tape():
    import tensorflow as tf

    rng = np.random.default_rng(6)
    shapes = ((5, C), (5, U), (U,), (U,))
    inputs = [rng.normal(size=shape).astype("float32") for shape in shapes]

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, *shape[1:]) if len(shape) > 1 else shape)
            for shape in shapes
        ]
    )
    def under_a_tape(*inputs):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(inputs)
            logits = channels.channel_logits(*inputs)
        return tape.gradient(logits, inputs, tf.ones_like(logits))

    found = under_a_tape(*inputs)
    ones = np.ones((5, C), "float32")
    expected = channels._gradients(*map(tf.constant, inputs), ones)
    for result, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(result, other, rtol=1e-4, atol=1e-4)


class Glimpses(keras.layers.Layer):
    """A decoder in small: a cell that weighs a map at each step."""

    def __init__(self, features):
        super().__init__()
        self.features = features
        self.attention = SpatialChannelAttention(U)
        self.state_dense = keras.layers.Dense(D, activation="tanh")
        self.state_size = D

    def build(self, input_shape):
        self.attention.build(self.features.shape, (None, D))
        self.state_dense.build((None, input_shape[-1] + C))

    def call(self, inputs, states, training=False):
        weighed = self.attention(self.features, states[0])
        context = ops.mean(weighed, axis=(1, 2))
        state = self.state_dense(ops.concatenate([inputs, context], axis=-1))
        return state, [state]


def test_it_trains_in_a_loop_that_xla_compiles(features, monkeypatch):
    monkeypatch.setattr(channels, "PAIRS_AT_ONCE", 0)  # a loop in a loop
    words = np.random.default_rng(7).normal(size=(B, 4, 3)).astype("float32")
    layer = keras.layers.RNN(Glimpses(ops.convert_to_tensor(features)))
    model = keras.Sequential([keras.Input((4, 3)), layer])
    jit_compile = keras.backend.backend() != "torch"
    model.compile("sgd", "mse", jit_compile=jit_compile)
    before = layer.cell.attention.get_weights()
    loss = model.train_on_batch(words, np.ones((B, D)))
    assert np.isfinite(loss)
    after = layer.cell.attention.get_weights()
    for old, new in zip(before, after, strict=True):
        assert np.abs(new - old).max() > 0


def test_arguments_that_do_not_fit_are_refused(features, query):
    layer = SpatialAttention(U)
    for bad, message in (
        ((features[0], query), "`features` must have shape"),
        ((features, query[0]), "`query` must have shape"),
        ((features, query[:1]), "same batch size"),
    ):
        with pytest.raises(ValueError, match=message):
            layer(*bad)
    with pytest.raises(ValueError, match="is for queries"):
        layer(features, query, query_mask=np.ones((B, 1), bool))
    with pytest.raises(ValueError, match="`features_mask` must have shape"):
        layer(features, query, features_mask=np.ones((B, H), bool))
    with pytest.raises(ValueError, match="channels of `features` must be"):
        ChannelAttention(U)(keras.Input((H, W, None)), keras.Input((D,)))
    with pytest.raises(ValueError, match="`units` must be a positive"):
        ChannelAttention(0)
    with pytest.raises(ValueError, match="`order` must be one of"):
        SpatialChannelAttention(U, order="channel_first")
