import keras

from keras_attention.layers.additive_attention import AdditiveAttention
from keras_attention.layers.attention import Attention
from keras_attention.layers.hard_attention import HardAttention
from keras_attention.losses import Reinforce
from keras_attention.models.caption_decoder import CaptionDecoder
from keras_attention.models.captioner import DECODER_INPUT, source_of
from keras_attention.models.places import Places
from keras_attention.models.recurrent_captioner import RecurrentCaptioner
from keras_attention.models.writer import vocabulary_size as size_of
from keras_attention.ops import checks

# Of the authors' code, evaluate_coco.py, with its words and the end token;
# the grid is that of VGG19's block5_conv4 for images of 224 x 224 pixels.
COCO = dict(
    vocabulary_size=10000,
    feature_shape=(14, 14, 512),
    embedding_dim=512,
    hidden_dim=1800,
    attention_dim=512,
    attention_layers=2,
    initial_layers=2,
    dropout=0.5,
)
PRESETS = {
    "show_attend_tell_coco_soft": dict(COCO, doubly_stochastic=64 / 196),
    "show_attend_tell_coco_hard": dict(COCO, attention="hard"),
    # Ours, for a CPU: the sizes of this package's small recipes.
    "show_attend_tell_small": dict(
        embedding_dim=64,
        hidden_dim=128,
        attention_dim=64,
        dropout=0.0,
    ),
}
ATTENTIONS = ("soft", "hard", "marginal")


@keras.saving.register_keras_serializable(package="keras_attention")
class ShowAttendTell(RecurrentCaptioner):
    """Writes a caption by looking at a place of the image for every word.

    An encoder makes a grid of features a_i of the image; an LSTM reads it
    with its previous state and writes the next word (Xu et al., 2015, section
    3.1, equations 1 to 7):

        h_0, c_0  = tanh(f_h(mean_i a_i)), tanh(f_c(mean_i a_i))
        alpha_t   = softmax_i(v . tanh(W h_{t-1} + U a_i))
        beta_t    = sigmoid(w . h_{t-1} + b)                        the gate
        z_t       = beta_t sum_i alpha_ti a_i           soft, or beta_t a_{s_t}
        h_t, c_t  = LSTM([E y_{t-1}; z_t], h_{t-1}, c_{t-1})
        p(y_t)    = softmax(L_o tanh(E y_{t-1} + L_h h_t + L_z z_t))

    with s_t drawn from alpha_t in hard attention (section 4.1), which learns
    where to look by REINFORCE. Train either with plain `compile` and `fit` on
    `data.CaptionBatches`, with `losses.SparseCategoricalCrossentropy()`;
    write with `generate`, and look at what each word reads with `caption`.

    It differs from the authors' code where Keras has a better custom: the
    forget gate's bias begins with 1, dropout scales in training, and the
    first word is read after a start token, not after zeros.

    Args:
        vocabulary_size: Number of tokens; the tokenizer's if None.
        encoder: A `keras.Model` from images to a grid `(B, height, width, D)`
            or a sequence of features. It is part of the model: freeze it with
            `encoder.trainable = False` before `compile`, thaw it later.
        feature_shape: `(height, width, D)` or `(S, D)` of features that were
            computed before, where there is no encoder.
        coordinates: Whether each feature is told its row and column, in [-1,
            1]: features of a shallow encoder do not know where they are.
        embedding_dim: Size of the word embeddings and of the deep output.
        hidden_dim: Size of the LSTM.
        attention_dim: Size of the score network.
        attention: "soft"; "hard", by REINFORCE with semi-sampling 0.5;
            "marginal", which writes a word with `log sum_i alpha_i p(y | a_i)`
            (Deng et al., 2018, section 3): exact, but a distribution over
            words for each place is held; or an attention layer.
        attention_layers: Layers between a feature and its score; all but the
            last are tanh layers of `attention_dim`.
        initial_layers: Layers of f_h and f_c; all but the last are ReLU
            layers, which they share.
        output_layers: Layers of the deep output L_o; all but the last are
            ReLU layers of `embedding_dim`.
        gate: "scalar" as in the paper, "vector" or None.
        previous_word_to_output: Whether E y_{t-1} is in the deep output.
        context_to_output: Whether z_t is.
        output_activation: In the deep output: "tanh" as in the authors' code,
            None as in equation 7.
        doubly_stochastic: Weight lambda of `losses.doubly_stochastic_loss`
            (section 4.2.1). The code's coefficient 1 is 64 / 196 here: it
            sums over 64 examples and averages over 196 places.
        doubly_stochastic_target: "one" as in the paper, or "length".
        reinforce: What hard attention is trained with, a `losses.Reinforce`;
            None takes its defaults.
        dropout: Share of the LSTM's outputs and of the deep output dropped in
            training.
        tokenizer: Tokenizer of the captions, for strings.
        image_processor: Makes of pictures what the encoder expects.
        dtype: Policy of all layers.
        **kwargs: `name` and `trainable` of `keras.Model`.

    Call arguments:
        images: `(B, height, width, 3)`, as the encoder takes them; or
            `features` `(B, *feature_shape)` without one.
        decoder_token_ids: `(B, T)` ints, the caption shifted right by the
            start token.

    Returns:
        Logits `(B, T, vocabulary_size)` of the next token (log probabilities
        with "marginal"). In training of hard attention or with a doubly
        stochastic term, a dict of these and what the objective needs.

    Raises:
        ValueError: A size is not positive or does not match the tokenizer,
            the encoder's output is no grid or sequence, or options do not go
            together.

    Examples:
        >>> import numpy as np
        >>> from keras_attention.models import ShowAttendTell
        >>> model = ShowAttendTell.from_preset(
        ...     "show_attend_tell_small",
        ...     feature_shape=(4, 4, 32),
        ...     vocabulary_size=29,
        ... )
        >>> logits = model({
        ...     "features": np.ones((2, 4, 4, 32), "float32"),
        ...     "decoder_token_ids": np.ones((2, 5), "int32"),
        ... })
        >>> tuple(logits.shape)
        (2, 5, 29)

    Reference:
        [Xu et al., 2015](https://arxiv.org/abs/1502.03044).
    """

    presets = PRESETS

    def __init__(
        self,
        vocabulary_size: int | None = None,
        encoder=None,
        feature_shape: tuple | None = None,
        coordinates: bool = False,
        embedding_dim: int = 512,
        hidden_dim: int = 1024,
        attention_dim: int = 512,
        attention: str | Attention = "soft",
        attention_layers: int = 1,
        initial_layers: int = 1,
        output_layers: int = 1,
        gate: str | None = "scalar",
        previous_word_to_output: bool = True,
        context_to_output: bool = True,
        output_activation: str | None = "tanh",
        doubly_stochastic: float = 0.0,
        doubly_stochastic_target: str = "one",
        reinforce: Reinforce | None = None,
        dropout: float = 0.5,
        tokenizer=None,
        image_processor=None,
        dtype=None,
        **kwargs,
    ):
        vocabulary_size = size_of(vocabulary_size, tokenizer)
        check_marginal(attention, gate, context_to_output)
        reader = attention_of(attention, attention_dim, dtype)
        reinforce = reinforce_of(reader, reinforce)
        source, features, grid_shape = source_of(encoder, feature_shape)

        # === Layers ===
        places = Places(coordinates, dtype=dtype, name="places")
        decoder = CaptionDecoder(
            vocabulary_size,
            reader,
            summary=keras.layers.GlobalAveragePooling1D(
                dtype=dtype, name="summary"
            ),
            embedding_dim=embedding_dim,
            hidden_dim=hidden_dim,
            attention_dim=attention_dim,
            attention_layers=attention_layers,
            initial_layers=initial_layers,
            output_layers=output_layers,
            gate=gate,
            previous_word_to_output=previous_word_to_output,
            context_to_output=context_to_output,
            output_activation=output_activation,
            dropout=dropout,
            marginal=attention == "marginal",
            reinforce=reinforce,
            dtype=dtype,
            name="decoder",
        )

        # === Graph ===
        token_ids = keras.Input((None,), dtype="int32", name=DECODER_INPUT)
        result = decoder(places(features), token_ids)
        super().__init__(
            inputs={source.name: source, DECODER_INPUT: token_ids},
            outputs=result,
            encoder=encoder,
            grid_shape=grid_shape,
            places=places,
            decoder=decoder,
            reinforce=reinforce,
            doubly_stochastic=doubly_stochastic,
            doubly_stochastic_target=doubly_stochastic_target,
            tokenizer=tokenizer,
            image_processor=image_processor,
            dtype=dtype,
            **kwargs,
        )

        # === Config ===
        self.vocabulary_size = vocabulary_size
        self.feature_shape = feature_shape and tuple(feature_shape)
        self.coordinates = coordinates
        self.embedding_dim = embedding_dim
        self.hidden_dim = hidden_dim
        self.attention_dim = attention_dim
        self.attention = attention
        self.attention_layers = attention_layers
        self.initial_layers = initial_layers
        self.output_layers = output_layers
        self.gate = gate
        self.previous_word_to_output = previous_word_to_output
        self.context_to_output = context_to_output
        self.output_activation = output_activation
        self.dropout = dropout

    def get_config(self):
        names = (
            "vocabulary_size",
            "feature_shape",
            "coordinates",
            "embedding_dim",
            "hidden_dim",
            "attention_dim",
            "attention_layers",
            "initial_layers",
            "output_layers",
            "gate",
            "previous_word_to_output",
            "context_to_output",
            "output_activation",
            "doubly_stochastic",
            "doubly_stochastic_target",
            "dropout",
        )
        attention = self.attention
        if not isinstance(attention, str):
            attention = keras.saving.serialize_keras_object(attention)
            # Built by the decoder again: its layers' paths begin there.
            attention.pop("build_config", None)
        reinforce = keras.saving.serialize_keras_object(self.reinforce)
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names},
            "attention": attention,
            "reinforce": reinforce,
        }


def attention_of(attention, attention_dim, dtype):
    """The layer that an argument stands for."""
    if isinstance(attention, Attention):
        return attention
    checks.one_of(attention, "attention", ATTENTIONS)
    options: dict = dict(dtype=dtype, name="attention")
    if attention == "hard":
        return HardAttention(attention_dim, semi_sampling=0.5, **options)
    return AdditiveAttention(attention_dim, **options)


def reinforce_of(attention, reinforce):
    """What an attention that needs REINFORCE is trained with, or None."""
    needed = getattr(attention, "estimator", None) == "reinforce"
    if reinforce is not None and not needed:
        raise ValueError(
            "`reinforce` is for hard attention with the estimator "
            f'"reinforce". Received: reinforce={reinforce!r}, '
            f"attention={attention!r}. Leave it out."
        )
    return (reinforce or Reinforce()) if needed else None


def check_marginal(attention, gate, context_to_output):
    if attention == "marginal" and (gate == "vector" or not context_to_output):
        raise ValueError(
            '"marginal" attention tries each place in the deep output, which '
            "must read the context, through a gate of one number at most. "
            f"Received: gate={gate!r}, context_to_output={context_to_output}."
        )
