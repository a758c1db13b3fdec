"""RNNSearch, and the same model as a loop of `torch.nn.GRUCell`."""

import keras
import numpy as np
from keras import ops

from benchmarks.steps import (
    between_batches,
    forward,
    forward_and_backward,
    normal,
)
from keras_attention import layers
from keras_attention.decoding import beam_search, greedy
from keras_attention.losses import SparseCategoricalCrossentropy
from keras_attention.models import RNNSearch

BATCH, SOURCE, TARGET, HIDDEN, VOCABULARY = 64, 20, 20, 256, 4000
SIZES = dict(
    embedding_dim=256, hidden_dim=HIDDEN, alignment_dim=256, maxout_dim=256
)
START, END = 1, 2
WORDS = BATCH * TARGET


def batch():
    """Source, shifted target and labels, without padding."""
    rng = np.random.default_rng(0)
    return [
        rng.integers(4, VOCABULARY, (BATCH, length), dtype="int32")
        for length in (SOURCE, TARGET, TARGET)
    ]


def training():
    model = RNNSearch(VOCABULARY, VOCABULARY, **SIZES)
    return step_of_fit(model, *batch())


def step_of_fit(model, source, target, labels, label_smoothing=0.0):
    """A step of `fit` with Adam: the time between the ends of two."""
    model.compile(
        "adam",
        SparseCategoricalCrossentropy(label_smoothing),
        jit_compile=keras.backend.backend() != "torch",
    )
    ids = {"encoder_token_ids": source, "decoder_token_ids": target}
    weights = np.ones(labels.shape, "float32")
    return between_batches(model, (ids, labels, weights))


def decoder():
    layer = layers.AttentionRNN(
        keras.layers.GRUCell(HIDDEN, reset_after=False),
        layers.AdditiveAttention(SIZES["alignment_dim"]),
    )
    inputs = decoder_inputs()
    layer.build(inputs[0].shape, inputs[1].shape)
    mask = np.ones((BATCH, SOURCE), bool)

    def read(words, annotations, state):
        result = layer(
            words,
            annotations,
            memory_mask=mask,
            initial_state=state,
            training=True,
        )
        return ops.concatenate([result["outputs"], result["contexts"]], -1)

    return forward_and_backward(layer, read, inputs)


def decoder_inputs():
    """Embedded words, annotations and the first state."""
    return [
        normal(BATCH, TARGET, SIZES["embedding_dim"]),
        normal(BATCH, SOURCE, 2 * HIDDEN, seed=1),
        normal(BATCH, HIDDEN, seed=2),
    ]


def search(num_beams):
    def make():
        model = RNNSearch(VOCABULARY, VOCABULARY, **SIZES)
        bias = np.zeros(VOCABULARY, "float32")
        bias[END] = -1e9  # so that every sentence takes all steps
        model.output_dense.bias.assign(bias)
        options: dict = dict(
            start_token=START, end_token=END, max_length=TARGET
        )

        def decode(ids):
            memory, state = model.start(ids)
            if num_beams == 1:
                decoded = greedy(model.step, memory, state, **options)
            else:
                decoded = beam_search(
                    model.step, memory, state, num_beams=num_beams, **options
                )
            return decoded.token_ids

        return forward(decode, [batch()[0]])

    return make


# The peer's side is imported where it runs: the others need no torch.
def torch_model():
    import torch

    from benchmarks import rnn_search_torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = rnn_search_torch.RNNSearch(VOCABULARY, **SIZES).to(device)
    ids = [torch.tensor(x, device=device, dtype=torch.long) for x in batch()]
    return model, ids


def torch_training():
    import torch

    from benchmarks.rnn_search_torch import train_step

    model, ids = torch_model()
    optimizer = torch.optim.Adam(model.parameters())
    # Read as `fit` reads it for its progress bar, which waits for the device.
    return lambda: train_step(model, optimizer, *ids).item()


def torch_decoder():
    import torch

    model, (source, *_) = torch_model()
    mask = source != 0
    return forward_and_backward(
        None,
        lambda *inputs: torch.cat(model.decoder(*inputs, mask), -1),
        decoder_inputs(),
        weights=list(model.decoder.parameters()),
    )


def torch_search(num_beams):
    def make():
        import torch

        model, (source, *_) = torch_model()
        with torch.no_grad():
            model.output.bias[END] = -1e9
        limits = (source, TARGET, START, END)
        if num_beams == 1:
            return lambda: model.greedy(*limits).cpu()
        return lambda: model.beam_search(*limits, num_beams).cpu()

    return make
