import keras
from keras import layers, ops

from keras_attention.layers.attention_rnn import AttentionRNN
from keras_attention.losses import marginal_log_likelihood
from keras_attention.ops import checks


class CaptionDecoder(layers.Layer):
    """Writes the next word of a caption from places that it reads.

    The recurrence and the deep output of Xu et al., 2015, section 3.1.2; what
    the arguments mean is said by `ShowAttendTell`.

    Args:
        vocabulary_size: Number of tokens.
        attention: The attention layer.
        summary: A layer from places `(B, S, D)` to what the first state is
            made of, `(B, D)`.
        embedding_dim: Size of word embeddings and deep output.
        hidden_dim: Size of the LSTM.
        attention_dim: Size of the hidden layers of keys.
        attention_layers: How many layers there are to a score.
        initial_layers: Of the first state.
        output_layers: Of the deep output.
        gate: Of the context.
        previous_word_to_output: Whether the word before is in the output.
        context_to_output: Whether the context is.
        output_activation: Of the deep output.
        marginal: Whether all places write, and their words are mixed.
        reinforce: A `losses.Reinforce`, or None: how often each caption is
            read in training, and whether also as at inference.
        dropout: Share dropped.
        **kwargs: Passed to the layer.

    Call arguments:
        places: `(B, S, D)`.
        token_ids: `(B, T)`.

    Returns:
        A dict: `logits` `(B, T, V)`, `scores` `(B, T, S)`, what the attention
        and the gate report, and `inference_logits` if asked for. In training
        the leading axis is B x K, the K samples of a caption side by side.
    """

    def __init__(
        self,
        vocabulary_size,
        attention,
        summary,
        embedding_dim,
        hidden_dim,
        attention_dim,
        attention_layers,
        initial_layers,
        output_layers,
        gate,
        previous_word_to_output,
        context_to_output,
        output_activation,
        dropout,
        marginal=False,
        reinforce=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, size in (
            ("embedding_dim", embedding_dim),
            ("hidden_dim", hidden_dim),
            ("attention_dim", attention_dim),
            ("attention_layers", attention_layers),
            ("initial_layers", initial_layers),
            ("output_layers", output_layers),
        ):
            checks.positive_int(size, name)
        dtype = self.dtype_policy

        def dense(units, name, activation=None, use_bias=True):
            return layers.Dense(
                units, activation, use_bias, dtype=dtype, name=name
            )

        self.summary = summary
        self.initial_layers = initial_layers
        self.embedding = layers.Embedding(
            vocabulary_size, embedding_dim, dtype=dtype, name="embedding"
        )
        self.key_layers = [
            dense(attention_dim, f"key_{i}", "tanh")
            for i in range(attention_layers - 1)
        ]
        self.state_layers = [
            dense(hidden_dim, f"initial_{name}", "tanh")
            for name in ("output", "memory")
        ]
        self.rnn = AttentionRNN(
            layers.LSTMCell(hidden_dim, dtype=dtype, name="cell"),
            attention,
            gate=gate,
            dtype=dtype,
            name="rnn",
        )
        self.output_layer = dense(embedding_dim, "output")
        self.context_layer = None
        if context_to_output:
            self.context_layer = dense(
                embedding_dim, "context_output", use_bias=False
            )
        self.hidden_layers = [
            dense(embedding_dim, f"output_{i}", "relu")
            for i in range(output_layers - 1)
        ]
        self.word_layer = dense(vocabulary_size, "words")
        self.drops = [
            layers.Dropout(dropout, dtype=dtype, name=f"drop_{name}")
            for name in ("output", "words")
        ]
        self.previous_word_to_output = previous_word_to_output
        self.output_activation = keras.activations.get(output_activation)
        self.marginal = marginal
        self.num_samples, self.at_inference = 1, False
        if reinforce is not None:
            self.num_samples = reinforce.num_samples
            self.at_inference = reinforce.baseline == "self_critical"

    def build(self, places_shape, token_ids_shape):
        batch, count, depth = places_shape
        embedding, units = self.embedding.output_dim, self.rnn.output_units()
        keys = depth
        for layer in self.key_layers:
            layer.build((batch, count, keys))
            keys = layer.units
        self.summary.build(places_shape)
        first = self.summary.compute_output_shape(places_shape)[-1]
        self.first_layers = [
            layers.Dense(
                first,
                "relu",
                dtype=self.dtype_policy,
                name=f"initial_{i}",
            )
            for i in range(self.initial_layers - 1)
        ]
        for layer in (*self.first_layers, *self.state_layers):
            layer.build((batch, first))
        self.embedding.build(token_ids_shape)
        words = (*token_ids_shape, embedding)
        self.rnn.build(words, places_shape, (batch, count, keys))
        context = self.rnn.attention.compute_output_shape(
            (batch, None, units), places_shape
        )[-1]
        self.output_layer.build((batch, None, units))
        if self.context_layer is not None:
            self.context_layer.build((batch, None, context))
        for layer in (*self.hidden_layers, self.word_layer):
            layer.build(words)

    def call(self, places, token_ids, training=None):
        if training and self.num_samples > 1:
            places, token_ids = (
                ops.repeat(x, self.num_samples, axis=0)
                for x in (places, token_ids)
            )
        words = self.embedding(token_ids)  # (B, T, E)
        first, keys = self.first_state(places, training), self.keys(places)
        result = self._read(places, keys, words, first, training)
        if self.at_inference:
            result["inference_logits"] = result["logits"]
        if self.at_inference and training:
            # One will do: all samples of a caption would read the same.
            places, keys, words, *first = (
                x[:: self.num_samples] for x in (places, keys, words, *first)
            )
            other = self._read(places, keys, words, first, training=False)
            result["inference_logits"] = other["logits"]
        return result

    def _read(self, places, keys, words, first, training):
        result = self.rnn(
            words,
            places,
            initial_state=first,
            return_attention_scores=True,
            training=training,
            memory_key=keys,
        )
        result["logits"] = self.logits(
            result["outputs"], words, result, self.projected(places), training
        )
        result["scores"] = without_heads(result["scores"])
        return {
            name: x
            for name, x in result.items()
            if name not in ("outputs", "contexts", "states")
        }

    def keys(self, places):
        """What places are scored by, `(B, S, .)`."""
        for layer in self.key_layers:
            places = layer(places)
        return places

    def first_state(self, places, training=False):
        """The LSTM's first output and memory, `(B, units)` each."""
        x = self.summary(places)
        for layer in self.first_layers:
            x = self.drops[0](layer(x), training=training)
        return [layer(x) for layer in self.state_layers]

    def projected(self, places):
        """L_z of all places `(B, S, E)` where they all write, else None."""
        return self.context_layer(places) if self.marginal else None

    def logits(self, outputs, words, reads, projected, training=False):
        """Of the next word `(B, T, V)`, from what was read `(B, T, .)`."""
        x = self.output_layer(self.drops[0](outputs, training=training))
        if self.previous_word_to_output:
            x = x + words
        if not self.marginal:
            if self.context_layer is not None:
                x = x + self.context_layer(reads["contexts"])
            return self._words(x, training)
        if "gate" in reads:  # (B, T, 1)
            projected = projected[:, None] * reads["gate"][..., None]
        else:
            projected = projected[:, None]
        each = self._words(x[:, :, None] + projected, training)  # (B,T,S,V)
        each = ops.moveaxis(ops.log_softmax(each, axis=-1), 2, 3)
        mixed = marginal_log_likelihood(reads["scores"][:, :, None], each)
        return ops.cast(mixed, self.compute_dtype)

    def _words(self, x, training):
        x = self.drops[1](self.output_activation(x), training=training)
        for layer in self.hidden_layers:
            x = layer(x)
        return self.word_layer(x)

    def memory(self, places):
        """What `step` reads, and the state before the first."""
        memory = {"read": self.rnn.memory(places, key=self.keys(places))}
        if self.marginal:
            memory["projected"] = self.projected(places)
        state = self.rnn.initial_state(memory["read"], self.first_state(places))
        return memory, state

    def step(self, token_ids, memory, state, noise=None):
        """Logits `(B, K, V)`, the state and what was read, `(B, K, .)`."""
        words = self.embedding(token_ids)  # (B, K, E)
        outputs, state, reads = self.rnn.step(
            words,
            memory["read"],
            state,
            return_attention_scores=True,
            noise=noise,
        )
        # The K hypotheses stand where the T steps of a call do.
        logits = self.logits(outputs, words, reads, memory.get("projected"))
        reads["scores"] = without_heads(reads["scores"])
        return logits, state, reads

    def compute_output_spec(self, places, token_ids, training=None):
        words = keras.KerasTensor(
            (*token_ids.shape, self.embedding.output_dim), self.compute_dtype
        )
        keys = keras.KerasTensor(places.shape, places.dtype)
        result = self.rnn.compute_output_spec(
            words, places, return_attention_scores=True, memory_key=keys
        )
        shape = (*token_ids.shape, self.word_layer.units)
        for name in ("outputs", "contexts", "states"):
            del result[name]
        scores = result["scores"].shape
        result["logits"] = keras.KerasTensor(shape, self.compute_dtype)
        result["scores"] = keras.KerasTensor(
            (*scores[:2], scores[-1]), self.compute_dtype
        )
        if self.at_inference:
            # Not the same tensor: a graph knows them by identity.
            other = keras.KerasTensor(shape, self.compute_dtype)
            result["inference_logits"] = other
        return result


def without_heads(scores):
    """The mean over heads `(B, T, S)`, of scores `(B, T, S)` or with heads."""
    return scores if len(scores.shape) == 3 else ops.mean(scores, axis=2)
