import math

import keras
from keras import ops

from keras_attention.layers.attention import cloned, on_rows
from keras_attention.layers.luong_scores import LuongScores
from keras_attention.ops import checks
from keras_attention.ops.attention import dropout
from keras_attention.ops.bands import banded_attention
from keras_attention.ops.masks import agree, joint_mask
from keras_attention.ops.resampling import grid_sizes
from keras_attention.ops.softmax import wide_dtype
from keras_attention.ops.windows import (
    gathered_attention,
    gaussian,
    source_lengths,
    whole_attention,
)


@keras.saving.register_keras_serializable(package="keras_attention")
class LocalAttention(LuongScores):
    """Lets each query read a small window of a long sequence or large grid.

    Luong's local attention (Luong et al., 2015, section 3.2). Query `h_t`
    reads the positions s with `|s - p_t| <= D` around an aligned position
    `p_t`, which is

        p_t = t                                  "monotonic"  (local-m)
        p_t = S sigmoid(v_p . tanh(W_p h_t))     "predictive" (local-p)

    with positions counted from 0 and S the true length of each source: its
    last readable position + 1, by `value_mask` and `key_mask`. Then

        a_t[s]    = softmax_s(score[t])[s] * g_t[s],  s in the window
        output[t] = sum_s a_t[s] * value[s]

    with `g_t[s] = exp(-(s - p_t)^2 / (2 sigma^2))`, `sigma = D / 2`, for
    "predictive", and 1 for "monotonic". The softmax runs over the positions
    of the window that exist and are not masked; the product with the
    gaussian is not normalized again, as in the paper. `p_t` is a real number:
    the window holds the integers within D of it, 2D + 1 of them at most, and
    only the gaussian carries a gradient to `W_p` (`position_dense`) and `v_p`
    (`position_vector`). Where a window ends is decided in float32 or wider,
    whatever the dtype of the layer. (The authors' released code rounds `p_t`
    down before it cuts the window, and scales by S - 1.)

    Time and memory grow with T x D, not T x S: only the window is read.
    Asking for scores adds their `(B, T, S)` tensor.

    With a `grid_shape`, for "predictive", the source is the places of a grid,
    row by row, as an image's features are. `p_t`, `v_p` and S have an entry
    for each axis, the window holds what is within D on every axis, a square
    of (2D + 1)^2 places at most, and the gaussians of the axes are
    multiplied.

    Args:
        window: D, how far a window reaches to either side; 10 in the paper.
            A window wider than the source reads all of it.
        alignment: "monotonic" or "predictive".
        score: "dot", "general" or "concat", as in `LuongAttention`.
        units: Size of `v`. "concat" needs it, and nothing else takes it.
        project_key: For "concat": False is the form of the authors' released
            code, `v . tanh(W h_t + h_s)`, which takes no `units`.
        grid_shape: For "predictive", the sizes of a grid whose places are
            the source, such as (rows, columns); None for a sequence.
        dropout: Share of the scores dropped in training, in [0, 1).
        kernel_initializer: Initializer of `W`, `U` and `W_p`.
        score_initializer: Initializer of `v` and `v_p`.
        kernel_regularizer: Regularizer of `W`, `U` and `W_p`.
        kernel_constraint: Constraint on `W`, `U` and `W_p`.
        seed: Seed of the dropout.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        query: `(B, T, D)`.
        value: `(B, S, V)`.
        key: `(B, S, E)`; `value` if None. E = D for "dot".
        query_mask: Booleans `(B, T)`; a query at False gets zeros.
        value_mask: Booleans `(B, S)`; a position at False is never read.
        key_mask: Booleans `(B, S)`, joined with `value_mask`.
        attention_mask: Booleans `(B, T, S)` or `(T, S)`. It says what may be
            read, not how long a source is.
        return_attention_scores: Whether to return `a` too.
        training: Whether dropout is active.
        use_causal_mask: Whether query t reads positions 0 to t only.

    Returns:
        `(B, T, V)`; with `return_attention_scores` also the scores
        `(B, T, S)`, which for "predictive" sum to less than 1. A query whose
        window has nothing to read gets zeros for both.

        A step reports `position`, p_t, in its extras: a number, or one for
        each axis of a grid. The state of "monotonic" is `{"position": t}`,
        one integer per hypothesis.

    Raises:
        ValueError: `window` is not a positive integer, `alignment` is not
            known, there is a `grid_shape` without "predictive", or the source
            has more or fewer places, an argument is missing for the score or
            belongs to another one, sizes do not fit each other, or a mask
            holds other than 0 and 1.

    Examples:
        >>> import numpy as np
        >>> import keras_attention
        >>> states = np.random.normal(size=(2, 3, 7))
        >>> annotations = np.random.normal(size=(2, 97, 11))
        >>> layer = keras_attention.layers.LocalAttention(
        ...     window=5, alignment="predictive", score="general"
        ... )
        >>> tuple(layer(states, annotations).shape)
        (2, 3, 11)

        One query at a time, with the position it chose:

        >>> memory = layer.memory(annotations)
        >>> state = layer.initial_state(memory)
        >>> context, state, extras = layer.step(states[:, 0], memory, state)
        >>> tuple(context.shape), tuple(extras["position"].shape)
        ((2, 11), (2,))

        From an image's features, with a row and a column in each position:

        >>> layer = keras_attention.layers.LocalAttention(
        ...     2, "predictive", "general", grid_shape=(14, 14)
        ... )
        >>> memory = layer.memory(np.random.normal(size=(2, 14 * 14, 11)))
        >>> context, state, extras = layer.step(states[:, 0], memory, {})
        >>> tuple(context.shape), tuple(extras["position"].shape)
        ((2, 11), (2, 2))

    Reference:
        [Luong et al., 2015](https://arxiv.org/abs/1508.04025), section 3.2,
        equations 9 and 10.
    """

    def __init__(
        self,
        window: int,
        alignment: str = "monotonic",
        score: str = "dot",
        units: int | None = None,
        project_key: bool = True,
        grid_shape: tuple[int, ...] | None = None,
        dropout: float = 0.0,
        kernel_initializer="glorot_uniform",
        score_initializer="glorot_uniform",
        kernel_regularizer=None,
        kernel_constraint=None,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(
            score=score,
            units=units,
            project_key=project_key,
            dropout=dropout,
            kernel_initializer=kernel_initializer,
            score_initializer=score_initializer,
            kernel_regularizer=kernel_regularizer,
            kernel_constraint=kernel_constraint,
            seed=seed,
            **kwargs,
        )
        self.window = checks.positive_int(window, "window")
        self.alignment = checks.one_of(
            alignment, "alignment", ("monotonic", "predictive")
        )
        if grid_shape is not None:
            grid_shape = grid_sizes(grid_shape, "grid_shape")
            if alignment == "monotonic":
                raise ValueError(
                    "On a grid positions are predicted: no row or column is "
                    "aligned with t. Received: alignment='monotonic', "
                    f'grid_shape={grid_shape}. Pass alignment="predictive".'
                )
        self.grid_shape = grid_shape
        self.position_dense = None
        self.position_vector = None

    def build_query(self, query_shape):
        super().build_query(query_shape)
        if self.alignment == "monotonic":
            return
        size = query_shape[-1]
        self.position_dense = self._dense(
            size, "position", self._position_policy()
        )
        self.position_dense.build(query_shape)
        self.position_vector = self.add_weight(
            shape=(size, len(self.grid_shape)) if self.grid_shape else (size,),
            initializer=cloned(self.score_initializer),
            # A position in bfloat16 would be off by whole words.
            autocast=False,
            name="position_vector",
        )

    def _position_policy(self):
        """The layer's own dtype, but never less than float32."""
        mapped = isinstance(
            self.dtype_policy, keras.dtype_policies.DTypePolicyMap
        )
        if mapped or self.compute_dtype in ("float32", "float64"):
            return self.dtype_policy
        return keras.DTypePolicy("float32")

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
    ):
        query, value, key = self._floats(query, value, key)
        self.check_shapes(query.shape, value.shape, key.shape)
        # Masks stay apart: joined, one of (B, T) and one of (B, S) would make
        # a tensor of (B, T, S).
        row_mask = joint_mask(query, key, query_mask=query_mask)  # (B, T, 1)
        source_mask = joint_mask(
            query, key, value_mask=value_mask, key_mask=key_mask
        )  # (B, 1, S)
        pair_mask = joint_mask(query, key, attention_mask=attention_mask)
        if pair_mask is not None and len(pair_mask.shape) == 4:
            raise ValueError(
                "`attention_mask` must have shape (B, T, S) or (T, S): "
                f"{type(self).__name__} has no heads. "
                f"Received: shape {tuple(attention_mask.shape)}."
            )
        if pair_mask is not None and pair_mask.shape[2] == 1:
            shape = (*ops.shape(pair_mask)[:2], ops.shape(key)[1])
            pair_mask = ops.broadcast_to(pair_mask, shape)
        if source_mask is not None:
            source_mask = source_mask[:, 0]  # (B, S)
        positions = None
        if self.alignment == "predictive":
            lengths = self.lengths(key, source_mask)
            positions = self.predict(query, lengths)  # (B, T, A)
        output, scores = self.read_windows(
            self.project_query(query),
            *self.project(value, key),
            positions,
            source_mask,
            pair_mask,
            use_causal_mask,
            return_attention_scores,
            self.dropout if training else 0.0,
        )
        if row_mask is not None:
            output = ops.where(row_mask, output, 0.0)
        if not return_attention_scores:
            return output
        if row_mask is not None:
            scores = ops.where(row_mask, scores, 0.0)
        return output, scores

    def source_shape(self, key):
        """Sizes of the A axes of a source: of its grid, or its length."""
        return self.grid_shape or (ops.shape(key)[1],)

    def lengths(self, key, mask=None):
        """True sizes `(B, A)` int32 of sources with a mask `(B, S)`."""
        shape = self.source_shape(key)
        if mask is not None:
            return source_lengths(mask, shape)
        lengths = ops.stack([ops.cast(size, "int32") for size in shape])
        return ops.broadcast_to(lengths, (ops.shape(key)[0], len(shape)))

    def _position_dtype(self):
        return wide_dtype(self.compute_dtype)

    def predict(self, query, lengths):
        """Aligned positions `(B, T, A)`, float32 or wider: equation 9."""
        wide = self._position_dtype()
        hidden = ops.tanh(ops.cast(on_rows(self.position_dense, query), wide))
        vector = ops.cast(self.position_vector, wide)
        vector = ops.reshape(vector, (-1, lengths.shape[1]))  # (D, A)
        share = ops.sigmoid(ops.sum(hidden[..., None] * vector, axis=-2))
        return ops.cast(lengths, wide)[:, None] * share

    def read_windows(
        self,
        query,
        key,
        value,
        positions,
        source_mask=None,
        pair_mask=None,
        causal=False,
        return_scores=False,
        dropout_rate=0.0,
    ):
        """Reads with projected queries and keys around aligned positions.

        Args:
            query: `(B, T, .)`.
            key: `(B, S, .)`.
            value: `(B, S, V)`.
            positions: `(B, T, A)` floats, A = 1 but on a grid; None if query
                t is aligned with t.
            source_mask: `(B, S)` booleans.
            pair_mask: `(B or 1, T or 1, S)` booleans.
            causal: Whether query t reads positions 0 to t only.
            return_scores: Whether to return the scores.
            dropout_rate: Share of the scores dropped.

        Returns:
            Output `(B, T, V)` and scores `(B, T, S)`, or None for scores.
        """
        window = self.window
        shape = self.source_shape(key)

        def attend(query, key, value, mask, square):
            if self.alignment == "monotonic":
                return self.meet(
                    query, key, value, mask, return_scores, dropout_rate
                )
            scores = self.scores(query, key, mask) * gaussian(square, window)
            read = dropout(scores, dropout_rate, self.seed_generator)
            output = ops.matmul(ops.cast(read, value.dtype), value)
            return output, ops.cast(scores, value.dtype)

        # Up to a few windows, one product is faster than cutting them out.
        if checks.known(*shape):
            short = math.prod(shape) <= 4 * (2 * window + 1) ** len(shape)
        else:  # An export of JAX cannot fit a window into an unknown source.
            short = keras.backend.backend() == "jax"
        if positions is None and not (short or return_scores):

            def attend_band(query, key, value, mask):
                return attend(query, key, value, mask[:, 0], None)[0]

            masks = []  # (B, 1, T, S), axes that do not vary of size 1
            if source_mask is not None:
                masks.append(source_mask[:, None, None])
            if pair_mask is not None:
                masks.append(pair_mask[:, None])
            reach = window, 0 if causal else window
            output = banded_attention(
                attend_band, query, key, value, *reach, masks
            )
            return output, None
        if positions is None:
            short = True
            positions = ops.arange(0, ops.shape(query)[1], dtype="float32")
            positions = positions[None, :, None]
        arguments = (query, key, value, positions, window, shape)
        masks = (source_mask, pair_mask, causal)
        if short:
            output, scores = whole_attention(attend, *arguments, *masks)
            return output, scores if return_scores else None
        return gathered_attention(attend, *arguments, *masks, return_scores)

    def memory(self, value, key=None, mask=None):
        """Projects a source once, and counts its length for "predictive".

        Args and returns as of every attention layer; the dict also holds
        `length`, `(B, A)` integers, if positions are predicted: one for each
        axis of a grid, and one of a sequence.
        """
        memory = super().memory(value, key, mask)
        if self.alignment == "monotonic":
            return memory
        length = self.lengths(memory["key"], memory.get("mask"))
        return {**memory, "length": length}

    def initial_state(self, memory):
        """`{"position": zeros (B,)}`, or `{}` if positions are predicted."""
        if self.alignment == "predictive":
            return {}
        batch = ops.shape(memory["key"])[0]
        return {"position": ops.zeros((batch,), dtype="int32")}

    def step_spec(self, batch, length):
        axes = (len(self.grid_shape),) if self.grid_shape else ()
        position = keras.KerasTensor((batch, *axes), self._position_dtype())
        extras = {"position": position}
        if self.alignment == "predictive":
            return extras, {}
        return extras, {"position": keras.KerasTensor((batch,), "int32")}

    def step(self, query, memory, state, return_attention_scores=False):
        """Reads one window per hypothesis.

        Args:
            query: `(B, D)`, or `(B, K, D)` for K hypotheses that share one
                memory.
            memory: What `memory` returned.
            state: What `initial_state` or the last step returned; with K
                hypotheses, `position` is `(B * K,)`, those of one source
                next to each other.
            return_attention_scores: Whether `extras` holds `scores`.

        Returns:
            A tuple of context `(B, .)` or `(B, K, .)`, the new state, and
            extras: `position` `(B,)` or `(B, K)`, with an axis more on a
            grid, and `scores` `(B, S)` or `(B, K, S)` if asked for.
        """
        query, single = self._step_query(query, memory)
        if self.alignment == "predictive":
            positions = self.predict(query, memory["length"])  # (B, K, A)
        else:
            position = self._state_position(query, state)
            positions = ops.reshape(position, (-1, ops.shape(query)[1], 1))
            positions = ops.cast(positions, self._position_dtype())
            state = {"position": position + 1}
        context, scores = self.read_windows(
            self.project_query(query),
            memory["key"],
            memory["value"],
            positions,
            memory.get("mask"),
            return_scores=return_attention_scores,
        )
        extras = {
            "position": positions if self.grid_shape else positions[..., 0]
        }
        if return_attention_scores:
            extras["scores"] = scores
        return self._step_result(context, extras, single, state)

    def _state_position(self, query, state):
        """The integers of a state, once they fit the query."""
        if "position" not in state:
            raise ValueError(
                "`state` must be what `initial_state(memory)` or the last "
                f"step returned. Received: state={state}."
            )
        position = ops.cast(state["position"], "int32")
        batch, hypotheses = query.shape[:2]
        known = checks.known(batch, hypotheses)
        if known and not agree(position.shape[0], batch * hypotheses):
            raise ValueError(
                "`state` must have one position per hypothesis, "
                f"{batch} sources times {hypotheses}. Received: "
                f"{position.shape[0]} positions. Repeat the initial state "
                "with `keras.ops.repeat(position, hypotheses)`."
            )
        return position

    def check_shapes(self, query_shape, value_shape, key_shape=None):
        super().check_shapes(query_shape, value_shape, key_shape)
        shape = self.grid_shape
        if shape and not agree(value_shape[1], math.prod(shape)):
            raise ValueError(
                "`value` must have one position for each place of the grid, "
                f"{' x '.join(map(str, shape))} = {math.prod(shape)}. "
                f"Received: grid_shape={shape}, value shape "
                f"{tuple(value_shape)}. Pass the sizes of the grid that "
                "`value` was flattened from."
            )

    def get_config(self):
        return {
            **super().get_config(),
            "window": self.window,
            "alignment": self.alignment,
            "grid_shape": self.grid_shape,
        }
