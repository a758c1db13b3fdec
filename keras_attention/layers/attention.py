import keras
from keras import ops

from keras_attention.ops import checks
from keras_attention.ops.masks import (
    agree,
    as_mask,
    check_mask_shape,
    concrete_value,
    joint_mask,
)


class Attention(keras.layers.Layer):
    """What the attention layers share: one call form, masks and stepping.

    A subclass says how it builds, how it projects a memory and how queries
    read from one:

    - `build_query(query_shape)`, `build_memory(value_shape, key_shape)`
      create the weights of either side.
    - `project(value, key)` returns keys and values, the part of the
      computation that does not depend on a query.
    - `read(query, key, value, mask, return_scores, dropout_rate)` returns
      output and scores (None unless asked for) from raw queries and
      projected keys and values.

    `call` is `project` and `read`; `memory` is `project` alone, kept as a
    value by the caller; `step` is `read` alone. A layer whose step depends on
    earlier ones overrides `step` and `initial_state`.

    Args:
        dropout: Share of the scores dropped in training, in [0, 1).
        seed: Seed of the dropout, an int or None.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.
    """

    convolves = False  # in its steps; see `ops.loops.scan`

    def __init__(self, dropout: float = 0.0, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.dropout = checks.rate(dropout, "dropout")
        self.seed = seed
        self.seed_generator = None
        if self.dropout:
            self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True
        self._memory_shapes: tuple | None = None

    def build(self, query_shape, value_shape, key_shape=None):
        self.check_shapes(query_shape, value_shape, key_shape)
        if self._memory_shapes is None:
            self.build_memory(value_shape, key_shape or value_shape)
            self._memory_shapes = (value_shape, key_shape or value_shape)
        self.build_query(query_shape)

    def build_query(self, query_shape):
        """Creates the weights that meet the query."""

    def build_memory(self, value_shape, key_shape):
        """Creates the weights that meet key and value."""

    def project(self, value, key):
        """Keys and values as `read` takes them; no projection by default."""
        return key, value

    def read(self, query, key, value, mask, return_scores, dropout_rate):
        """Output `(B, T, .)` and scores `(B, T, S)`, or None for scores."""
        raise NotImplementedError(
            f"{type(self).__name__} must define how a query reads: `read`."
        )

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
        mask = self._joint_mask(
            query,
            key,
            query_mask,
            value_mask,
            key_mask,
            attention_mask,
            use_causal_mask,
        )
        output, scores = self.read(
            query,
            *self.project(value, key),
            mask,
            return_attention_scores,
            self.dropout if training else 0.0,
        )
        return (output, scores) if return_attention_scores else output

    def _joint_mask(self, *tensors_and_masks):
        """`joint_mask` of a layer without heads: `(B, T, S)`, or None."""
        mask = joint_mask(*tensors_and_masks)
        if mask is not None and len(mask.shape) == 4:
            raise ValueError(
                "`attention_mask` must have shape (B, T, S) or (T, S): "
                f"{type(self).__name__} has no heads. "
                f"Received: shape {tuple(mask.shape)}."
            )
        return mask

    def memory(self, value, key=None, mask=None):
        """Projects a source once, for any number of `step` calls.

        Args:
            value: `(B, S, D)`.
            key: `(B, S, .)`, `value` if None.
            mask: `(B, S)`, True = may be read.

        Returns:
            A dict of tensors with leading axis B: `key`, `value`, and `mask`
            if one was given. It is a value: the layer keeps nothing.
        """
        self._refuse_symbolic(value, key, mask)
        mask = as_mask(mask, "mask")
        value = self._float(value)
        key = value if key is None else self._float(key)
        self.check_shapes((None, None, None), value.shape, key.shape)
        if mask is not None:
            check_mask_shape(mask, "mask", {"(B, S)": value.shape[:2]})
        if self._memory_shapes is None:
            # The query is not known yet, so `build` has to wait for `step`.
            with keras.name_scope(self.name, caller=self):
                self.build_memory(value.shape, key.shape)
            self._memory_shapes = (tuple(value.shape), tuple(key.shape))
        key, value = self.project(value, key)
        memory = {"key": key, "value": value}
        return memory if mask is None else {**memory, "mask": mask}

    def initial_state(self, memory):
        """The state before the first step: `{}`, nothing to remember."""
        return {}

    def draw_noise(self, batch, steps, length, training=False):
        """What a layer that draws needs for some steps: `{}`, nothing.

        A loop draws it before it begins: a draw within one breaks on JAX.

        Args:
            batch: B.
            steps: T.
            length: S.
            training: Whether it is drawn for training.

        Returns:
            A dict of tensors `(B, T, ...)`, for `call`; the slices of one
            step are the `noise` of `step`.
        """
        return {}

    def draws(self, training) -> bool:
        """Whether `draw_noise` has anything to draw."""
        return False

    def _step_noise(self, query, key, training):
        """The noise of a step that was given none, for `(B, K)` queries."""
        if not self.draws(training):
            return {}
        if keras.backend.backend() == "jax" and concrete_value(query) is None:
            raise ValueError(
                "A step that JAX compiles cannot draw: a loop around it would "
                "draw once for all of its steps. Received: noise=None. Draw "
                "for all steps before the loop, with `draw_noise`, and pass "
                "each step its slice as `noise`."
            )
        batch, hypotheses, _ = ops.shape(query)
        return self.draw_noise(batch, hypotheses, ops.shape(key)[1], training)

    def step_spec(self, batch, length):
        """Specs of what each step reports beside scores, and of the state.

        Args:
            batch: B, an int or None.
            length: S, an int or None.

        Returns:
            Two dicts of KerasTensors with leading axis B.
        """
        return {}, {}

    def step(self, query, memory, state, return_attention_scores=False):
        """Reads from a projected memory with one query per hypothesis.

        Args:
            query: `(B, D)`, or `(B, K, D)` for K hypotheses that share one
                memory.
            memory: What `memory` returned.
            state: What `initial_state` or the last step returned.
            return_attention_scores: Whether `extras` holds `scores`.

        Returns:
            A tuple of context `(B, .)` or `(B, K, .)`, the new state, and
            extras: a dict with `scores` `(B, S)` or `(B, K, S)` if asked for.
        """
        query, single = self._step_query(query, memory)
        context, scores = self.read(
            query,
            memory["key"],
            memory["value"],
            self._step_mask(memory),
            return_attention_scores,
            0.0,
        )
        extras = {"scores": scores} if return_attention_scores else {}
        return self._step_result(context, extras, single, state)

    def _step_query(self, query, memory):
        """The query as `(B, K, D)`, and whether K has to go again."""
        self._refuse_symbolic(query)
        query = self._float(query)
        if len(query.shape) not in (2, 3):
            raise ValueError(
                "`query` of a step must have shape (B, D) or (B, K, D). "
                f"Received: shape {tuple(query.shape)}. "
                "For a whole sequence call the layer itself."
            )
        single = len(query.shape) == 2
        query = query[:, None] if single else query
        if not self.built:
            if self._memory_shapes is None:
                raise ValueError(
                    f"{self.name}.step needs a layer that is built. Call "
                    "`memory(value)` of the same layer first."
                )
            self.build(tuple(query.shape), *self._memory_shapes)
        check_step_batch("query", query, memory)
        return query, single

    def _step_mask(self, memory):
        return memory["mask"][:, None] if "mask" in memory else None  # (B,1,S)

    def _step_result(self, context, extras, single, state):
        if single:
            context = context[:, 0]
            extras = {name: x[:, 0] for name, x in extras.items()}
        return context, state, extras

    def _floats(self, query, value, key):
        """The inputs of a call, the key filled in, integers made floats."""
        inputs = (query, value, value if key is None else key)
        return [
            x
            if keras.backend.is_float_dtype(x.dtype)
            else ops.cast(x, self.compute_dtype)
            for x in inputs
        ]

    def _float(self, tensor):
        return ops.cast(ops.convert_to_tensor(tensor), self.compute_dtype)

    def _refuse_symbolic(self, *tensors):
        if any(isinstance(x, keras.KerasTensor) for x in tensors):
            raise ValueError(
                "`memory` and `step` take tensors with values, not the "
                "symbolic tensors of a functional model. Received: a "
                "KerasTensor. Call the layer, or put it in an AttentionRNN."
            )

    def check_shapes(self, query_shape, value_shape, key_shape=None):
        """Raises unless the static shapes fit each other."""
        key_shape = key_shape or value_shape
        shapes = {
            "query": tuple(query_shape),
            "value": tuple(value_shape),
            "key": tuple(key_shape),
        }
        received = ", ".join(f"{k} {v}" for k, v in shapes.items())
        for name, shape in shapes.items():
            if len(shape) != 3:
                raise ValueError(
                    f"`{name}` must have shape (batch, length, features). "
                    f"Received shapes: {received}."
                )
        query, value, key = shapes.values()
        if not (agree(query[0], value[0]) and agree(value[0], key[0])):
            raise ValueError(
                "`query`, `value` and `key` must have the same batch size. "
                f"Received shapes: {received}."
            )
        if not agree(value[1], key[1]):
            raise ValueError(
                "`value` and `key` must have the same length. "
                f"Received shapes: {received}."
            )

    def compute_output_shape(self, query_shape, value_shape, key_shape=None):
        self.check_shapes(query_shape, value_shape, key_shape)
        return (*query_shape[:-1], value_shape[-1])

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
    ):
        key = value if key is None else key
        output = keras.KerasTensor(
            self.compute_output_shape(query.shape, value.shape, key.shape),
            dtype=self.compute_dtype,
        )
        if not return_attention_scores:
            return output
        scores = keras.KerasTensor(
            (*query.shape[:2], key.shape[1]), dtype=self.compute_dtype
        )
        return output, scores

    def get_config(self):
        return {
            **super().get_config(),
            "dropout": self.dropout,
            "seed": self.seed,
        }


def cloned(initializer):
    """A copy that draws anew: one initializer draws the same each time.

    A plain function, which Keras takes too, keeps nothing to copy.
    """
    return initializer.clone() if hasattr(initializer, "clone") else initializer


def check_step_batch(name, tensor, memory):
    """Raises unless a step's input has the batch size of its memory."""
    batch = keras.tree.flatten(memory)[0].shape[0]
    if not agree(tensor.shape[0], batch):
        raise ValueError(
            f"`{name}` of a step must have the batch size of the memory. "
            f"Received: shape {tuple(tensor.shape)}, a memory of batch size "
            f"{batch}. Pass hypotheses as (B, K, D)."
        )


def refuse_positions(attention, name):
    """Raises if an attention that is to read a memory compares positions."""
    for argument in ("sliding_window", "rotary", "position_bias"):
        value = getattr(attention, argument, None)
        if value is not None:
            raise ValueError(
                f"`{name}` reads a memory, which has no positions around the "
                f"query's: it must have no `{argument}`. Received: "
                f"{attention!r} with {argument}={value!r}. Leave it out, or "
                "use a LocalAttention."
            )


def on_rows(dense, x):
    """`dense(x)` for `(B, T, D)`, computed on rows `(B x T, D)`.

    On TensorFlow a Dense layer on rank 3 is a tensordot, whose gradient XLA
    refuses inside a loop.
    """
    batch, length, features = ops.shape(x)
    rows = dense(ops.reshape(x, (batch * length, features)))
    return ops.reshape(rows, (batch, length, rows.shape[-1]))
