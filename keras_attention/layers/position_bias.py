import keras
from keras import ops

from keras_attention.ops import checks
from keras_attention.ops.relative import toeplitz
from keras_attention.ops.softmax import wide_dtype


class PositionBias(keras.layers.Layer):
    """What the biases that tell positions apart share.

    A subclass says with `bias(offsets)` what each head adds to the logits of
    a pair of positions that are some offset apart.

    Args:
        num_heads: Number of heads, N.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.
    """

    def __init__(self, num_heads: int, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = checks.positive_int(num_heads, "num_heads")
        self.supports_masking = True

    def build(self, query_shape, value_shape=None):
        """Creates the weights; they do not depend on the shapes."""

    def bias(self, offsets):
        """`(N, L)` in float32 or wider, for integers s - t `(L,)`."""
        raise NotImplementedError(
            f"{type(self).__name__} must define the bias of an offset: `bias`."
        )

    def table(self, first, length):
        """The biases of a range of offsets s - t, from s before t to after.

        Args:
            first: The first offset, an int or a scalar tensor.
            length: How many there are.

        Returns:
            `(N, length)`, in float32 or wider.
        """
        bias = self.bias(first + ops.arange(0, length, dtype="int32"))
        return ops.cast(bias, wide_dtype(self.compute_dtype))

    def call(self, query, value=None):
        length = ops.shape(query)[1]
        key_length = length if value is None else ops.shape(value)[1]
        table = self.table(1 - length, length + key_length - 1)
        bias = toeplitz(ops.cast(table, self.compute_dtype), length, key_length)
        return bias[None]  # (1, N, T, S)

    def compute_mask(self, inputs, previous_mask):
        """None: a mask of the inputs says nothing about pairs."""

    def compute_output_shape(self, query_shape, value_shape=None):
        value_shape = value_shape or query_shape
        return (1, self.num_heads, query_shape[1], value_shape[1])

    def compute_output_spec(self, query, value=None):
        value_shape = None if value is None else value.shape
        shape = self.compute_output_shape(query.shape, value_shape)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads}
