import functools

import keras
from keras import ops, tree

from keras_attention.layers.attention import Attention, refuse_positions
from keras_attention.layers.recomputation import recomputed
from keras_attention.layers.transformer_block import TransformerBlock
from keras_attention.layers.transformer_encoder_block import unpack
from keras_attention.ops import checks
from keras_attention.ops.masks import as_mask, both


@keras.saving.register_keras_serializable(package="keras_attention")
class TransformerDecoderBlock(TransformerBlock):
    """Reads what was written so far, then a memory, then transforms.

    One block of a Transformer's decoder (Vaswani et al., 2017, section 3.1),
    post-norm as in the paper:

        x = norm(x + dropout(self_attention(x)))            (causal)
        x = norm(x + dropout(cross_attention(x, memory)))
        x = norm(x + dropout(feed_forward(x)))

    or pre-norm, with each normalization on the way into its part. Called
    without a memory, as a language model does, it has no cross-attention.
    Any attention layer of this library can be the cross-attention; a
    `HardAttention` must have an estimator with a gradient of its own.

    To decode, `memory`, `initial_state` and `step` run one position at a
    time and give what the call on a whole sequence would.

    Args:
        intermediate_dim: Size of the feed-forward's wider layer, d_ff.
        num_heads: Number of heads of the attention that is not given, which
            share the features evenly.
        dropout: Share dropped of what each part adds, in training.
        attention_dropout: Share of the scores dropped in attention that is
            not given.
        activation: Activation of the feed-forward part.
        layer_norm_epsilon: Added to the variance in the normalizations.
        normalize_first: Whether to normalize before each part (pre-norm).
        kernel_initializer: Initializer of all kernels.
        bias_initializer: Initializer of all biases.
        self_attention: A `MultiHeadAttention` or causal
            `SlidingWindowAttention` to use instead.
        cross_attention: An attention layer of this library, without a sliding
            window, to use instead; it must return as many features as the
            inputs have.
        seed: Seed of the dropouts.
        intermediate_dropout: Share of the feed-forward's wider layer dropped.
        layer_scale: What the learned factors of the features that each part
            adds begin with; None leaves them out.
        stochastic_depth: Share of the examples for which a part is left out
            in training.
        recompute: Whether what is computed within is computed again for the
            gradient; as of `TransformerEncoderBlock`.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, T, D)`.
        memory: `(B, S, E)`, what the encoder made, or None.
        padding_mask: Booleans `(B, T)`; a position at False is never read.
            Keras masks on inputs and memory are honoured as well.
        attention_mask: Booleans `(B, T, T)` or `(T, T)`, beside causality.
        memory_mask: Booleans `(B, S)`; a position at False is never read.
        return_attention_scores: Whether to return the scores too.
        training: Whether dropout is active.

    Returns:
        `(B, T, D)`; with `return_attention_scores` also the scores of the
        self-attention `(B, N, T, T)` and, given a memory, those of the
        cross-attention, `(B, N, T, S)` or `(B, T, S)`.

    Raises:
        ValueError: Sizes are not positive, features are not a multiple of
            `num_heads`, attention is neither given nor made from
            `num_heads`, a given layer is of the wrong kind or returns other
            features than the inputs have, or the block was built without a
            memory and gets one.

    Examples:
        >>> import numpy as np
        >>> import keras_attention
        >>> x = np.random.normal(size=(2, 5, 8))
        >>> source = np.random.normal(size=(2, 7, 8))
        >>> block = keras_attention.layers.TransformerDecoderBlock(
        ...     intermediate_dim=32, num_heads=2
        ... )
        >>> tuple(block(x, source).shape)
        (2, 5, 8)

        One position at a time, the source projected once:

        >>> memory = block.memory(source)
        >>> state = block.initial_state(memory, max_length=5)
        >>> output, state, extras = block.step(
        ...     x[:, 0], memory, state, return_attention_scores=True
        ... )
        >>> tuple(output.shape), tuple(extras["scores"].shape)
        ((2, 8), (2, 2, 7))

    Reference:
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762), section 3.1;
        [Xiong et al., 2020](https://arxiv.org/abs/2002.04745) for pre-norm.
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
        cross_attention=None,
        seed: int | None = None,
        intermediate_dropout: float = 0.0,
        layer_scale: float | None = None,
        stochastic_depth: float = 0.0,
        recompute: bool = False,
        **kwargs,
    ):
        if cross_attention is not None and not isinstance(
            cross_attention, Attention
        ):
            raise ValueError(
                "`cross_attention` must be an attention layer of "
                "keras_attention. Received: cross_attention="
                f"{cross_attention!r} of type "
                f"{type(cross_attention).__name__}."
            )
        if getattr(cross_attention, "estimator", None) == "reinforce":
            raise ValueError(
                "A block returns features alone, and would lose the log "
                'probabilities that `estimator="reinforce"` trains by. '
                f"Received: cross_attention={cross_attention!r} with that "
                'estimator. Take another, such as "straight_through", or an '
                "`AttentionRNN`, which reports them."
            )
        refuse_positions(cross_attention, "cross_attention")
        self._given_cross_attention = cross_attention is not None
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
            self_attention,
            seed,
            intermediate_dropout,
            layer_scale,
            stochastic_depth,
            recompute,
            **kwargs,
        )
        self.cross_attention = cross_attention
        self._make_residual("cross_attention")

    def _check_self_attention(self, layer):
        super()._check_self_attention(layer)
        if not getattr(layer, "causal", True):
            raise ValueError(
                "`self_attention` of a decoder must not read ahead. Received: "
                f"{layer!r} of type {type(layer).__name__} with causal=False. "
                "Make it with `causal=True`."
            )

    def _check_heads(self, **given):
        # One layer for both: a given self-attention beside `num_heads` is
        # fine as long as there is cross-attention left to make.
        ours = given["self_attention"] if self._given_cross_attention else None
        if self.num_heads is None or ours is not None:
            super()._check_heads(**given)

    def build(self, inputs_shape, memory_shape=None):
        self.build_self(inputs_shape)
        if memory_shape is None:
            if self.cross_attention is not None:
                raise ValueError(
                    "A block with a `cross_attention` must be called with a "
                    "memory. Received: memory=None. Pass `memory`, or no "
                    "`cross_attention`."
                )
            return
        if self.cross_attention is None and self.num_heads is None:
            raise ValueError(
                "A block with a memory needs `num_heads` or "
                "`cross_attention`. Received: num_heads=None, "
                "cross_attention=None."
            )
        if self.cross_attention is None:
            self.cross_attention = self._attention(
                inputs_shape[-1], "cross_attention"
            )
        self._build_part(self.cross_attention, inputs_shape, memory_shape)
        self._build_residual("cross_attention", inputs_shape)

    def call(
        self,
        inputs,
        memory=None,
        padding_mask=None,
        attention_mask=None,
        memory_mask=None,
        return_attention_scores=False,
        training=None,
        mask=None,
        inputs_mask=None,
    ):
        self._check_memory(memory)
        # Keras passes the mask of the inputs under the first name if they are
        # the only tensor, under the second if there are more.
        padding_mask = as_mask(padding_mask, "padding_mask")
        for implicit in (mask, inputs_mask):
            padding_mask = both(padding_mask, as_mask(implicit, "mask"))
        all_scores = []

        def read_self(x):
            x, scores = unpack(
                self.self_attention(
                    x,
                    x,
                    # Keras would pass a mask that x carries, and no other.
                    query_mask=padding_mask,
                    value_mask=padding_mask,
                    attention_mask=attention_mask,
                    return_attention_scores=return_attention_scores,
                    training=training,
                    use_causal_mask=True,
                )
            )
            all_scores.append(scores)
            return x

        def read_memory(x, memory):
            x, scores = unpack(
                self.cross_attention(
                    x,
                    memory,
                    query_mask=padding_mask,
                    value_mask=memory_mask,
                    return_attention_scores=return_attention_scores,
                    training=training,
                )
            )
            all_scores.append(scores)
            return x

        def parts(x, memory=None):
            read = None
            if memory is not None:
                read = functools.partial(read_memory, memory=memory)
            return self._parts(x, read_self, read, training)

        tensors = [inputs] if memory is None else [inputs, memory]
        if return_attention_scores:
            return (parts(*tensors), *all_scores)
        if self.recompute and training:
            return recomputed(self, parts, *tensors)
        return parts(*tensors)

    def _parts(self, x, read_self, read_memory, training=None):
        x = self.residual(x, read_self, "self_attention", training)
        if read_memory is not None:
            x = self.residual(x, read_memory, "cross_attention", training)
        return self.residual(x, self.feed_forward, "feed_forward", training)

    def _check_memory(self, memory):
        if (memory is None) != (self.cross_attention is None):
            built = "without" if self.cross_attention is None else "with"
            raise ValueError(
                f"This block was built {built} a memory and must be used so. "
                f"Received: memory={None if memory is None else 'a value'}. "
                "Make another block for the other use."
            )

    def memory(self, value, key=None, mask=None):
        """Projects a source once, for any number of `step` calls.

        Args:
            value: `(B, S, E)`.
            key: `(B, S, .)`, `value` if None.
            mask: `(B, S)`, True = may be read.

        Returns:
            A dict of tensors with leading axis B, the memory of the
            cross-attention.
        """
        self._check_built("memory")
        self._check_memory(value)
        return self.cross_attention.memory(value, key, mask)

    def initial_state(
        self, memory=None, max_length: int = 256, batch_size: int | None = None
    ):
        """The state before the first step.

        Args:
            memory: What `memory` returned; None for a block without.
            max_length: Number of positions there is room for.
            batch_size: Number of sequences, where there is no memory to tell.

        Returns:
            A dict of `self_attention`, a cache of keys and values, and
            `cross_attention`, the state of that layer. All tensors have the
            leading axis B; for K hypotheses repeat them to B*K.
        """
        self._check_built("initial_state")
        self._check_memory(memory)
        checks.positive_int(max_length, "max_length")
        state = {}
        if memory is not None:
            size = ops.shape(tree.flatten(memory)[0])[0]
            state = self.cross_attention.initial_state(memory)
        elif batch_size is not None:
            size = batch_size
        else:
            raise ValueError(
                "`batch_size` must be given where there is no memory. "
                "Received: memory=None, batch_size=None."
            )
        cache = self.self_attention.initial_cache(size, max_length)
        return {"self_attention": cache, "cross_attention": state}

    def step(self, inputs, memory, state, return_attention_scores=False):
        """Runs one position, over a cache and a projected memory.

        Args:
            inputs: `(B, D)`, or `(B, K, D)` for K hypotheses that share one
                memory, with a state of leading axis B*K.
            memory: What `memory` returned, or None.
            state: What `initial_state` or the last step returned.
            return_attention_scores: Whether `extras` holds `scores`, those
                of the cross-attention, and `self_scores`.

        Returns:
            A tuple of output in the shape of the inputs, the new state, and
            extras.
        """
        self._check_built("step")
        self._check_memory(memory)
        inputs = ops.convert_to_tensor(inputs, self.compute_dtype)
        new_state = {"self_attention": None, "cross_attention": {}}
        extras = {}

        def read_self(x):
            shape = ops.shape(x)
            if "segments" in state["self_attention"]:
                output, new_state["self_attention"] = (
                    self.self_attention.step_hypotheses(
                        x, state["self_attention"]
                    )
                )
                return output
            rows = ops.reshape(x, (-1, shape[-1]))  # (B, D) or (B*K, D)
            output, cache, reports = self.self_attention.step_self(
                rows, state["self_attention"], return_attention_scores
            )
            new_state["self_attention"] = cache
            if return_attention_scores:
                scores = reports["scores"]  # (B*K, N, M)
                extras["self_scores"] = ops.reshape(
                    scores, (*shape[:-1], *ops.shape(scores)[1:])
                )
            return ops.reshape(output, shape)

        def read_memory(x):
            context, new, reports = self.cross_attention.step(
                x, memory, state["cross_attention"], return_attention_scores
            )
            new_state["cross_attention"] = new
            extras.update(reports)
            return context

        output = self._parts(
            inputs, read_self, read_memory if memory is not None else None
        )
        return output, new_state, extras

    def _check_built(self, method):
        if not self.built:
            raise ValueError(
                f"`{method}` needs a block that is built. Received: "
                f"{self.name}, not built. Call it on a sequence first, or "
                "`build(inputs_shape, memory_shape)`."
            )

    def compute_output_shape(self, inputs_shape, memory_shape=None):
        return inputs_shape

    def compute_output_spec(
        self,
        inputs,
        memory=None,
        padding_mask=None,
        attention_mask=None,
        memory_mask=None,
        return_attention_scores=False,
        training=None,
        mask=None,
        inputs_mask=None,
    ):
        self._check_memory(memory)
        output = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        specs = [output]
        for attention, source in (
            (self.self_attention, inputs),
            (self.cross_attention, memory),
        ):
            if source is not None:
                _, scores = attention.compute_output_spec(
                    inputs, source, return_attention_scores=True
                )
                specs.append(scores)
        return tuple(specs)

    def get_config(self):
        config = {**super().get_config(), "cross_attention": None}
        if self._given_cross_attention:
            config["cross_attention"] = keras.saving.serialize_keras_object(
                self.cross_attention
            )
        return config
