import keras
from keras import ops

from keras_attention.ops import checks
from keras_attention.ops.sinusoids import LAYOUTS, sinusoids


@keras.saving.register_keras_serializable(package="keras_attention")
class SinePositionEncoding(keras.layers.Layer):
    """Tells positions of a sequence apart by fixed waves.

    To be added to the inputs. Each pair of features is a sine and a cosine
    of the position, at wavelengths from 2 pi to `max_wavelength` 2 pi (Vaswani
    et al., 2017, section 3.5):

        encoding[t, 2 i]     = sin(t / max_wavelength ** (2 i / D))
        encoding[t, 2 i + 1] = cos(t / max_wavelength ** (2 i / D))

    There is nothing to learn, and no longest sequence. Angles are computed
    in float32 whatever the dtype of the layer, so that neighbors stay
    distinct in low precision.

    Args:
        max_wavelength: The longest wavelength over 2 pi; the paper's 10000.
        layout: "interleaved", the paper's, or "halves": all sines, then all
            cosines, as Marian's checkpoints have it.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, T, D)`, for its shape.
        start_index: Position of the first entry, an int or a scalar tensor;
            a decoder that runs one position at a time passes where it is.

    Returns:
        `(B, T, D)`, the same for each example.

    Raises:
        ValueError: `layout` is unknown, `max_wavelength` is not positive, or
            the inputs have no rank of 3.

    Examples:
        >>> import keras, keras_attention
        >>> x = keras.random.normal((2, 5, 8))
        >>> layer = keras_attention.layers.SinePositionEncoding()
        >>> y = x + layer(x)
        >>> tuple(y.shape)
        (2, 5, 8)

    Reference:
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762), section 3.5.
    """

    def __init__(
        self,
        max_wavelength: float = 10000.0,
        layout: str = "interleaved",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.max_wavelength = checks.positive(max_wavelength, "max_wavelength")
        self.layout = checks.one_of(layout, "layout", LAYOUTS)
        self.supports_masking = True

    def build(self, inputs_shape):
        check_sequence(inputs_shape)

    def call(self, inputs, start_index=0):
        shape = ops.shape(inputs)
        encoding = sinusoids(
            shape[1],
            inputs.shape[2],
            start_index,
            self.max_wavelength,
            self.layout,
        )  # (T, D)
        return ops.broadcast_to(ops.cast(encoding, self.compute_dtype), shape)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def compute_output_spec(self, inputs, start_index=0):
        check_sequence(inputs.shape)
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "max_wavelength": self.max_wavelength,
            "layout": self.layout,
        }


def check_sequence(shape):
    """Raises unless a shape is `(B, T, D)` with D known."""
    if len(shape) != 3 or shape[2] is None:
        raise ValueError(
            "`inputs` must have shape (batch, length, features), the features "
            f"known. Received: shape {tuple(shape)}."
        )
