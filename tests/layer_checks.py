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


@dataclasses.dataclass(frozen=True)
class Case:
    """A layer, how it is called and which promises concern it.

    Args:
        make: Makes the layer; keyword arguments override.
        shapes: From call argument to the shape of the tensor it takes.
        attends: It has the call form `layer(query, value)`.
        masks: From mask argument to the tensor that it masks.
        has_scores: It takes `return_attention_scores`.
        has_dropout: It takes a `dropout`.
        smooth: A small step of the inputs moves the output by a small one,
            and moves it at all.
    """

    make: Callable
    shapes: dict
    attends: bool = False
    masks: dict = dataclasses.field(default_factory=dict)
    has_scores: bool = False
    has_dropout: bool = False
    smooth: bool = True

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
        partial(layers.TransformerEncoderBlock, 13, 2, activation="gelu"),
        masks={"padding_mask": "inputs"},
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
        ),
        {"inputs": (B, T, D), "memory": (B, S, V)},
        masks={"padding_mask": "inputs", "memory_mask": "memory"},
        has_scores=True,
        has_dropout=True,
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
    "rotary positions": sequence(partial(layers.RotaryEmbedding)),
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


def functional(layer, case, **kwargs):
    """A model of the layer, sizes other than features unknown."""
    symbolic = {
        name: keras.Input((None, shape[-1]), name=name)
        for name, shape in case.shapes.items()
    }
    return keras.Model(symbolic, layer(**symbolic, **kwargs))


def mask_of(case, argument, readable):
    """A mask argument whose rows read the first `readable` positions."""
    length = case.shapes[case.masks[argument]][1]
    return np.arange(length)[None] < np.asarray(readable)[:, None]


def arguments_of(thing):
    """The constructor arguments of a layer, `kwargs` left out."""
    parameters = inspect.signature(type(thing).__init__).parameters.values()
    return {
        p.name
        for p in parameters
        if p.name != "self" and p.kind is not p.VAR_KEYWORD
    }
