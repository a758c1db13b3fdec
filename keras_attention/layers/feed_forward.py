import keras

from keras_attention.layers.attention import cloned
from keras_attention.layers.projection import project
from keras_attention.ops import checks


@keras.saving.register_keras_serializable(package="keras_attention")
class FeedForward(keras.layers.Layer):
    """Transforms each position on its own, through a wider layer.

    What stands beside attention in each block of a Transformer (Vaswani et
    al., 2017, section 3.3):

        output = activation(x W1 + b1) W2 + b2

    `W1` is `intermediate_dense`, `W2` is `output_dense`.

    Args:
        intermediate_dim: Size of the wider layer, the paper's d_ff.
        activation: Its activation.
        dropout: Share of its units dropped in training, in [0, 1).
        use_bias: Whether the two projections have biases.
        kernel_initializer: Initializer of the kernels.
        bias_initializer: Initializer of the biases.
        seed: Seed of the dropout.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, ..., D)`.
        training: Whether dropout is active.

    Returns:
        The shape of the inputs.

    Raises:
        ValueError: `intermediate_dim` is not a positive integer, or
            `dropout` is not in [0, 1).

    Examples:
        >>> import numpy as np
        >>> import keras_attention
        >>> x = np.random.normal(size=(2, 5, 8))
        >>> layer = keras_attention.layers.FeedForward(intermediate_dim=32)
        >>> tuple(layer(x).shape)
        (2, 5, 8)

    Reference:
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762), section 3.3.
    """

    def __init__(
        self,
        intermediate_dim: int,
        activation="relu",
        dropout: float = 0.0,
        use_bias: bool = True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.intermediate_dim = checks.positive_int(
            intermediate_dim, "intermediate_dim"
        )
        self.activation = keras.activations.get(activation)
        self.dropout = checks.rate(dropout, "dropout")
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.seed = seed
        self.supports_masking = True
        self.intermediate_dense = self._dense(
            self.intermediate_dim, "intermediate", self.activation
        )
        self.output_dense = None
        self.dropout_layer = keras.layers.Dropout(
            self.dropout, seed=seed, dtype=self.dtype_policy
        )

    def _dense(self, units, name, activation=None):
        return keras.layers.Dense(
            units,
            activation,
            use_bias=self.use_bias,
            # Cloned, or both kernels would start equal under a seed.
            kernel_initializer=cloned(self.kernel_initializer),
            bias_initializer=cloned(self.bias_initializer),
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, inputs_shape):
        self.intermediate_dense.build(inputs_shape)
        self.output_dense = self._dense(inputs_shape[-1], "output")
        self.output_dense.build((*inputs_shape[:-1], self.intermediate_dim))

    def call(self, inputs, training=None):
        x = project(self.intermediate_dense, inputs)
        if self.dropout:
            x = self.dropout_layer(x, training=training)
        return project(self.output_dense, x)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        return {
            **super().get_config(),
            "intermediate_dim": self.intermediate_dim,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "bias_initializer": keras.initializers.serialize(
                self.bias_initializer
            ),
            "seed": self.seed,
        }
