import string

import keras
import numpy as np
from keras import ops

from keras_attention.layers.attention import Attention, cloned
from keras_attention.ops import checks
from keras_attention.ops.dot_product import dot_product_attention
from keras_attention.ops.folding import Folded
from keras_attention.ops.masks import (
    agree,
    both,
    concrete_value,
    joint_mask,
    window_mask,
)
from keras_attention.ops.sliding_window import sliding_window_attention


@keras.saving.register_keras_serializable(package="keras_attention")
class MultiHeadAttention(Attention):
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
    backward, on TensorFlow and JAX too. Beyond it: grouped key/value heads, a
    bias on the logits, and stepping. Also exported as `MultiHead`.

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
            divide the heads, shapes do not fit each other, a mask holds
            other than 0 and 1, or a fused kernel is demanded where there is
            none.

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

    Reference:
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762), section 3.2;
        [Ainslie et al., 2023](https://arxiv.org/abs/2305.13245) for
        `num_key_value_heads`;
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
        **kwargs,
    ):
        super().__init__(seed=seed, **kwargs)
        self.num_heads = checks.positive_int(num_heads, "num_heads")
        self.key_dim = checks.positive_int(key_dim, "key_dim")
        self.value_dim = self.key_dim
        if value_dim is not None:
            self.value_dim = checks.positive_int(value_dim, "value_dim")
        self.num_key_value_heads = _key_value_heads(
            num_key_value_heads, self.num_heads
        )
        self.dropout = checks.rate(dropout, "dropout")
        self.use_bias = use_bias
        # Not `output_shape`: `summary` of a model asks layers for that.
        self._output_shape = _output_sizes(output_shape)
        self.attention_axes = _axes(attention_axes)
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
        self._query_dense.build(query_shape)
        if self.use_gate:
            self._gate_dense.build(query_shape)
        self._output_dense = self._projection(
            "attention_output",
            len(query_shape),
            2,
            self._output_shape or (query_shape[-1],),
        )
        self._output_dense.build(
            (*query_shape[:-1], self.num_heads, self.value_dim)
        )

    def _projection(self, name, rank, num_inputs, sizes, activation=None):
        """Maps the last axes of a tensor to others, with Keras's weights.

        Args:
            name: Name of the projection.
            rank: Rank of the layer's own inputs: `(B, ..., D)`.
            num_inputs: How many axes are summed over: features, or heads
                and their size.
            sizes: Sizes of the axes in their place.
            activation: Activation of the result.
        """
        letters = iter(string.ascii_lowercase)
        kept = "".join(next(letters) for _ in range(rank - 1))
        summed = "".join(next(letters) for _ in range(num_inputs))
        made = "".join(next(letters) for _ in sizes)
        layer = keras.layers.EinsumDense(
            f"{kept}{summed},{summed}{made}->{kept}{made}",
            output_shape=(*[None] * (rank - 2), *sizes),
            activation=activation,
            bias_axes=made if self.use_bias else None,
            # Cloned, or all kernels would start equal under a seed.
            kernel_initializer=cloned(self.kernel_initializer),
            bias_initializer=cloned(self.bias_initializer),
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            activity_regularizer=self._activity_regularizer,
            kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint,
            dtype=self.dtype_policy,
            name=name,
        )
        # Masks reach us as arguments: a projection need not warn about them.
        layer.supports_masking = True
        return layer

    def project(self, value, key):
        return self._key_dense(key), self._value_dense(value)

    def read(
        self,
        query,
        key,
        value,
        mask,
        return_scores,
        dropout_rate,
        causal=False,
        bias=None,
    ):
        heads, scores = self._read_heads(
            self._query_dense(query),  # (B, T, N, H)
            key,  # (B, S, K, H)
            value,
            mask,
            return_scores,
            dropout_rate,
            causal,
            bias,
        )
        return self._project_heads(query, heads), scores

    def _read_heads(
        self,
        query,
        key,
        value,
        mask,
        return_scores,
        dropout_rate,
        causal=False,
        bias=None,
        pair_mask=None,
        window=None,
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
        options = (
            self.key_dim**-0.5,
            dropout_rate,
            getattr(self._dropout_layer, "seed_generator", None),
            return_scores,
            flash_attention,
        )
        if window is not None:
            before, after = window
            if bias is None:
                # Masks stay apart: joined, they would be (B, N, T, S).
                return sliding_window_attention(
                    query,
                    key,
                    value,
                    before,
                    after,
                    mask,
                    pair_mask,
                    None,
                    *options,
                )
            length, key_length = ops.shape(query)[1], ops.shape(key)[1]
            inside = window_mask(length, key_length, before, after)
            pair_mask = both(pair_mask, inside[None, None])
        mask = both(mask, pair_mask)
        return dot_product_attention(
            query, key, value, mask, causal, bias, *options
        )

    def _project_heads(self, query, heads):
        if self.use_gate:
            heads = heads * self._gate_dense(query)
        return self._output_dense(heads)

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
            self._check_mask_heads(attention_mask)
        heads = (self._query_dense(query), *self.project(value, key))
        heads_q, heads_k, heads_v = map(folded.fold, heads) if folded else heads
        output, scores = self._read_heads(
            heads_q,
            heads_k,
            heads_v,
            _with_heads(mask),
            return_attention_scores,
            self.dropout if training else 0.0,
            use_causal_mask,
            self._check_bias(attention_bias, query, key),
            _with_heads(attention_mask),
            self._window(use_causal_mask),
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

    def _window(self, causal):
        """How many positions a query reads before and after it, or None."""
        if self.sliding_window is None:
            return None
        reach = self.sliding_window - 1
        return reach, 0 if causal else reach

    def _check_mask_heads(self, mask):
        if mask is None or len(mask.shape) != 4:
            return
        if mask.shape[1] not in (None, 1, self.num_heads):
            raise ValueError(
                "The heads axis of `attention_mask` must be 1 or "
                f"{self.num_heads}. Received: shape {tuple(mask.shape)}."
            )

    def _check_bias(self, bias, query, key):
        if bias is None:
            return None
        allowed = (
            query.shape[0],
            self.num_heads,
            query.shape[1],
            key.shape[1],
        )
        fits = len(query.shape) == 3 and len(bias.shape) == 4
        if not fits or not all(
            size == 1 or agree(size, other)
            for size, other in zip(bias.shape, allowed, strict=True)
        ):
            raise ValueError(
                "`attention_bias` must broadcast to (B, N, T, S) = "
                f"{allowed}, for inputs of rank 3. Received: shape "
                f"{tuple(bias.shape)}. Add axes of size 1 where it does not "
                "vary."
            )
        return bias

    def _attended(self, rank):
        """The attended axes of an input of some rank, as positive numbers."""
        axes = self.attention_axes
        axes = tuple(range(1, rank - 1)) if axes is None else axes
        return tuple(axis % rank for axis in axes)

    def _step_mask(self, memory):
        if self.sliding_window is not None:
            raise ValueError(
                "`step` reads a memory that has no positions relative to the "
                "query, so there is no window. Received: sliding_window="
                f"{self.sliding_window}. Use `step_self`, or no window."
            )
        return super()._step_mask(memory)

    def _step_result(self, context, extras, single, state):
        if "scores" in extras:  # (B, N, T, S): hypotheses come second here
            scores = ops.transpose(extras["scores"], (0, 2, 1, 3))
            extras = {**extras, "scores": scores}  # (B, K, N, S)
        return super()._step_result(context, extras, single, state)

    def initial_cache(self, batch_size: int, max_length: int):
        """An empty cache for `step_self`.

        Args:
            batch_size: Number of sequences, or of hypotheses in all.
            max_length: Number of positions the cache has room for, M.

        Returns:
            A dict of `key` `(B, M, K, key_dim)`, `value` `(B, M, K,
            value_dim)` and `position` `(B,)`, the number of positions held.
            All have the leading axis B, so `ops.take(x, index, axis=0)` of
            each reorders the sequences.
        """
        shape = (batch_size, max_length, self.num_key_value_heads)
        return {
            "key": ops.zeros((*shape, self.key_dim), self.compute_dtype),
            "value": ops.zeros((*shape, self.value_dim), self.compute_dtype),
            "position": ops.zeros((batch_size,), "int32"),
        }

    def step_self(self, query, cache, return_attention_scores=False):
        """Causal self-attention of the next positions, over a cache.

        Stepping over a sequence gives what the whole of it would at once
        with `use_causal_mask`.

        Args:
            query: `(B, D)`, the next position, or `(B, T, D)`, the next T.
            cache: What `initial_cache` or the last step returned. All
                sequences are at the same position.
            return_attention_scores: Whether `extras` holds `scores`.

        Returns:
            A tuple of output `(B, .)` or `(B, T, .)`, the cache with the
            positions added, and extras: a dict with `scores` `(B, N, M)` or
            `(B, N, T, M)` over the cache's room if asked for. On torch,
            without gradients, the buffers of the given cache are written.

        Raises:
            ValueError: The cache has no room left, or `query` is symbolic.
        """
        self._refuse_symbolic(query)
        query = self._float(query)
        if len(query.shape) not in (2, 3):
            raise ValueError(
                "`query` of `step_self` must have shape (B, D) or (B, T, D). "
                f"Received: shape {tuple(query.shape)}."
            )
        single = len(query.shape) == 2
        query = query[:, None] if single else query
        if not self.built:
            self.build(tuple(query.shape), tuple(query.shape))
        batch = cache["key"].shape[0]
        if not agree(query.shape[0], batch):
            raise ValueError(
                "`query` must have the batch size of the cache. Received: "
                f"query of shape {tuple(query.shape)}, a cache of batch size "
                f"{batch}. Make it with `initial_cache(batch_size, ...)`."
            )
        length, room = ops.shape(query)[1], cache["key"].shape[1]
        position = cache["position"][:1]
        held = concrete_value(position)
        needed = length if held is None else held[0] + length
        if checks.known(length) and needed > room:
            raise ValueError(
                "The cache must have room for the positions to add. Received: "
                f"{length} to add, {0 if held is None else held[0]} held, "
                f"max_length={room}. Pass a larger `max_length` to "
                "`initial_cache`."
            )
        key, value = self.project(query, query)
        cache = {
            "key": _write(cache["key"], position, key),
            "value": _write(cache["value"], position, value),
            "position": cache["position"] + length,
        }
        rows = position + ops.arange(length, dtype="int32")
        distance = rows[:, None] - ops.arange(room, dtype="int32")[None, :]
        mask = distance >= 0
        if self.sliding_window is not None:
            mask = both(mask, distance < self.sliding_window)
        output, scores = self.read(
            query,
            cache["key"],
            cache["value"],
            mask[None],  # (1, T, M)
            return_attention_scores,
            0.0,
        )
        if single:
            output = output[:, 0]
            scores = None if scores is None else scores[:, :, 0]
        extras = {"scores": scores} if return_attention_scores else {}
        return output, cache, extras

    def check_shapes(self, query_shape, value_shape, key_shape=None):
        key_shape = key_shape or value_shape
        query, value, key = map(tuple, (query_shape, value_shape, key_shape))
        received = f"Received shapes: query {query}, value {value}, key {key}."
        if len(value) != len(key) or not all(map(agree, value[:-1], key[:-1])):
            raise ValueError(
                "All dimensions of `value` and `key`, except the last one, "
                f"must be equal. {received}"
            )
        if len(query) < 3 or len(query) != len(value):
            raise ValueError(
                "`query`, `value` and `key` must have the same rank, 3 or "
                f"more: (batch, length, features). {received}"
            )
        if not agree(query[0], value[0]):
            raise ValueError(
                "`query`, `value` and `key` must have the same batch size. "
                f"{received}"
            )
        axes = self._attended(len(query))
        if not set(axes) <= set(range(1, len(query) - 1)):
            raise ValueError(
                "`attention_axes` must be axes between batch and features. "
                f"Received: attention_axes={self.attention_axes}. {received}"
            )
        for axis in range(1, len(query) - 1):
            if axis not in axes and not agree(query[axis], value[axis]):
                raise ValueError(
                    "An axis that is not attended over must have the same "
                    f"size in `query` and `value`. {received} Attended: "
                    f"attention_axes={axes}."
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
        }


MultiHead = MultiHeadAttention


def _write(buffer, position, new):
    """The buffer `(B, M, ...)` with `(B, T, ...)` from a position on."""
    new = ops.cast(new, buffer.dtype)
    if keras.backend.backend() == "torch":
        import torch

        index = position + torch.arange(new.shape[1], device=new.device)
        if torch.is_grad_enabled() and new.requires_grad:
            return buffer.index_copy(1, index.long(), new)
        return buffer.index_copy_(1, index.long(), new)
    start = (0, position[0], *[0] * (len(buffer.shape) - 2))
    return ops.slice_update(buffer, start, new)


def _with_heads(mask):
    """A mask `(B, T, S)` as `(B, 1, T, S)`."""
    if mask is None or len(mask.shape) == 4:
        return mask
    return mask[:, None]


def _key_value_heads(num_key_value_heads, num_heads):
    if num_key_value_heads is None:
        return num_heads
    checks.positive_int(num_key_value_heads, "num_key_value_heads")
    if num_heads % num_key_value_heads:
        raise ValueError(
            "`num_heads` must be a multiple of `num_key_value_heads`, so that "
            f"groups are equal. Received: num_heads={num_heads}, "
            f"num_key_value_heads={num_key_value_heads}. "
            f"Pass a divisor of {num_heads}."
        )
    return num_key_value_heads


def _output_sizes(output_shape):
    if output_shape is None:
        return None
    try:
        sizes = np.atleast_1d(output_shape).tolist()
        return tuple(checks.positive_int(x, "output_shape") for x in sizes)
    except ValueError as error:
        raise ValueError(
            f"Invalid `output_shape`: {output_shape}. It must be a positive "
            "integer, or a tuple of them."
        ) from error


def _axes(attention_axes):
    if attention_axes is None:
        return None
    if isinstance(attention_axes, int):
        return (attention_axes,)
    if not isinstance(attention_axes, (list, tuple)):
        raise ValueError(
            "`attention_axes` must be an int, list, or tuple. "
            f"Received: attention_axes={attention_axes}."
        )
    return tuple(attention_axes)
