import keras
from keras import layers, ops

from keras_attention.layers.layer_normalization import LayerNormalization
from keras_attention.layers.sine_position_encoding import SinePositionEncoding
from keras_attention.layers.transformer_decoder_block import (
    TransformerDecoderBlock,
)
from keras_attention.layers.transformer_encoder_block import (
    TransformerEncoderBlock,
)
from keras_attention.models import marian
from keras_attention.models.translator import (
    DECODER_INPUT,
    ENCODER_INPUT,
    Translator,
)
from keras_attention.models.writer import vocabulary_size
from keras_attention.ops import checks, hypothesis_cache

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
        for name, size in (
            ("num_layers", num_layers),
            ("num_decoder_layers", num_decoder_layers),
            ("hidden_dim", hidden_dim),
            ("num_heads", num_heads),
            ("intermediate_dim", intermediate_dim),
        ):
            checks.positive_int(size, name)
        checks.rate(dropout, "dropout")
        if hidden_dim % num_heads:
            raise ValueError(
                "`hidden_dim` must be a multiple of `num_heads`. Received: "
                f"hidden_dim={hidden_dim}, num_heads={num_heads}."
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
        def make_embedding(size, name):
            return layers.ReversibleEmbedding(
                size,
                hidden_dim,
                embeddings_initializer=keras.initializers.RandomNormal(
                    stddev=hidden_dim**-0.5
                ),
                dtype=dtype,
                name=name,
            )

        def make_blocks(block, number, name):
            return [
                block(
                    intermediate_dim,
                    num_heads,
                    dropout,
                    attention_dropout,
                    activation,
                    layer_norm_epsilon,
                    normalize_first,
                    dtype=dtype,
                    name=f"{name}_block_{index}",
                )
                for index in range(number)
            ]

        def make_norm(name):
            if not final_norm:
                return None
            return LayerNormalization(
                epsilon=layer_norm_epsilon, dtype=dtype, name=name
            )

        if share_embeddings:
            shared = make_embedding(target_vocabulary_size, "embedding")
            embeddings = {"encoder": shared, "decoder": shared}
        else:
            embeddings = {
                "encoder": make_embedding(
                    source_vocabulary_size, "encoder_embedding"
                ),
                "decoder": make_embedding(
                    target_vocabulary_size, "decoder_embedding"
                ),
            }
        output = None
        if not tie_output:
            output = layers.Dense(
                target_vocabulary_size,
                use_bias=output_bias,
                dtype=dtype,
                name="output",
            )
        elif output_bias:
            output = OutputBias(dtype=dtype, name="output_bias")
        flow = Flow(
            embeddings,
            SinePositionEncoding(
                layout=position_layout, dtype=dtype, name="positions"
            ),
            {
                side: layers.Dropout(dropout, dtype=dtype, name=f"drop_{side}")
                for side in embeddings
            },
            {
                "encoder": make_blocks(
                    TransformerEncoderBlock, num_layers, "encoder"
                ),
                "decoder": make_blocks(
                    TransformerDecoderBlock, num_decoder_layers, "decoder"
                ),
            },
            {side: make_norm(f"{side}_norm") for side in embeddings},
            output,
            tie_output,
            hidden_dim**0.5 if embedding_scale else 1.0,
            pad_token_id,
        )

        # === Graph ===
        source_ids = keras.Input((None,), dtype="int32", name=ENCODER_INPUT)
        target_ids = keras.Input((None,), dtype="int32", name=DECODER_INPUT)
        memory, mask = flow.encode(source_ids)  # (B, S, d), (B, S)
        logits, _ = flow.decode(target_ids, memory, mask)
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
        self.flow = flow
        self.encoder_embedding = embeddings["encoder"]
        self.decoder_embedding = embeddings["decoder"]
        self.encoder_blocks = flow.blocks["encoder"]
        self.decoder_blocks = flow.blocks["decoder"]
        self.encoder_norm = flow.norms["encoder"]
        self.decoder_norm = flow.norms["decoder"]
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
        x, mask = self.flow.encode(encoder_token_ids)
        memory = [block.memory(x, mask=mask) for block in self.decoder_blocks]
        batch = ops.shape(encoder_token_ids)[0]
        state = {
            "shared": [
                block.self_attention.hypothesis_segments(
                    batch, num_beams, max_length
                )
                for block in self.decoder_blocks
            ],
            "position": ops.zeros((), "int32"),
        }
        if num_beams > 1:
            state["slots"] = ops.zeros((batch, max_length), "int32")
        return memory, state

    def step(self, token_ids, memory, state):
        logits, state, scores = self.flow.step(token_ids, memory, state)
        return logits, state, {"scores": scores}

    def forced_scores(self, encoder_token_ids, decoder_token_ids):
        memory, mask = self.flow.encode(encoder_token_ids)
        _, scores = self.flow.decode(
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


class Flow:
    """How tensors go through a Transformer's layers, symbolic or not.

    Args:
        embeddings: By side, "encoder" and "decoder".
        positions: `SinePositionEncoding`.
        dropouts: By side.
        blocks: By side, a list.
        norms: By side, None if a stack ends without.
        output: What follows the transposed embedding, or stands in for it;
            None for nothing.
        tie_output: Whether the embedding scores the tokens.
        scale: Of the embeddings.
        pad_token_id: Of the source.
    """

    def __init__(
        self,
        embeddings,
        positions,
        dropouts,
        blocks,
        norms,
        output,
        tie_output,
        scale,
        pad_token_id,
    ):
        self.embeddings = embeddings
        self.positions = positions
        self.dropouts = dropouts
        self.blocks = blocks
        self.norms = norms
        self.output = output
        self.tie_output = tie_output
        self.scale = scale
        self.pad_token_id = pad_token_id

    @property
    def read_block(self):
        """The decoder block whose scores are shown: the last but one."""
        return max(len(self.blocks["decoder"]) - 2, 0)

    def embed(self, side, token_ids, start=0):
        x = self.embeddings[side](token_ids) * self.scale
        return self.dropouts[side](x + self.positions(x, start_index=start))

    def encode(self, token_ids):
        """What the decoder reads, `(B, S, d)`, and where it may, `(B, S)`."""
        mask = ops.not_equal(token_ids, self.pad_token_id)
        x = self.embed("encoder", token_ids)
        for block in self.blocks["encoder"]:
            x = block(x, padding_mask=mask)
        return self.end(x, "encoder"), mask

    def decode(self, token_ids, memory, mask, return_scores=False):
        """Logits `(B, T, V)`, and scores `(B, T, S)` if asked for."""
        x, scores = self.embed("decoder", token_ids), None
        for index, block in enumerate(self.blocks["decoder"]):
            if return_scores and index == self.read_block:
                x, _, scores = block(
                    x, memory, memory_mask=mask, return_attention_scores=True
                )
                scores = ops.mean(scores, axis=1)
            else:
                x = block(x, memory, memory_mask=mask)
        return self.logits(x), scores

    def step(self, token_ids, memory, state):
        """One position of `(B, K)` hypotheses; scores are `(B, K, S)`."""
        position, shared = state["position"], []
        hypotheses = token_ids.shape[1]
        rows = ops.reshape(token_ids, (-1, 1))
        x = self.embed("decoder", rows, position)  # (B * K, 1, d)
        x = ops.reshape(x, (*ops.shape(token_ids), x.shape[-1]))
        new_state = {"position": position + 1, "shared": shared}
        slots, scores = state.get("slots"), None
        if slots is not None:
            slots = hypothesis_cache.trace(slots, position, hypotheses)
            new_state["slots"] = slots
        masks = hypothesis_cache.segment_masks(
            slots,
            position,
            hypotheses,
            hypothesis_cache.room(state["shared"][0], hypotheses),
        )
        for index, block in enumerate(self.blocks["decoder"]):
            cache = {
                "segments": state["shared"][index],
                "position": position,
                "masks": masks,
            }
            x, new, extras = block.step(
                x,
                memory[index],
                {"self_attention": cache, "cross_attention": {}},
                return_attention_scores=index == self.read_block,
            )
            shared.append(new["self_attention"])
            if index == self.read_block:
                scores = ops.mean(extras["scores"], axis=2)
        return self.logits(x), new_state, scores

    def logits(self, x):
        x = self.end(x, "decoder")
        if self.tie_output:
            x = self.embeddings["decoder"](x, reverse=True)
        return x if self.output is None else self.output(x)

    def end(self, x, side):
        return x if self.norms[side] is None else self.norms[side](x)


@keras.saving.register_keras_serializable(package="keras_attention")
class OutputBias(keras.layers.Layer):
    """A bias per token, after an embedding that scores tokens.

    Call arguments:
        logits: `(..., V)`.
    """

    def build(self, logits_shape):
        self.bias = self.add_weight(
            (logits_shape[-1],), initializer="zeros", name="bias"
        )

    def call(self, logits):
        return logits + self.bias

    def compute_output_shape(self, logits_shape):
        return logits_shape
