import keras
from keras import ops

from keras_attention.ops import checks


@keras.saving.register_keras_serializable(package="keras_attention")
class PrefixTokens(keras.layers.Layer):
    """Puts learned tokens before each sequence.

    As the class token of ViT (Dosovitskiy et al., 2021, section 3.1) and the
    distillation token of DeiT (Touvron et al., 2021, section 4): vectors that
    are the same for each example, which read the others and are read out.

    Args:
        num_tokens: How many.
        initializer: Initializer of the tokens.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, T, D)`.

    Returns:
        `(B, num_tokens + T, D)`.

    Raises:
        ValueError: `num_tokens` is not a positive integer, or the inputs have
            no three axes with known features.

    Examples:
        >>> import numpy as np
        >>> import keras_attention
        >>> x = np.random.normal(size=(2, 5, 8))
        >>> tuple(keras_attention.layers.PrefixTokens(1)(x).shape)
        (2, 6, 8)

    Reference:
        [Dosovitskiy et al., 2021](https://arxiv.org/abs/2010.11929), section
        3.1, equation 1.
    """

    def __init__(self, num_tokens: int = 1, initializer="zeros", **kwargs):
        super().__init__(**kwargs)
        self.num_tokens = checks.positive_int(num_tokens, "num_tokens")
        self.initializer = keras.initializers.get(initializer)
        self.supports_masking = True

    def build(self, inputs_shape):
        if len(inputs_shape) != 3 or inputs_shape[-1] is None:
            raise ValueError(
                "`inputs` must have shape (batch, length, features), the "
                f"features known. Received: shape {tuple(inputs_shape)}."
            )
        self.tokens = self.add_weight(
            shape=(self.num_tokens, inputs_shape[-1]),
            initializer=self.initializer,
            name="tokens",
        )

    def call(self, inputs):
        x = ops.cast(inputs, self.compute_dtype)
        shape = (ops.shape(x)[0], self.num_tokens, x.shape[-1])
        tokens = ops.broadcast_to(ops.cast(self.tokens, x.dtype)[None], shape)
        return ops.concatenate([tokens, x], axis=1)

    def compute_mask(self, inputs, mask=None):
        if mask is None:
            return None
        ones = ops.ones((ops.shape(mask)[0], self.num_tokens), "bool")
        return ops.concatenate([ones, ops.cast(mask, "bool")], axis=1)

    def compute_output_shape(self, inputs_shape):
        batch, length, features = inputs_shape
        length = None if length is None else length + self.num_tokens
        return (batch, length, features)

    def get_config(self):
        return {
            **super().get_config(),
            "num_tokens": self.num_tokens,
            "initializer": keras.initializers.serialize(self.initializer),
        }
