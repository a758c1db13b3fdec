"""What is measured: one function per side, which returns the step to time.

Each is called in a process of its own. Sizes are those of the claims in the
table, `RESULTS.md`.
"""

import dataclasses
from collections.abc import Callable

import keras

from benchmarks.steps import forward, forward_and_backward, normal
from keras_attention import layers

EVERYWHERE = ("tensorflow", "jax", "torch")


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        about: What is measured.
        ours: Returns our step.
        peer: Returns the peer's step; None where ours is measured alone.
        backends: Where.
    """

    about: str
    ours: Callable
    peer: Callable | None
    backends: tuple = EVERYWHERE


def our_additive(length):
    def make():
        layer = layers.AdditiveAttention(128)
        layer.build((1, length, 128), (1, length, 128))
        return forward_and_backward(layer, layer, two_sequences(length))

    return make


def keras_additive(length):
    def make():
        layer = keras.layers.AdditiveAttention()
        layer.build([(1, length, 128)] * 2)
        return forward_and_backward(
            layer, lambda *x: layer(list(x)), two_sequences(length)
        )

    return make


def two_sequences(length):
    return [normal(1, length, 128, seed=seed) for seed in (0, 1)]


def multi_head(layer, length):
    x = normal(1, length, 512)
    layer(x[:, :2], x[:, :2])
    return forward_and_backward(layer, lambda x: layer(x, x), [x])


def local_step(length):
    def make():
        layer = layers.LocalAttention(10, "predictive", "general")
        query, value = normal(8, 128), normal(8, length, 128, seed=1)
        memory = layer.memory(value)
        layer.step(query, memory, {})
        names = list(memory)

        def step(query, *parts):
            memory = dict(zip(names, parts, strict=True))
            return layer.step(query, memory, {})[0]

        return forward(step, [query, *(memory[name] for name in names)])

    return make


ROWS = {
    **{
        f"additive-{length}": Row(
            "AdditiveAttention, forward and backward, B=1, "
            f"T=S={length}, D=units=128; peer keras.layers.AdditiveAttention",
            our_additive(length),
            keras_additive(length),
        )
        for length in (512, 2048)
    },
    **{
        f"additive-{length}": Row(
            f"the same at T=S={length}, ours alone",
            our_additive(length),
            None,
        )
        for length in (4096, 8192)
    },
    **{
        f"multi-head-{length}": Row(
            "MultiHeadAttention, forward and backward, self-attention, B=1, "
            f"T={length}, 8 heads x 64; peer keras.layers.MultiHeadAttention",
            lambda length=length: multi_head(
                layers.MultiHeadAttention(8, 64), length
            ),
            lambda length=length: multi_head(
                keras.layers.MultiHeadAttention(8, 64), length
            ),
        )
        for length in (256, 4096)
    },
    **{
        f"local-step-{length}": Row(
            "LocalAttention, predictive, one step, B=8, D=10, 128 features, "
            f"S={length}, the memory projected before",
            local_step(length),
            None,
        )
        for length in (256, 4096, 16384)
    },
}
