import keras

from keras_attention.layers.grid_embedding import GridEmbedding
from keras_attention.ops import checks


@keras.saving.register_keras_serializable(package="keras_attention")
class PatchEmbedding(GridEmbedding):
    """Turns images into sequences of tokens, one for each patch.

    What a vision Transformer reads (Dosovitskiy et al., 2021, section 3.1,
    equation 1): patches of P x P pixels, row by row, flattened and projected:

        token[i] = E patch[i] + b

    `E` is the kernel of `embedding_dense`, `(P * P * channels, hidden_dim)`:
    the kernel `(P, P, channels, hidden_dim)` of a convolution with stride P,
    reshaped. Positions are added by a layer of its own, such as
    `PositionEmbedding`.

    With `overlap=o` a patch reaches o pixels further on each side (Lee et
    al., 2021): it has (P + 2o) x (P + 2o) pixels, at a stride of P, zeros
    around the image, and there are as many as without.

    Images are channels last, whatever `keras.config.image_data_format()`
    says; `keras.layers.Permute((2, 3, 1))` makes them so.

    Args:
        patch_size: P, in pixels; an int, or one for height and width.
        hidden_dim: Features of a token, the paper's D.
        overlap: o, in pixels; an int, or one for height and width.
        use_bias: Whether `b` is added.
        kernel_initializer: Initializer of `E`.
        bias_initializer: Initializer of `b`.
        kernel_regularizer: Regularizer of `E`.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        images: `(B, height, width, channels)`, floats or integers, in any
            range.

    Returns:
        `(B, rows * columns, hidden_dim)`; `grid_size(height, width)` tells
        rows and columns.

    Raises:
        ValueError: Patches do not tile the image. Where its size is unknown
            until a graph runs, the pixels right of and below the last whole
            patch begin none, as in a convolution without padding.

    Examples:
        >>> import numpy as np
        >>> import keras_attention
        >>> images = np.random.uniform(-1, 1, size=(2, 32, 48, 3))
        >>> layer = keras_attention.layers.PatchEmbedding(16, hidden_dim=64)
        >>> tuple(layer(images).shape), layer.grid_size(32, 48)
        ((2, 6, 64), (2, 3))

    Reference:
        [Dosovitskiy et al., 2021](https://arxiv.org/abs/2010.11929), section
        3.1; [Lee et al., 2021](https://arxiv.org/abs/2107.04589) for
        `overlap`.
    """

    tensor = "images"
    axes = ("height", "width")
    size_argument = "patch_size"

    def __init__(
        self,
        patch_size: int | tuple[int, int],
        hidden_dim: int,
        overlap: int | tuple[int, int] = 0,
        use_bias: bool = True,
        kernel_initializer="lecun_normal",
        bias_initializer="zeros",
        kernel_regularizer=None,
        **kwargs,
    ):
        super().__init__(
            checks.sizes(patch_size, "patch_size", self.axes),
            checks.sizes(overlap, "overlap", self.axes, least=0),
            hidden_dim,
            use_bias,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            **kwargs,
        )
        self.patch_size, self.overlap = self._sizes, self._overlaps

    def call(self, images):
        return self.embed(images)

    def get_config(self):
        return {
            **super().get_config(),
            "patch_size": self.patch_size,
            "overlap": self.overlap,
        }
