from functools import partial
from typing import Any

import keras
from keras import ops, tree

from keras_attention.layers.attention import (
    Attention,
    check_step_batch,
    refuse_positions,
)
from keras_attention.ops import checks
from keras_attention.ops.cells import concatenate, steps_of
from keras_attention.ops.loops import scan, scan_with_kernels
from keras_attention.ops.masks import agree, as_mask, check_mask_shape


@keras.saving.register_keras_serializable(package="keras_attention")
class AttentionRNN(keras.layers.Layer):
    """Runs a recurrent decoder that reads from a memory at every step.

    The recurrence of attentional sequence-to-sequence models, for any Keras
    RNN cell and any attention layer of this package. With the query from the
    previous state (Bahdanau et al., 2015, appendix A.2.2):

        c_t = attention(query=s_{t-1}, memory)
        s_t = cell([x_t; c_t], s_{t-1})

    and with the query from the current one (Luong et al., 2015, section 3):

        s_t  = cell([x_t; h_{t-1}], s_{t-1})    h_{t-1} with input feeding
        c_t  = attention(query=s_t, memory)
        h_t  = tanh(W_c [c_t; s_t])             the attentional layer

    A gate scales what was read (Xu et al., 2015, section 4.2.1):
    `c_t <- sigmoid(W query + b) * c_t`.

    `keras.layers.RNN` cannot do this in Keras 3: it takes no constants, and
    its states have fixed sizes. Here the memory is a call argument, so that
    the layer sits in functional models and saves like any other.

    Args:
        cell: A Keras RNN cell (`GRUCell`, `LSTMCell`, `StackedRNNCells`, or
            one of your own). The query is its output, the first state of the
            (last) cell.
        attention: An attention layer of this package.
        query_from: `"previous"` or `"current"` state.
        attentional_layer: Size of `h`; None for none, and the output is the
            cell's.
        gate: `"scalar"`, `"vector"` (one value per feature of the context) or
            None.
        input_feeding: Whether `h_{t-1}` is an input of the cell; needs
            `attentional_layer`.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, T, D)`.
        memory: `(B, S, V)`.
        memory_mask: Booleans `(B, S)`; a position at False is never read.
        memory_key: `(B, S, E)`, what queries are compared with; `memory` if
            None.
        inputs_mask: Booleans `(B, T)`; a step at False keeps the state and
            gives zeros.
        initial_state: The cell's, `(B, units)` or a list of such; zeros if
            None.
        return_attention_scores: Whether the result holds `scores`.
        training: Passed to the cell, and to an attention that draws.
        noise: What an attention that draws is to draw with, a dict of tensors
            `(B, T, ...)` as its `draw_noise` makes it; drawn if None.

    Returns:
        A dict: `outputs` `(B, T, units)`, `contexts` `(B, T, V)` after the
        gate, `states` after the last step (`step` goes on from there),
        `scores` `(B, T, S)` if asked for, the `gate`'s values `(B, T, 1)` or
        `(B, T, V)` if there is one, and what else the attention reports,
        over time.

    Raises:
        ValueError: An argument is not one of those above, sizes do not fit,
            cell, attention and layer compute in different dtypes, the
            attention has a dropout or an activity regularizer of its own, or
            compares positions, or `noise` is given to one that draws nothing.

    Examples:
        >>> import keras, numpy as np
        >>> from keras_attention import layers
        >>> decoder = layers.AttentionRNN(
        ...     keras.layers.GRUCell(7), layers.AdditiveAttention(5)
        ... )
        >>> words = np.random.normal(size=(2, 3, 11))
        >>> annotations = np.random.normal(size=(2, 13, 17))
        >>> result = decoder(words, annotations, return_attention_scores=True)
        >>> tuple(result["outputs"].shape), tuple(result["scores"].shape)
        ((2, 3, 7), (2, 3, 13))

    Reference:
        [Bahdanau et al., 2015](https://arxiv.org/abs/1409.0473), A.2.2;
        [Luong et al., 2015](https://arxiv.org/abs/1508.04025), 3.3;
        [Xu et al., 2015](https://arxiv.org/abs/1502.03044), 4.2.1.
    """

    def __init__(
        self,
        cell,
        attention,
        query_from: str = "previous",
        attentional_layer: int | None = None,
        gate: str | None = None,
        input_feeding: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.cell = check_cell(cell)
        self.attention = check_attention(attention)
        self._check_dtypes()
        self.query_from = checks.one_of(
            query_from, "query_from", ("previous", "current")
        )
        self.gate = checks.one_of(gate, "gate", (None, "scalar", "vector"))
        if attentional_layer is not None:
            checks.positive_int(attentional_layer, "attentional_layer")
        elif input_feeding:
            raise ValueError(
                "`input_feeding` feeds the attentional layer's output back, "
                "so there must be one. Received: input_feeding=True, "
                "attentional_layer=None. Set `attentional_layer` to its size."
            )
        self.attentional_layer = attentional_layer
        self.input_feeding = input_feeding
        self.attentional_dense = None
        if attentional_layer is not None:
            self.attentional_dense = keras.layers.Dense(
                attentional_layer,
                activation="tanh",
                use_bias=False,
                dtype=self.dtype_policy,
                name="attentional",
            )
        self.gate_dense = None
        self.supports_masking = True
        self._memory_shapes: tuple | None = None

    def _check_dtypes(self):
        parts = [*getattr(self.cell, "cells", [self.cell]), self.attention]
        for part in parts:
            dtype = getattr(part, "compute_dtype", self.compute_dtype)
            if dtype != self.compute_dtype:
                raise ValueError(
                    "`cell`, `attention` and the layer itself must compute in "
                    f"one dtype. Received: {self.compute_dtype}, and {dtype} "
                    f"of {part!r}. Pass the same `dtype` to all, or set it "
                    "for all with `keras.config.set_dtype_policy`."
                )

    def build(self, inputs_shape, memory_shape, memory_key_shape=None):
        memory_key_shape = memory_key_shape or memory_shape
        for name, shape in (
            ("inputs", inputs_shape),
            ("memory", memory_shape),
            ("memory_key", memory_key_shape),
        ):
            if len(shape) != 3:
                raise ValueError(
                    f"`{name}` must have shape (batch, length, features). "
                    f"Received: shape {tuple(shape)}."
                )
        batch, steps, features = inputs_shape
        units = self.output_units()
        # A cell or attention that comes back from a file is built already.
        if not self.attention.built:
            self.attention.build(
                (batch, steps, units),
                tuple(memory_shape),
                tuple(memory_key_shape),
            )
        context = self.attention.compute_output_shape(
            (batch, steps, units), tuple(memory_shape)
        )[-1]
        if self.query_from == "previous":
            features += context
        if self.input_feeding:
            features += self.attentional_layer
        if not self.cell.built:
            self.cell.build((batch, features))
        if self.attentional_dense is not None:
            self.attentional_dense.build((batch, context + units))
        if self.gate is not None:
            self.gate_dense = keras.layers.Dense(
                1 if self.gate == "scalar" else context,
                activation="sigmoid",
                dtype=self.dtype_policy,
                name="gate",
            )
            self.gate_dense.build((batch, units))

    def output_units(self):
        """Size of the cell's output, which is the query's."""
        size = getattr(self.cell, "output_size", None)
        return tree.flatten(self.cell.state_size)[0] if size is None else size

    def call(
        self,
        inputs,
        memory,
        memory_mask=None,
        inputs_mask=None,
        initial_state=None,
        return_attention_scores=False,
        training=None,
        noise=None,
        memory_key=None,
    ):
        context_size = self.attention.compute_output_shape(
            (*inputs.shape[:2], self.output_units()), tuple(memory.shape)
        )[-1]
        memory = self.memory(memory, memory_mask, memory_key)
        state = self.initial_state(memory, initial_state)
        xs = {"x": ops.transpose(inputs, (1, 0, 2))}  # (T, B, D)
        if inputs_mask is not None:
            inputs_mask = as_mask(inputs_mask, "inputs_mask")
            check_mask_shape(
                inputs_mask, "inputs_mask", {"(B, T)": inputs.shape[:2]}
            )
            xs["keep"] = ops.transpose(inputs_mask)
        noise = self._noise(noise, inputs, memory, training)
        if noise:
            xs["noise"] = tree.map_structure(
                lambda x: ops.moveaxis(x, 1, 0), noise
            )  # (T, B, ...)
        steps = steps_of(self.cell, inputs.shape[-1], bool(training))
        if steps is not None:
            state, result = self._scan_known_cell(
                steps, xs, memory, state, return_attention_scores, training
            )
        else:
            self._draw_dropout_masks(inputs, context_size, state, training)
            state, result = scan(
                lambda state, x: self._masked_step(
                    x, memory, state, return_attention_scores, training
                ),
                state,
                xs,
                convolves=self.attention.convolves,
            )
            self._forget_dropout_masks()
        result = {
            name: ops.moveaxis(x, 0, 1) for name, x in result.items()
        }  # (B, T, ...)
        return {**result, "states": state}

    def _noise(self, noise, inputs, memory, training):
        """What the attention draws with in all steps, or None."""
        if noise is None:
            batch, steps, _ = ops.shape(inputs)
            length = ops.shape(memory["value"])[1]
            return self.attention.draw_noise(
                batch, steps, length, bool(training)
            )
        if not takes_noise(self.attention):
            raise ValueError(
                "`noise` is for an attention that draws. Received: noise="
                f"{noise!r}, attention={self.attention!r}. Leave it out."
            )
        if not isinstance(noise, dict) or not all(
            len(x.shape) > 1 and all(map(agree, x.shape[:2], inputs.shape[:2]))
            for x in noise.values()
        ):
            raise ValueError(
                "`noise` must be a dict of tensors (B, T, ...), as "
                "`attention.draw_noise` makes it. Received: noise="
                f"{noise!r}, inputs of shape {tuple(inputs.shape)}."
            )
        return noise

    def _scan_known_cell(
        self, steps, xs, memory, state, return_scores, training
    ):
        """The loop with all that needs no state done before and after it."""
        layers = [self.attention, self.attentional_dense, self.gate_dense]
        # Weights, not the states of random generators: no step draws.
        variables = [v for x in layers if x is not None for v in x.weights]
        constants = {
            "memory": memory,
            "variables": [ops.convert_to_tensor(v) for v in variables],
        }

        def step(affine, state, x, constants):
            def run_cell(x, read, cell_state):
                return steps(affine, read, cell_state)

            mapping = zip(variables, constants["variables"], strict=True)
            with keras.StatelessScope(state_mapping=mapping):
                return self._masked_step(
                    x,
                    constants["memory"],
                    state,
                    return_scores,
                    training,
                    run_cell=run_cell,
                )

        added = steps.added(xs["x"])
        xs = {name: x for name, x in xs.items() if name != "x"}
        return scan_with_kernels(
            step,
            state,
            xs,
            constants,
            steps.kernels,
            added,
            bool(training),
            self.attention.convolves,
        )

    def _masked_step(self, x, memory, state, *args, **kwargs):
        """A step of a scan, which a masked input leaves as it was."""
        output, new_state, extras = self._step(
            x.get("x"), memory, state, *args, noise=x.get("noise"), **kwargs
        )
        result = {"outputs": output, **extras}
        if "keep" not in x:
            return new_state, result

        def kept(new, old):
            return where_kept(x["keep"], new, old)

        new_state = tree.map_structure(kept, new_state, state)
        return new_state, tree.map_structure(
            lambda x: kept(x, ops.zeros_like(x)), result
        )

    def memory(self, memory, mask=None, key=None):
        """Projects a source once; see `Attention.memory`.

        Args:
            memory: `(B, S, V)`.
            mask: Booleans `(B, S)`, True = may be read.
            key: `(B, S, E)`, what queries are compared with; `memory` if
                None.

        Returns:
            A dict of tensors with leading axis B.
        """
        shapes = [memory.shape, memory.shape if key is None else key.shape]
        self._memory_shapes = tuple(map(tuple, shapes))
        return self.attention.memory(memory, key, mask=mask)

    def initial_state(self, memory, cell_state=None):
        """The state before the first step.

        Args:
            memory: What `memory` returned.
            cell_state: The cell's state, `(B, units)` or a list of such;
                zeros if None.

        Returns:
            A dict of nests with leading axis B: `cell`, `attention`, and
            `feed` with input feeding.
        """
        batch = ops.shape(memory["value"])[0]
        zeros = self._zero_cell_state(batch)
        if cell_state is None:
            cell_state = zeros
        else:
            flat = tree.flatten(cell_state)
            expected = tree.flatten(zeros)
            got = [tuple(x.shape) for x in flat]
            want = [tuple(x.shape) for x in expected]
            if len(got) != len(want) or not all(
                len(a) == len(b) and all(map(agree, a, b))
                for a, b in zip(got, want, strict=True)
            ):
                raise ValueError(
                    "`initial_state` must match the cell's states. "
                    f"Received: shapes {got}, expected {want}."
                )
            cell_state = tree.pack_sequence_as(
                zeros, [ops.cast(x, self.compute_dtype) for x in flat]
            )
        state = {
            "cell": cell_state,
            "attention": self.attention.initial_state(memory),
        }
        if self.input_feeding:
            state["feed"] = ops.zeros(
                (batch, self.attentional_layer), self.compute_dtype
            )
        return state

    def _zero_cell_state(self, batch):
        if hasattr(self.cell, "get_initial_state"):
            state = self.cell.get_initial_state(batch_size=batch)
        else:
            state = tree.map_structure(
                lambda size: ops.zeros((batch, size)), self.cell.state_size
            )
        state = state if tree.is_nested(state) else [state]
        return tree.map_structure(
            lambda x: ops.cast(x, self.compute_dtype), list(state)
        )

    def step(
        self,
        inputs,
        memory,
        state,
        return_attention_scores=False,
        noise=None,
    ):
        """One step of the recurrence, as in inference.

        Args:
            inputs: `(B, D)`, or `(B, K, D)` for K hypotheses per memory.
            memory: What `memory` returned.
            state: What `initial_state` or the last step returned; the
                leading axis is B, or B x K with the hypotheses of a source
                next to each other.
            return_attention_scores: Whether `extras` holds `scores`.
            noise: The attention's, of this step: `(B, ...)` or `(B, K, ...)`.

        Returns:
            A tuple of output `(B, units)` or `(B, K, units)`, state, and
            extras: a dict with `contexts`, `scores` if asked for, and what
            the attention reports.
        """
        inputs = ops.cast(ops.convert_to_tensor(inputs), self.compute_dtype)
        if not self.built:
            if self._memory_shapes is None:
                raise ValueError(
                    f"{self.name}.step needs a layer that is built. Call "
                    "`memory` of the same layer first."
                )
            features = inputs.shape[-1]
            self.build((None, None, features), *self._memory_shapes)
        if len(inputs.shape) not in (2, 3):
            raise ValueError(
                "`inputs` of a step must have shape (B, D) or (B, K, D). "
                f"Received: shape {tuple(inputs.shape)}."
            )
        check_step_batch("inputs", inputs, memory)
        if len(inputs.shape) == 2:
            return self._step(
                inputs,
                memory,
                state,
                return_attention_scores,
                noise=noise,
            )
        hypotheses, features = ops.shape(inputs)[1], inputs.shape[-1]
        output, state, extras = self._step(
            ops.reshape(inputs, (-1, features)),
            memory,
            state,
            return_attention_scores,
            hypotheses=hypotheses,
            noise=noise,
        )

        def unfold(x):
            return ops.reshape(x, (-1, hypotheses, *ops.shape(x)[1:]))

        return unfold(output), state, tree.map_structure(unfold, extras)

    def _step(
        self,
        x,
        memory,
        state,
        return_scores,
        training=False,
        hypotheses=None,
        run_cell=None,
        noise=None,
    ):
        """Inputs, states and results `(B, .)`, or `(B x K, .)`.

        `run_cell(x, read, cell_state)` returns the cell's output and states,
        given what it reads beside `x`.
        """
        cell_state = state["cell"]
        read_memory = partial(
            self._read,
            memory=memory,
            state=state["attention"],
            hypotheses=hypotheses,
            return_attention_scores=return_scores,
            # Only attention that draws takes these.
            **({"noise": noise, "training": bool(training)} if noise else {}),
        )
        read = []
        if self.query_from == "previous":
            query = self._output_of(cell_state)
            context, attention_state, extras = read_memory(query)
            read.append(context)
        if self.input_feeding:
            read.append(state["feed"])
        run_cell = run_cell or partial(self._run_cell, training)
        output, cell_state = run_cell(x, read, cell_state)
        cell_state = tree.pack_sequence_as(
            state["cell"], tree.flatten(cell_state)
        )
        if self.query_from == "current":
            context, attention_state, extras = read_memory(output)
        if self.attentional_dense is not None:
            output = self.attentional_dense(concatenate([context, output]))
        new_state = {"cell": cell_state, "attention": attention_state}
        if self.input_feeding:
            new_state["feed"] = output
        return output, new_state, {"contexts": context, **extras}

    def _run_cell(self, training, x, read, cell_state):
        kwargs = {"training": training} if takes_training(self.cell) else {}
        return self.cell(concatenate([x, *read]), cell_state, **kwargs)

    def _output_of(self, cell_state):
        """The output that left this state: a (last) cell's first state."""
        last = cell_state[-1] if tree.is_nested(cell_state[-1]) else cell_state
        return tree.flatten(last)[0]

    def _read(self, query, memory, state, hypotheses, **kwargs):
        rows = query
        if hypotheses is not None:
            query = ops.reshape(query, (-1, hypotheses, query.shape[-1]))
        context, state, extras = self.attention.step(
            query, memory, state, **kwargs
        )
        if hypotheses is not None:
            context, extras = tree.map_structure(
                lambda x: ops.reshape(x, (-1, *ops.shape(x)[2:])),
                (context, extras),
            )
        if self.gate_dense is not None:
            extras = {**extras, "gate": self.gate_dense(rows)}
            context = context * extras["gate"]
        return context, state, extras

    def _draw_dropout_masks(self, inputs, context_size, state, training):
        """Draws the cells' dropout masks before the loop.

        A draw inside it would leak out of the trace on JAX, and would differ
        from step to step.
        """
        if not training:
            return
        cells = getattr(self.cell, "cells", [self.cell])
        x = inputs[:, 0]
        states = state["cell"] if len(cells) > 1 else [state["cell"]]
        for i, cell in enumerate(cells):
            if i == 0:
                parts = [x]
                if self.query_from == "previous":
                    shape = (ops.shape(x)[0], context_size)
                    parts.append(ops.zeros(shape, x.dtype))
                if self.input_feeding:
                    parts.append(state["feed"])
                x = ops.concatenate(parts, -1)
            if getattr(cell, "dropout", 0) and hasattr(
                cell, "get_dropout_mask"
            ):
                cell.get_dropout_mask(x)
            first = tree.flatten(states[i])[0]
            if getattr(cell, "recurrent_dropout", 0) and hasattr(
                cell, "get_recurrent_dropout_mask"
            ):
                cell.get_recurrent_dropout_mask(first)
            x = first

    def _forget_dropout_masks(self):
        for cell in getattr(self.cell, "cells", [self.cell]):
            for name in ("reset_dropout_mask", "reset_recurrent_dropout_mask"):
                if hasattr(cell, name):
                    getattr(cell, name)()

    def compute_mask(self, inputs, previous_mask):
        # Keras gives masks to the outputs in the order of their names, and
        # cannot tell whether there are scores: what comes before them gets
        # one, which is all but the scores and the last state.
        extras, _ = self.attention.step_spec(inputs.shape[0], None)
        gate = () if self.gate is None else ("gate",)
        names = sorted({"contexts", "outputs", *gate, *extras})
        return [previous_mask for name in names if name < "scores"]

    def compute_output_spec(
        self,
        inputs,
        memory,
        memory_mask=None,
        inputs_mask=None,
        initial_state=None,
        return_attention_scores=False,
        training=None,
        noise=None,
        memory_key=None,
    ):
        batch, steps = inputs.shape[:2]
        units = self.output_units()
        query = keras.KerasTensor((batch, steps, units))
        context, scores = self.attention.compute_output_spec(
            query, memory, memory_key, return_attention_scores=True
        )
        extras, attention_state = self.attention.step_spec(
            batch, memory.shape[1]
        )

        def spec(*shape):
            return keras.KerasTensor(shape, self.compute_dtype)

        sizes = self.cell.state_size
        state = {
            "cell": keras.tree.map_structure(
                lambda size: spec(batch, size),
                list(sizes) if keras.tree.is_nested(sizes) else [sizes],
            ),
            "attention": attention_state,
        }
        if self.input_feeding:
            state["feed"] = spec(batch, self.attentional_layer)
        result = {
            "outputs": spec(batch, steps, self.attentional_layer or units),
            "contexts": spec(*context.shape),
            **{
                name: keras.KerasTensor((batch, steps, *x.shape[1:]), x.dtype)
                for name, x in extras.items()
            },
            "states": state,
        }
        if self.gate is not None:
            size = 1 if self.gate == "scalar" else context.shape[-1]
            result["gate"] = spec(batch, steps, size)
        if return_attention_scores:
            # Steps come first after the batch, heads (if any) behind them.
            heads = scores.shape[1:-2]
            shape = (batch, steps, *heads, scores.shape[-1])
            result["scores"] = keras.KerasTensor(shape, scores.dtype)
        return result

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "cell": serialize(self.cell),
            "attention": serialize(self.attention),
            "query_from": self.query_from,
            "attentional_layer": self.attentional_layer,
            "gate": self.gate,
            "input_feeding": self.input_feeding,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for name in ("cell", "attention"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)


def where_kept(keep, new, old):
    """`new` where `keep` `(B,)` is True, `old` elsewhere."""
    keep = ops.reshape(keep, (-1,) + (1,) * (len(new.shape) - 1))
    return ops.where(keep, new, old)


def takes_noise(attention):
    """Whether it overrides `draw_noise`, and so takes what that draws."""
    return type(attention).draw_noise is not Attention.draw_noise


def takes_training(cell):
    return getattr(cell, "_call_has_training_arg", False)


def check_cell(cell) -> Any:
    if callable(cell) and hasattr(cell, "state_size"):
        return cell
    raise ValueError(
        "`cell` must be a Keras RNN cell: callable, with a `state_size`. "
        f"Received: cell={cell!r}. Pass for example `keras.layers.GRUCell(8)`."
    )


def check_attention(attention):
    if not (hasattr(attention, "memory") and hasattr(attention, "step")):
        raise ValueError(
            "`attention` must be an attention layer of keras_attention, with "
            f"`memory` and `step`. Received: attention={attention!r}. Pass "
            "for example `AdditiveAttention(units=8)`."
        )
    refuse_positions(attention, "attention")
    if isinstance(attention, Attention) and attention.dropout:
        raise ValueError(
            "An attention inside a recurrence must have no dropout of its "
            f"own. Received: dropout={attention.dropout}. Use the cell's "
            "`dropout` (it drops the context too), or drop the outputs."
        )
    if getattr(attention, "_activity_regularizer", None) is not None:
        raise ValueError(
            "An attention inside a recurrence must have no activity "
            "regularizer: the losses of steps would be lost. Received: "
            f"{attention!r}. Regularize the outputs instead."
        )
    return attention
