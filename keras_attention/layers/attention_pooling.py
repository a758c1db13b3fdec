import keras
from keras import ops

from keras_attention.layers.feed_forward import FeedForward
from keras_attention.layers.layer_normalization import LayerNormalization
from keras_attention.layers.multi_head_attention import MultiHeadAttention
from keras_attention.ops import checks


@keras.saving.register_keras_serializable(package="keras_attention")
class AttentionPooling(keras.layers.Layer):
    """Reads a sequence into one vector, by a learned query.

    The pooling head of big_vision's ViT (Zhai et al., 2022, section 3.2): a
    learned vector, the probe, reads all positions by multi-head attention
    (Lee et al., 2019, equation 11), and a feed-forward layer follows:

        y      = attention(probe, inputs)
        output = y + feed_forward(norm(y))

    Args:
        num_heads: Number of heads, which share the features evenly.
        intermediate_dim: Size of the feed-forward's wider layer; four times
            the features if None.
        activation: Activation of the feed-forward layer.
        layer_norm_epsilon: Added to the variance in the normalization.
        kernel_initializer: Initializer of the kernels and the probe.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, T, D)`.
        inputs_mask: Booleans `(B, T)`; a position at False is never read.
        return_attention_scores: Whether to return the scores too.

    Returns:
        `(B, D)`; with `return_attention_scores` also `(B, N, T)`.

    Raises:
        ValueError: Sizes are not positive, or the features are not a multiple
            of `num_heads`.

    Examples:
        >>> import numpy as np
        >>> import keras_attention
        >>> x = np.random.normal(size=(2, 5, 8))
        >>> pooling = keras_attention.layers.AttentionPooling(num_heads=2)
        >>> vector, scores = pooling(x, return_attention_scores=True)
        >>> tuple(vector.shape), tuple(scores.shape)
        ((2, 8), (2, 2, 5))

    Reference:
        [Lee et al., 2019](https://arxiv.org/abs/1810.00825), section 3.2;
        [Zhai et al., 2022](https://arxiv.org/abs/2106.04560), section 3.2.
    """

    def __init__(
        self,
        num_heads: int,
        intermediate_dim: int | None = None,
        activation="gelu",
        layer_norm_epsilon: float = 1e-6,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = checks.positive_int(num_heads, "num_heads")
        if intermediate_dim is not None:
            checks.positive_int(intermediate_dim, "intermediate_dim")
        self.intermediate_dim = intermediate_dim
        self.activation = keras.activations.get(activation)
        self.layer_norm_epsilon = layer_norm_epsilon
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.supports_masking = True

    def build(self, inputs_shape):
        dim = inputs_shape[-1]
        if len(inputs_shape) != 3 or dim is None or dim % self.num_heads:
            raise ValueError(
                "`inputs` must have shape (batch, length, features), the "
                "features known and a multiple of `num_heads`. Received: "
                f"shape {tuple(inputs_shape)}, num_heads={self.num_heads}."
            )
        self.probe = self.add_weight(
            shape=(1, dim), initializer=self.kernel_initializer, name="probe"
        )
        self.attention = MultiHeadAttention(
            self.num_heads,
            dim // self.num_heads,
            kernel_initializer=self.kernel_initializer,
            dtype=self.dtype_policy,
            name="attention",
        )
        self.attention.build((None, 1, dim), inputs_shape)
        self.norm = LayerNormalization(
            epsilon=self.layer_norm_epsilon,
            dtype=self.dtype_policy,
            name="norm",
        )
        self.norm.build((None, 1, dim))
        self.feed_forward = FeedForward(
            self.intermediate_dim or 4 * dim,
            self.activation,
            kernel_initializer=self.kernel_initializer,
            dtype=self.dtype_policy,
            name="feed_forward",
        )
        self.feed_forward.build((None, 1, dim))

    def call(
        self,
        inputs,
        inputs_mask=None,
        return_attention_scores=False,
        mask=None,
    ):
        x = ops.cast(inputs, self.compute_dtype)
        shape = (ops.shape(x)[0], 1, x.shape[-1])
        probe = ops.broadcast_to(ops.cast(self.probe, x.dtype)[None], shape)
        y, scores = self.attention(
            probe,
            x,
            value_mask=mask if inputs_mask is None else inputs_mask,
            return_attention_scores=True,
        )
        y = (y + self.feed_forward(self.norm(y)))[:, 0]
        return (y, scores[:, :, 0]) if return_attention_scores else y

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, inputs_shape):
        return (inputs_shape[0], inputs_shape[-1])

    def compute_output_spec(
        self,
        inputs,
        inputs_mask=None,
        return_attention_scores=False,
        mask=None,
    ):
        batch, length, dim = inputs.shape
        output = keras.KerasTensor((batch, dim), dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        scores = keras.KerasTensor(
            (batch, self.num_heads, length), dtype=self.compute_dtype
        )
        return output, scores

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "intermediate_dim": self.intermediate_dim,
            "activation": keras.activations.serialize(self.activation),
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
        }
