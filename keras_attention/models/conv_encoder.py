from collections.abc import Sequence

import keras
from keras import layers

from keras_attention.models.coordinates import Coordinates
from keras_attention.models.model import Model
from keras_attention.ops import checks

PRESETS = {
    # Ours, for a CPU: a grid of 4 x 4 features of images of 64 x 64 pixels.
    "conv_encoder_small": dict(
        image_shape=(64, 64, 3), filters=(32, 64, 64, 64)
    ),
}


@keras.saving.register_keras_serializable(package="keras_attention")
class ConvEncoder(Model):
    """Makes a grid of features of a small image.

    An encoder to train together with what reads it, where there are no
    pretrained weights: convolutions with a step of 2, each with a batch
    normalization and a ReLU. A feature sees little more than its own cell, so
    that attention has something to choose from: with four layers of 3 x 3, 31
    pixels for a cell of 16.

    Args:
        image_shape: `(height, width, channels)`, multiples of 2 to the number
            of layers.
        filters: Features that each layer makes.
        kernel_size: Height and width of each kernel.
        coordinates: Whether each pixel is told its row and column, from -1 to
            1 (Liu et al., 2018). For what reads the features without being
            told, as `SCACNN` does: they know little of where they are, and
            that only from the image's border.
        dtype: Policy of all layers.
        **kwargs: `name` and `trainable` of `keras.Model`.

    Call arguments:
        images: `(B, height, width, channels)`.

    Returns:
        `(B, height / 2^n, width / 2^n, filters[-1])` for n layers.

    Raises:
        ValueError: A size is not positive, or layers would not tile the image.

    Examples:
        >>> import numpy as np
        >>> from keras_attention.models import ConvEncoder
        >>> encoder = ConvEncoder.from_preset("conv_encoder_small")
        >>> tuple(encoder(np.zeros((2, 64, 64, 3))).shape)
        (2, 4, 4, 64)

    Reference:
        [Liu et al., 2018](https://arxiv.org/abs/1807.03247), section 3, for
        the coordinates.
    """

    presets = PRESETS

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (64, 64, 3),
        filters: Sequence[int] = (32, 64, 64, 64),
        kernel_size: int = 3,
        coordinates: bool = False,
        dtype=None,
        **kwargs,
    ):
        checks.positive_int(kernel_size, "kernel_size")
        filters = tuple(checks.positive_int(n, "filters") for n in filters)
        height, width, channels = checks.sizes(
            image_shape, "image_shape", ("height", "width", "channels")
        )
        image_shape = (height, width, channels)
        step = 2 ** len(filters)
        if height % step or width % step:
            raise ValueError(
                f"Height and width must be multiples of {step}, as each of "
                f"{len(filters)} layers halves them. Received: image_shape="
                f"{image_shape}. Resize the images, or take fewer `filters`."
            )
        images = x = keras.Input(image_shape, name="images")
        if coordinates:
            x = Coordinates(dtype=dtype, name="coordinates")(x)
        for i, number in enumerate(filters):
            x = layers.Conv2D(
                number,
                kernel_size,
                strides=2,
                padding="same",
                use_bias=False,
                kernel_initializer="he_normal",
                dtype=dtype,
                name=f"conv_{i}",
            )(x)
            x = layers.BatchNormalization(dtype=dtype, name=f"norm_{i}")(x)
            x = layers.ReLU(dtype=dtype, name=f"relu_{i}")(x)
        super().__init__(inputs=images, outputs=x, dtype=dtype, **kwargs)
        self.image_shape, self.filters = image_shape, filters
        self.kernel_size = kernel_size
        self.coordinates = coordinates

    def get_config(self):
        return {
            **super().get_config(),
            "image_shape": self.image_shape,
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "coordinates": self.coordinates,
        }
