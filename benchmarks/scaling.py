"""How the cost of every layer grows with the length of the sequence.

`LAYERS` has, for each, a function from a length T to a step of forward and
backward, one example of 64 features. Both query and source are T long, except
inside a recurrence, whose source alone grows.
"""

import keras
import numpy as np

from benchmarks.steps import forward_and_backward, normal
from keras_attention import layers

ABOUT = (
    "Forward and backward of each layer, one example of 64 features, T "
    "queries on T positions (inside an `AttentionRNN` 16 steps on T "
    "positions), one run per cell. An exponent is the slope of a line "
    "through the logarithms. A peak of memory holds tens of megabytes that "
    "compilation takes at any T, so that its exponent is below that of what "
    "the layer holds."
)
LENGTHS = (1024, 2048, 4096)
FEATURES, UNITS, STEPS = 64, 64, 16


def step(layer, *shapes, output=None, **call):
    """A step of a layer on arrays of the given shapes."""
    arrays = [normal(*shape, seed=i) for i, shape in enumerate(shapes)]
    # Built on little: the source, if there is one, is cut short.
    layer(*(x[:, :2] if i and x.ndim == 3 else x for i, x in enumerate(arrays)))

    def run(*inputs):
        result = layer(*inputs, **call)
        return result if output is None else result[output]

    return forward_and_backward(layer, run, arrays)


def attention(make, **call):
    """Reads T positions with T queries."""
    return lambda length: step(make(), *[(1, length, FEATURES)] * 2, **call)


def sequence(make, **call):
    """Maps T positions."""
    return lambda length: step(make(length), (1, length, FEATURES), **call)


def recurrence(make):
    """Reads T positions in each of a few steps."""
    return lambda length: step(
        layers.AttentionRNN(keras.layers.GRUCell(FEATURES), make()),
        (1, STEPS, FEATURES),
        (1, length, FEATURES),
        output="outputs",
        training=True,
    )


def of_map(make):
    """Weighs a map of T places, 16 of them high, by one query."""
    return lambda length: step(
        make(), (1, 16, length // 16, FEATURES), (1, FEATURES)
    )


def of_pixels(make, *patches):
    """Embeds T patches of 4 x 4 pixels, 16 of them high."""
    return lambda length: step(
        make(), (1, *patches, 4 * 16, 4 * (length // 16), 3)
    )


def multi_head(**options):
    return attention(
        lambda: layers.MultiHeadAttention(
            4, 16, **{name: make() for name, make in options.items()}
        )
    )


LAYERS = {
    "AdditiveAttention": attention(lambda: layers.AdditiveAttention(UNITS)),
    "HardAttention": attention(
        lambda: layers.HardAttention(UNITS, "straight_through"), training=True
    ),
    "LuongAttention": attention(lambda: layers.LuongAttention("general")),
    "LocalAttention, window 10": attention(
        lambda: layers.LocalAttention(10, "monotonic", "general")
    ),
    "LocalAttention, window 10, predictive": attention(
        lambda: layers.LocalAttention(10, "predictive", "general")
    ),
    "SlidingWindowAttention, window 64": attention(
        lambda: layers.SlidingWindowAttention(4, 16, 64)
    ),
    "MultiHeadAttention": multi_head(),
    "MultiHeadAttention, rotary": multi_head(rotary=layers.RotaryEmbedding),
    "MultiHeadAttention, AlibiBias": multi_head(
        position_bias=lambda: layers.AlibiBias(4)
    ),
    "MultiHeadAttention, RelativePositionBias": multi_head(
        position_bias=lambda: layers.RelativePositionBias(4)
    ),
    'MultiHeadAttention, score="l2"': multi_head(score=lambda: "l2"),
    "TransformerEncoderBlock": sequence(
        lambda length: layers.TransformerEncoderBlock(4 * FEATURES, 4)
    ),
    "TransformerDecoderBlock": attention(
        lambda: layers.TransformerDecoderBlock(4 * FEATURES, 4)
    ),
    "AttentionRNN, AdditiveAttention": recurrence(
        lambda: layers.AdditiveAttention(UNITS)
    ),
    "AttentionRNN, HardAttention": recurrence(
        lambda: layers.HardAttention(UNITS, "straight_through")
    ),
    "AttentionRNN, MonotonicAttention": recurrence(
        lambda: layers.MonotonicAttention(UNITS)
    ),
    "AttentionRNN, LocationAttention": recurrence(
        lambda: layers.LocationAttention(UNITS, 10, 31)
    ),
    "AttentionRNN, CoverageAttention": recurrence(
        lambda: layers.CoverageAttention(UNITS)
    ),
    "SpatialAttention": of_map(lambda: layers.SpatialAttention(UNITS)),
    "ChannelAttention": of_map(lambda: layers.ChannelAttention(UNITS)),
    "SpatialChannelAttention": of_map(
        lambda: layers.SpatialChannelAttention(UNITS)
    ),
    "PatchEmbedding": of_pixels(lambda: layers.PatchEmbedding(4, FEATURES)),
    "TubeletEmbedding": of_pixels(
        lambda: layers.TubeletEmbedding((2, 4, 4), FEATURES), 2
    ),
    "FeedForward": sequence(lambda length: layers.FeedForward(4 * FEATURES)),
    "PositionEmbedding": sequence(layers.PositionEmbedding),
    "SinePositionEncoding": sequence(
        lambda length: layers.SinePositionEncoding()
    ),
    "RotaryEmbedding": sequence(lambda length: layers.RotaryEmbedding()),
    "StochasticDepth": sequence(
        lambda length: layers.StochasticDepth(0.1), training=True
    ),
}


def row(name, length):
    """The name of a layer's row of numbers."""
    return f"scaling/{name}/{length}"


def exponent(costs):
    """The slope of a line through the logarithms."""
    return float(np.polyfit(np.log(LENGTHS), np.log(costs), 1)[0])


HEAD = [
    "layer",
    "backend",
    *(f"s, T={length}" for length in LENGTHS),
    "time exponent",
    *(f"MB, T={length}" for length in LENGTHS),
    "memory exponent",
]


def lines(numbers, backends):
    """The rows of the table, of the runs of `python -m benchmarks`."""
    for name in LAYERS:
        for backend in backends:
            keys = [f"{row(name, length)}/{backend}" for length in LENGTHS]
            if not all(key in numbers for key in keys):
                continue
            cells = [name, backend]
            for what in ("seconds", "megabytes"):
                costs = [
                    float(
                        np.median([run[what] for run in numbers[key]["ours"]])
                    )
                    for key in keys
                ]
                cells += [f"{cost:.3g}" for cost in costs]
                cells.append(f"{exponent(costs):.2f}")
            yield cells
