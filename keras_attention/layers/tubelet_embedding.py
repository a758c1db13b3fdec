import keras
from keras import ops

from keras_attention.layers.grid_embedding import GridEmbedding
from keras_attention.ops import checks
from keras_attention.ops.frames import inflate


@keras.saving.register_keras_serializable(package="keras_attention")
class TubeletEmbedding(GridEmbedding):
    """Turns videos into sequences of tokens, one for each tubelet.

    A tubelet is a patch that goes on for some frames, so that motion within
    it is seen before any attention (Arnab et al., 2021, section 3.2):

        token[i] = E tubelet[i] + b

    Tokens are in the order of frames, then rows, then columns. `E` is the
    kernel of `embedding_dense`, that of a 3-D convolution whose stride is the
    tubelet, `(frames, height, width, channels, hidden_dim)`, reshaped.

    `inflate` starts it from the kernel of a `PatchEmbedding`. The paper's
    other way, to embed each of n uniformly sampled frames as an image, is a
    tubelet of one frame on `video[:, uniform_frames(length, n)]`, with
    `keras_attention.ops.frames.uniform_frames`.

    Args:
        tubelet_size: Frames, height and width of a tubelet, the paper's
            t, h, w; (2, 16, 16) in most of its models.
        hidden_dim: Features of a token, the paper's d.
        use_bias: Whether `b` is added.
        kernel_initializer: Initializer of `E`.
        bias_initializer: Initializer of `b`.
        kernel_regularizer: Regularizer of `E`.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        video: `(B, frames, height, width, channels)`, floats or integers, in
            any range.

    Returns:
        `(B, n, hidden_dim)` with n the product of
        `grid_size(frames, height, width)`.

    Raises:
        ValueError: Tubelets do not tile the video. Where its size is unknown
            until a graph runs, what lies beyond the last whole tubelet
            belongs to none, as in a convolution without padding.

    Examples:
        >>> import numpy as np
        >>> import keras, keras_attention
        >>> video = np.random.uniform(-1, 1, size=(2, 8, 32, 48, 3))
        >>> layer = keras_attention.layers.TubeletEmbedding((2, 16, 16), 64)
        >>> tuple(layer(video).shape), layer.grid_size(8, 32, 48)
        ((2, 24, 64), (4, 2, 3))

        Starting from an image model, whose patches are embedded alike:

        >>> images = keras_attention.layers.PatchEmbedding(16, 64)
        >>> _ = images(video[:, 1])
        >>> dense = images.embedding_dense
        >>> layer.inflate(dense.kernel, dense.bias, method="central_frame")
        >>> difference = layer(video)[:, :6] - images(video[:, 1])
        >>> bool(keras.ops.all(abs(difference) < 1e-5))
        True

    Reference:
        [Arnab et al., 2021](https://arxiv.org/abs/2103.15691), sections 3.2
        and 3.4.
    """

    tensor = "video"
    axes = ("frames", "height", "width")
    size_argument = "tubelet_size"

    def __init__(
        self,
        tubelet_size: tuple[int, int, int],
        hidden_dim: int,
        use_bias: bool = True,
        kernel_initializer="lecun_normal",
        bias_initializer="zeros",
        kernel_regularizer=None,
        **kwargs,
    ):
        super().__init__(
            checks.sizes(tubelet_size, "tubelet_size", self.axes),
            (0, 0, 0),
            hidden_dim,
            use_bias,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            **kwargs,
        )
        self.tubelet_size = self._sizes

    def call(self, video):
        return self.embed(video)

    def inflate(self, kernel, bias=None, method="central_frame"):
        """Takes over the weights of a patch embedding.

        Args:
            kernel: `(height, width, channels, hidden_dim)`, or with its first
                three axes flattened, as in `PatchEmbedding`.
            bias: `(hidden_dim,)`; the layer keeps its own if None.
            method: "central_frame", which the paper found best: the middle
                frame of a tubelet gets the kernel, the others zeros. Or
                "average": each frame gets an equal part of it.

        Raises:
            ValueError: The layer is not built, has no bias but was given
                one, or the weights are of other sizes.
        """
        if not self.built:
            raise ValueError(
                f"{self.name}.inflate needs a layer that is built. Call it "
                "on a video first, or `build((None, None, None, None, 3))`."
            )
        if bias is not None and not self.use_bias:
            raise ValueError(
                "`bias` needs a layer with one. Received: a bias, "
                "use_bias=False. Leave it out, or construct the layer with "
                "`use_bias=True`."
            )
        dense = self.embedding_dense
        frames, height, width = self.tubelet_size
        numbers, filters = dense.kernel.shape
        channels = numbers // (frames * height * width)
        shapes = (
            (height, width, channels, filters),
            (height * width * channels, filters),
        )
        if tuple(kernel.shape) not in shapes:
            raise ValueError(
                f"`kernel` must have shape {shapes[0]} or {shapes[1]}, that "
                "of patches as high and wide as the tubelets. "
                f"Received: shape {tuple(kernel.shape)}."
            )
        inflated = inflate(kernel, frames, method)
        dense.kernel.assign(ops.reshape(inflated, dense.kernel.shape))
        if bias is not None:
            dense.bias.assign(bias)

    def get_config(self):
        return {**super().get_config(), "tubelet_size": self.tubelet_size}
