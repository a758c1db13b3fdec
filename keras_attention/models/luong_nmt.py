import keras
from keras import layers

from keras_attention.layers.attention_rnn import AttentionRNN
from keras_attention.layers.local_attention import LocalAttention
from keras_attention.layers.luong_attention import LuongAttention
from keras_attention.models.lstm import (
    LSTMDecoder,
    LSTMs,
    ReverseReadable,
    read_source,
)
from keras_attention.models.translator import (
    DECODER_INPUT,
    ENCODER_INPUT,
    PADDED_TO,
    Translator,
)
from keras_attention.models.writer import vocabulary_size
from keras_attention.ops import checks

PRESETS = {
    # Luong et al., 2015, section 4.1, and the best single system of table 1;
    # 50,000 words and the four special tokens on each side.
    "luong_nmt_2015": dict(
        source_vocabulary_size=50004,
        target_vocabulary_size=50004,
        embedding_dim=1000,
        hidden_dim=1000,
        num_layers=4,
        score="general",
        alignment="local_predictive",
        window=10,
        dropout=0.2,
    ),
    # Ours, for a CPU. With a second layer it takes longer to begin to learn:
    # more than an hour of a core gives.
    "luong_nmt_small": dict(embedding_dim=256, hidden_dim=256, num_layers=1),
    # The paper's range is too narrow for layers of this size: signals fade,
    # and training begins on a plateau.
    "luong_nmt_tiny": dict(
        embedding_dim=64,
        hidden_dim=128,
        num_layers=2,
        initializer_range=None,
    ),
}
ALIGNMENTS = ("global", "local_monotonic", "local_predictive")


@keras.saving.register_keras_serializable(package="keras_attention")
class LuongNMT(Translator):
    """Translates with stacked LSTMs that read the source by products.

    The translator of Luong et al. (2015, section 3): stacked LSTMs read the
    source, backwards as in `Seq2SeqLSTM`; stacked LSTMs that begin in their
    last states write the target. The top state reads the source after each
    step, and what it read and the state itself make an attentional vector,
    which predicts the next word and, with input feeding, is an input of the
    next step:

        h_t = LSTMs([e(y_{t-1}); a_{t-1}], h_{t-1})      a_0 = 0
        c_t = sum_s softmax_s(score(h_t, g_s)) g_s       g_s: of the source
        a_t = tanh(W_c [c_t; h_t])
        p(y_t) = softmax(W_s a_t)

    It has every choice of the paper: four scores, of `LuongAttention`, over
    the whole source, or within a window around an aligned position, by
    `LocalAttention`. Without input feeding no step waits for what was read
    before: all words read the source at once, and the decoder trains faster.

    Positions count the source in its own order, read backwards or not: local
    attention at p_t = t reads around the t-th source word, location scores
    begin with the first word, and scores are of the words as they stand.

    Args:
        source_vocabulary_size: Number of source tokens; the tokenizer's if
            None.
        target_vocabulary_size: Number of target tokens; the tokenizer's if
            None.
        embedding_dim: Size of the word embeddings.
        hidden_dim: Size of the state of each LSTM, of the attentional vector,
            and of `v` in concat scores.
        num_layers: LSTMs on top of each other, on either side.
        score: "dot", "general", "concat" or, with global alignment only,
            "location"; see `LuongAttention`.
        alignment: "global" reads the whole source; "local_monotonic" reads
            around position t, "local_predictive" around a position that it
            predicts.
        window: How far local attention reaches to either side, D.
        max_length: Tokens of the longest source, for `score="location"`,
            which needs it. Rounded up to what sources are padded to, a
            multiple of 8.
        input_feeding: Whether the attentional vector is an input of the next
            step.
        reverse_source: Whether the source is read from its last token to its
            first. Padding stays behind it.
        dropout: Share of the inputs of each LSTM, and of the attentional
            vectors before the softmax, dropped in training. As in
            `keras.layers.LSTM`, what an input drops is drawn once per
            sentence.
        initializer_range: All weights begin uniform within it, to either side
            of 0; 0.1 in the paper, for 1000 units. None for Keras's
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
        ValueError: A size is not positive, or does not match its tokenizer;
            `score` or `alignment` is unknown, or they do not go together;
            or `max_length` is missing or not needed.

    Examples:
        >>> import numpy as np
        >>> from keras_attention.models import LuongNMT
        >>> model = LuongNMT.from_preset(
        ...     "luong_nmt_tiny",
        ...     source_vocabulary_size=31,
        ...     target_vocabulary_size=37,
        ...     score="dot",
        ...     alignment="local_predictive",
        ... )
        >>> logits = model({
        ...     "encoder_token_ids": np.ones((2, 5), "int32"),
        ...     "decoder_token_ids": np.ones((2, 3), "int32"),
        ... })
        >>> tuple(logits.shape)
        (2, 3, 37)

    Reference:
        [Luong et al., 2015](https://arxiv.org/abs/1508.04025), section 3.
    """

    presets = PRESETS

    def __init__(
        self,
        source_vocabulary_size: int | None = None,
        target_vocabulary_size: int | None = None,
        embedding_dim: int = 1000,
        hidden_dim: int = 1000,
        num_layers: int = 4,
        score: str = "general",
        alignment: str = "global",
        window: int = 10,
        max_length: int | None = None,
        input_feeding: bool = True,
        reverse_source: bool = True,
        dropout: float = 0.0,
        initializer_range: float | None = 0.1,
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
        make = LSTMs(hidden_dim, dropout, initializer_range, dtype)

        # === Layers ===
        encoder_embedding = make.embedding(
            source_vocabulary_size, embedding_dim, name="encoder_embedding"
        )
        decoder_embedding = make.embedding(
            target_vocabulary_size, embedding_dim, name="decoder_embedding"
        )
        reverse = ReverseReadable(name="reverse") if reverse_source else None
        encoder = make.stack(num_layers, "encoder")
        attention = make_attention(make, score, alignment, window, max_length)
        if input_feeding:
            decoder = AttentionRNN(
                layers.StackedRNNCells(
                    [make.cell(name=f"cell_{i}") for i in range(num_layers)]
                ),
                attention,
                query_from="current",
                attentional_layer=hidden_dim,
                input_feeding=True,
                dtype=dtype,
                name="decoder",
            )
            decoder.attentional_dense.kernel_initializer = (
                keras.initializers.get(make.initializer())
            )
        else:
            decoder = LSTMDecoder(
                make.stack(num_layers, "lstm"),
                attention,
                make.dense(
                    hidden_dim,
                    activation="tanh",
                    use_bias=False,
                    name="attentional",
                ),
                dtype=dtype,
                name="decoder",
            )
        drop_output = layers.Dropout(dropout, dtype=dtype, name="drop_output")
        output = make.dense(
            target_vocabulary_size, use_bias=False, name="output"
        )

        # === Graph ===
        source_ids = keras.Input((None,), dtype="int32", name=ENCODER_INPUT)
        target_ids = keras.Input((None,), dtype="int32", name=DECODER_INPUT)
        annotations, readable, states = read_source(
            source_ids, encoder_embedding, encoder, reverse
        )  # (B, S, n), (B, S), a pair of (B, n) per layer
        vectors = decoder(
            decoder_embedding(target_ids),
            annotations,
            memory_mask=readable,
            initial_state=states,
        )["outputs"]  # (B, T, n)
        logits = output(drop_output(vectors))
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
        self.score = score
        self.alignment = alignment
        self.window = window
        self.max_length = max_length
        self.input_feeding = input_feeding
        self.reverse_source = reverse_source
        self.dropout = dropout
        self.initializer_range = initializer_range

    def encode(self, encoder_token_ids):
        """Annotations `(B, S, n)`, their mask, and the last states."""
        return read_source(
            encoder_token_ids,
            self.encoder_embedding,
            self.encoder,
            self.reverse,
        )

    def start(self, encoder_token_ids, max_length=None, num_beams=None):
        annotations, readable, states = self.encode(encoder_token_ids)
        memory = self.decoder.memory(annotations, readable)
        return memory, self.decoder.initial_state(memory, states)

    def step(self, token_ids, memory, state):
        vectors, state, extras = self.decoder.step(
            self.decoder_embedding(token_ids),  # (B, K, m)
            memory,
            state,
            return_attention_scores=True,
        )
        return self.output_dense(vectors), state, extras

    def forced_scores(self, encoder_token_ids, decoder_token_ids):
        annotations, readable, states = self.encode(encoder_token_ids)
        result = self.decoder(
            self.decoder_embedding(decoder_token_ids),
            annotations,
            memory_mask=readable,
            initial_state=states,
            return_attention_scores=True,
        )
        return result["scores"]

    def get_config(self):
        return {
            **super().get_config(),
            "source_vocabulary_size": self.source_vocabulary_size,
            "target_vocabulary_size": self.target_vocabulary_size,
            "embedding_dim": self.embedding_dim,
            "hidden_dim": self.hidden_dim,
            "num_layers": self.num_layers,
            "score": self.score,
            "alignment": self.alignment,
            "window": self.window,
            "max_length": self.max_length,
            "input_feeding": self.input_feeding,
            "reverse_source": self.reverse_source,
            "dropout": self.dropout,
            "initializer_range": self.initializer_range,
        }


def make_attention(make, score, alignment, window, max_length):
    """The attention layer of the choices, or an error if they do not fit."""
    checks.one_of(alignment, "alignment", ALIGNMENTS)
    checks.one_of(score, "score", LuongAttention.choices)
    if score == "location" and alignment != "global":
        raise ValueError(
            'Location scores are of all positions: score="location" needs '
            f'alignment="global". Received: alignment={alignment!r}. Choose '
            "another score to read a window."
        )
    shared: dict = dict(
        score=score,
        units=make.units if score == "concat" else None,
        kernel_initializer=make.initializer(),
        score_initializer=make.initializer(),
        dtype=make.dtype,
        name="attention",
    )
    checks.positive_int(window, "window")
    if score == "location":
        checks.positive_int(max_length, "max_length")
        # A source of `max_length` tokens has to fit with its padding.
        max_length = -(-max_length // PADDED_TO) * PADDED_TO
    elif max_length is not None:
        raise ValueError(
            '`max_length` is the number of positions of score="location" '
            "only; the other scores read a source of any length. Received: "
            f"max_length={max_length!r}, score={score!r}. Leave it out."
        )
    if alignment == "global":
        return LuongAttention(max_length=max_length, **shared)
    return LocalAttention(window, alignment.removeprefix("local_"), **shared)
