import keras
from keras import ops

from keras_attention.layers.attention import cloned
from keras_attention.layers.feed_forward import FeedForward
from keras_attention.layers.layer_normalization import LayerNormalization
from keras_attention.layers.multi_head_attention import MultiHeadAttention
from keras_attention.layers.stochastic_depth import StochasticDepth
from keras_attention.ops import checks


class TransformerBlock(keras.layers.Layer):
    """What the encoder's and the decoder's block share.

    Residual connections around each part, with a normalization after the sum
    (post-norm) or on the way into the part (pre-norm):

        post-norm: norm(x + dropout(part(x)))
        pre-norm:  x + dropout(part(norm(x)))

    What a part adds may be scaled, and left out for some examples.

    Args:
        intermediate_dim: Size of the feed-forward's wider layer.
        num_heads: Number of heads; None if `self_attention` is given.
        dropout: Share dropped of what each part adds, in training.
        attention_dropout: Share of the attention scores dropped.
        activation: Activation of the feed-forward part.
        layer_norm_epsilon: Added to the variance in the normalizations.
        normalize_first: Whether to normalize before each part (pre-norm).
        kernel_initializer: Initializer of all kernels.
        bias_initializer: Initializer of all biases.
        self_attention: A `MultiHeadAttention`, or a subclass such as
            `SlidingWindowAttention`, to use instead.
        seed: Seed of the dropouts.
        intermediate_dropout: Share of the feed-forward's wider layer dropped.
        layer_scale: What the learned factors of the features that each part
            adds begin with; None leaves them out.
        stochastic_depth: Share of the examples for which a part is left out
            in training.
        recompute: Whether what is computed within is computed again for the
            gradient.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.
    """

    def __init__(
        self,
        intermediate_dim: int,
        num_heads: int | None = None,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        activation="relu",
        layer_norm_epsilon: float = 1e-5,
        normalize_first: bool = False,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        self_attention=None,
        seed: int | None = None,
        intermediate_dropout: float = 0.0,
        layer_scale: float | None = None,
        stochastic_depth: float = 0.0,
        recompute: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.intermediate_dim = checks.positive_int(
            intermediate_dim, "intermediate_dim"
        )
        if num_heads is not None:
            num_heads = checks.positive_int(num_heads, "num_heads")
        self.num_heads = num_heads
        self.dropout = checks.rate(dropout, "dropout")
        self.attention_dropout = checks.rate(
            attention_dropout, "attention_dropout"
        )
        self.activation = keras.activations.get(activation)
        self.layer_norm_epsilon = layer_norm_epsilon
        self.normalize_first = normalize_first
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.seed = seed
        self.intermediate_dropout = checks.rate(
            intermediate_dropout, "intermediate_dropout"
        )
        self.layer_scale = layer_scale
        self.stochastic_depth = checks.rate(
            stochastic_depth, "stochastic_depth"
        )
        self.recompute = recompute
        self.supports_masking = True
        self._check_self_attention(self_attention)
        self._check_heads(self_attention=self_attention)
        self._given_self_attention = self_attention is not None
        self.self_attention = self_attention
        self._make_residual("self_attention")
        self.feed_forward = FeedForward(
            self.intermediate_dim,
            self.activation,
            self.intermediate_dropout,
            seed=seed,
            kernel_initializer=cloned(self.kernel_initializer),
            bias_initializer=cloned(self.bias_initializer),
            dtype=self.dtype_policy,
            name="feed_forward",
        )
        self._make_residual("feed_forward")
        self.dropout_layer = keras.layers.Dropout(
            self.dropout, seed=seed, dtype=self.dtype_policy
        )

    def _check_self_attention(self, layer):
        if layer is not None and not isinstance(layer, MultiHeadAttention):
            raise ValueError(
                "`self_attention` must be a MultiHeadAttention or a "
                "SlidingWindowAttention of keras_attention. Received: "
                f"self_attention={layer!r} of type {type(layer).__name__}. "
                "Other attention layers read from a memory: pass them as "
                "`cross_attention` of a TransformerDecoderBlock."
            )

    def _check_heads(self, **given):
        """Attention is given, or made from `num_heads`: never neither."""
        missing = [name for name, layer in given.items() if layer is None]
        received = ", ".join(f"{k}={v}" for k, v in given.items())
        if (self.num_heads is None) == bool(missing):
            raise ValueError(
                f"Either `num_heads` or {' and '.join(given)} must be given, "
                "and not both. "
                f"Received: num_heads={self.num_heads}, {received}."
            )
        if self.attention_dropout and self.num_heads is None:
            raise ValueError(
                "`attention_dropout` is for the attention a block makes from "
                "`num_heads`. Received: attention_dropout="
                f"{self.attention_dropout}, num_heads=None, {received}. Pass "
                "`dropout` to the attention layer instead."
            )

    def _make_residual(self, name):
        """Makes what stands around the part of this name."""
        norm = LayerNormalization(
            epsilon=self.layer_norm_epsilon,
            dtype=self.dtype_policy,
            name=f"{name}_norm",
        )
        setattr(self, f"{name}_norm", norm)
        if self.stochastic_depth:
            # Of no seed but the first part's: two would drop the same ones.
            seed = self.seed if name == "self_attention" else None
            depth = StochasticDepth(
                self.stochastic_depth,
                seed,
                dtype=self.dtype_policy,
                name=f"{name}_depth",
            )
            setattr(self, f"{name}_depth", depth)

    def _build_residual(self, name, shape):
        getattr(self, f"{name}_norm").build(shape)
        if self.layer_scale is not None:
            scale = self.add_weight(
                shape=shape[-1:],
                initializer=keras.initializers.Constant(self.layer_scale),
                name=f"{name}_scale",
            )
            setattr(self, f"{name}_scale", scale)

    def _attention(self, dim, name):
        """A `MultiHeadAttention` with heads that share `dim` evenly."""
        if self.num_heads is None or dim % self.num_heads:
            raise ValueError(
                "The number of features must be a multiple of `num_heads`. "
                f"Received: {dim} features, num_heads={self.num_heads}. Pass "
                f"a `MultiHeadAttention` as `{name}` to choose the size of "
                "its heads."
            )
        return MultiHeadAttention(
            self.num_heads,
            dim // self.num_heads,
            dropout=self.attention_dropout,
            kernel_initializer=cloned(self.kernel_initializer),
            bias_initializer=cloned(self.bias_initializer),
            seed=self.seed,
            dtype=self.dtype_policy,
            name=name,
        )

    def build_self(self, shape):
        """Builds what encoder and decoder have in common."""
        if len(shape) != 3 or shape[-1] is None:
            raise ValueError(
                "`inputs` must have shape (batch, length, features), the "
                f"features known. Received: shape {tuple(shape)}."
            )
        if self.self_attention is None:
            self.self_attention = self._attention(shape[-1], "self_attention")
        self._build_part(self.self_attention, shape, shape)
        self.feed_forward.build(shape)
        for name in ("self_attention", "feed_forward"):
            self._build_residual(name, shape)

    def _build_part(self, attention, shape, memory_shape):
        if not attention.built:
            attention.build(shape, memory_shape)
        made = attention.compute_output_shape(shape, memory_shape)
        if tuple(made[2:]) != tuple(shape[2:]):
            raise ValueError(
                "Attention must return as many features as the block's "
                "inputs have, to be added to them. Received: "
                f"{type(attention).__name__} returns shape {tuple(made)} for "
                f"inputs of shape {tuple(shape)}."
            )

    def residual(self, x, part, name, training=None):
        """Adds to x what a part makes of it, with one normalization."""
        # Not by `__call__`: see `projection.project`.
        norm = getattr(self, f"{name}_norm").call
        y = part(norm(x) if self.normalize_first else x)
        if self.dropout:
            y = self.dropout_layer(y, training=training)
        if self.layer_scale is not None:
            # Cast here: what is computed again is outside of Keras's scope.
            y = y * ops.cast(getattr(self, f"{name}_scale"), y.dtype)
        if self.stochastic_depth:
            y = getattr(self, f"{name}_depth")(y, training=training)
        return x + y if self.normalize_first else norm(x + y)

    def get_config(self):
        config = {
            **super().get_config(),
            "intermediate_dim": self.intermediate_dim,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "attention_dropout": self.attention_dropout,
            "activation": keras.activations.serialize(self.activation),
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "normalize_first": self.normalize_first,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "bias_initializer": keras.initializers.serialize(
                self.bias_initializer
            ),
            "self_attention": None,
            "seed": self.seed,
            "intermediate_dropout": self.intermediate_dropout,
            "layer_scale": self.layer_scale,
            "stochastic_depth": self.stochastic_depth,
            "recompute": self.recompute,
        }
        if self._given_self_attention:
            config["self_attention"] = keras.saving.serialize_keras_object(
                self.self_attention
            )
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for name in ("self_attention", "cross_attention"):
            if isinstance(config.get(name), dict):
                config[name] = keras.saving.deserialize_keras_object(
                    config[name]
                )
        return super().from_config(config)
