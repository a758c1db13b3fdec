import keras
from keras import ops

from keras_attention.layers.sine_position_encoding import SinePositionEncoding
from keras_attention.layers.transformer_decoder_block import (
    TransformerDecoderBlock,
)
from keras_attention.layers.transformer_encoder_block import (
    TransformerEncoderBlock,
)
from keras_attention.models import marian
from keras_attention.models.transformer_decoder import (
    Embedder,
    TransformerDecoder,
    TransformerLayers,
)
from keras_attention.models.translator import (
    DECODER_INPUT,
    ENCODER_INPUT,
    Translator,
)
from keras_attention.models.writer import vocabulary_size
from keras_attention.ops import checks

PRESETS = {
    # Vaswani et al., 2017, table 3; one vocabulary of 37,000 byte pairs for
    # both languages (section 5.1) and the four special tokens.
    "transformer_base_vaswani_2017": dict(
        source_vocabulary_size=37004,
        target_vocabulary_size=37004,
        share_embeddings=True,
    ),
    "transformer_big_vaswani_2017": dict(
        source_vocabulary_size=37004,
        target_vocabulary_size=37004,
        hidden_dim=1024,
        num_heads=16,
        intermediate_dim=4096,
        dropout=0.3,
        share_embeddings=True,
    ),
    # Ours, for a CPU: pre-norm, which trains without a long warm-up.
    "transformer_small": dict(
        num_layers=3,
        hidden_dim=256,
        num_heads=4,
        intermediate_dim=1024,
        normalize_first=True,
    ),
    "transformer_tiny": dict(
        num_layers=2,
        hidden_dim=64,
        num_heads=4,
        intermediate_dim=256,
        normalize_first=True,
    ),
}


@keras.saving.register_keras_serializable(package="keras_attention")
class Transformer(Translator):
    """Translates by attention alone, all positions of a sentence at once.

    The encoder and decoder of Vaswani et al. (2017, section 3). Each side
    embeds its tokens, scaled by the square root of `hidden_dim`, and adds
    waves that tell the position; blocks of attention and feed-forward layers
    follow; the target's embeddings, transposed, score the next token:

        x   = dropout(sqrt(d) E[source] + waves)
        h   = encoder blocks(x)
        y   = dropout(sqrt(d) E[target] + waves)
        p(next token) = softmax(decoder blocks(y, h) E')

    The options hold what published checkpoints differ in. Train it with
    plain `compile` and `fit` on `data.TranslationBatches`, translate with
    `generate`, look at what it reads with `translate`: the mean over the
    heads of the last decoder block but one, the one closest to alignments
    (Garg et al., 2019).

    Args:
        source_vocabulary_size: Number of source tokens; the tokenizer's if
            None.
        target_vocabulary_size: Number of target tokens; the tokenizer's if
            None.
        num_layers: Blocks of the encoder, N.
        num_decoder_layers: Blocks of the decoder; `num_layers` if None.
        hidden_dim: Size of embeddings and states, d_model; even, and a
            multiple of `num_heads`.
        num_heads: Heads of each attention, h.
        intermediate_dim: Size of the feed-forward's wider layer, d_ff.
        dropout: Share dropped of the embedded inputs and of what each part
            of a block adds, in training.
        attention_dropout: Share of the attention scores dropped.
        activation: Activation of the feed-forward layers.
        normalize_first: Pre-norm; False is the paper's post-norm.
        final_norm: Whether each stack ends with a normalization; as
            `normalize_first` if None, since pre-norm needs it.
        layer_norm_epsilon: Added to the variance in the normalizations.
        share_embeddings: Whether source and target, with one vocabulary,
            share their embeddings.
        tie_output: Whether the output layer is the target's embedding
            transposed, as in the paper, or has weights of its own.
        output_bias: Whether each token has a bias in the output.
        embedding_scale: Whether embeddings are scaled by sqrt(hidden_dim).
        position_layout: "interleaved", the paper's, or "halves"; see
            `SinePositionEncoding`.
        pad_token_id: Id that fills up the source, never read.
        source_tokenizer: Tokenizer of the source, for strings.
        target_tokenizer: Tokenizer of the target.
        dtype: Policy of all layers.
        **kwargs: `name` and `trainable` of `keras.Model`.

    Call arguments:
        encoder_token_ids: `(B, S)` ints.
        decoder_token_ids: `(B, T)` ints, the target shifted right by the
            start token. What fills it up stands behind and is read by no
            real position.

    Returns:
        Logits `(B, T, target_vocabulary_size)` of the next token.

    Raises:
        ValueError: A size is not positive, does not match its tokenizer or
            the number of heads, or vocabularies of different sizes are to
            share embeddings.

    Examples:
        >>> import numpy as np
        >>> from keras_attention.models import Transformer
        >>> model = Transformer.from_preset(
        ...     "transformer_tiny",
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
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762), section 3;
        [Xiong et al., 2020](https://arxiv.org/abs/2002.04745) for pre-norm;
        [Garg et al., 2019](https://arxiv.org/abs/1909.02074) for alignments.
    """

    presets = PRESETS
    huggingface_types = ("marian",)
    huggingface_files = marian.TOKENIZER_FILES
    to_huggingface = marian.to_huggingface

    def __init__(
        self,
        source_vocabulary_size: int | None = None,
        target_vocabulary_size: int | None = None,
        num_layers: int = 6,
        num_decoder_layers: int | None = None,
        hidden_dim: int = 512,
        num_heads: int = 8,
        intermediate_dim: int = 2048,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        activation: str = "relu",
        normalize_first: bool = False,
        final_norm: bool | None = None,
        layer_norm_epsilon: float = 1e-6,
        share_embeddings: bool = False,
        tie_output: bool = True,
        output_bias: bool = False,
        embedding_scale: bool = True,
        position_layout: str = "interleaved",
        pad_token_id: int = 0,
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
        if num_decoder_layers is None:
            num_decoder_layers = num_layers
        checks.positive_int(num_layers, "num_layers")
        checks.positive_int(num_decoder_layers, "num_decoder_layers")
        make = TransformerLayers(
            hidden_dim,
            num_heads,
            intermediate_dim,
            dropout,
            attention_dropout,
            activation,
            layer_norm_epsilon,
            normalize_first,
            dtype,
        )
        if share_embeddings and (
            source_vocabulary_size != target_vocabulary_size
        ):
            raise ValueError(
                "`share_embeddings` needs one vocabulary for both sides. "
                f"Received: source_vocabulary_size={source_vocabulary_size}, "
                f"target_vocabulary_size={target_vocabulary_size}. Train one "
                "tokenizer on both languages, or share nothing."
            )
        if final_norm is None:
            final_norm = normalize_first

        # === Layers ===
        if share_embeddings:
            shared = make.embedding(target_vocabulary_size, "embedding")
            embeddings = {"encoder": shared, "decoder": shared}
        else:
            embeddings = {
                "encoder": make.embedding(
                    source_vocabulary_size, "encoder_embedding"
                ),
                "decoder": make.embedding(
                    target_vocabulary_size, "decoder_embedding"
                ),
            }
        output = make.output(target_vocabulary_size, tie_output, output_bias)
        positions = SinePositionEncoding(
            layout=position_layout, dtype=dtype, name="positions"
        )
        scale = hidden_dim**0.5 if embedding_scale else 1.0
        embed = {
            side: Embedder(
                embeddings[side], positions, make.drop(f"drop_{side}"), scale
            )
            for side in embeddings
        }
        encoder = SourceEncoder(
            embed["encoder"],
            make.blocks(TransformerEncoderBlock, num_layers, "encoder"),
            make.norm("encoder_norm") if final_norm else None,
            pad_token_id,
        )
        decoder = TransformerDecoder(
            embed["decoder"],
            make.blocks(TransformerDecoderBlock, num_decoder_layers, "decoder"),
            make.norm("decoder_norm") if final_norm else None,
            output,
            tie_output,
            read_block=max(num_decoder_layers - 2, 0),
        )

        # === Graph ===
        source_ids = keras.Input((None,), dtype="int32", name=ENCODER_INPUT)
        target_ids = keras.Input((None,), dtype="int32", name=DECODER_INPUT)
        memory, mask = encoder.encode(source_ids)  # (B, S, d), (B, S)
        logits, _ = decoder.forward(target_ids, memory, mask)
        super().__init__(
            inputs={ENCODER_INPUT: source_ids, DECODER_INPUT: target_ids},
            outputs=logits,
            source_tokenizer=source_tokenizer,
            target_tokenizer=target_tokenizer,
            pad_token_id=pad_token_id,
            dtype=dtype,
            **kwargs,
        )

        # === Config ===
        self.encoder, self.decoder = encoder, decoder
        self.encoder_embedding = embeddings["encoder"]
        self.decoder_embedding = embeddings["decoder"]
        self.encoder_blocks, self.encoder_norm = encoder.blocks, encoder.norm
        self.decoder_blocks, self.decoder_norm = decoder.blocks, decoder.norm
        self.output_layer = output
        self.source_vocabulary_size = source_vocabulary_size
        self.target_vocabulary_size = target_vocabulary_size
        self.num_layers = num_layers
        self.num_decoder_layers = num_decoder_layers
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.activation = activation
        self.normalize_first = normalize_first
        self.final_norm = final_norm
        self.layer_norm_epsilon = layer_norm_epsilon
        self.share_embeddings = share_embeddings
        self.tie_output = tie_output
        self.output_bias = output_bias
        self.embedding_scale = embedding_scale
        self.position_layout = position_layout

    @classmethod
    def read_huggingface_config(cls, folder, weights):
        return marian.read_config(folder)

    def from_huggingface_weights(self, weights):
        return marian.from_huggingface_weights(self, weights)

    def start(self, encoder_token_ids, max_length, num_beams):
        memory, mask = self.encoder.encode(encoder_token_ids)
        return self.decoder.start(memory, mask, max_length, num_beams)

    def step(self, token_ids, memory, state):
        logits, state, scores = self.decoder.step(token_ids, memory, state)
        return logits, state, {"scores": scores}

    def forced_scores(self, encoder_token_ids, decoder_token_ids):
        memory, mask = self.encoder.encode(encoder_token_ids)
        _, scores = self.decoder.forward(
            decoder_token_ids, memory, mask, return_scores=True
        )
        return scores

    def get_config(self):
        return {
            **super().get_config(),
            **{
                name: getattr(self, name)
                for name in (
                    "source_vocabulary_size",
                    "target_vocabulary_size",
                    "num_layers",
                    "num_decoder_layers",
                    "hidden_dim",
                    "num_heads",
                    "intermediate_dim",
                    "dropout",
                    "attention_dropout",
                    "activation",
                    "normalize_first",
                    "final_norm",
                    "layer_norm_epsilon",
                    "share_embeddings",
                    "tie_output",
                    "output_bias",
                    "embedding_scale",
                    "position_layout",
                    "pad_token_id",
                )
            },
        }


class SourceEncoder:
    """How a source goes through a Transformer's encoder, symbolic or not.

    Args:
        embed: An `Embedder`.
        blocks: A list of `TransformerEncoderBlock`.
        norm: What normalizes after the last block, or None.
        pad_token_id: Id that fills up the source.
    """

    def __init__(self, embed, blocks, norm, pad_token_id):
        self.embed, self.blocks, self.norm = embed, blocks, norm
        self.pad_token_id = pad_token_id

    def encode(self, token_ids):
        """What the decoder reads, `(B, S, d)`, and where it may, `(B, S)`."""
        mask = ops.not_equal(token_ids, self.pad_token_id)
        x = self.embed(token_ids)
        for block in self.blocks:
            x = block(x, padding_mask=mask)
        return x if self.norm is None else self.norm(x), mask
