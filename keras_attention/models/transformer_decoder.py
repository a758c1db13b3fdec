"""What models share that write words with a Transformer's decoder.

Vaswani et al., 2017, section 3. None of this is a layer: the layers are the
model's own, and its weights are saved under their names.
"""

import keras
from keras import layers, ops

from keras_attention.layers.layer_normalization import LayerNormalization
from keras_attention.ops import checks, hypothesis_cache


class TransformerLayers:
    """Makes the layers of a Transformer, of one size and kind.

    Args:
        hidden_dim: Size of embeddings and states; a multiple of `num_heads`.
        num_heads: Heads of each attention.
        intermediate_dim: Size of the feed-forward's wider layer.
        dropout: Share dropped of inputs and of what each part of a block
            adds.
        attention_dropout: Share of the attention scores dropped.
        activation: Activation of the feed-forward layers.
        layer_norm_epsilon: Added to the variance in the normalizations.
        normalize_first: Pre-norm, or post-norm.
        dtype: Policy of all layers.
    """

    def __init__(
        self,
        hidden_dim,
        num_heads,
        intermediate_dim,
        dropout=0.0,
        attention_dropout=0.0,
        activation="relu",
        layer_norm_epsilon=1e-6,
        normalize_first=False,
        dtype=None,
    ):
        for name, size in (
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
        self.hidden_dim, self.dropout, self.dtype = hidden_dim, dropout, dtype
        self.layer_norm_epsilon = layer_norm_epsilon
        self.block_arguments = (
            intermediate_dim,
            num_heads,
            dropout,
            attention_dropout,
            activation,
            layer_norm_epsilon,
            normalize_first,
        )

    def embedding(self, size, name):
        return layers.ReversibleEmbedding(
            size,
            self.hidden_dim,
            embeddings_initializer=keras.initializers.RandomNormal(
                stddev=self.hidden_dim**-0.5
            ),
            dtype=self.dtype,
            name=name,
        )

    def drop(self, name):
        return layers.Dropout(self.dropout, dtype=self.dtype, name=name)

    def blocks(self, block, number, name):
        """A list of so many blocks of a class, `name_block_0` and so on."""
        return [
            block(
                *self.block_arguments,
                dtype=self.dtype,
                name=f"{name}_block_{index}",
            )
            for index in range(number)
        ]

    def norm(self, name):
        return LayerNormalization(
            epsilon=self.layer_norm_epsilon, dtype=self.dtype, name=name
        )

    def output(self, size, tie_output, use_bias=False):
        """What scores words, or what follows an embedding that does."""
        if not tie_output:
            return layers.Dense(
                size, use_bias=use_bias, dtype=self.dtype, name="output"
            )
        if use_bias:
            return OutputBias(dtype=self.dtype, name="output_bias")
        return None


class Embedder:
    """Embeds words and tells where they stand: dropout(scale E[y] + waves).

    Args:
        embedding: `ReversibleEmbedding`.
        positions: `SinePositionEncoding`.
        dropout: `Dropout`.
        scale: Of the embeddings.
    """

    def __init__(self, embedding, positions, dropout, scale):
        self.embedding, self.positions = embedding, positions
        self.dropout, self.scale = dropout, scale

    def __call__(self, token_ids, start=0):
        x = self.embedding(token_ids) * self.scale
        return self.dropout(x + self.positions(x, start_index=start))


class TransformerDecoder:
    """How words go through a Transformer's decoder, symbolic or not.

    Args:
        embed: An `Embedder`.
        blocks: A list of `TransformerDecoderBlock`.
        norm: What normalizes after the last block, or None.
        output: What follows the transposed embedding, or stands in for it;
            None for nothing.
        tie_output: Whether the embedding scores the tokens.
        read_block: Index of the block whose scores are shown.
    """

    def __init__(self, embed, blocks, norm, output, tie_output, read_block):
        self.embed, self.blocks, self.norm = embed, blocks, norm
        self.output, self.tie_output = output, tie_output
        self.read_block = read_block

    def forward(self, token_ids, memory, mask=None, return_scores=False):
        """Logits `(B, T, V)`, and scores `(B, T, S)` if asked for.

        Args:
            token_ids: `(B, T)`, what was written, behind the start token.
            memory: `(B, S, d)`, what is read.
            mask: `(B, S)`, where it may be read; None for everywhere.
            return_scores: Whether the mean over the heads of what the shown
                block reads is returned; None instead if not.
        """
        x, scores = self.embed(token_ids), None
        for index, block in enumerate(self.blocks):
            if return_scores and index == self.read_block:
                x, _, scores = block(
                    x, memory, memory_mask=mask, return_attention_scores=True
                )
                scores = ops.mean(scores, axis=1)
            else:
                x = block(x, memory, memory_mask=mask)
        return self.logits(x), scores

    def start(self, memory, mask, max_length, num_beams):
        """The memory and the first state of `step`, as `Writer.start`."""
        batch = ops.shape(memory)[0]
        state = {
            "shared": [
                block.self_attention.hypothesis_segments(
                    batch, num_beams, max_length
                )
                for block in self.blocks
            ],
            "position": ops.zeros((), "int32"),
        }
        if num_beams > 1:
            state["slots"] = ops.zeros((batch, max_length), "int32")
        return [block.memory(memory, mask=mask) for block in self.blocks], state

    def step(self, token_ids, memory, state):
        """One position of `(B, K)` hypotheses; scores are `(B, K, S)`."""
        position, shared = state["position"], []
        hypotheses = token_ids.shape[1]
        rows = ops.reshape(token_ids, (-1, 1))
        x = self.embed(rows, position)  # (B * K, 1, d)
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
        for index, block in enumerate(self.blocks):
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
        x = x if self.norm is None else self.norm(x)
        if self.tie_output:
            x = self.embed.embedding(x, reverse=True)
        return x if self.output is None else self.output(x)


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
