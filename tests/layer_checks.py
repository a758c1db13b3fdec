"""The promises that all layers share, and the table of layers they bind.

`tests/layers/test_contract.py` applies every check here to every case. A new
public layer gets a line in `CASES`; a test compares the table with `__all__`.
"""

import dataclasses
import inspect
from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention import layers

B, T, S = 2, 5, 7  # batch, query positions, memory positions
D, V = 6, 11  # features of query and memory
HEIGHT, WIDTH = 4, 3  # of a feature map


@dataclasses.dataclass(frozen=True)
class Case:
    """A layer, how it is called and which promises concern it.

    Args:
        make: Makes the layer; keyword arguments override.
        shapes: From call argument to the shape of the tensor it takes.
        attends: It has the call form `layer(query, value)`.
        steps: It also has `memory` and `step`; a window around the query has
            not, since a memory has no positions around it.
        masks: From mask argument to the tensor that it masks.
        has_scores: It takes `return_attention_scores`.
        has_dropout: It takes a `dropout`.
        smooth: A small step of the inputs moves the output by a small one,
            and moves it at all.
        of_pairs: The output is about pairs of positions, so that no layer
            that wants features can follow.
        multiple: What the sizes of axis 1 have to be a multiple of.
        fixed: Arguments of which only the batch may have another size.
    """

    make: Callable
    shapes: dict
    attends: bool = False
    steps: bool = True
    masks: dict = dataclasses.field(default_factory=dict)
    has_scores: bool = False
    has_dropout: bool = False
    smooth: bool = True
    of_pairs: bool = False
    multiple: int = 1
    fixed: tuple = ()

    def inputs(self, seed=0):
        rng = np.random.default_rng(seed)
        return {
            name: rng.normal(size=shape).astype("float32")
            for name, shape in self.shapes.items()
        }


def attention(make, query=(B, T, D), value=(B, S, V), **kwargs):
    return Case(
        make,
        {"query": query, "value": value},
        attends=True,
        masks={"query_mask": "query", "value_mask": "value"},
        has_scores=True,
        **{"has_dropout": True, **kwargs},
    )


def sequence(make, **kwargs):
    return Case(make, {"inputs": (B, T, D)}, **kwargs)


def bias(make):
    """A bias of pairs, which takes its input for the length alone."""
    return Case(make, {"query": (B, T, D)}, smooth=False, of_pairs=True)


def feature_map(make, query=(B, D), **kwargs):
    masks = {"features_mask": "features"}
    if len(query) == 3:
        masks["query_mask"] = "query"
    return Case(
        make,
        {"features": (B, HEIGHT, WIDTH, V), "query": query},
        masks=masks,
        has_scores=True,
        **kwargs,
    )


def recurrent(cell, attention, **arguments):
    """An AttentionRNN of parts that get the policy of the whole."""

    def make(**kwargs):
        dtype = kwargs.get("dtype")
        # Orthogonal kernels, the default, need float32.
        kernel = {"recurrent_initializer": "glorot_uniform"}
        return layers.AttentionRNN(
            cell(D, dtype=dtype, **kernel),
            attention(dtype=dtype),
            **{**arguments, **kwargs},
        )

    return Case(
        make,
        {"inputs": (B, T, D), "memory": (B, S, V)},
        masks={"memory_mask": "memory"},
        has_scores=True,
    )


def partial(layer, *args, **defaults):
    return lambda **kwargs: layer(*args, **{**defaults, **kwargs})


SAME = dict(query=(B, T, D), value=(B, S, D))

CASES = {
    "additive": attention(partial(layers.AdditiveAttention, 3)),
    "additive with all options": attention(
        partial(layers.AdditiveAttention, 3, use_bias=True, normalize=True)
    ),
    "hard": attention(
        partial(layers.HardAttention, 3, "straight_through"), has_dropout=False
    ),
    "luong dot": attention(partial(layers.LuongAttention), **SAME),
    "luong general": attention(partial(layers.LuongAttention, "general")),
    "luong concat": attention(
        partial(layers.LuongAttention, "concat", units=3)
    ),
    "luong location": attention(
        partial(layers.LuongAttention, "location", max_length=13)
    ),
    "local monotonic": attention(
        partial(layers.LocalAttention, 2, "monotonic", "general")
    ),
    "local predictive": attention(
        partial(layers.LocalAttention, 2, "predictive", "general"),
        smooth=False,
    ),
    # A window narrow enough for the path that gathers it.
    "local predictive, narrow": attention(
        partial(layers.LocalAttention, 1, "predictive", "general"),
        value=(B, 17, V),
        smooth=False,  # a window that moves takes in other positions
    ),
    "local monotonic, narrow": attention(
        partial(layers.LocalAttention, 1, "monotonic", "general"),
        value=(B, 17, V),
    ),
    "local on a grid": attention(
        partial(
            layers.LocalAttention,
            1,
            "predictive",
            "general",
            grid_shape=(HEIGHT, WIDTH),
        ),
        value=(B, HEIGHT * WIDTH, V),
        smooth=False,
        fixed=("value",),
    ),
    "local on a grid, narrow": attention(
        partial(
            layers.LocalAttention,
            1,
            "predictive",
            "concat",
            units=3,
            grid_shape=(6, 7),
        ),
        value=(B, 6 * 7, V),
        smooth=False,
        fixed=("value",),
    ),
    # Enough mass for all steps: by default a reader passes such a short
    # source in the first.
    "monotonic": attention(
        partial(layers.MonotonicAttention, 3, initial_score_bias=-0.5)
    ),
    "monotonic, recursive, general": attention(
        partial(
            layers.MonotonicAttention,
            3,
            "recursive",
            "general",
            initial_score_bias=-0.5,
        )
    ),
    "location": attention(
        partial(
            layers.LocationAttention,
            3,
            5,
            3,
            sharpening=2.0,
            smoothing=True,
            normalize=True,
        )
    ),
    "coverage": attention(
        partial(
            layers.CoverageAttention,
            3,
            fertility=2.0,
            use_bias=True,
            normalize=True,
        )
    ),
    "multi-head": attention(partial(layers.MultiHeadAttention, 2, 3)),
    "multi-head, grouped": attention(
        partial(layers.MultiHeadAttention, 4, 3, num_key_value_heads=2)
    ),
    "multi-head, rotary": attention(
        lambda **kwargs: layers.MultiHeadAttention(
            2, 4, rotary=layers.RotaryEmbedding(), **kwargs
        ),
        steps=False,
    ),
    "multi-head, ALiBi": attention(
        lambda **kwargs: layers.MultiHeadAttention(
            3, 4, position_bias=layers.AlibiBias(3), **kwargs
        ),
        steps=False,
    ),
    "multi-head, relative bias": attention(
        lambda **kwargs: layers.MultiHeadAttention(
            2, 3, position_bias=layers.RelativePositionBias(2, 4, 5), **kwargs
        ),
        steps=False,
    ),
    "multi-head, l2": attention(
        partial(layers.MultiHeadAttention, 2, 3, score="l2"), **SAME
    ),
    # Long enough, beside its window, for the path by bands.
    "multi-head, sliding window": attention(
        partial(
            layers.MultiHeadAttention,
            4,
            3,
            sliding_window=3,
            num_key_value_heads=2,
        ),
        value=(B, 67, V),
        steps=False,
    ),
    "sliding window": attention(
        lambda **kwargs: layers.SlidingWindowAttention(
            2, 4, 2, position_bias=layers.AlibiBias(2), **kwargs
        ),
        value=(B, 67, V),
        steps=False,
    ),
    "sliding window, causal, of one sequence": Case(
        partial(layers.SlidingWindowAttention, 2, 3, 2, causal=True),
        {"query": (B, 37, D)},
        steps=False,
        masks={"mask": "query"},
        has_scores=True,
        has_dropout=True,
    ),
    "attention rnn": recurrent(
        keras.layers.GRUCell, partial(layers.AdditiveAttention, 3)
    ),
    "attention rnn, Luong's": recurrent(
        keras.layers.LSTMCell,
        partial(layers.LuongAttention, "general"),
        query_from="current",
        attentional_layer=5,
        gate="vector",
        input_feeding=True,
    ),
    "attention rnn, hard": recurrent(
        keras.layers.GRUCell,
        partial(layers.HardAttention, 3, "gumbel_straight_through"),
    ),
    "attention rnn, monotonic": recurrent(
        keras.layers.GRUCell,
        partial(
            layers.MonotonicAttention,
            3,
            sigmoid_noise=1.0,
            initial_score_bias=-0.5,
        ),
    ),
    "attention rnn, location": recurrent(
        keras.layers.LSTMCell,
        partial(layers.LocationAttention, 3, 5, 3),
        query_from="current",
        attentional_layer=5,
    ),
    "attention rnn, coverage": recurrent(
        keras.layers.GRUCell,
        partial(layers.CoverageAttention, 3),
    ),
    "encoder block": sequence(
        partial(
            layers.TransformerEncoderBlock,
            13,
            2,
            activation="gelu",
            intermediate_dropout=0.1,
            layer_scale=0.5,
        ),
        masks={"padding_mask": "inputs"},
        has_scores=True,
        has_dropout=True,
    ),
    "space-time block": Case(
        partial(
            layers.SpaceTimeEncoderBlock,
            13,
            2,
            time_initializer=None,
            activation="gelu",
            stochastic_depth=0.1,
        ),
        {"inputs": (B, T, 3, D)},
        has_scores=True,
        has_dropout=True,
    ),
    "space-time block, dot product": Case(
        partial(
            layers.SpaceTimeEncoderBlock,
            13,
            2,
            "dot_product",
            activation="gelu",
            recompute=True,
        ),
        {"inputs": (B, T, 3, D)},
        has_scores=True,
        has_dropout=True,
    ),
    "decoder block": Case(
        partial(
            layers.TransformerDecoderBlock,
            13,
            2,
            activation="gelu",
            normalize_first=True,
            layer_scale=0.5,
            stochastic_depth=0.1,
        ),
        {"inputs": (B, T, D), "memory": (B, S, V)},
        masks={"padding_mask": "inputs", "memory_mask": "memory"},
        has_scores=True,
        has_dropout=True,
    ),
    "spatial": feature_map(partial(layers.SpatialAttention, 5)),
    "channel, over time": feature_map(
        partial(layers.ChannelAttention, 5, rescale=False), query=(B, T, D)
    ),
    "channel and spatial": feature_map(
        partial(layers.SpatialChannelAttention, 5)
    ),
    "spatial and channel, over time": feature_map(
        partial(layers.SpatialChannelAttention, 5, order="spatial_channel"),
        query=(B, T, D),
    ),
    "patches": Case(
        partial(layers.PatchEmbedding, (3, 2), 7),
        {"images": (B, 6, 10, 3)},
        multiple=3,
    ),
    "patches, overlapping": Case(
        partial(layers.PatchEmbedding, (3, 2), 7, overlap=2),
        {"images": (B, 6, 10, 3)},
        multiple=3,
    ),
    "tubelets": Case(
        partial(layers.TubeletEmbedding, (2, 3, 5), 7),
        {"video": (B, 4, 6, 10, 3)},
        multiple=2,
    ),
    "prefix tokens": sequence(
        partial(layers.PrefixTokens, 2, "random_normal"), smooth=False
    ),
    "attention pooling": sequence(
        partial(layers.AttentionPooling, 2, 13),
        masks={"inputs_mask": "inputs"},
        has_scores=True,
    ),
    "feed-forward": sequence(
        partial(layers.FeedForward, 13, activation="gelu"), has_dropout=True
    ),
    "sine positions": sequence(
        partial(layers.SinePositionEncoding), smooth=False
    ),
    "learned positions": sequence(
        partial(layers.PositionEmbedding, 13), smooth=False
    ),
    "learned positions, resampled": sequence(
        partial(
            layers.PositionEmbedding,
            grid_shape=(13,),
            num_prefix_tokens=1,
            interpolation="bicubic_antialias",
        ),
        smooth=False,
    ),
    "learned positions of an image": Case(
        partial(
            layers.PositionEmbedding,
            grid_shape=(2, 5),
            interpolation="bilinear_align_corners",
        ),
        {"inputs": (B, HEIGHT, WIDTH, D)},
        smooth=False,
    ),
    "learned positions of a video": Case(
        partial(
            layers.PositionEmbedding,
            grid_shape=(3, 2, 3),
            interpolation="bicubic",
        ),
        {"inputs": (B, 2, HEIGHT, WIDTH, D)},
        smooth=False,
    ),
    "rotary positions": sequence(partial(layers.RotaryEmbedding)),
    "ALiBi": bias(partial(layers.AlibiBias, 3)),
    "relative bias": bias(partial(layers.RelativePositionBias, 3, 8, 5)),
    "relative bias of offsets": bias(
        partial(layers.RelativePositionBias, 3, None, 3, bidirectional=False)
    ),
    "stochastic depth": sequence(partial(layers.StochasticDepth, 0.5)),
}


def names(condition=lambda case: True):
    """Parametrizes a test with the names of the cases that it concerns."""
    chosen = [name for name, case in CASES.items() if condition(case)]
    return pytest.mark.parametrize("name", chosen)


def fresh(name, **kwargs):
    """A layer of a case, with parts of its own, and the case."""
    keras.utils.set_random_seed(3)
    layer = CASES[name].make(**kwargs)
    # A cell or attention in the table would be shared by all tests.
    return type(layer).from_config(layer.get_config()), CASES[name]


def main(result):
    """The output proper of what a call returned."""
    if isinstance(result, dict):
        return result["outputs"]
    return result[0] if isinstance(result, (tuple, list)) else result


def numpy(result):
    return keras.tree.map_structure(
        lambda x: np.asarray(ops.convert_to_numpy(ops.cast(x, "float32"))),
        result,
    )


def run(layer, case, inputs=None, **kwargs):
    """Calls a layer and returns its output proper as float32 NumPy."""
    return numpy(main(layer(**(inputs or case.inputs()), **kwargs)))


def unknown(shape):
    """A shape with all sizes but that of the features unknown."""
    return (*(None for _ in shape[:-1]), shape[-1])


def functional(layer, case, **kwargs):
    """A model of the layer, sizes other than features unknown."""
    symbolic = {
        name: keras.Input(
            (shape if name in case.fixed else unknown(shape))[1:], name=name
        )
        for name, shape in case.shapes.items()
    }
    return keras.Model(symbolic, layer(**symbolic, **kwargs))


def mask_of(case, argument, readable):
    """A mask argument whose rows read the first `readable` positions."""
    sizes = case.shapes[case.masks[argument]][1:-1]
    positions = np.arange(np.prod(sizes)).reshape(1, *sizes)
    readable = np.asarray(readable)
    return positions < readable.reshape(-1, *(1 for _ in sizes))


def arguments_of(thing):
    """The constructor arguments of a layer, `kwargs` left out."""
    parameters = inspect.signature(type(thing).__init__).parameters.values()
    return {
        p.name
        for p in parameters
        if p.name != "self" and p.kind is not p.VAR_KEYWORD
    }
