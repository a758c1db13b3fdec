import math

import keras
from keras import ops

from keras_attention.layers.attention import cloned, on_rows
from keras_attention.ops import checks
from keras_attention.ops.patches import patches


class GridEmbedding(keras.layers.Layer):
    """What embeds the patches of a picture or video does in common.

    A patch is flattened and goes through a Dense layer, which is a
    convolution whose stride is the patch. On a CPU it is about as fast as
    one, and LoRA and int8 reach it.

    A subclass names its input and axes:

    - `tensor` is the name of the input, `axes` those of its axes.
    - `size_argument` is the argument that holds the sizes of a patch.

    Args:
        sizes: Size of a patch along each axis.
        overlaps: How far a patch reaches over each neighbour.
        hidden_dim: Features of a token.
        use_bias: Whether the projection has a bias.
        kernel_initializer: Initializer of the kernel.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Regularizer of the kernel.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.
    """

    tensor: str
    axes: tuple[str, ...]
    size_argument: str

    def __init__(
        self,
        sizes,
        overlaps,
        hidden_dim,
        use_bias,
        kernel_initializer,
        bias_initializer,
        kernel_regularizer,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._sizes, self._overlaps = sizes, overlaps
        self.hidden_dim = checks.positive_int(hidden_dim, "hidden_dim")
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.embedding_dense = keras.layers.Dense(
            self.hidden_dim,
            use_bias=use_bias,
            kernel_initializer=cloned(self.kernel_initializer),
            bias_initializer=self.bias_initializer,
            kernel_regularizer=self.kernel_regularizer,
            dtype=self.dtype_policy,
            name="embedding",
        )

    def build(self, input_shape):
        self._grid_of(input_shape)
        if input_shape[-1] is None:
            raise ValueError(
                f"The channels of `{self.tensor}` must be known. Received: "
                f"shape {tuple(input_shape)}. Give the last axis a size."
            )
        windows = zip(self._sizes, self._overlaps, strict=True)
        window = math.prod(size + 2 * overlap for size, overlap in windows)
        self.embedding_dense.build((None, None, window * input_shape[-1]))

    def embed(self, inputs):
        """The tokens `(B, n, hidden_dim)`; what `call` returns."""
        self._grid_of(inputs.shape)
        x = ops.cast(inputs, self.compute_dtype)
        x = patches(x, self._sizes, self._overlaps)  # (B, *counts, numbers)
        shape = ops.shape(x)
        tokens = math.prod(shape[1:-1])
        x = ops.reshape(x, (shape[0], tokens, shape[-1]))
        return on_rows(self.embedding_dense, x)

    def grid_size(self, *lengths):
        """How many patches there are along each axis, None where unknown.

        Args:
            *lengths: Sizes of the input, in the order of its axes.

        Raises:
            ValueError: A size is not a multiple of that of a patch.
        """
        counts = []
        for axis, length, size in zip(
            self.axes, lengths, self._sizes, strict=True
        ):
            if not checks.known(length):
                counts.append(None)
                continue
            if length % size or not length:
                expected = ", ".join(self.axes)
                raise ValueError(
                    f"The {axis} of `{self.tensor}` must be a multiple of "
                    f"{size}, so that what `{self.size_argument}` names tiles "
                    f"it. Received: {axis}={length}, {self.size_argument}="
                    f"{self._sizes} for ({expected}), channels last. Resize "
                    "or crop it first."
                )
            counts.append(length // size)
        return tuple(counts)

    def _grid_of(self, shape):
        if len(shape) != len(self.axes) + 2:
            expected = ", ".join(("batch", *self.axes, "channels"))
            raise ValueError(
                f"`{self.tensor}` must have shape ({expected}). "
                f"Received: shape {tuple(shape)}."
            )
        return self.grid_size(*shape[1:-1])

    def compute_output_shape(self, input_shape):
        counts = self._grid_of(input_shape)
        tokens = None if None in counts else math.prod(counts)
        return input_shape[0], tokens, self.hidden_dim

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "bias_initializer": keras.initializers.serialize(
                self.bias_initializer
            ),
            "kernel_regularizer": keras.regularizers.serialize(
                self.kernel_regularizer
            ),
        }
