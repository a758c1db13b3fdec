import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import (
    MultiHeadAttention,
    SpaceTimeEncoderBlock,
    TransformerEncoderBlock,
)

B, T, S, D, N = 2, 3, 4, 8, 2


def numpy(x):
    return ops.convert_to_numpy(x)


def tokens(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(B, T, S, D)).astype("float32")


def randomized(block):
    block.build((None, T, S, D))
    rng = np.random.default_rng(1)
    for weight in block.trainable_weights:
        weight.assign(0.3 * rng.normal(size=weight.shape))
    return block


def along_time(x):
    """Places as examples and frames as positions."""
    return x.swapaxes(1, 2).reshape(B * S, T, D)


def copied(block, part):
    """A `MultiHeadAttention` of sequences with the weights of a part."""
    layer = MultiHeadAttention(N, D // N)
    layer.build((None, None, D), (None, None, D))
    layer.set_weights(getattr(block, part).get_weights())
    return layer


@pytest.mark.parametrize("order", ["space_time", "time_space"])
def test_one_attention_follows_the_other(order):
    block = randomized(SpaceTimeEncoderBlock(12, N, order=order))
    x = tokens()
    output, scores = block(x, return_attention_scores=True)
    space, time = (
        copied(block, part) for part in ("self_attention", "time_attention")
    )
    for part in order.split("_"):
        if part == "space":
            y = numpy(block.self_attention_norm(x)).reshape(B * T, S, D)
            y, read = space(y, y, return_attention_scores=True)
            shape = B, T, N, S, S
            x = x + numpy(y).reshape(x.shape)
        else:
            y = along_time(numpy(block.time_attention_norm(x)))
            y, read = time(y, y, return_attention_scores=True)
            shape = B, S, N, T, T
            x = x + numpy(y).reshape(B, S, T, D).swapaxes(1, 2)
        np.testing.assert_allclose(
            numpy(scores[part]), numpy(read).reshape(shape), atol=1e-5
        )
    x = x + numpy(block.feed_forward(block.feed_forward_norm(x)))
    np.testing.assert_allclose(numpy(output), x, atol=1e-5)
    np.testing.assert_allclose(numpy(block(tokens())), x, atol=1e-5)


def test_half_of_the_heads_read_along_time_and_half_in_space():
    block = randomized(SpaceTimeEncoderBlock(12, N, "dot_product"))
    x = tokens()
    output, scores = block(x, return_attention_scores=True)
    both = copied(block, "self_attention")
    y = numpy(block.self_attention_norm(x))
    kernel = numpy(both.output_dense.kernel)  # (N, H, D)
    value = numpy(
        ops.einsum("btsd,dnh->btsnh", y, both.value_dense.kernel)
        + both.value_dense.bias
    )
    time, space = (numpy(scores[name]) for name in ("time", "space"))
    x = x + numpy(both.output_dense.bias)
    x = x + np.einsum(
        "bstu,bush,hd->btsd", time[:, :, 0], value[..., 0, :], kernel[0]
    )
    x = x + np.einsum(
        "btsr,btrh,hd->btsd", space[:, :, 0], value[..., 1, :], kernel[1]
    )
    x = x + numpy(block.feed_forward(block.feed_forward_norm(x)))
    np.testing.assert_allclose(numpy(output), x, atol=1e-5)
    # The scores of each half are those of attention over its axis alone.
    flat = y.reshape(B * T, S, D)
    _, read = both(flat, flat, return_attention_scores=True)
    np.testing.assert_allclose(
        numpy(scores["space"]),
        numpy(read).reshape(B, T, N, S, S)[:, :, 1:],
        atol=1e-5,
    )
    flat = along_time(y)
    _, read = both(flat, flat, return_attention_scores=True)
    np.testing.assert_allclose(
        numpy(scores["time"]),
        numpy(read).reshape(B, S, N, T, T)[:, :, :1],
        atol=1e-5,
    )


def test_with_an_image_blocks_weights_it_begins_as_that():
    image = TransformerEncoderBlock(12, N, normalize_first=True)
    image.build((None, S, D))
    block = SpaceTimeEncoderBlock(12, N)
    block.build((None, T, S, D))
    ours = {weight.path.partition("/")[2]: weight for weight in block.weights}
    for weight in image.weights:
        weight.assign(np.random.default_rng(2).normal(size=weight.shape))
        ours[weight.path.partition("/")[2]].assign(weight)
    x = tokens()
    expected = numpy(image(x.reshape(B * T, S, D))).reshape(x.shape)
    np.testing.assert_allclose(numpy(block(x)), expected, atol=1e-5)


def test_what_it_begins_without_it_learns():
    """The way of the paper's code, all weights at zero, learns nothing."""
    block = SpaceTimeEncoderBlock(12, N)
    model = keras.Sequential([keras.Input((T, S, D)), block])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(tokens(), tokens(1), epochs=5, verbose=0)
    for dense in ("query_dense", "value_dense", "output_dense"):
        kernel = getattr(block.time_attention, dense).kernel
        assert abs(numpy(kernel)).max() > 1e-4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpaceTimeEncoderBlock(12, 2, "encoder"), "'encoder'"),
        (lambda: SpaceTimeEncoderBlock(12, 2, order="st"), "order='st'"),
        (
            lambda: SpaceTimeEncoderBlock(
                12, 2, "dot_product", time_initializer=None
            ),
            "time_initializer=None, factorization='dot_product'",
        ),
        (
            lambda: SpaceTimeEncoderBlock(12, 3)(tokens()),
            "8 features, num_heads=3",
        ),
        (
            lambda: SpaceTimeEncoderBlock(12, 1, "dot_product")(tokens()),
            "must be even. Received: num_heads=1",
        ),
        (
            lambda: SpaceTimeEncoderBlock(12, 2)(tokens()[:, 0]),
            "tokens of a frame",
        ),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
