import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import PatchEmbedding, TubeletEmbedding
from keras_attention.ops.frames import uniform_frames

B, F, H, W, C, D = 2, 6, 4, 15, 7, 11
TUBELET = (3, 2, 5)


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


@pytest.fixture
def video():
    rng = np.random.default_rng(0)
    return rng.normal(size=(B, F, H, W, C)).astype("float32")


@pytest.fixture
def image_kernel():
    rng = np.random.default_rng(2)
    return rng.normal(size=(*TUBELET[1:], C, D)).astype("float32")


def built(video, **kwargs):
    """A layer, its kernel as that of a 3-D convolution, and its bias."""
    layer = TubeletEmbedding(TUBELET, D, **kwargs)
    layer(video)
    dense = layer.embedding_dense
    dense.bias.assign(np.random.default_rng(1).normal(size=D))
    kernel = numpy(dense.kernel).reshape(*TUBELET, C, D)
    return layer, kernel, numpy(dense.bias)


def test_tokens_are_tubelets_by_frames_then_rows_then_columns(video):
    """Arnab et al., 2021, section 3.2, one tubelet at a time."""
    layer, kernel, bias = built(video)
    tokens = []
    t, h, w = TUBELET
    for i, y, x in np.ndindex(*layer.grid_size(F, H, W)):
        tubelet = video[
            :, i * t : (i + 1) * t, y * h : (y + 1) * h, x * w : (x + 1) * w
        ]
        tokens.append((tubelet[..., None] * kernel).sum((1, 2, 3, 4)) + bias)
    assert len(tokens) == 12
    np.testing.assert_allclose(
        numpy(layer(video)), np.stack(tokens, axis=1), atol=1e-4
    )


def test_it_is_a_convolution_of_keras(video):
    layer, kernel, bias = built(video)
    convolution = keras.layers.Conv3D(D, TUBELET, strides=TUBELET)
    convolution(video)
    convolution.set_weights([kernel, bias])
    expected = numpy(convolution(video))
    assert layer.grid_size(F, H, W) == expected.shape[1:4]
    np.testing.assert_allclose(
        numpy(layer(video)), expected.reshape(B, -1, D), atol=1e-4
    )


def test_it_is_a_convolution_of_torch(video):
    torch = pytest.importorskip("torch")
    layer, kernel, bias = built(video)
    found = torch.nn.functional.conv3d(
        torch.tensor(video.transpose(0, 4, 1, 2, 3)),
        torch.tensor(kernel.transpose(4, 3, 0, 1, 2).copy()),
        torch.tensor(bias.copy()),
        stride=TUBELET,
    )
    found = found.flatten(2).transpose(1, 2)
    np.testing.assert_allclose(numpy(layer(video)), found.numpy(), atol=1e-4)


@pytest.mark.parametrize("flat", [False, True])
def test_a_kernel_is_inflated_along_the_axis_of_frames(
    flat, video, image_kernel
):
    layer, _, bias = built(video)
    given = image_kernel.reshape(-1, D) if flat else image_kernel
    for method, frames in (
        ("central_frame", [0, image_kernel, 0]),
        ("average", [image_kernel / 3] * 3),
    ):
        layer.inflate(given, method=method)
        kernel = numpy(layer.embedding_dense.kernel).reshape(*TUBELET, C, D)
        for t in range(3):
            expected = np.broadcast_to(frames[t], kernel[t].shape)
            np.testing.assert_allclose(kernel[t], expected, rtol=1e-6)
        # Without a bias given, that of the layer stays.
        np.testing.assert_array_equal(numpy(layer.embedding_dense.bias), bias)


@pytest.mark.parametrize("method", ["central_frame", "average"])
def test_a_still_video_is_embedded_as_its_image(method, video, image_kernel):
    patches = PatchEmbedding(TUBELET[1:], D)
    patches(video[:, 0])
    bias = np.random.default_rng(3).normal(size=D)
    patches.embedding_dense.set_weights([image_kernel.reshape(-1, D), bias])
    layer, _, _ = built(video)
    dense = patches.embedding_dense
    layer.inflate(dense.kernel, dense.bias, method)
    still = np.repeat(video[:, :1], F, axis=1)
    image = numpy(patches(video[:, 0]))
    np.testing.assert_allclose(
        numpy(layer(still)), np.tile(image, (1, F // 3, 1)), atol=1e-4
    )
    # The two part where there is motion: one looks at one frame.
    moving = numpy(layer(video))[:, : image.shape[1]]
    same = np.allclose(moving, numpy(patches(video[:, 1])), atol=1e-4)
    assert same == (method == "central_frame")


def test_of_two_frames_the_second_is_the_central_one(video, image_kernel):
    layer = TubeletEmbedding((2, *TUBELET[1:]), D)
    layer(video)
    layer.inflate(image_kernel, method="central_frame")
    kernel = numpy(layer.embedding_dense.kernel).reshape(2, -1, D)
    assert not kernel[0].any()
    np.testing.assert_array_equal(kernel[1], image_kernel.reshape(-1, D))


def test_tubelets_of_one_sampled_frame_are_the_paper_s_other_way(
    video, image_kernel
):
    """Uniform frame sampling: n frames, each embedded as an image."""
    patches = PatchEmbedding(TUBELET[1:], D, use_bias=False)
    patches.build((None, H, W, C))
    patches.embedding_dense.kernel.assign(image_kernel.reshape(-1, D))
    layer = TubeletEmbedding((1, *TUBELET[1:]), D)
    frames = uniform_frames(F, 4)
    tokens = layer(video[:, frames])
    layer.inflate(image_kernel)
    tokens = numpy(layer(video[:, frames]))
    expected = [numpy(patches(video[:, t])) for t in frames]
    np.testing.assert_allclose(
        tokens, np.concatenate(expected, axis=1), atol=1e-4
    )


def test_arguments_that_do_not_fit_are_refused(video, image_kernel):
    layer = TubeletEmbedding(TUBELET, D, use_bias=False)
    with pytest.raises(ValueError, match="needs a layer that is built"):
        layer.inflate(image_kernel)
    layer(video)
    with pytest.raises(ValueError, match="frames of `video` must be a multip"):
        layer(video[:, :5])
    with pytest.raises(ValueError, match=r"\(batch, frames, height, width, ch"):
        layer(video[0])
    with pytest.raises(ValueError, match="`tubelet_size` must be an integer"):
        TubeletEmbedding((2, 2), D)
    with pytest.raises(ValueError, match=r"`kernel` must have shape \(2, 5, 7"):
        layer.inflate(image_kernel.transpose(1, 0, 2, 3))
    with pytest.raises(ValueError, match="`bias` needs a layer with one"):
        layer.inflate(image_kernel, np.zeros(D))
    with pytest.raises(ValueError, match="`method` must be one of"):
        layer.inflate(image_kernel, method="centre")
