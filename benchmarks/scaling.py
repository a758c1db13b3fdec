"""How the cost of every layer grows with the length of the sequence.

`LAYERS` has a forward and backward step of each layer for a length T; the
source is as long. `table` fits the exponents of time and memory.
"""

import keras
import numpy as np
from keras import ops

from benchmarks.steps import forward_and_backward, normal
from keras_attention import layers

LENGTHS = (256, 512, 1024, 2048)
D = 64  # features everywhere
STEPS = 16  # of a decoder, whose source alone grows


def attention(make, queries=None, **call):
    """A layer that reads T positions with T queries, or with a few."""

    def step(length):
        layer = make()
        arrays = [
            normal(1, queries or length, D),
            normal(1, length, D, seed=1),
        ]
        layer(*(x[:, :2] for x in arrays))
        return forward_and_backward(layer, lambda *x: layer(*x, **call), arrays)

    return step


def sequence(make):
    def step(length):
        layer = make(length)
        x = normal(1, length, D)
        layer(x)
        return forward_and_backward(layer, layer, [x])

    return step


def block(make):
    def step(length):
        layer = make()
        arrays = [normal(1, length, D), normal(1, length, D, seed=1)]
        layer(*arrays)
        return forward_and_backward(layer, layer, arrays)

    return step


def recurrent(length):
    layer = layers.AttentionRNN(
        keras.layers.GRUCell(D), layers.AdditiveAttention(D)
    )
    arrays = [normal(1, STEPS, D), normal(1, length, D, seed=1)]
    layer(*arrays)

    def outputs(*inputs):
        return layer(*inputs, training=True)["outputs"]

    return forward_and_backward(layer, outputs, arrays)
