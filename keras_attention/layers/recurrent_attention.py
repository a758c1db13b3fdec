import keras
from keras import ops

from keras_attention.layers.additive_attention import AdditiveAttention
from keras_attention.layers.attention import on_rows
from keras_attention.ops import checks
from keras_attention.ops.attention import dropout
from keras_attention.ops.loops import scan
from keras_attention.ops.masks import agree, both, joint_mask
from keras_attention.ops.softmax import wide_dtype


class RecurrentAttention(AdditiveAttention):
    """What the attention layers share whose step depends on earlier ones.

    The state of a step is one number per position, `before`, made of the
    scores of the steps so far. A subclass defines:

    - `remembers`, the name of the state.
    - `align(x, memory, before, mask)`, the scores of a step.
    - `after(before, scores)`, the state after it.

    and may define `prepare(query, memory)`, which makes `x`, all that is
    known before the loop; `first(memory)`, the state to begin with; and
    `report(before, scores)`, what a step reports beside scores.

    `call` is a loop of such steps over the queries. It carries the state
    alone and reads the values after it, with all scores at once. A step with
    nothing to read, because its query or all positions are masked, gives
    zeros and leaves the state as it was.
    """

    remembers = "alignment"

    def prepare(self, query, memory):
        """A dict of tensors `(B, T, ...)`, of which a step gets its slice."""
        return {"query": on_rows(self.query_dense, query)}

    def first(self, memory):
        """`(B, S)`: 1 at the first position that may be read, else 0."""
        readable = memory.get("mask")
        if readable is None:
            readable = ops.ones(ops.shape(memory["key"])[:2])
        readable = ops.cast(readable, self._state_dtype())
        return ops.where(ops.cumsum(readable, axis=-1) <= 1, readable, 0.0)

    def align(self, x, memory, before, mask):
        """Scores `(B, K, S)`, float32 or wider."""
        raise NotImplementedError(
            f"{type(self).__name__} must define how a step reads: `align`."
        )

    def after(self, before, scores):
        """The state `(B, K, S)` after a step with these scores."""
        return scores

    def report(self, before, scores):
        """What a step reports beside scores, a dict of tensors `(B, K)`."""
        return {}

    def _state_dtype(self):
        return wide_dtype(self.compute_dtype)

    def _advance(self, x, memory, before):
        mask = both(self._step_mask(memory), x.get("mask"))
        scores = self.align(x, memory, before, mask)
        reports = self.report(before, scores)
        after = self.after(before, scores)
        if mask is not None:
            reads = ops.any(mask, axis=-1, keepdims=True)
            after = ops.where(reads, after, before)
        return after, scores, reports

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
        output, scores, _ = self.run(
            query,
            value,
            key,
            (query_mask, value_mask, key_mask, attention_mask, use_causal_mask),
            training,
        )
        return (output, scores) if return_attention_scores else output

    def run(self, query, value, key, masks, training, noise=None):
        """All steps of a call, one after the other.

        Args:
            query: `(B, T, D)`.
            value: `(B, S, V)`.
            key: `(B, S, E)`, or None.
            masks: The masks of a call, in the order of its arguments, and
                whether it is causal.
            training: Whether scores are dropped.
            noise: A dict of tensors `(B, T, ...)` that join `x`.

        Returns:
            Output `(B, T, V)`, scores `(B, T, S)`, and a dict of what the
            steps report, `(B, T)`.
        """
        query, value, key = self._floats(query, value, key)
        self.check_shapes(query.shape, value.shape, key.shape)
        query_mask, value_mask, key_mask, attention_mask, causal = masks
        source_mask = joint_mask(
            query, key, value_mask=value_mask, key_mask=key_mask
        )  # (B, 1, S)
        if source_mask is not None:
            source_mask = source_mask[:, 0]
        memory = self.memory(value, key, source_mask)
        x = {**self.prepare(query, memory), **(noise or {})}
        mask = self._joint_mask(
            query, key, query_mask, None, None, attention_mask, causal
        )
        if mask is not None:
            sizes = ops.shape(mask)
            steps = ops.shape(query)[1]
            x["mask"] = ops.broadcast_to(mask, (sizes[0], steps, sizes[2]))

        def step(before, x):
            after, *results = self._advance(x, memory, before)
            return after, results

        _, (scores, reports) = scan(
            step,
            self.first(memory)[:, None],
            {name: each_step(x) for name, x in x.items()},
        )
        reports = {name: over_steps(x) for name, x in reports.items()}
        scores = ops.cast(over_steps(scores), value.dtype)
        rate = self.dropout if training else 0.0
        read = dropout(scores, rate, self.seed_generator)
        return ops.matmul(read, value), scores, reports

    def initial_state(self, memory):
        """The state before the first step, one number per position."""
        return {self.remembers: self.first(memory)}

    def step_spec(self, batch, length):
        state = keras.KerasTensor((batch, length), self._state_dtype())
        return {}, {self.remembers: state}

    def step(self, query, memory, state, return_attention_scores=False):
        """Reads with one query per hypothesis.

        Args:
            query: `(B, D)`, or `(B, K, D)` for K hypotheses that share one
                memory.
            memory: What `memory` returned.
            state: What `initial_state` or the last step returned, `(B, S)`;
                with K hypotheses `(B * K, S)`, those of one source next to
                each other.
            return_attention_scores: Whether `extras` holds `scores`.

        Returns:
            A tuple of context `(B, .)` or `(B, K, .)`, the new state, and
            extras: what the layer reports, `(B,)` or `(B, K)`, and `scores`
            `(B, S)` or `(B, K, S)` if asked for.
        """
        query, single = self._step_query(query, memory)
        return self._step(query, single, memory, state, return_attention_scores)

    def _step(self, query, single, memory, state, return_scores, noise=None):
        x = {**self.prepare(query, memory), **(noise or {})}
        before = self._before(query, memory, state)
        after, scores, extras = self._advance(x, memory, before)
        value = memory["value"]
        scores = ops.cast(scores, value.dtype)
        if return_scores:
            extras = {**extras, "scores": scores}
        shape = ops.shape(after)
        state = {
            self.remembers: ops.reshape(after, (shape[0] * shape[1], shape[2]))
        }
        return self._step_result(
            ops.matmul(scores, value), extras, single, state
        )

    def _before(self, query, memory, state):
        """The state `(B, K, S)`, once it fits query and memory."""
        if self.remembers not in state:
            raise ValueError(
                "`state` must be what `initial_state(memory)` or the last "
                f"step returned. Received: state={state}."
            )
        before = ops.cast(state[self.remembers], self._state_dtype())
        batch, hypotheses = query.shape[:2]
        length = memory["key"].shape[1]
        rows = None
        if checks.known(batch, hypotheses):
            rows = batch * hypotheses
        if len(before.shape) != 2 or not (
            agree(before.shape[0], rows) and agree(before.shape[1], length)
        ):
            raise ValueError(
                "`state` must have one row per hypothesis and one number per "
                f"position of the memory, shape {(rows, length)}. Received: "
                f"shape {tuple(before.shape)}. Repeat the initial state with "
                "`keras.ops.repeat(x, hypotheses, axis=0)`."
            )
        batch, hypotheses = ops.shape(query)[:2]
        length = ops.shape(memory["key"])[1]
        return ops.reshape(before, (batch, hypotheses, length))


def matrix_of(dense):
    """The `(F, U)` of a projection without bias, LoRA and int8 included."""
    return dense(ops.eye(dense.input_spec.axes[-1], dtype=dense.compute_dtype))


def each_step(x):
    """`(B, T, ...)` as the loop takes it: `(T, B, 1, ...)`."""
    return ops.expand_dims(ops.moveaxis(x, 1, 0), 2)


def over_steps(x):
    """`(T, B, 1, ...)`, what a loop returns, as `(B, T, ...)`."""
    return ops.moveaxis(x[:, :, 0], 0, 1)
