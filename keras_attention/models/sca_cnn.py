import keras

from keras_attention.models.backbone_attention import BackboneAttention
from keras_attention.models.caption_decoder import CaptionDecoder
from keras_attention.models.captioner import DECODER_INPUT, IMAGES
from keras_attention.models.recurrent_captioner import RecurrentCaptioner
from keras_attention.models.tapped_backbone import (
    Packed,
    Pooled,
    TappedBackbone,
)
from keras_attention.models.writer import vocabulary_size as size_of

PRESETS = {
    # Of the authors' code, sca_resnet_branch2b.py. Its res5c_branch2b and
    # res5c of ResNet-152 have these names in `keras.applications.ResNet152`.
    "sca_cnn_resnet152": dict(
        taps=("conv5_block3_2_relu", "conv5_block3_out"),
        embedding_dim=100,
        hidden_dim=1000,
        attention_dim=512,
        dropout=0.5,
    ),
    # Ours, for a CPU: the sizes of this package's small recipes.
    "sca_cnn_small": dict(
        embedding_dim=64,
        hidden_dim=128,
        attention_dim=64,
        dropout=0.0,
    ),
}


@keras.saving.register_keras_serializable(package="keras_attention")
class SCACNN(RecurrentCaptioner):
    """Writes a caption by running the top of a CNN anew for every word.

    Where other captioners choose among the features that a network made of an
    image, this one weighs maps inside the network, by their channels (what)
    and their places (where), and lets the layers behind go on from there
    (Chen et al., 2017, section 3). At the tapped layers l = 1, ..., L:

        V^l      = CNN(X^{l-1})                   the layers between two taps
        gamma^l  = Phi(h_{t-1}, V^l)              weights of channels, places
        X^l      = f(V^l, gamma^l)                        their product with V
        z_t      = |mean of the places of CNN(X^L)|              of length 1
        h_t, c_t = LSTM([E y_{t-1}; z_t], h_{t-1}, c_{t-1})
        p(y_t)   = softmax(L_o tanh(E y_{t-1} + L_h h_t))

    Phi and f are `layers.SpatialChannelAttention` or one half of it, a layer
    of its own at each tap; h_0 and c_0 are tanh layers of what z would be if
    nothing were weighed. Train it with plain `compile` and `fit`, as
    `ShowAttendTell`.

    What comes before the first tap is run once per image, what comes after it
    at every word: tap late. Nor do batch normalizations gather statistics, as
    in the authors' code: begin with a pretrained backbone. They fine-tune the
    convolution between their two taps alone:

        for layer in backbone.layers:
            layer.trainable = layer.name == "conv5_block3_3_conv"

    It differs from their code as `ShowAttendTell` does from its authors'.

    Args:
        vocabulary_size: Number of tokens; the tokenizer's if None.
        backbone: A functional `keras.Model` from images to a grid `(B,
            height, width, C)`. It is part of the model: freeze it with
            `backbone.trainable = False` before `compile`, thaw it later.
        taps: Names of the layers behind which maps are weighed, one to three
            in the paper, in the order of the flow. The last may be the last
            layer.
        attention: "channel_spatial", the paper's C-S, whose second half looks
            at what the first has weighed; "spatial_channel", S-C; or
            "channel" or "spatial" alone.
        rescale: Whether weights are multiplied by their number, so that their
            mean is 1 and equal scores leave a map as it is. The paper's
            formulas leave it out, the authors' code has it: without it, a
            map of m places and C channels is C m times smaller, and
            pretrained layers that follow have never seen such a map.
        attention_dim: Size of the spaces of scores, the paper's k.
        embedding_dim: Size of the word embeddings and of the deep output.
        hidden_dim: Size of the LSTM.
        initial_layers: As in `ShowAttendTell`, like the five that follow.
        output_layers: Layers of the deep output.
        gate: Of z_t: None, "scalar" or "vector".
        previous_word_to_output: Whether E y_{t-1} is in the deep output.
        context_to_output: Whether z_t is.
        output_activation: In the deep output.
        dropout: Share of the LSTM's outputs and of the deep output dropped in
            training.
        tokenizer: Tokenizer of the captions, for strings.
        image_processor: Makes of pictures what the backbone expects.
        dtype: Policy of all layers but the backbone's.
        **kwargs: `name` and `trainable` of `keras.Model`.

    Call arguments:
        images: `(B, height, width, 3)`, as the backbone takes them.
        decoder_token_ids: `(B, T)` ints, the caption shifted right by the
            start token.

    Returns:
        Logits `(B, T, vocabulary_size)` of the next token.

    Raises:
        ValueError: A size is not positive or does not match the tokenizer;
            the backbone is not functional, or makes no grid of a known size;
            or `taps` are not there, make no grid, are called more than once
            or do not follow each other.

    Examples:
        >>> import numpy as np
        >>> from keras_attention.models import SCACNN, ConvEncoder
        >>> model = SCACNN.from_preset(
        ...     "sca_cnn_small",
        ...     backbone=ConvEncoder.from_preset("conv_encoder_small"),
        ...     taps=("relu_2", "relu_3"),
        ...     vocabulary_size=29,
        ... )
        >>> logits = model({
        ...     "images": np.ones((2, 64, 64, 3), "float32"),
        ...     "decoder_token_ids": np.ones((2, 5), "int32"),
        ... })
        >>> tuple(logits.shape)
        (2, 5, 29)

    Reference:
        [Chen et al., 2017](https://arxiv.org/abs/1611.05594), section 3.
    """

    presets = PRESETS

    def __init__(
        self,
        vocabulary_size: int | None = None,
        backbone=None,
        taps: tuple[str, ...] = (),
        attention: str = "channel_spatial",
        rescale: bool = True,
        attention_dim: int = 512,
        embedding_dim: int = 100,
        hidden_dim: int = 1000,
        initial_layers: int = 1,
        output_layers: int = 1,
        gate: str | None = None,
        previous_word_to_output: bool = True,
        context_to_output: bool = False,
        output_activation: str | None = "tanh",
        dropout: float = 0.5,
        tokenizer=None,
        image_processor=None,
        dtype=None,
        **kwargs,
    ):
        vocabulary_size = size_of(vocabulary_size, tokenizer)
        tapped = TappedBackbone(backbone, taps)

        # === Layers ===
        packed = Packed(dtype=dtype, name="packed")
        decoder = CaptionDecoder(
            vocabulary_size,
            BackboneAttention(
                tapped,
                attention,
                attention_dim,
                rescale,
                dtype=dtype,
                name="attention",
            ),
            summary=Pooled(tapped, dtype=dtype, name="summary"),
            embedding_dim=embedding_dim,
            hidden_dim=hidden_dim,
            attention_dim=attention_dim,
            attention_layers=1,
            initial_layers=initial_layers,
            output_layers=output_layers,
            gate=gate,
            previous_word_to_output=previous_word_to_output,
            context_to_output=context_to_output,
            output_activation=output_activation,
            dropout=dropout,
            dtype=dtype,
            name="decoder",
        )

        # === Graph ===
        images = keras.Input(tapped.bottom.network.input_shape[1:], name=IMAGES)
        token_ids = keras.Input((None,), dtype="int32", name=DECODER_INPUT)
        result = decoder(packed(tapped.bottom(images)), token_ids)
        super().__init__(
            inputs={IMAGES: images, DECODER_INPUT: token_ids},
            outputs=result,
            encoder=backbone,
            grid_shape=tuple(tapped.maps[-1].shape[1:3]),
            places=packed,
            decoder=decoder,
            tokenizer=tokenizer,
            image_processor=image_processor,
            dtype=dtype,
            **kwargs,
        )

        self.bottom = tapped.bottom

        # === Config ===
        self.vocabulary_size = vocabulary_size
        self.backbone = backbone
        self.taps = tapped.names
        self.attention = attention
        self.rescale = rescale
        self.attention_dim = attention_dim
        self.embedding_dim = embedding_dim
        self.hidden_dim = hidden_dim
        self.initial_layers = initial_layers
        self.output_layers = output_layers
        self.gate = gate
        self.previous_word_to_output = previous_word_to_output
        self.context_to_output = context_to_output
        self.output_activation = output_activation
        self.dropout = dropout

    def forced(self, source, token_ids):
        """What each step of given captions reads.

        Args:
            source: Images, as the backbone takes them.
            token_ids: `(B, T)`, the captions shifted right.

        Returns:
            A dict, of the last tap: `scores` of its places `(B, T, S)`, and
            `channel_scores` `(B, T, C)` where channels are weighed; `gate`
            `(B, T)` if there is one.
        """
        result = self.decoder(self._places_of(source), token_ids)
        channels = {k: x for k, x in result.items() if k == "channel_scores"}
        return {**self._reported(result), **channels}

    def _places_of(self, source):
        return self.places(self.bottom(source))

    def get_config(self):
        names = (
            "vocabulary_size",
            "taps",
            "attention",
            "rescale",
            "attention_dim",
            "embedding_dim",
            "hidden_dim",
            "initial_layers",
            "output_layers",
            "gate",
            "previous_word_to_output",
            "context_to_output",
            "output_activation",
            "dropout",
        )
        config = super().get_config()
        config["backbone"] = config.pop("encoder")
        return {**config, **{name: getattr(self, name) for name in names}}
