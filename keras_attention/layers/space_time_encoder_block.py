from typing import Any

import keras

from keras_attention.layers.attention import cloned
from keras_attention.layers.factorized_attention import FactorizedAttention
from keras_attention.layers.multi_head_attention import MultiHeadAttention
from keras_attention.layers.recomputation import recomputed
from keras_attention.layers.transformer_block import TransformerBlock
from keras_attention.ops import checks

FACTORIZATIONS = "self_attention", "dot_product"
ORDERS = "space_time", "time_space"


@keras.saving.register_keras_serializable(package="keras_attention")
class SpaceTimeEncoderBlock(TransformerBlock):
    """Mixes the tokens of a video along time and in space, one at a time.

    Every token reads T + S others instead of T S. With factorised
    self-attention (Arnab et al., 2021, section 3.3, model 3), pre-norm,

        x = x + space_attention(norm(x))      each frame's tokens among them
        x = x + time_attention(norm(x))       each place's tokens among them
        x = x + feed_forward(norm(x))

    and with factorised dot-product attention (model 4)

        x = x + attention(norm(x))
        x = x + feed_forward(norm(x))

    where half of the heads read along time and half in space. Its weights are
    those of a `TransformerEncoderBlock`; factorised self-attention has a
    second attention and normalization besides.

    A stack of pre-norm blocks needs one more normalization at its end.

    Args:
        intermediate_dim: Size of the feed-forward's wider layer.
        num_heads: Number of attention heads, which share the features
            evenly; even for "dot_product".
        factorization: "self_attention" or "dot_product".
        order: Of factorised self-attention alone: "space_time", the paper's,
            or "time_space".
        time_initializer: Of factorised self-attention alone: initializer of
            the kernel behind the attention along time. "zeros": it adds
            nothing at first, so that a block with the weights of an image
            model begins as that, and learns from there. None is that of the
            others.
        attention_initializer: Initializer of the kernels of attention;
            `kernel_initializer` if None.
        normalize_first: Whether to normalize before each part (pre-norm).
        dropout: Share dropped of what each part adds, in training.
        attention_dropout: Share of the attention scores dropped.
        activation: Activation of the feed-forward part.
        layer_norm_epsilon: Added to the variance in the normalizations.
        kernel_initializer: Initializer of all kernels.
        bias_initializer: Initializer of all biases.
        seed: Seed of the dropouts.
        intermediate_dropout: Share of the feed-forward's wider layer dropped.
        layer_scale: As of `TransformerEncoderBlock`.
        stochastic_depth: As of `TransformerEncoderBlock`.
        recompute: As of `TransformerEncoderBlock`.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, T, S, D)`: T frames of S tokens.
        return_attention_scores: Whether to return the scores too.
        training: Whether dropout is active.

    Returns:
        `(B, T, S, D)`; with `return_attention_scores` also a dict of "space",
        `(B, T, N, S, S)`, and "time", `(B, S, N, T, T)`, with N / 2 in place
        of N for "dot_product".

    Raises:
        ValueError: The inputs have another rank, sizes are not positive,
            features are not a multiple of `num_heads`, or it is odd for
            "dot_product".

    Examples:
        >>> import numpy as np
        >>> import keras_attention
        >>> x = np.random.normal(size=(2, 3, 5, 8))
        >>> block = keras_attention.layers.SpaceTimeEncoderBlock(32, 2)
        >>> output, scores = block(x, return_attention_scores=True)
        >>> tuple(output.shape), tuple(scores["space"].shape)
        ((2, 3, 5, 8), (2, 3, 2, 5, 5))

    Reference:
        [Arnab et al., 2021](https://arxiv.org/abs/2103.15691), section 3.3.
    """

    def __init__(
        self,
        intermediate_dim: int,
        num_heads: int,
        factorization: str = "self_attention",
        order: str = "space_time",
        time_initializer: Any = "zeros",
        attention_initializer=None,
        normalize_first: bool = True,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        activation="relu",
        layer_norm_epsilon: float = 1e-5,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        seed: int | None = None,
        intermediate_dropout: float = 0.0,
        layer_scale: float | None = None,
        stochastic_depth: float = 0.0,
        recompute: bool = False,
        **kwargs,
    ):
        checks.one_of(factorization, "factorization", FACTORIZATIONS)
        checks.one_of(order, "order", ORDERS)
        super().__init__(
            intermediate_dim,
            num_heads,
            dropout,
            attention_dropout,
            activation,
            layer_norm_epsilon,
            normalize_first,
            kernel_initializer,
            bias_initializer,
            seed=seed,
            intermediate_dropout=intermediate_dropout,
            layer_scale=layer_scale,
            stochastic_depth=stochastic_depth,
            recompute=recompute,
            **kwargs,
        )
        # Clips have no padding; Keras tells who passes a mask.
        self.supports_masking = False
        self.factorization, self.order = factorization, order
        self.time_initializer = keras.initializers.get(time_initializer)
        self.attention_initializer = keras.initializers.get(
            attention_initializer or self.kernel_initializer
        )
        changed = order != "space_time" or not isinstance(
            self.time_initializer, keras.initializers.Zeros
        )
        if factorization == "dot_product" and changed:
            raise ValueError(
                "`order` and `time_initializer` are for factorized "
                f"self-attention. Received: {order=}, {time_initializer=}, "
                f"{factorization=}. Leave them out."
            )
        self.time_attention = None
        if self.has_time_attention:
            self._make_residual("time_attention")

    @property
    def has_time_attention(self):
        """Whether an attention of its own reads along time."""
        return self.factorization == "self_attention"

    def _make_attention(self, dim, name, kind=MultiHeadAttention, **kwargs):
        arguments: dict[str, Any] = dict(
            dropout=self.attention_dropout,
            kernel_initializer=cloned(self.attention_initializer),
            bias_initializer=cloned(self.bias_initializer),
            seed=self.seed,
            dtype=self.dtype_policy,
            name=name,
        )
        heads = int(self.num_heads or 1)
        return kind(heads, dim // heads, **arguments, **kwargs)

    def build(self, inputs_shape):
        shape = tuple(inputs_shape)
        if len(shape) != 4 or shape[-1] is None:
            raise ValueError(
                "`inputs` must have shape (batch, frames, tokens of a frame, "
                f"features), the features known. Received: shape {shape}."
            )
        dim = shape[-1]
        if dim % self.num_heads:
            raise ValueError(
                "The number of features must be a multiple of `num_heads`. "
                f"Received: {dim} features, num_heads={self.num_heads}."
            )
        names = ["self_attention", "feed_forward"]
        if self.has_time_attention:
            names.append("time_attention")
            self.self_attention = self._make_attention(
                dim, "self_attention", attention_axes=2
            )
            self.time_attention = self._make_attention(
                dim,
                "time_attention",
                attention_axes=1,
                output_initializer=self.time_initializer,
            )
            self.time_attention.build(shape, shape)
        else:
            self.self_attention = self._make_attention(
                dim, "self_attention", FactorizedAttention
            )
        self.self_attention.build(shape, shape)
        self.feed_forward.build(shape)
        for name in names:
            self._build_residual(name, shape)

    def call(self, inputs, return_attention_scores=False, training=None):
        scores = {}

        def read(name):
            def part(x):
                found = getattr(self, name).call(
                    x,
                    x,
                    return_attention_scores=return_attention_scores,
                    training=training,
                )
                if not return_attention_scores:
                    return found
                x, scores[name] = found
                return x

            return part

        names = ["self_attention"]
        if self.has_time_attention:
            names.append("time_attention")
            if self.order == "time_space":
                names.reverse()

        def transform(x):
            return self.feed_forward.call(x, training=training)

        def parts(x):
            for name in names:
                x = self.residual(x, read(name), name, training)
            return self.residual(x, transform, "feed_forward", training)

        if self.recompute and training and not return_attention_scores:
            return recomputed(self, parts, inputs)
        x = parts(inputs)
        if not return_attention_scores:
            return x
        if not self.has_time_attention:
            return x, scores["self_attention"]
        return x, {
            "space": scores["self_attention"],
            "time": scores["time_attention"],
        }

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def compute_output_spec(
        self, inputs, return_attention_scores=False, training=None
    ):
        output = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        _, scores = self.self_attention.compute_output_spec(
            inputs, inputs, return_attention_scores=True
        )
        if self.has_time_attention:
            _, times = self.time_attention.compute_output_spec(
                inputs, inputs, return_attention_scores=True
            )
            scores = {"space": scores, "time": times}
        return output, scores

    def get_config(self):
        config = super().get_config()
        del config["self_attention"]  # always made here
        serialize = keras.initializers.serialize
        initializer = self.time_initializer
        return {
            **config,
            "factorization": self.factorization,
            "order": self.order,
            "time_initializer": initializer and serialize(initializer),
            "attention_initializer": serialize(self.attention_initializer),
        }
