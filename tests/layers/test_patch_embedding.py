import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import PatchEmbedding
from tests.gradients import gradients

B, H, W, C, D = 2, 6, 15, 7, 11
PATCH = (3, 5)


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(B, H, W, C)).astype("float32")


def with_bias(layer, images):
    """The layer with a bias, its kernel as that of a convolution, the bias."""
    layer(images)
    dense = layer.embedding_dense
    dense.bias.assign(np.random.default_rng(1).normal(size=D))
    sizes = zip(layer.patch_size, layer.overlap, strict=True)
    window = [size + 2 * overlap for size, overlap in sizes]
    kernel = numpy(dense.kernel).reshape(*window, images.shape[-1], D)
    return layer, kernel, numpy(dense.bias)


def reference(layer, images):
    """Dosovitskiy et al., 2021, equation 1, one patch at a time.

    With the overlap of Lee et al., 2021: each patch is cut from an image
    with zeros around.
    """
    layer, kernel, bias = with_bias(layer, images)
    (ph, pw), (oh, ow) = layer.patch_size, layer.overlap
    padded = np.pad(images, ((0, 0), (oh, oh), (ow, ow), (0, 0)))
    tokens = []
    for y in range(0, images.shape[1], ph):
        for x in range(0, images.shape[2], pw):
            patch = padded[:, y : y + ph + 2 * oh, x : x + pw + 2 * ow]
            tokens.append((patch[..., None] * kernel).sum((1, 2, 3)) + bias)
    return np.stack(tokens, axis=1)


# Up to overlaps beyond the next patch.
@pytest.mark.parametrize("overlap", [0, 1, 2, (0, 3), (4, 1), 7])
def test_tokens_are_projected_patches_row_by_row(overlap, images):
    layer = PatchEmbedding(PATCH, D, overlap=overlap)
    expected = reference(layer, images)
    assert expected.shape == (B, 6, D)
    np.testing.assert_allclose(numpy(layer(images)), expected, atol=1e-4)


@pytest.mark.parametrize("overlap", [0, 1])
def test_it_is_a_convolution_of_keras(overlap, images):
    layer = PatchEmbedding(PATCH, D, overlap=overlap)
    layer, kernel, bias = with_bias(layer, images)
    convolution = keras.layers.Conv2D(D, kernel.shape[:2], strides=PATCH)
    pad = keras.layers.ZeroPadding2D(overlap)
    convolution(pad(images))
    convolution.set_weights([kernel, bias])
    expected = numpy(convolution(pad(images)))  # (B, rows, columns, D)
    assert layer.grid_size(H, W) == expected.shape[1:3]
    np.testing.assert_allclose(
        numpy(layer(images)), expected.reshape(B, -1, D), atol=1e-4
    )


@pytest.mark.parametrize("overlap", [0, 1])
def test_it_is_a_convolution_of_torch_flattened_as_timm_does(overlap, images):
    torch = pytest.importorskip("torch")
    layer = PatchEmbedding(PATCH, D, overlap=overlap)
    layer, kernel, bias = with_bias(layer, images)
    found = torch.nn.functional.conv2d(
        torch.tensor(images.transpose(0, 3, 1, 2)),
        torch.tensor(kernel.transpose(3, 2, 0, 1).copy()),
        torch.tensor(bias.copy()),
        stride=PATCH,
        padding=overlap,
    )
    found = found.flatten(2).transpose(1, 2)  # (B, D, n) to (B, n, D)
    np.testing.assert_allclose(numpy(layer(images)), found.numpy(), atol=1e-4)


@pytest.mark.parametrize("overlap", [0, 2])
def test_gradients_are_those_of_a_convolution(overlap, images):
    layer = PatchEmbedding(PATCH, D, overlap=overlap)
    layer, kernel, bias = with_bias(layer, images)

    def ours(images, kernel, bias):
        flat = ops.reshape(kernel, (-1, D))
        return layer.stateless_call([flat, bias], [], images)[0]

    def theirs(images, kernel, bias):
        padding = [(0, 0), (overlap, overlap), (overlap, overlap), (0, 0)]
        x = ops.conv(ops.pad(images, padding), kernel, PATCH, "valid")
        return ops.reshape(x + bias, (B, -1, D))

    pairs = zip(
        gradients(ours, images, kernel, bias),
        gradients(theirs, images, kernel, bias),
        strict=True,
    )
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_pixels_of_an_unknown_size_beyond_the_last_patch_begin_none(images):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("sizes are unknown on TensorFlow only")
    import tensorflow as tf

    layer = PatchEmbedding((4, 4), D)
    layer(images[:, :4, :12])
    compiled = tf.function(
        layer, input_signature=[tf.TensorSpec((None, None, None, C))]
    )
    np.testing.assert_allclose(
        compiled(images), layer(images[:, :4, :12]), atol=1e-5
    )


def test_integers_are_read_as_numbers(images):
    pixels = np.round(images * 9).astype("int32")
    layer = PatchEmbedding(PATCH, D)
    expected = numpy(layer(pixels.astype("float32")))
    np.testing.assert_array_equal(numpy(layer(pixels)), expected)


def test_low_rank_and_int8_reach_the_kernel(images):
    layer = PatchEmbedding(PATCH, D)
    expected = numpy(layer(images))
    layer.embedding_dense.enable_lora(2)
    # The second factor starts at zero.
    np.testing.assert_allclose(numpy(layer(images)), expected, atol=1e-5)
    assert len(layer.trainable_weights) == 3

    layer = PatchEmbedding(PATCH, D)
    expected = numpy(layer(images))
    layer.embedding_dense.quantize("int8")
    assert "int8" in [w.dtype for w in layer.weights]
    np.testing.assert_allclose(numpy(layer(images)), expected, atol=0.2)


def test_sizes_that_patches_do_not_tile_are_refused(images):
    layer = PatchEmbedding((3, 4), D)
    message = r"width of `images` must be a multiple of 4.*width=15, patch_size"
    for bad in (images, keras.Input((None, W, C))):
        with pytest.raises(ValueError, match=message):
            layer(bad)
    with pytest.raises(ValueError, match="height=7"):
        layer.grid_size(7, 8)
    with pytest.raises(ValueError, match=r"\(batch, height, width, channels\)"):
        layer(images[0])
    with pytest.raises(ValueError, match="channels of `images` must be known"):
        layer(keras.Input((6, 8, None)))
    assert layer.grid_size(None, 8) == (None, 2)
    assert layer(keras.Input((None, 8, C))).shape == (None, None, D)


@pytest.mark.parametrize("wrong", [0, (2, 2, 2), 2.5, (2, None), True])
def test_a_patch_size_is_one_or_two_positive_integers(wrong):
    with pytest.raises(ValueError, match="`patch_size` must be an integer"):
        PatchEmbedding(wrong, D)
    with pytest.raises(ValueError, match="`hidden_dim` must be a positive"):
        PatchEmbedding(2, 0)
    with pytest.raises(ValueError, match="`overlap` must be an integer of at"):
        PatchEmbedding(2, D, overlap=-1)
