import keras
from keras import layers

from keras_attention.models.lstm import (
    LSTMs,
    ReverseReadable,
    read_source,
    run_stack,
    step_stack,
)
from keras_attention.models.translator import (
    DECODER_INPUT,
    ENCODER_INPUT,
    Translator,
)
from keras_attention.models.writer import vocabulary_size
from keras_attention.ops import checks

PRESETS = {
    # Sutskever et al., 2014, section 3.4; 160,000 and 80,000 words and the
    # four special tokens on each side.
    "seq2seq_lstm_sutskever_2014": dict(
        source_vocabulary_size=160004,
        target_vocabulary_size=80004,
        embedding_dim=1000,
        hidden_dim=1000,
        num_layers=4,
    ),
    # Ours, for a CPU. With a second layer it takes longer to begin to learn:
    # more than an hour of a core gives.
    "seq2seq_lstm_small": dict(embedding_dim=256, hidden_dim=256, num_layers=1),
    # The paper's range is too narrow for layers of this size: signals fade,
    # and training begins on a plateau.
    "seq2seq_lstm_tiny": dict(
        embedding_dim=64,
        hidden_dim=128,
        num_layers=2,
        initializer_range=None,
    ),
}


@keras.saving.register_keras_serializable(package="keras_attention")
class Seq2SeqLSTM(Translator):
    """Translates a sentence that it has read into one vector per layer.

    The translator without attention (Sutskever et al., 2014, section 2), to
    compare the others with: stacked LSTMs read the source, stacked LSTMs
    that begin in their last states write the target. It reads the source
    backwards, so that the words it has to begin with are the ones it read
    last:

        [h_0, c_0] = LSTMs([0, 0], x_S, ..., x_1)
        [h_t, c_t] = LSTM([h_{t-1}, c_{t-1}], e(y_{t-1}))     in each layer
        p(y_t)     = softmax(W_o h_t + b_o)                   of the top layer

    Train it with plain `compile` and `fit` on
    `data.TranslationBatches`, translate with `generate`. It reads no word
    anew, so that a `Translation` of its has no scores and `align` is refused;
    `RNNSearch` and `LuongNMT` have them.

    Args:
        source_vocabulary_size: Number of source tokens; the tokenizer's if
            None.
        target_vocabulary_size: Number of target tokens; the tokenizer's if
            None.
        embedding_dim: Size of the word embeddings.
        hidden_dim: Size of the state of each LSTM.
        num_layers: LSTMs on top of each other, on either side.
        reverse_source: Whether the source is read from its last token to its
            first. Padding stays behind it.
        dropout: Share of the inputs of each LSTM, and of the last one's
            outputs, dropped in training (0 in the paper). As in
            `keras.layers.LSTM`, what an input drops is drawn once per
            sentence.
        initializer_range: All weights begin uniform within it, to either side
            of 0; 0.08 in the paper, for 1000 units. None for Keras's
            initializers, which depend on the size and are the better choice
            for a small one.
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
        >>> from keras_attention.models import Seq2SeqLSTM
        >>> model = Seq2SeqLSTM.from_preset(
        ...     "seq2seq_lstm_tiny",
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
        [Sutskever et al., 2014](https://arxiv.org/abs/1409.3215), sections 2
        and 3.
    """

    presets = PRESETS
    step_extras = ()

    def __init__(
        self,
        source_vocabulary_size: int | None = None,
        target_vocabulary_size: int | None = None,
        embedding_dim: int = 1000,
        hidden_dim: int = 1000,
        num_layers: int = 4,
        reverse_source: bool = True,
        dropout: float = 0.0,
        initializer_range: float | None = 0.08,
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
        checks.positive_int(embedding_dim, "embedding_dim")
        checks.positive_int(num_layers, "num_layers")

        # === Layers ===
        make = LSTMs(hidden_dim, dropout, initializer_range, dtype)
        encoder_embedding = make.embedding(
            source_vocabulary_size, embedding_dim, name="encoder_embedding"
        )
        decoder_embedding = make.embedding(
            target_vocabulary_size, embedding_dim, name="decoder_embedding"
        )
        reverse = ReverseReadable(name="reverse") if reverse_source else None
        encoder = make.stack(num_layers, "encoder")
        decoder = make.stack(num_layers, "decoder")
        drop_output = layers.Dropout(dropout, dtype=dtype, name="drop_output")
        output = make.dense(target_vocabulary_size, name="output")

        # === Graph ===
        source_ids = keras.Input((None,), dtype="int32", name=ENCODER_INPUT)
        target_ids = keras.Input((None,), dtype="int32", name=DECODER_INPUT)
        _, _, states = read_source(
            source_ids, encoder_embedding, encoder, reverse
        )
        words = decoder_embedding(target_ids)  # (B, T, m)
        hidden, _ = run_stack(decoder, words, states)  # (B, T, n)
        logits = output(drop_output(hidden))
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
        self.reverse = reverse
        self.encoder = encoder
        self.decoder = decoder
        self.output_dense = output
        self.source_vocabulary_size = source_vocabulary_size
        self.target_vocabulary_size = target_vocabulary_size
        self.embedding_dim = embedding_dim
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.reverse_source = reverse_source
        self.dropout = dropout
        self.initializer_range = initializer_range

    def start(self, encoder_token_ids, max_length=None, num_beams=None):
        _, _, states = read_source(
            encoder_token_ids,
            self.encoder_embedding,
            self.encoder,
            self.reverse,
        )
        return {}, states

    def step(self, token_ids, memory, state):
        words = self.decoder_embedding(token_ids)  # (B, K, m)
        hidden, state = step_stack(self.decoder, words, state)
        return self.output_dense(hidden), state, {}

    def get_config(self):
        return {
            **super().get_config(),
            "source_vocabulary_size": self.source_vocabulary_size,
            "target_vocabulary_size": self.target_vocabulary_size,
            "embedding_dim": self.embedding_dim,
            "hidden_dim": self.hidden_dim,
            "num_layers": self.num_layers,
            "reverse_source": self.reverse_source,
            "dropout": self.dropout,
            "initializer_range": self.initializer_range,
        }
