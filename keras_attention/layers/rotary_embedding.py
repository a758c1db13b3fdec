import keras
from keras import ops

from keras_attention.ops import checks
from keras_attention.ops.rotary import rotate
from keras_attention.ops.sinusoids import LAYOUTS


@keras.saving.register_keras_serializable(package="keras_attention")
class RotaryEmbedding(keras.layers.Layer):
    """Tells positions apart by turning queries and keys.

    To be applied to projected queries and keys, not to what is read. Each
    pair of features is turned by an angle proportional to the position (Su et
    al., 2021, equation 34):

        angle[t, i]        = t / max_wavelength ** (2 i / H)
        output[t, 2 i]     = x[2 i] cos(angle) - x[2 i + 1] sin(angle)
        output[t, 2 i + 1] = x[2 i] sin(angle) + x[2 i + 1] cos(angle)

    so that a query's product with a key depends on how far apart they are,
    not on where they are. There is nothing to learn, and no longest sequence.
    Angles are computed in float32 whatever the dtype of the layer.

    Args:
        max_wavelength: The longest wavelength over 2 pi; the paper's 10000.
        layout: "interleaved", the paper's pairs of neighbors, or "halves":
            feature i is paired with feature `i + H / 2`, as checkpoints of
            GPT-NeoX and LLaMA have it.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, T, H)`, or with heads `(B, T, N, H)`. H is even.
        start_index: Position of the first entry, an int or a scalar tensor;
            a decoder that runs one position at a time passes where it is.

    Returns:
        The shape of the inputs.

    Raises:
        ValueError: `layout` is unknown, `max_wavelength` is not positive, the
            inputs have a rank below 3, or their features are odd or unknown.

    Examples:
        >>> import numpy as np
        >>> import keras_attention
        >>> queries = np.random.normal(size=(2, 5, 3, 8))
        >>> rotary = keras_attention.layers.RotaryEmbedding()
        >>> tuple(rotary(queries).shape)
        (2, 5, 3, 8)

    Reference:
        [Su et al., 2021](https://arxiv.org/abs/2104.09864), section 3.2.2 and
        equation 34.
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
        size = inputs_shape[-1]
        if len(inputs_shape) < 3 or size is None or size % 2:
            raise ValueError(
                "`inputs` must have shape (batch, length, ..., features), the "
                "features known and even, so that they form pairs. Received: "
                f"shape {tuple(inputs_shape)}."
            )

    def call(self, inputs, start_index=0):
        # Integers, which Keras does not cast, would be cut off when turned.
        inputs = ops.cast(inputs, self.compute_dtype)
        return rotate(inputs, start_index, self.max_wavelength, self.layout)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def compute_output_spec(self, inputs, start_index=0):
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "max_wavelength": self.max_wavelength,
            "layout": self.layout,
        }
