import keras

from keras_attention.layers.sine_position_encoding import SinePositionEncoding
from keras_attention.layers.transformer_decoder_block import (
    TransformerDecoderBlock,
)
from keras_attention.layers.transformer_encoder_block import (
    TransformerEncoderBlock,
)
from keras_attention.models.captioner import (
    DECODER_INPUT,
    Captioner,
    source_of,
)
from keras_attention.models.places import Places
from keras_attention.models.transformer_decoder import (
    Embedder,
    TransformerDecoder,
    TransformerLayers,
)
from keras_attention.models.writer import vocabulary_size as size_of
from keras_attention.ops import checks

PRESETS = {
    # The decoder of Vaswani et al., 2017, table 3, "base".
    "transformer_captioner_base": dict(
        num_layers=6,
        hidden_dim=512,
        num_heads=8,
        intermediate_dim=2048,
        dropout=0.1,
    ),
    # Ours, for a CPU: the sizes of this package's small recipes.
    "transformer_captioner_small": dict(
        num_layers=2,
        hidden_dim=128,
        num_heads=4,
        intermediate_dim=256,
        dropout=0.0,
    ),
}


@keras.saving.register_keras_serializable(package="keras_attention")
class TransformerCaptioner(Captioner):
    """Writes a caption with a Transformer's decoder that reads an image.

    An encoder, such as a ViT, makes a grid or a sequence of features a_i of
    the image; each word is written after reading all words before it and all
    features (Vaswani et al., 2017, section 3, with features in the place of a
    source sentence):

        m = encoder blocks(norm(W a))              no blocks, unless asked for
        y = dropout(sqrt(d) E[caption] + waves)
        p(next word) = softmax(decoder blocks(y, m) E')

    Train it with plain `compile` and `fit` on `data.CaptionBatches`, with
    `losses.SparseCategoricalCrossentropy()`; write with `generate`, and look
    at what each word reads with `caption`: the mean over the heads of the last
    decoder block.

    Args:
        vocabulary_size: Number of tokens; the tokenizer's if None.
        encoder: A `keras.Model` from images to a grid `(B, height, width, D)`
            or a sequence of features, such as `ViT.features(grid=True)`. It
            is part of the model: freeze it with `encoder.trainable = False`
            before `compile`, thaw it later.
        feature_shape: `(height, width, D)` or `(S, D)` of features that were
            computed before, where there is no encoder.
        coordinates: Whether each feature is told its row and column, in [-1,
            1]. Attention reads features as a set: where the encoder does not
            say where each lies, as a ViT does and a shallow convolutional one
            does not, neither the decoder nor `num_encoder_layers` know it.
        num_layers: Blocks of the decoder, N.
        num_encoder_layers: Blocks in which the features read each other
            before they are read; the encoder may well be enough.
        hidden_dim: Size of embeddings and states, d; even, and a multiple of
            `num_heads`. Features are projected to it.
        num_heads: Heads of each attention, h.
        intermediate_dim: Size of the feed-forward's wider layer, d_ff.
        dropout: Share dropped of the embedded words and the projected
            features, and of what each part of a block adds, in training.
        normalize_first: Pre-norm, which trains without a long warm-up and
            ends with a normalization; False is the paper's post-norm.
        tie_output: Whether the output layer is the embedding transposed, as
            in the paper, or has weights of its own.
        tokenizer: Tokenizer of the captions, for strings.
        image_processor: Makes of pictures what the encoder expects.
        dtype: Policy of all layers.
        **kwargs: `name` and `trainable` of `keras.Model`.

    Call arguments:
        images: `(B, height, width, 3)`, as the encoder takes them; or
            `features` `(B, *feature_shape)` without one.
        decoder_token_ids: `(B, T)` ints, the caption shifted right by the
            start token. What fills it up stands behind and is read by no
            real position.

    Returns:
        Logits `(B, T, vocabulary_size)` of the next token.

    Raises:
        ValueError: A size is not positive, does not match the tokenizer or
            the number of heads, the encoder's output is no grid or sequence,
            or neither or both of `encoder` and `feature_shape` are given.

    Examples:
        >>> import numpy as np
        >>> from keras_attention.models import TransformerCaptioner, ViT
        >>> vit = ViT.from_preset("vit_tiny", num_classes=0)
        >>> model = TransformerCaptioner.from_preset(
        ...     "transformer_captioner_small",
        ...     encoder=vit.features(-1, grid=True),
        ...     vocabulary_size=29,
        ... )
        >>> logits = model({
        ...     "images": np.ones((2, 32, 32, 3), "float32"),
        ...     "decoder_token_ids": np.ones((2, 5), "int32"),
        ... })
        >>> tuple(logits.shape)
        (2, 5, 29)

    Reference:
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762), section 3;
        [Liu et al., 2021](https://arxiv.org/abs/2101.10804) for a ViT before
        the decoder.
    """

    presets = PRESETS

    def __init__(
        self,
        vocabulary_size: int | None = None,
        encoder=None,
        feature_shape: tuple | None = None,
        coordinates: bool = False,
        num_layers: int = 6,
        num_encoder_layers: int = 0,
        hidden_dim: int = 512,
        num_heads: int = 8,
        intermediate_dim: int = 2048,
        dropout: float = 0.1,
        normalize_first: bool = True,
        tie_output: bool = True,
        tokenizer=None,
        image_processor=None,
        dtype=None,
        **kwargs,
    ):
        vocabulary_size = size_of(vocabulary_size, tokenizer)
        checks.positive_int(num_layers, "num_layers")
        checks.non_negative_int(num_encoder_layers, "num_encoder_layers")
        make = TransformerLayers(
            hidden_dim,
            num_heads,
            intermediate_dim,
            dropout,
            normalize_first=normalize_first,
            dtype=dtype,
        )
        source, features, grid_shape = source_of(encoder, feature_shape)

        # === Layers ===
        reader = PlaceEncoder(
            Places(coordinates, dtype=dtype, name="places"),
            keras.layers.Dense(
                hidden_dim, dtype=dtype, name="project_features"
            ),
            make.norm("features_norm"),
            make.drop("drop_features"),
            make.blocks(TransformerEncoderBlock, num_encoder_layers, "encoder"),
            make.norm("encoder_norm")
            if normalize_first and num_encoder_layers
            else None,
        )
        embed = Embedder(
            make.embedding(vocabulary_size, "decoder_embedding"),
            SinePositionEncoding(dtype=dtype, name="positions"),
            make.drop("drop_decoder"),
            hidden_dim**0.5,
        )
        decoder = TransformerDecoder(
            embed,
            make.blocks(TransformerDecoderBlock, num_layers, "decoder"),
            make.norm("decoder_norm") if normalize_first else None,
            make.output(vocabulary_size, tie_output),
            tie_output,
            read_block=num_layers - 1,
        )

        # === Graph ===
        token_ids = keras.Input((None,), dtype="int32", name=DECODER_INPUT)
        memory = reader.encode(features)  # (B, S, d)
        logits, _ = decoder.forward(token_ids, memory)
        super().__init__(
            inputs={source.name: source, DECODER_INPUT: token_ids},
            outputs=logits,
            encoder=encoder,
            grid_shape=grid_shape,
            tokenizer=tokenizer,
            image_processor=image_processor,
            dtype=dtype,
            **kwargs,
        )

        # === Config ===
        self.reader, self.decoder = reader, decoder
        self.encoder_blocks = reader.blocks
        self.decoder_blocks = decoder.blocks
        self.vocabulary_size = vocabulary_size
        self.feature_shape = feature_shape and tuple(feature_shape)
        self.coordinates = coordinates
        self.num_layers = num_layers
        self.num_encoder_layers = num_encoder_layers
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.dropout = dropout
        self.normalize_first = normalize_first
        self.tie_output = tie_output

    def start(self, source, max_length, num_beams):
        memory = self._memory(source)
        return self.decoder.start(memory, None, max_length, num_beams)

    def step(self, token_ids, memory, state):
        logits, state, scores = self.decoder.step(token_ids, memory, state)
        return logits, state, {"scores": scores}

    def forced(self, source, token_ids):
        _, scores = self.decoder.forward(
            token_ids, self._memory(source), return_scores=True
        )
        return {"scores": scores}

    def _memory(self, source):
        features = source
        if self.encoder is not None:
            features = self.encoder(source, training=False)
        return self.reader.encode(features)

    def get_config(self):
        names = (
            "vocabulary_size",
            "feature_shape",
            "coordinates",
            "num_layers",
            "num_encoder_layers",
            "hidden_dim",
            "num_heads",
            "intermediate_dim",
            "dropout",
            "normalize_first",
            "tie_output",
        )
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names},
        }


class PlaceEncoder:
    """How features become what a decoder reads, symbolic or not.

    They are normalized first: how large an encoder's features are differs
    from one to the next.

    Args:
        places: `Places`.
        project: What gives them the size of the words.
        norm: What normalizes them.
        dropout: `Dropout`.
        blocks: A list of `TransformerEncoderBlock`, which may be empty.
        final_norm: What normalizes after the last block, or None.
    """

    def __init__(self, places, project, norm, dropout, blocks, final_norm):
        self.places, self.project, self.norm = places, project, norm
        self.dropout, self.blocks = dropout, blocks
        self.final_norm = final_norm

    def encode(self, features):
        """`(B, S, d)` of a grid or a sequence of features."""
        x = self.norm(self.project(self.places(features)))
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x)
        return x if self.final_norm is None else self.final_norm(x)
