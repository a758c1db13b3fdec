"""What the models of stacked LSTMs share: their layers, run and stepped."""

import keras
from keras import layers, ops

from keras_attention.ops import checks
from keras_attention.ops.reversal import reverse_readable


@keras.saving.register_keras_serializable(package="keras_attention")
class ReverseReadable(layers.Layer):
    """Turns each row of `(B, S, ...)` around, but for its padding.

    Twice gives back what it was.

    Call arguments:
        inputs: `(B, S, ...)`.
        readable: Booleans `(B, S)`, False at padding.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, readable):
        return reverse_readable(inputs, readable)

    def compute_mask(self, inputs, previous_mask):
        # A mask that comes with the inputs is in their order.
        return None

    def compute_output_spec(self, inputs, readable):
        return keras.KerasTensor(inputs.shape, inputs.dtype)


class LSTMDecoder(layers.Layer):
    """Reads a memory with the states of stacked LSTMs, all at once.

    What `AttentionRNN(query_from="current", attentional_layer=...)` computes
    without input feeding, called and stepped like it. No step depends on what
    was read before: the LSTMs run through the whole sequence first.

    Args:
        stack: LSTMs.
        attention: An attention layer of this package.
        attentional: The Dense layer of `[context; state]`.
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.
    """

    def __init__(self, stack, attention, attentional, **kwargs):
        super().__init__(**kwargs)
        self.stack = stack
        self.attention = attention
        self.attentional_dense = attentional

    def build(self, inputs_shape, memory_shape):
        shape = tuple(inputs_shape)
        for layer in self.stack:
            layer.build(shape)
            shape = (*shape[:2], layer.units)
        self.attention.build(shape, tuple(memory_shape))
        context = self.attention.compute_output_shape(shape, memory_shape)
        size = context[-1] + shape[-1]
        self.attentional_dense.build((*shape[:2], size))

    def call(
        self,
        inputs,
        memory,
        memory_mask=None,
        initial_state=None,
        return_attention_scores=False,
        training=None,
    ):
        hidden, _ = run_stack(self.stack, inputs, initial_state)
        read = self.attention(
            hidden,
            memory,
            value_mask=memory_mask,
            return_attention_scores=return_attention_scores,
        )
        if not return_attention_scores:
            return {"outputs": self.attend(read, hidden)}
        context, scores = read
        return {"outputs": self.attend(context, hidden), "scores": scores}

    def compute_output_spec(
        self, inputs, memory, return_attention_scores=False, **kwargs
    ):
        batch, steps, _ = inputs.shape
        shapes = {"outputs": (batch, steps, self.attentional_dense.units)}
        if return_attention_scores:
            shapes["scores"] = (batch, steps, memory.shape[1])
        return {
            name: keras.KerasTensor(shape, self.compute_dtype)
            for name, shape in shapes.items()
        }

    def attend(self, context, state):
        """The attentional vectors, `(B, T, units)`."""
        return self.attentional_dense(ops.concatenate([context, state], -1))

    def memory(self, memory, mask=None):
        return self.attention.memory(memory, mask=mask)

    def initial_state(self, memory, cell_state):
        attention = self.attention.initial_state(memory)
        return {"cell": cell_state, "attention": attention}

    def step(self, inputs, memory, state, return_attention_scores=False):
        hidden, cell_state = step_stack(self.stack, inputs, state["cell"])
        context, attention_state, extras = self.attention.step(
            hidden,  # (B, K, units)
            memory,
            state["attention"],
            return_attention_scores=return_attention_scores,
        )
        state = {"cell": cell_state, "attention": attention_state}
        return self.attend(context, hidden), state, extras


class LSTMs:
    """Makes the layers of a model of LSTMs with their initializers.

    Args:
        units: Size of the states.
        dropout: Share of the inputs of each LSTM dropped in training.
        initializer_range: Weights and biases begin uniform within it; None
            for Keras's initializers.
        dtype: Policy of the layers.
    """

    def __init__(self, units, dropout, initializer_range, dtype):
        if initializer_range is not None:
            checks.positive(initializer_range, "initializer_range")
        self.units = checks.positive_int(units, "hidden_dim")
        self.dropout = checks.rate(dropout, "dropout")
        self.range = initializer_range
        self.dtype = dtype

    def initializer(self, otherwise="glorot_uniform"):
        """A new one at each call: one alone draws the same each time."""
        if self.range is None:
            return otherwise
        return keras.initializers.RandomUniform(-self.range, self.range)

    def embedding(self, vocabulary_size, size, **kwargs):
        return layers.Embedding(
            vocabulary_size,
            size,
            embeddings_initializer=self.initializer("uniform"),
            dtype=self.dtype,
            **kwargs,
        )

    def dense(self, size, **kwargs):
        return layers.Dense(
            size,
            kernel_initializer=self.initializer(),
            bias_initializer=self.initializer("zeros"),
            dtype=self.dtype,
            **kwargs,
        )

    def cell(self, make=layers.LSTMCell, **kwargs):
        if self.range is not None:
            kwargs.update(
                kernel_initializer=self.initializer(),
                recurrent_initializer=self.initializer(),
                bias_initializer=self.initializer(),
                unit_forget_bias=False,
            )
        return make(
            self.units, dropout=self.dropout, dtype=self.dtype, **kwargs
        )

    def stack(self, num_layers, name):
        """LSTMs, `name_0` and so on, to be put on top of each other."""
        return [
            self.cell(
                layers.LSTM,
                return_sequences=True,
                return_state=True,
                name=f"{name}_{i}",
            )
            for i in range(num_layers)
        ]


def read_source(token_ids, embedding, stack, reverse=None):
    """What an encoder of LSTMs makes of a source, padded or not.

    Args:
        token_ids: `(B, S)` ints, 0 is padding.
        embedding: Embedding of the tokens.
        stack: LSTMs.
        reverse: A `ReverseReadable` if they read the last token first.

    Returns:
        Outputs `(B, S, units)` in the order of the source, whatever the
        order they were made in; booleans `(B, S)`, True at tokens; and the
        last states, a pair `[h, c]` per layer.
    """
    readable = ops.not_equal(token_ids, 0)
    if reverse is None:
        outputs, states = run_stack(stack, embedding(token_ids), mask=readable)
        return outputs, readable, states
    token_ids = reverse(token_ids, readable)
    outputs, states = run_stack(
        stack, embedding(token_ids), mask=ops.not_equal(token_ids, 0)
    )
    return reverse(outputs, readable), readable, states


def run_stack(stack, x, initial_states=None, mask=None):
    """Outputs `(B, T, units)` of the last of some LSTMs, and all last states.

    Args:
        stack: LSTMs.
        x: `(B, T, D)`.
        initial_states: A pair `[h, c]` per layer; zeros if None.
        mask: Booleans `(B, T)`; a step at False keeps the states.
    """
    states = []
    for i, layer in enumerate(stack):
        first = None if initial_states is None else initial_states[i]
        x, *last = layer(x, initial_state=first, mask=mask)
        states.append(last)
    return x, states


def step_stack(stack, x, states):
    """One step of some LSTMs: `x` is `(B, K, D)`, states `(B x K, units)`."""
    hypotheses, size = ops.shape(x)[1], x.shape[-1]
    x = ops.reshape(x, (-1, size))
    new_states = []
    for layer, state in zip(stack, states, strict=True):
        x, state = layer.cell(x, state)
        new_states.append(list(state))
    return ops.reshape(x, (-1, hypotheses, x.shape[-1])), new_states
