import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import (
    AdditiveAttention,
    MultiHeadAttention,
    SlidingWindowAttention,
    TransformerEncoderBlock,
)

B, T, D, F, N = 2, 5, 6, 11, 3


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def sequence(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(B, T, D)).astype("float32")


def built(**arguments):
    """A block with random weights, biases and scales too."""
    arguments = {"num_heads": N, **arguments}
    block = TransformerEncoderBlock(F, **arguments)
    block.build((B, T, D))
    rng = np.random.default_rng(1)
    block.set_weights([rng.normal(size=w.shape) * 0.4 for w in block.weights])
    return block


def normalized(x, norm, epsilon):
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon)
    return x * numpy(norm.gamma) + numpy(norm.beta)


@pytest.mark.parametrize("layer_scale", [None, 0.1])
@pytest.mark.parametrize("normalize_first", [False, True])
def test_it_is_the_equation(normalize_first, layer_scale):
    epsilon = 0.1
    block = built(
        normalize_first=normalize_first,
        layer_norm_epsilon=epsilon,
        layer_scale=layer_scale,
    )
    first, second = block.self_attention_norm, block.feed_forward_norm

    def attention(x):
        x = x.astype("float32")
        scale = 1 if layer_scale is None else numpy(block.self_attention_scale)
        return scale * numpy(block.self_attention(x, x))

    def feed_forward(x):
        w1, b1, w2, b2 = map(numpy, block.feed_forward.weights)
        scale = 1 if layer_scale is None else numpy(block.feed_forward_scale)
        return scale * (np.maximum(x @ w1 + b1, 0) @ w2 + b2)

    x = sequence()
    if normalize_first:
        expected = x + attention(normalized(x, first, epsilon))
        expected += feed_forward(normalized(expected, second, epsilon))
    else:
        expected = normalized(x + attention(x), first, epsilon)
        expected = normalized(
            expected + feed_forward(expected), second, epsilon
        )
    np.testing.assert_allclose(numpy(block(x)), expected, atol=1e-5)


def test_layer_scale_begins_as_it_is_told():
    block = TransformerEncoderBlock(F, N, layer_scale=1e-3)
    block.build((B, T, D))
    for scale in (block.self_attention_scale, block.feed_forward_scale):
        np.testing.assert_allclose(numpy(scale), np.full(D, 1e-3), rtol=1e-6)


def test_a_part_is_left_out_for_whole_examples():
    """What is added is doubled where it is kept, at a rate of a half."""
    block = built(normalize_first=True, stochastic_depth=0.5)
    x = np.repeat(sequence()[:1], 64, axis=0)
    found = numpy(block(x, training=True))
    norm = block.self_attention_norm
    kinds = []
    for first in (0, 2):
        y = norm(x[:1])
        middle = x[:1] + first * numpy(block.self_attention(y, y))
        added = numpy(block.feed_forward(block.feed_forward_norm(middle)))
        kinds += [middle, middle + 2 * added]
    nearest = [
        int(np.argmin([np.abs(example - kind).max() for kind in kinds]))
        for example in found
    ]
    # All four occur: the two parts draw on their own.
    assert set(nearest) == {0, 1, 2, 3}
    for example, kind in zip(found, nearest, strict=True):
        np.testing.assert_allclose(example, kinds[kind][0], atol=1e-4)


@pytest.mark.parametrize("way", ["padding_mask", "implicit", "both"])
def test_padding_is_never_read(way):
    block = built()
    mask = np.arange(T)[None] < np.array([[3], [T - 1]])
    x = sequence()
    changed = np.where(mask[..., None], x, 1e3).astype("float32")

    def run(x):
        x = ops.convert_to_tensor(x)
        if way == "padding_mask":
            return numpy(block(x, padding_mask=mask))[mask]
        x._keras_mask = ops.convert_to_tensor(mask)
        if way == "implicit":
            return numpy(block(x))[mask]
        return numpy(block(x, padding_mask=np.ones((B, T))))[mask]

    np.testing.assert_allclose(run(x), run(changed), atol=1e-5)
    assert np.abs(run(x) - numpy(block(x))[mask]).max() > 1e-3


def test_attention_mask_and_scores():
    block = built()
    mask = np.tri(T, dtype=bool)
    output, scores = block(
        sequence(), attention_mask=mask, return_attention_scores=True
    )
    assert scores.shape == (B, N, T, T)
    assert (numpy(scores)[..., ~mask] == 0).all()
    np.testing.assert_allclose(numpy(scores).sum(-1), 1, atol=1e-5)
    alone = block(sequence(), attention_mask=mask)
    np.testing.assert_allclose(numpy(output), numpy(alone), atol=1e-5)


def test_symbolic_shapes_with_unknown_sizes_and_scores():
    tokens = keras.Input((None,))
    x = keras.layers.Embedding(11, D, mask_zero=True)(tokens)
    block = TransformerEncoderBlock(F, N, dtype="mixed_bfloat16")
    y, scores = block(x, return_attention_scores=True)
    assert y.shape == (None, None, D) and y.dtype == "bfloat16"
    assert scores.shape == (None, N, None, None)
    assert y._keras_mask is not None
    model = keras.Model(tokens, [y, scores])
    found = model(np.array([[1, 2, 0], [3, 4, 5]]))
    assert found[0].shape == (2, 3, D)
    assert (numpy(found[1])[0, ..., 2] == 0).all()


def test_dropout_is_active_in_training_only():
    block = TransformerEncoderBlock(
        F, N, dropout=0.5, attention_dropout=0.4, seed=2
    )
    x = sequence()
    first, second = numpy(block(x)), numpy(block(x))
    np.testing.assert_array_equal(first, second)
    assert block.self_attention.dropout == 0.4
    assert np.abs(numpy(block(x, training=True)) - first).max() > 0.1


@pytest.mark.parametrize("given", [False, True])
def test_it_saves_and_reloads(tmp_path, given):
    attention = MultiHeadAttention(4, 5, num_key_value_heads=2)
    arguments = {"self_attention": attention} if given else {"num_heads": N}
    x = keras.Input((None, D))
    block = TransformerEncoderBlock(F, **arguments)
    model = keras.Model(x, block(x))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        numpy(again(sequence())), numpy(model(sequence())), atol=1e-6
    )
    if given:
        assert again.layers[-1].self_attention.num_key_value_heads == 2


def test_only_fitting_attention_is_taken():
    with pytest.raises(ValueError, match="`self_attention` must be a MultiH"):
        TransformerEncoderBlock(F, self_attention=AdditiveAttention(3))
    for arguments in (
        {},
        {"num_heads": 2, "self_attention": MultiHeadAttention(2, 3)},
    ):
        with pytest.raises(ValueError, match="Either `num_heads` or self_att"):
            TransformerEncoderBlock(F, **arguments)
    with pytest.raises(ValueError, match="`attention_dropout` is for the"):
        TransformerEncoderBlock(
            F, attention_dropout=0.1, self_attention=MultiHeadAttention(2, 3)
        )
    with pytest.raises(ValueError, match="multiple of `num_heads`.*6 feat"):
        TransformerEncoderBlock(F, 4)(sequence())
    with pytest.raises(ValueError, match="as many features as the block"):
        TransformerEncoderBlock(
            F, self_attention=MultiHeadAttention(2, 3, output_shape=5)
        )(sequence())
    with pytest.raises(ValueError, match=r"\(batch, length, features\)"):
        TransformerEncoderBlock(F, N)(np.zeros((B, D)))


@pytest.mark.parametrize("normalize_first", [True, False])
def test_a_mask_counts_alike_on_the_inputs_and_as_an_argument(normalize_first):
    ids = np.array([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]])
    x = keras.layers.Embedding(9, 8, mask_zero=True)(ids)
    block = TransformerEncoderBlock(13, 2, normalize_first=normalize_first)
    implicit = numpy(block(x))
    explicit = numpy(block(ops.copy(x), padding_mask=ids != 0))
    np.testing.assert_allclose(explicit, implicit, atol=1e-6)


def test_a_window_of_self_attention_reads_no_further():
    attention = SlidingWindowAttention(2, 3, window=1)
    block = TransformerEncoderBlock(F, self_attention=attention)
    x = sequence()
    before = numpy(block(x))
    x[:, -1] += 10
    moved = np.abs(numpy(block(x)) - before).max((0, 2)) > 1e-4
    assert moved.tolist() == [False, False, False, True, True]
