"""A step of training of Transformer, and of the same in torch and Keras."""

import keras
import numpy as np
from keras import layers, ops

from benchmarks.rnn_search import step_of_fit
from keras_attention.models import Transformer

BATCH, SOURCE, TARGET, VOCABULARY = 64, 24, 26, 8000
LAYERS, HIDDEN, HEADS, INTERMEDIATE = 3, 256, 4, 1024
SMOOTHING, DROPOUT, PAD = 0.1, 0.1, 0
WORDS = BATCH * TARGET


def batch():
    """Source, shifted target and labels, without padding."""
    rng = np.random.default_rng(0)
    return [
        rng.integers(4, VOCABULARY, (BATCH, length), dtype="int32")
        for length in (SOURCE, TARGET, TARGET)
    ]


def training():
    model = Transformer(
        VOCABULARY,
        VOCABULARY,
        num_layers=LAYERS,
        hidden_dim=HIDDEN,
        num_heads=HEADS,
        intermediate_dim=INTERMEDIATE,
        dropout=DROPOUT,
        share_embeddings=True,
    )
    return step_of_fit(model, *batch(), label_smoothing=SMOOTHING)


def keras_training():
    """What Keras's own layers make of it, masks included."""
    embedding = layers.ReversibleEmbedding(VOCABULARY, HIDDEN)
    source = keras.Input((None,), dtype="int32", name="encoder_token_ids")
    target = keras.Input((None,), dtype="int32", name="decoder_token_ids")
    mask = layers.Lambda(lambda ids: (ids != PAD)[:, None])(source)

    def embed(ids):
        positions = layers.Lambda(
            lambda x: x * HIDDEN**0.5 + sinusoids(ops.shape(x)[1]),
            output_shape=lambda shape: shape,
        )
        return layers.Dropout(DROPOUT)(positions(embedding(ids)))

    def attend(x, memory, **masks):
        attention = layers.MultiHeadAttention(HEADS, HIDDEN // HEADS)
        return add_and_norm(x, attention(x, memory, **masks))

    def feed(x):
        inner = layers.Dense(INTERMEDIATE, "relu")(x)
        return add_and_norm(x, layers.Dense(HIDDEN)(inner))

    memory = embed(source)
    for _ in range(LAYERS):
        memory = feed(attend(memory, memory, attention_mask=mask))
    x = embed(target)
    for _ in range(LAYERS):
        x = attend(x, x, use_causal_mask=True)
        x = feed(attend(x, memory, attention_mask=mask))
    model = keras.Model(
        {"encoder_token_ids": source, "decoder_token_ids": target},
        embedding(x, reverse=True),
    )
    return step_of_fit(model, *batch(), label_smoothing=SMOOTHING)


def add_and_norm(x, change):
    change = layers.Dropout(DROPOUT)(change)
    return layers.LayerNormalization(epsilon=1e-6)(layers.add([x, change]))


def sinusoids(length):
    """`(T, D)`: sines, then cosines, of positions."""
    angles = ops.arange(length, dtype="float32")[:, None] * ops.power(
        10000.0, ops.arange(HIDDEN // 2, dtype="float32") * (-2 / HIDDEN)
    )
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)


def torch_training():
    """`torch.nn.Transformer` with tied embeddings, in the same loop."""
    import torch
    from torch import nn

    device = "cuda" if torch.cuda.is_available() else "cpu"
    embedding = nn.Embedding(VOCABULARY, HIDDEN, device=device)
    model = nn.Transformer(
        HIDDEN,
        HEADS,
        LAYERS,
        LAYERS,
        INTERMEDIATE,
        DROPOUT,
        batch_first=True,
        device=device,
    )
    optimizer = torch.optim.Adam([*model.parameters(), *embedding.parameters()])
    positions = torch.tensor(
        ops.convert_to_numpy(sinusoids(max(SOURCE, TARGET))), device=device
    )
    ids = [torch.tensor(x, device=device, dtype=torch.long) for x in batch()]
    source, target, labels = ids
    ahead = model.generate_square_subsequent_mask(TARGET, device, torch.float32)

    def embed(ids):
        x = embedding(ids) * HIDDEN**0.5 + positions[: ids.shape[1]]
        return nn.functional.dropout(x, DROPOUT)

    def step():
        padding = source == PAD
        x = model(
            embed(source),
            embed(target),
            tgt_mask=ahead,
            src_key_padding_mask=padding.float() * -1e9,
            memory_key_padding_mask=padding.float() * -1e9,
            tgt_is_causal=True,
        )
        loss = nn.functional.cross_entropy(
            (x @ embedding.weight.T).flatten(0, 1),
            labels.flatten(),
            ignore_index=PAD,
            label_smoothing=SMOOTHING,
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        # Read as `fit` reads it for its progress bar.
        return loss.item()

    return step
