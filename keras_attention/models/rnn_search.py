import keras
from keras import layers, ops

from keras_attention.layers.additive_attention import AdditiveAttention
from keras_attention.layers.attention_rnn import AttentionRNN
from keras_attention.models.bidirectional_gru import BidirectionalGRU
from keras_attention.models.translator import (
    DECODER_INPUT,
    ENCODER_INPUT,
    Translator,
)
from keras_attention.models.writer import vocabulary_size
from keras_attention.ops import checks

PRESETS = {
    # Bahdanau et al., 2015, appendices A.2.3 and B.1; 30,000 words and the
    # four special tokens on each side.
    "rnn_search_bahdanau_2014": dict(
        source_vocabulary_size=30004,
        target_vocabulary_size=30004,
        embedding_dim=620,
        hidden_dim=1000,
        alignment_dim=1000,
        maxout_dim=500,
    ),
    # Ours, for a CPU: the sizes of this package's small recipes.
    "rnn_search_small": dict(
        embedding_dim=256,
        hidden_dim=256,
        alignment_dim=256,
        maxout_dim=256,
    ),
    "rnn_search_tiny": dict(
        embedding_dim=64,
        hidden_dim=128,
        alignment_dim=128,
        maxout_dim=128,
    ),
}


@keras.saving.register_keras_serializable(package="keras_attention")
class RNNSearch(Translator):
    """Translates by reading the source anew for every word it writes.

    The first attentional translator (Bahdanau et al., 2015, appendix A.2):
    a bidirectional GRU annotates the source; at each step a decoder GRU
    reads the annotations with its previous state, and a deep output with one
    maxout layer predicts the next word:

        h_j = [forward GRU; backward GRU](x)_j
        s_0 = tanh(W_s backward_1)
        c_i = sum_j softmax_j(v . tanh(W_a s_{i-1} + U_a h_j)) h_j
        s_i = GRU([e(y_{i-1}); c_i], s_{i-1})
        t_i = maxout(U_o s_{i-1} + V_o e(y_{i-1}) + C_o c_i)
        p(y_i) = softmax(W_o t_i)

    Train it with plain `compile` and `fit` on
    `data.TranslationBatches`, translate with `generate`, look at its
    alignments with `translate`.

    Args:
        source_vocabulary_size: Number of source tokens; the tokenizer's if
            None.
        target_vocabulary_size: Number of target tokens; the tokenizer's if
            None.
        embedding_dim: Size of the word embeddings, the paper's m.
        hidden_dim: Size of each GRU, n.
        alignment_dim: Size of the score network, n'.
        maxout_dim: Size of the maxout layer, l.
        dropout: Share of embeddings and maxout outputs dropped in training
            (0 in the paper).
        attention: Another attention layer to read with; None is the paper's
            `AdditiveAttention(alignment_dim)`.
        source_tokenizer: Tokenizer of the source, for strings.
        target_tokenizer: Tokenizer of the target.
        dtype: Policy of all layers.
        **kwargs: `name` and `trainable` of `keras.Model`.

    Call arguments:
        encoder_token_ids: `(B, S)` ints, 0 is padding.
        decoder_token_ids: `(B, T)` ints, the target shifted right by the
            start token.

    Returns:
        Logits `(B, T, target_vocabulary_size)` of the next token.

    Raises:
        ValueError: A size is not positive, or does not match its tokenizer.

    Examples:
        >>> import numpy as np
        >>> from keras_attention.models import RNNSearch
        >>> model = RNNSearch.from_preset(
        ...     "rnn_search_tiny",
        ...     source_vocabulary_size=31,
        ...     target_vocabulary_size=37,
        ... )
        >>> logits = model({
        ...     "encoder_token_ids": np.ones((2, 5), "int32"),
        ...     "decoder_token_ids": np.ones((2, 3), "int32"),
        ... })
        >>> tuple(logits.shape)
        (2, 3, 37)

    Reference:
        [Bahdanau et al., 2015](https://arxiv.org/abs/1409.0473), A.2 and B.
    """

    presets = PRESETS

    def __init__(
        self,
        source_vocabulary_size: int | None = None,
        target_vocabulary_size: int | None = None,
        embedding_dim: int = 620,
        hidden_dim: int = 1000,
        alignment_dim: int = 1000,
        maxout_dim: int = 500,
        dropout: float = 0.0,
        attention=None,
        source_tokenizer=None,
        target_tokenizer=None,
        dtype=None,
        **kwargs,
    ):
        source_vocabulary_size = vocabulary_size(
            source_vocabulary_size, source_tokenizer, "source"
        )
        target_vocabulary_size = vocabulary_size(
            target_vocabulary_size, target_tokenizer, "target"
        )
        for name, size in (
            ("embedding_dim", embedding_dim),
            ("hidden_dim", hidden_dim),
            ("alignment_dim", alignment_dim),
            ("maxout_dim", maxout_dim),
        ):
            checks.positive_int(size, name)

        # === Layers ===
        encoder_embedding = layers.Embedding(
            source_vocabulary_size,
            embedding_dim,
            mask_zero=True,
            dtype=dtype,
            name="encoder_embedding",
        )
        decoder_embedding = layers.Embedding(
            target_vocabulary_size,
            embedding_dim,
            dtype=dtype,
            name="decoder_embedding",
        )
        encoder = BidirectionalGRU(hidden_dim, dtype=dtype, name="encoder")
        initial_state = layers.Dense(
            hidden_dim, activation="tanh", dtype=dtype, name="initial_state"
        )
        decoder = AttentionRNN(
            layers.GRUCell(
                hidden_dim, reset_after=False, dtype=dtype, name="cell"
            ),
            attention
            or AdditiveAttention(alignment_dim, dtype=dtype, name="attention"),
            dtype=dtype,
            name="decoder",
        )
        # A maxout of pairs is the larger of two linear maps.
        deep_outputs = [
            layers.Dense(maxout_dim, dtype=dtype, name=f"deep_output_{side}")
            for side in ("a", "b")
        ]
        output = layers.Dense(
            target_vocabulary_size, dtype=dtype, name="output"
        )
        drop_source = layers.Dropout(dropout, dtype=dtype, name="drop_source")
        drop_target = layers.Dropout(dropout, dtype=dtype, name="drop_target")
        drop_output = layers.Dropout(dropout, dtype=dtype, name="drop_output")

        # === Graph ===
        source_ids = keras.Input((None,), dtype="int32", name=ENCODER_INPUT)
        target_ids = keras.Input((None,), dtype="int32", name=DECODER_INPUT)
        x = drop_source(encoder_embedding(source_ids))  # (B, S, m)
        annotations, _, backward = encoder(x)  # (B, S, 2n), (B, n), (B, n)
        state = initial_state(backward)  # (B, n)
        words = drop_target(decoder_embedding(target_ids))  # (B, T, m)
        result = decoder(words, annotations, initial_state=state)
        before = ops.concatenate(
            [state[:, None], result["outputs"][:, :-1]], axis=1
        )  # (B, T, n), the state each step began with
        read = ops.concatenate([before, words, result["contexts"]], axis=-1)
        deep = layers.Maximum(dtype=dtype, name="maxout")(
            [dense(read) for dense in deep_outputs]
        )  # (B, T, l)
        logits = output(drop_output(deep))
        super().__init__(
            inputs={ENCODER_INPUT: source_ids, DECODER_INPUT: target_ids},
            outputs=logits,
            source_tokenizer=source_tokenizer,
            target_tokenizer=target_tokenizer,
            dtype=dtype,
            **kwargs,
        )

        # === Config ===
        self.encoder_embedding = encoder_embedding
        self.decoder_embedding = decoder_embedding
        self.encoder = encoder
        self.initial_state = initial_state
        self.decoder = decoder
        self.deep_outputs = deep_outputs
        self.output_dense = output
        self.source_vocabulary_size = source_vocabulary_size
        self.target_vocabulary_size = target_vocabulary_size
        self.embedding_dim = embedding_dim
        self.hidden_dim = hidden_dim
        self.alignment_dim = alignment_dim
        self.maxout_dim = maxout_dim
        self.dropout = dropout
        self.attention = attention

    def start(self, encoder_token_ids, max_length=None, num_beams=None):
        annotations, mask, state = self.encode(encoder_token_ids)
        memory = self.decoder.memory(annotations, mask)
        return memory, self.decoder.initial_state(memory, state)

    def encode(self, encoder_token_ids):
        """Annotations `(B, S, 2n)`, their mask, and the state s_0 `(B, n)`."""
        mask = ops.not_equal(encoder_token_ids, 0)
        x = self.encoder_embedding(encoder_token_ids)
        annotations, _, backward = self.encoder(x, mask=mask)
        return annotations, mask, self.initial_state(backward)

    def step(self, token_ids, memory, state):
        words = self.decoder_embedding(token_ids)  # (B, K, m)
        hypotheses = ops.shape(token_ids)[1]
        before = state["cell"][0]  # (B x K, n)
        before = ops.reshape(before, (-1, hypotheses, self.hidden_dim))
        _, state, extras = self.decoder.step(
            words, memory, state, return_attention_scores=True
        )
        read = ops.concatenate([before, words, extras["contexts"]], axis=-1)
        deep = ops.maximum(*(dense(read) for dense in self.deep_outputs))
        return self.output_dense(deep), state, extras

    def forced_scores(self, encoder_token_ids, decoder_token_ids):
        annotations, mask, state = self.encode(encoder_token_ids)
        result = self.decoder(
            self.decoder_embedding(decoder_token_ids),
            annotations,
            memory_mask=mask,
            initial_state=state,
            return_attention_scores=True,
        )
        return result["scores"]

    def get_config(self):
        attention = keras.saving.serialize_keras_object(self.attention)
        if attention is not None:
            # Built by the decoder again: its layers' paths begin there.
            attention.pop("build_config", None)
        return {
            **super().get_config(),
            "source_vocabulary_size": self.source_vocabulary_size,
            "target_vocabulary_size": self.target_vocabulary_size,
            "embedding_dim": self.embedding_dim,
            "hidden_dim": self.hidden_dim,
            "alignment_dim": self.alignment_dim,
            "maxout_dim": self.maxout_dim,
            "dropout": self.dropout,
            "attention": attention,
        }
