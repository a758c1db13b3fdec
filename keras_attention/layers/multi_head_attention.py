from typing import Any

import keras
from keras import ops

from keras_attention.layers import multi_head_arguments as arguments
from keras_attention.layers.cached_attention import (
    CachedAttention,
    heads_first,
)
from keras_attention.layers.projection import (
    can_project_at_once,
    is_better_apart,
    project,
    project_at_once,
    projection,
)
from keras_attention.ops import checks, hypothesis_cache, l2_scores
from keras_attention.ops.dot_product import dot_product_attention
from keras_attention.ops.folding import Folded
from keras_attention.ops.masks import agree, both, joint_mask, window_mask
from keras_attention.ops.rotary import rotate
from keras_attention.ops.sliding_window import sliding_window_attention


@keras.saving.register_keras_serializable(package="keras_attention")
class MultiHeadAttention(CachedAttention):
    """Lets each query read from a sequence in several ways at once.

    Query, key and value are projected once per head, each head reads by the
    scaled dot product, and the heads' results are projected together
    (Vaswani et al., 2017, section 3.2.2):

        head[n]  = softmax(Q[n] K[n]' / sqrt(key_dim)) V[n]
        output   = concat(head[1], ..., head[N]) W

    A drop-in for `keras.layers.MultiHeadAttention`: the same arguments in the
    same order, weights, attributes and names, so weights of one load into
    the other. It differs where Keras's falls short: an explicit `query_mask`
    counts; a row with nothing to read gives zeros whether or not scores are
    asked for; long sequences never hold the `(T, S)` logits, forward or
    backward, on TensorFlow and JAX too. Beyond it: grouped key/value heads,
    positions told apart within the heads, scores by distance, a bias on the
    logits, and stepping. Also exported as `MultiHead`.

    Args:
        num_heads: Number of heads, N.
        key_dim: Size of each head for query and key.
        value_dim: Size of each head for value; `key_dim` if None.
        dropout: Share of the scores dropped in training, in [0, 1). With
            dropout, or if scores are asked for, the scores are held.
        use_bias: Whether the projections have biases.
        output_shape: Size or sizes of the output's features; those of the
            query if None.
        attention_axes: Axes of the query that are attended over, all between
            batch and features if None. Several axes are read as one, the
            last of them moving fastest.
        sliding_window: If w is given, query t reads positions with
            |t - s| <= w - 1 only, in time and memory O(T x w) unless scores
            are asked for or an `attention_bias` is given.
        flash_attention: True for the backend's fused kernel or an error,
            False for no fused kernel, None for what is best.
        kernel_initializer: Initializer of the kernels.
        bias_initializer: Initializer of the biases.
        kernel_regularizer: Regularizer of the kernels.
        bias_regularizer: Regularizer of the biases.
        activity_regularizer: Regularizer of the projections' outputs.
        kernel_constraint: Constraint on the kernels.
        bias_constraint: Constraint on the biases.
        use_gate: Whether a sigmoid of the projected query gates each head's
            result (Qiu et al., 2025).
        seed: Seed of the dropout.
        num_key_value_heads: Number of key/value heads, shared by groups of
            query heads (Ainslie et al., 2023); `num_heads` if None, 1 is
            multi-query attention.
        rotary: A `RotaryEmbedding` that turns queries and keys by their
            position, or None.
        position_bias: An `AlibiBias` or a `RelativePositionBias`, added to
            the logits by the offset of positions, or None.
        score: "scaled_dot", or "l2": logits `-|Q - K|^2 / sqrt(key_dim)`,
            with one projection for queries and keys, so that a bounded change
            of the inputs changes the output by a bounded amount however large
            they are (Kim et al., 2021).
        output_bias: Whether the last projection has a bias; as `use_bias` if
            None.
        output_initializer: Initializer of the last projection's kernel;
            `kernel_initializer` if None. With "zeros" a residual branch begins
            as none.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        query: `(B, T, D)`, or with more axes between B and D.
        value: `(B, S, V)`.
        key: `(B, S, E)`; `value` if None.
        query_mask: Booleans `(B, T)`; at False no head reads anything.
        value_mask: Booleans `(B, S)`; a position at False is never read.
        key_mask: Booleans `(B, S)`, joined with `value_mask`.
        attention_mask: Booleans `(T, S)`, `(B, T, S)` or `(B, N, T, S)`.
        return_attention_scores: Whether to return the scores too.
        training: Whether dropout is active.
        use_causal_mask: Whether query t reads positions 0 to t only.
        attention_bias: Added to the logits of all heads; broadcasts to
            `(B, N, T, S)`.

    Returns:
        `(B, T, D)`, or `(B, T, *output_shape)`; with
        `return_attention_scores` also the scores `(B, N, T, S)`. Where
        nothing may be read the heads give zeros, and the output is the bias
        of the last projection.

    Raises:
        ValueError: Sizes are not positive integers, key/value heads do not
            divide the heads, `rotary` or `position_bias` is of another kind,
            does not fit the heads or meets several attended axes, shapes do
            not fit each other, a mask holds other than 0 and 1, or a fused
            kernel is demanded where there is none.

    Examples:
        >>> import numpy as np
        >>> import keras_attention
        >>> x = np.random.normal(size=(2, 5, 12))
        >>> layer = keras_attention.layers.MultiHeadAttention(
        ...     num_heads=4, key_dim=3, num_key_value_heads=2
        ... )
        >>> output, scores = layer(
        ...     x, x, use_causal_mask=True, return_attention_scores=True
        ... )
        >>> tuple(output.shape), tuple(scores.shape)
        ((2, 5, 12), (2, 4, 5, 5))

        Self-attention one position at a time, as a decoder runs it, over a
        cache of the keys and values so far:

        >>> cache = layer.initial_cache(batch_size=2, max_length=5)
        >>> output, cache, extras = layer.step_self(x[:, 0], cache)
        >>> tuple(output.shape)
        (2, 12)

        Positions that count by how far apart they are:

        >>> layer = keras_attention.layers.MultiHeadAttention(
        ...     num_heads=4,
        ...     key_dim=6,
        ...     rotary=keras_attention.layers.RotaryEmbedding(),
        ... )
        >>> tuple(layer(x, x).shape)
        (2, 5, 12)

    Reference:
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762), section 3.2;
        [Ainslie et al., 2023](https://arxiv.org/abs/2305.13245) for
        `num_key_value_heads`;
        [Su et al., 2021](https://arxiv.org/abs/2104.09864) for `rotary`;
        [Press et al., 2022](https://arxiv.org/abs/2108.12409) and
        [Raffel et al., 2020](https://arxiv.org/abs/1910.10683) for
        `position_bias`;
        [Kim et al., 2021](https://arxiv.org/abs/2006.04710) for "l2";
        [Qiu et al., 2025](https://arxiv.org/abs/2505.06708) for `use_gate`.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | tuple[int, ...] | None = None,
        attention_axes: int | tuple[int, ...] | None = None,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        use_gate: bool = False,
        seed: int | None = None,
        num_key_value_heads: int | None = None,
        rotary=None,
        position_bias=None,
        score: str = "scaled_dot",
        output_bias: bool | None = None,
        output_initializer=None,
        **kwargs,
    ):
        super().__init__(seed=seed, **kwargs)
        self.num_heads = checks.positive_int(num_heads, "num_heads")
        self.key_dim = checks.positive_int(key_dim, "key_dim")
        self.value_dim = self.key_dim
        if value_dim is not None:
            self.value_dim = checks.positive_int(value_dim, "value_dim")
        self.num_key_value_heads = arguments.key_value_heads(
            num_key_value_heads, self.num_heads
        )
        self.rotary = arguments.rotary_embedding(rotary, self.key_dim)
        self.position_bias = arguments.position_bias(
            position_bias, self.num_heads
        )
        self.score = arguments.score(
            score, self.num_heads, self.num_key_value_heads
        )
        self.dropout = checks.rate(dropout, "dropout")
        self.use_bias = use_bias
        self.output_bias = output_bias
        # Not `output_shape`: `summary` of a model asks layers for that.
        self._output_shape = arguments.output_sizes(output_shape)
        self.attention_axes = arguments.axes(attention_axes)
        self.sliding_window = sliding_window
        if sliding_window is not None:
            checks.positive_int(sliding_window, "sliding_window")
        self.flash_attention = flash_attention
        if flash_attention and dropout:
            raise ValueError(
                "Dropout is not supported when flash attention is enabled. "
                f"Received: flash_attention=True, dropout={dropout}. "
                "Set one of them to 0 or None."
            )
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.output_initializer = keras.initializers.get(output_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        # Not `activity_regularizer`, or Keras would apply it to our output
        # as well as to each projection's.
        self._activity_regularizer = keras.regularizers.get(
            activity_regularizer
        )
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.use_gate = use_gate
        # The names under which Keras's layer keeps its parts are the paths
        # in a weights file: with them, files of one load into the other.
        self._query_dense = None
        self._key_dense = None
        self._gate_dense = None
        self._value_dense = None
        self._output_dense = None
        self._dropout_layer = keras.layers.Dropout(self.dropout, seed=seed)

    @property
    def query_dense(self):
        """The projection `(B, T, D)` to `(B, T, N, key_dim)`."""
        return self._query_dense

    @property
    def key_dense(self):
        """The projection `(B, S, E)` to `(B, S, K, key_dim)`."""
        return self._key_dense

    @property
    def value_dense(self):
        """The projection `(B, S, V)` to `(B, S, K, value_dim)`."""
        return self._value_dense

    @property
    def output_dense(self):
        """The projection `(B, T, N, value_dim)` to the output."""
        return self._output_dense

    @property
    def gate_dense(self):
        """The gate `(B, T, D)` to `(B, T, N, value_dim)`, or None."""
        return self._gate_dense

    def build_memory(self, value_shape, key_shape):
        # All made here, in Keras's order, since the order of the weights is
        # the order in which their layers are made.
        rank, heads, groups = (
            len(value_shape),
            self.num_heads,
            self.num_key_value_heads,
        )
        self._query_dense = self._projection(
            "query", rank, 1, (heads, self.key_dim)
        )
        self._key_dense = self._query_dense
        if self.score != "l2":
            self._key_dense = self._projection(
                "key", rank, 1, (groups, self.key_dim)
            )
        if self.use_gate:
            self._gate_dense = self._projection(
                "gate", rank, 1, (heads, self.value_dim), "sigmoid"
            )
        self._value_dense = self._projection(
            "value", rank, 1, (groups, self.value_dim)
        )
        self._key_dense.build(key_shape)
        self._value_dense.build(value_shape)

    def build_query(self, query_shape):
        if not self._query_dense.built:  # of l2 it is the key's too
            self._query_dense.build(query_shape)
        if self.rotary is not None and not self.rotary.built:
            self.rotary.build((*query_shape[:-1], self.key_dim))
        if self.position_bias is not None and not self.position_bias.built:
            self.position_bias.build(query_shape)
        if self.use_gate:
            self._gate_dense.build(query_shape)
        self._output_dense = self._projection(
            "attention_output",
            len(query_shape),
            2,
            self._output_shape or (query_shape[-1],),
            use_bias=self.output_bias,
            kernel_initializer=self.output_initializer,
        )
        self._output_dense.build(
            (*query_shape[:-1], self.num_heads, self.value_dim)
        )

    def _projection(
        self,
        name,
        rank,
        num_inputs,
        sizes,
        activation=None,
        use_bias=None,
        kernel_initializer=None,
    ):
        return projection(
            name,
            rank,
            num_inputs,
            sizes,
            self.use_bias if use_bias is None else use_bias,
            activation=activation,
            kernel_initializer=kernel_initializer or self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            activity_regularizer=self._activity_regularizer,
            kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint,
            dtype=self.dtype_policy,
        )

    @property
    def _scale(self):
        return self.key_dim**-0.5

    def _as_query(self, heads):
        """Projected queries as the scores take them."""
        if self.score == "l2":
            return l2_scores.l2_query(heads, self._scale)
        return heads

    def _as_key(self, heads):
        """Projected keys as the scores take them."""
        if self.score == "l2":
            return l2_scores.l2_key(heads, self._scale)
        return heads

    def _turn(self, heads, start=0):
        if self.rotary is None:
            return heads
        # Not its `call`, which returns the dtype of its own policy: that need
        # not be ours.
        rotary = self.rotary
        return rotate(heads, start, rotary.max_wavelength, rotary.layout)

    def _offset_bias(self, length, key_length, start=0):
        """`(N, T + S - 1)` for queries from a position on, or None."""
        if self.position_bias is None:
            return None
        first = 1 - length - start
        return self.position_bias.table(first, length + key_length - 1)

    def project(self, value, key):
        # (B, K, S, H) each
        key = heads_first(self._as_key(self._key_dense(key)))
        return key, heads_first(self._value_dense(value))

    def read(self, query, key, value, mask, return_scores, dropout_rate):
        heads, scores = self._read_heads(
            self._as_query(self._query_dense(query)),  # (B, T, N, H)
            heads_first(key),  # (B, S, K, H)
            heads_first(value),
            mask,
            return_scores,
            dropout_rate,
        )
        return self._project_heads(query, heads), scores

    def _read_heads(
        self,
        query,
        key,
        value,
        mask,
        return_scores,
        dropout_rate=0.0,
        causal=False,
        bias=None,
        pair_mask=None,
        window=None,
        offset_bias=None,
    ):
        flash_attention = self.flash_attention
        if flash_attention is None:
            flash_attention = keras.config.is_flash_attention_enabled()
        if flash_attention and return_scores:
            raise ValueError(
                "Returning attention scores is not supported when flash "
                "attention is enabled. Please disable flash attention to "
                "access attention scores. Received: flash_attention=True."
            )
        options: dict[str, Any] = dict(
            scale=1.0 if self.score == "l2" else self._scale,
            dropout_rate=dropout_rate,
            seed=getattr(self._dropout_layer, "seed_generator", None),
            return_scores=return_scores,
            flash_attention=flash_attention,
        )
        if window is not None and bias is None:
            return sliding_window_attention(
                query,
                key,
                value,
                *window,
                # Apart: joined, they would be (B, N, T, S).
                mask=mask,
                pair_mask=pair_mask,
                bias=offset_bias,
                **options,
            )
        if window is not None:
            sizes = ops.shape(query)[1], ops.shape(key)[1]
            inside = window_mask(*sizes, *window)[None, None]
            pair_mask = both(pair_mask, inside)
        return dot_product_attention(
            query,
            key,
            value,
            both(mask, pair_mask),
            causal,
            bias,
            offset_bias=offset_bias,
            **options,
        )

    def _projected(self, query, key, value):
        """Queries, keys and values of each head."""
        denses = self._query_dense, self._key_dense, self._value_dense
        at_once = query is value is key and can_project_at_once(denses)
        if at_once and not is_better_apart(query):
            return project_at_once(denses, query)
        inputs = query, key, value
        return [project(f, x) for f, x in zip(denses, inputs, strict=True)]

    def _project_heads(self, query, heads):
        if self.use_gate:
            heads = heads * self._gate_dense(query)
        return project(self._output_dense, heads, num_inputs=2)

    def call(
        self,
        query,
        value,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        use_causal_mask=False,
        attention_bias=None,
    ):
        query, value, key = self._floats(query, value, key)
        self.check_shapes(query.shape, value.shape, key.shape)
        row_mask = None
        if len(query.shape) > 3:
            # Several axes of positions become one, and what is not attended
            # over joins the batch.
            folded = Folded(query, value, self._attended(len(query.shape)))
            mask = folded.mask(query_mask, value_mask, key_mask)
            attention_mask = folded.attention_mask(
                attention_mask, self.num_heads
            )
        else:
            folded = None
            # Of its own: joined with the others it would be (B, T, S).
            row_mask = joint_mask(query, key, query_mask)  # (B, T, 1)
            mask = joint_mask(query, key, None, value_mask, key_mask)
            attention_mask = joint_mask(
                query, key, attention_mask=attention_mask
            )
            arguments.check_mask_heads(attention_mask, self.num_heads)
        heads = self._projected(query, key, value)
        heads_q, heads_k, heads_v = map(folded.fold, heads) if folded else heads
        window = self._window(use_causal_mask)
        if window is not None and attention_bias is None:
            offset_bias = self._window_bias(*window)
        else:
            lengths = ops.shape(heads_q)[1], ops.shape(heads_k)[1]
            offset_bias = self._offset_bias(*lengths)
        output, scores = self._read_heads(
            self._as_query(self._turn(heads_q)),
            self._as_key(self._turn(heads_k)),
            heads_v,
            _with_heads(mask),
            return_attention_scores,
            self.dropout if training else 0.0,
            use_causal_mask,
            arguments.check_bias(attention_bias, self.num_heads, query, key),
            _with_heads(attention_mask),
            window,
            offset_bias,
        )
        if row_mask is not None:
            output = ops.where(row_mask[..., None], output, 0.0)
            if return_attention_scores:
                scores = ops.where(row_mask[:, None], scores, 0.0)
        if folded:
            output = folded.unfold(output)
            scores = folded.unfold_scores(scores)
        output = self._project_heads(query, output)
        return (output, scores) if return_attention_scores else output

    def _window_bias(self, before, after):
        """`(N, before + 1 + after)`, the biases within a window, or None."""
        if self.position_bias is None:
            return None
        return self.position_bias.table(-before, before + 1 + after)

    def _window(self, causal):
        """How many positions a query reads before and after it, or None."""
        if self.sliding_window is None:
            return None
        reach = self.sliding_window - 1
        return reach, 0 if causal else reach

    def _attended(self, rank):
        """The attended axes of an input of some rank, as positive numbers."""
        axes = self.attention_axes
        axes = tuple(range(1, rank - 1)) if axes is None else axes
        return tuple(axis % rank for axis in axes)

    def _step_mask(self, memory):
        for name in ("sliding_window", "rotary", "position_bias"):
            if getattr(self, name) is not None:
                raise ValueError(
                    "`step` reads a memory that has no positions relative to "
                    f"the query, so there is no `{name}`. Received: "
                    f"{name}={getattr(self, name)!r}. Use `step_self`, or "
                    f"no `{name}`."
                )
        return super()._step_mask(memory)

    def _step_result(self, context, extras, single, state):
        if "scores" in extras:  # (B, N, T, S): hypotheses come second here
            scores = ops.transpose(extras["scores"], (0, 2, 1, 3))
            extras = {**extras, "scores": scores}  # (B, K, N, S)
        return super()._step_result(context, extras, single, state)

    def cache_shapes(self):
        key_size = self.key_dim
        if self.score == "l2":
            key_size += l2_scores.EXTRA
        groups = self.num_key_value_heads
        return (groups, key_size), (groups, self.value_dim)

    def project_positions(self, x, start):
        query = self._turn(self._query_dense(x), start)
        key = self._turn(self._key_dense(x), start)
        return self._as_query(query), self._as_key(key), self._value_dense(x)

    def read_cache(self, x, query, key, value, start, return_scores):
        length, room = ops.shape(query)[1], key.shape[2]
        rows = start + ops.arange(0, length, dtype="int32")
        distance = rows[:, None] - ops.arange(0, room, dtype="int32")[None, :]
        mask = distance >= 0
        if self.sliding_window is not None:
            mask = both(mask, distance < self.sliding_window)
        heads, scores = self._read_heads(
            query,
            heads_first(key),
            heads_first(value),
            mask[None],  # (1, T, M)
            return_scores,
            offset_bias=self._offset_bias(length, room, start),
        )
        return self._project_heads(x, heads), scores

    def read_segments(self, x, query, segments, masks, position):
        for name in ("sliding_window", "position_bias"):
            if getattr(self, name) is not None:
                raise ValueError(
                    "Hypotheses that share a cache read all of their past "
                    f"alike, so there is no `{name}`. Received: "
                    f"{name}={getattr(self, name)!r}. Use `step_self`."
                )
        scale = 1.0 if self.score == "l2" else self._scale
        heads = hypothesis_cache.read(query, segments, masks, position, scale)
        return self._project_heads(x, heads)

    def check_shapes(self, query_shape, value_shape, key_shape=None):
        key_shape = key_shape or value_shape
        query, value, key = map(tuple, (query_shape, value_shape, key_shape))
        attended = self._attended(len(query))
        arguments.check_shapes(query, value, key, attended)
        if self.score == "l2" and not agree(query[-1], key[-1]):
            raise ValueError(
                "With score='l2' one projection makes queries and keys, so "
                "both must have the same number of features. Received "
                f"shapes: query {query}, key {key}."
            )
        placed = self.rotary is not None or self.position_bias is not None
        if placed and len(attended) > 1:
            raise ValueError(
                "`rotary` and `position_bias` are for positions along one "
                f"axis. Received: attention_axes={attended}, query of shape "
                f"{query}. Attend over one axis, or tell positions apart by "
                "what you add to the inputs."
            )

    def compute_output_shape(self, query_shape, value_shape, key_shape=None):
        self.check_shapes(query_shape, value_shape, key_shape)
        sizes = self._output_shape or tuple(query_shape[-1:])
        return tuple(query_shape[:-1]) + sizes

    def compute_output_spec(
        self,
        query,
        value,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        use_causal_mask=False,
        attention_bias=None,
    ):
        key_shape = None if key is None else key.shape
        output = keras.KerasTensor(
            self.compute_output_shape(query.shape, value.shape, key_shape),
            dtype=self.compute_dtype,
        )
        if not return_attention_scores:
            return output
        axes = self._attended(len(query.shape))
        shape = (
            *(
                size
                for axis, size in enumerate(query.shape[:-1])
                if axis not in axes
            ),
            self.num_heads,
            *(query.shape[axis] for axis in axes),
            *(value.shape[axis] for axis in axes),
        )
        return output, keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self):
        serialize = keras.initializers.serialize
        regularizer = keras.regularizers.serialize
        constraint = keras.constraints.serialize
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "use_bias": self.use_bias,
            "output_shape": self._output_shape,
            "attention_axes": self.attention_axes,
            "sliding_window": self.sliding_window,
            "flash_attention": self.flash_attention,
            "kernel_initializer": serialize(self.kernel_initializer),
            "bias_initializer": serialize(self.bias_initializer),
            "kernel_regularizer": regularizer(self.kernel_regularizer),
            "bias_regularizer": regularizer(self.bias_regularizer),
            "activity_regularizer": regularizer(self._activity_regularizer),
            "kernel_constraint": constraint(self.kernel_constraint),
            "bias_constraint": constraint(self.bias_constraint),
            "use_gate": self.use_gate,
            "num_key_value_heads": self.num_key_value_heads,
            "rotary": keras.saving.serialize_keras_object(self.rotary),
            "position_bias": keras.saving.serialize_keras_object(
                self.position_bias
            ),
            "score": self.score,
            "output_bias": self.output_bias,
            "output_initializer": (
                self.output_initializer and serialize(self.output_initializer)
            ),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for name in ("rotary", "position_bias"):
            if isinstance(config.get(name), dict):
                config[name] = keras.saving.deserialize_keras_object(
                    config[name]
                )
        return super().from_config(config)


MultiHead = MultiHeadAttention


def _with_heads(mask):
    """A mask `(B, T, S)` as `(B, 1, T, S)`."""
    if mask is None or len(mask.shape) == 4:
        return mask
    return mask[:, None]
