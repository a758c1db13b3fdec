"""ShowAttendTell over grids, and the same model as a loop of torch."""

import keras
import numpy as np

from benchmarks.steps import between_batches, forward, normal
from keras_attention.decoding import beam_search
from keras_attention.layers import HardAttention, LocalAttention
from keras_attention.losses import Reinforce, SparseCategoricalCrossentropy
from keras_attention.models import ShowAttendTell

BATCH, GRID, LENGTH, VOCABULARY = 64, (14, 14, 512), 16, 10000
SIZES = dict(embedding_dim=512, hidden_dim=512, attention_dim=512)
START, END, SAMPLES = 1, 2, 4
WORDS = BATCH * LENGTH
# Of the rows that compare what a word reads of small and large grids.
FEW, SIDES, WINDOW = 16, (14, 28), 2


def batch(captions=BATCH, grid=GRID):
    """Features, shifted captions and labels, without padding."""
    rng = np.random.default_rng(0)
    ids = (
        rng.integers(4, VOCABULARY, (captions, LENGTH), dtype="int32")
        for _ in range(2)
    )
    return [normal(captions, *grid), *ids]


def make(grid=GRID, **options):
    return ShowAttendTell(
        VOCABULARY, feature_shape=grid, dropout=0.0, **SIZES, **options
    )


def training(captions=BATCH, grid=GRID, **options):
    """A step of `fit` with Adam."""
    model = make(grid, **options)
    model.compile(
        "adam",
        SparseCategoricalCrossentropy(),
        jit_compile=keras.backend.backend() != "torch",
    )
    features, ids, labels = batch(captions, grid)
    inputs = {"features": features, "decoder_token_ids": ids}
    weights = np.ones(labels.shape, "float32")
    return between_batches(model, (inputs, labels, weights))


def hard_training(num_samples=1, captions=BATCH):
    """The same, each caption read with so many draws."""
    baseline = "moving_average" if num_samples == 1 else "leave_one_out"
    return training(
        captions,
        attention=HardAttention(SIZES["attention_dim"]),
        reinforce=Reinforce(baseline, num_samples),
    )


def samples_training():
    """As many readings of fewer captions."""
    return hard_training(SAMPLES, BATCH // SAMPLES)


def reading(kind, side):
    """A function that makes the step for a kind of attention and a grid."""
    grid, units = (side, side, GRID[-1]), SIZES["attention_dim"]
    attentions = {
        "soft": lambda: "soft",
        "hard": lambda: HardAttention(units),
        "window": lambda: LocalAttention(
            WINDOW, "predictive", "concat", units, grid_shape=grid[:2]
        ),
    }
    return lambda: training(FEW, grid, attention=attentions[kind]())


def search(num_beams=5):
    model = make()
    words = model.decoder.word_layer
    # So that every caption takes all steps.
    words.bias.assign(-1e9 * np.eye(VOCABULARY)[END])

    def decode(features):
        memory, state = model.start(features)
        return beam_search(
            model.step,
            memory,
            state,
            start_token=START,
            end_token=END,
            max_length=LENGTH,
            num_beams=num_beams,
        ).token_ids

    return forward(decode, [batch()[0]], model)


# The peer's side is imported where it runs: the others need no torch.
def torch_model():
    import torch

    from benchmarks import show_attend_tell_torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = show_attend_tell_torch.ShowAttendTell(
        VOCABULARY, GRID[-1], **SIZES
    ).to(device)
    features, *ids = batch()
    features = features.reshape(BATCH, -1, GRID[-1])
    tensors = [torch.tensor(features, device=device)]
    tensors += [torch.tensor(x, device=device, dtype=torch.long) for x in ids]
    return model, tensors


def torch_training():
    import torch

    from benchmarks.rnn_search_torch import train_step

    model, tensors = torch_model()
    optimizer = torch.optim.Adam(model.parameters())
    return lambda: train_step(model, optimizer, *tensors).item()


def torch_search(num_beams=5):
    import torch

    model, (features, *_) = torch_model()
    with torch.no_grad():
        model.output.bias[END] = -1e9
    limits = (features, LENGTH, START, END, num_beams)
    return lambda: model.beam_search(*limits).cpu()
