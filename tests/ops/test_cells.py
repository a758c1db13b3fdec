import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention import layers
from keras_attention.ops.cells import steps_of
from tests.gradients import gradients

B, T, S, D, V, N, U, A = 2, 3, 5, 7, 11, 13, 17, 19
MASK = np.array([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]], bool)
KEEP = np.array([[1, 1, 1], [1, 0, 1]], bool)


# A subclass might compute anything, so it takes the plain loop over the cell.
class PlainGRUCell(keras.layers.GRUCell):
    pass


class PlainLSTMCell(keras.layers.LSTMCell):
    pass


BIAS = dict(bias_initializer="glorot_uniform")
GRU, LSTM = keras.layers.GRUCell, keras.layers.LSTMCell
CELLS = {
    "GRU": (GRU, PlainGRUCell, dict(reset_after=False)),
    "GRU without bias": (
        GRU,
        PlainGRUCell,
        dict(reset_after=False, use_bias=False),
    ),
    "GRU, reset after": (GRU, PlainGRUCell, dict(reset_after=True)),
    "GRU, reset after, without bias": (
        GRU,
        PlainGRUCell,
        dict(reset_after=True, use_bias=False),
    ),
    "LSTM": (LSTM, PlainLSTMCell, {}),
    "LSTM without bias": (LSTM, PlainLSTMCell, dict(use_bias=False)),
}
ARGUMENTS = {
    "previous": {},
    "current": dict(query_from="current"),
    "fed": dict(
        query_from="current",
        attentional_layer=A,
        input_feeding=True,
        gate="vector",
    ),
}


def arrays(*shapes):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def make(cell, arguments, dtype=None):
    layer = layers.AttentionRNN(
        cell, layers.AdditiveAttention(U, dtype=dtype), dtype=dtype, **arguments
    )
    layer.build((B, T, D), (B, S, V))
    return layer


def results(layer, values, jit_compile):
    """Outputs, and their gradients by inputs and by every weight."""
    single = not isinstance(layer.cell.state_size, (list, tuple))

    def run(x, memory, state, *weights):
        pairs = zip(layer.trainable_variables, weights, strict=True)
        others = [(v, v.value) for v in layer.non_trainable_variables]
        with keras.StatelessScope([*pairs, *others]):
            result = layer(
                x,
                memory,
                memory_mask=MASK,
                inputs_mask=KEEP,
                initial_state=state if single else [state, 2 * state],
                return_attention_scores=True,
            )
        last = ops.repeat(result["states"]["cell"][-1][:, None], T, axis=1)
        parts = [result[x] for x in ("outputs", "contexts", "scores")]
        parts = [ops.cast(x, "float32") for x in (*parts, last)]
        return ops.concatenate(parts, axis=-1)

    inputs = arrays((B, T, D), (B, S, V), (B, N))
    return gradients(run, *inputs, *values, jit_compile=jit_compile)


@pytest.mark.parametrize(
    "name, arguments, jit_compile",
    [
        *itertools.product(CELLS, ["previous"], [False]),
        *itertools.product(["GRU", "LSTM"], ["current", "fed"], [False]),
        ("GRU", "previous", True),
        ("GRU, reset after", "current", True),
        ("LSTM", "fed", True),
    ],
)
def test_a_known_cell_gives_what_the_loop_over_it_gives(
    name, arguments, jit_compile
):
    known, plain, options = CELLS[name]
    # Eager loops of JAX take minutes.
    jit_compile = jit_compile or keras.backend.backend() == "jax"
    if options.get("use_bias", True) and known is GRU:
        options = {**options, **BIAS}
    fast, slow = (
        make(cell(N, **options), ARGUMENTS[arguments])
        for cell in (known, plain)
    )
    assert steps_of(fast.cell, D) is not None
    assert steps_of(slow.cell, D) is None
    values = [ops.convert_to_numpy(v) for v in fast.trainable_variables]
    for got, expected in zip(
        results(fast, values, jit_compile),
        results(slow, values, jit_compile),
        strict=True,
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_it_computes_in_the_precision_of_its_policy(dtype):
    # Orthogonal kernels, the default, need float32.
    options = dict(reset_after=False, recurrent_initializer="glorot_uniform")
    layer = make(GRU(N, dtype=dtype, **options), {}, dtype)
    exact = make(GRU(N, **options), {})
    exact.set_weights(layer.get_weights())
    x, memory = arrays((B, T, D), (B, S, V))
    outputs = layer(x, memory)["outputs"]
    assert keras.backend.standardize_dtype(outputs.dtype) == dtype[6:]
    np.testing.assert_allclose(
        ops.convert_to_numpy(ops.cast(outputs, "float32")),
        ops.convert_to_numpy(exact(x, memory)["outputs"]),
        atol=3e-2,
    )


@pytest.mark.parametrize("name", ["GRU", "LSTM"])
def test_its_gradients_are_as_precise_as_the_plain_loops(name):
    known, plain, options = CELLS[name]
    # Orthogonal kernels, the default, need float32.
    options = dict(options, recurrent_initializer="glorot_uniform")
    half = "mixed_bfloat16"
    exact = make(plain(N, **options), {})
    fast, slow = (
        make(cell(N, dtype=half, **options), {}, half)
        for cell in (known, plain)
    )
    values = [ops.convert_to_numpy(v) for v in exact.trainable_variables]
    jit_compile = keras.backend.backend() == "jax"
    expected, got, of_loop = (
        results(layer, values, jit_compile) for layer in (exact, fast, slow)
    )
    for true, ours, loops in zip(expected, got, of_loop, strict=True):
        size = np.linalg.norm(true) + 1e-6
        off = np.linalg.norm(ours - true) / size
        assert off < 0.03 + 1.5 * np.linalg.norm(loops - true) / size


def test_a_cell_that_drops_takes_the_plain_loop_in_training_only():
    for kind in ("dropout", "recurrent_dropout"):
        cell = GRU(N, **{kind: 0.5})
        cell.build((B, D))
        assert steps_of(cell, D, training=True) is None
        assert steps_of(cell, D, training=False) is not None
    assert steps_of(keras.layers.StackedRNNCells([GRU(N)]), D) is None
    assert steps_of(keras.layers.SimpleRNNCell(N), D) is None
