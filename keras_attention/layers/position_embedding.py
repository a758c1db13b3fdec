import keras
from keras import ops

from keras_attention.layers.sine_position_encoding import check_sequence
from keras_attention.ops import checks
from keras_attention.ops.masks import concrete_value


@keras.saving.register_keras_serializable(package="keras_attention")
class PositionEmbedding(keras.layers.Layer):
    """Tells positions of a sequence apart by a learned vector for each.

    To be added to the inputs (Gehring et al., 2017, section 3.1):

        embedding[t] = E[start_index + t]

    Unlike `SinePositionEncoding` it is trained, and has a longest sequence.

    Args:
        max_length: Number of positions there are vectors for.
        initializer: Initializer of the vectors.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, T, D)`, for its shape.
        start_index: Position of the first entry, an int or a scalar tensor;
            a decoder that runs one position at a time passes where it is.

    Returns:
        `(B, T, D)`, the same for each example.

    Raises:
        ValueError: `max_length` is not a positive integer, the inputs have
            no rank of 3, or reach beyond `max_length`. A `start_index` that
            has no value yet, under a trace, cannot be checked.

    Examples:
        >>> import keras, keras_attention
        >>> x = keras.random.normal((2, 5, 8))
        >>> layer = keras_attention.layers.PositionEmbedding(max_length=100)
        >>> y = x + layer(x)
        >>> tuple(y.shape)
        (2, 5, 8)

    Reference:
        [Gehring et al., 2017](https://arxiv.org/abs/1705.03122), section 3.1.
    """

    def __init__(self, max_length: int, initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.max_length = checks.positive_int(max_length, "max_length")
        self.initializer = keras.initializers.get(initializer)
        self.supports_masking = True
        self.embeddings = None

    def build(self, inputs_shape):
        check_sequence(inputs_shape)
        self.embeddings = self.add_weight(
            shape=(self.max_length, inputs_shape[2]),
            initializer=self.initializer,
            name="embeddings",
        )

    def call(self, inputs, start_index=0):
        self._check_length(inputs.shape, start_index)
        shape = ops.shape(inputs)
        embeddings = ops.convert_to_tensor(self.embeddings)
        if keras.backend.backend() == "jax" and not checks.known(shape[1]):
            # An export, which cannot tell a slice to be inside: NaN if not.
            rows = start_index + ops.arange(shape[1])
            return ops.broadcast_to(ops.take(embeddings, rows, axis=0), shape)
        start = (ops.cast(start_index, "int32"), 0)
        if isinstance(start_index, int):
            start = (start_index, 0)
        embedding = ops.slice(embeddings, start, shape[1:])  # (T, D)
        return ops.broadcast_to(embedding, shape)

    def _check_length(self, shape, start_index):
        checks.start_index(start_index)
        start = concrete_value(start_index)
        start = 0 if start is None else int(start)
        if (
            checks.known(shape[1])
            and not 0 <= start <= self.max_length - shape[1]
        ):
            raise ValueError(
                "Positions must be below `max_length`. Received: "
                f"start_index={start} and a length of {shape[1]}, with "
                f"max_length={self.max_length}. Pass shorter sequences, or a "
                "larger `max_length` to the constructor."
            )

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def compute_output_spec(self, inputs, start_index=0):
        check_sequence(inputs.shape)
        self._check_length(inputs.shape, start_index)
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "max_length": self.max_length,
            "initializer": keras.initializers.serialize(self.initializer),
        }
