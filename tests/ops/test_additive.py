import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import AdditiveAttention
from keras_attention.ops import additive
from tests.gradients import gradients


def inputs(seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    shapes = dict(
        query=(2, 7, 3), key=(2, 11, 3), vector=(3,), value=(2, 11, 5)
    )
    return [
        rng.normal(size=shape, scale=scale).astype("float32")
        for shape in shapes.values()
    ]


MASKS = {
    "none": None,
    "keys": np.arange(11)[None, None] < np.array([11, 4])[:, None, None],
    "pairs": np.random.default_rng(1).random((1, 7, 11)) < 0.5,
    "one row empty": np.arange(7)[None, :, None] != 2,
    "nothing": np.zeros((2, 1, 11), bool),
}


def reference(query, key, vector, value, mask):
    """Bahdanau et al., 2015, appendix A.1.2, one pair at a time."""
    mask = np.ones((2, 7, 11), bool) if mask is None else mask
    mask = np.broadcast_to(mask, (2, 7, 11))
    output, scores = np.zeros((2, 7, 5)), np.zeros((2, 7, 11))
    for b, t in np.ndindex(2, 7):
        readable = [s for s in range(11) if mask[b, t, s]]
        logits = [vector @ np.tanh(query[b, t] + key[b, s]) for s in readable]
        powers = np.exp(logits)
        for s, power in zip(readable, powers, strict=True):
            scores[b, t, s] = power / powers.sum()
        output[b, t] = scores[b, t] @ value[b]
    return output, scores


def attention(mask, scores):
    def read(query, key, vector, value):
        output, given = additive.additive_attention(
            query,
            key,
            value,
            vector,
            mask=None if mask is None else ops.convert_to_tensor(mask),
            return_scores=scores,
        )
        return (output, given) if scores else output

    return read


@pytest.fixture(params=["plain", "blocks of 1", "blocks of 4"])
def path(request, monkeypatch):
    """The same numbers must come out however the pairs are computed."""
    if request.param != "plain":
        monkeypatch.setattr(additive, "PAIRS_AT_ONCE", 0)
        rows = int(request.param[-1])
        for module in modules_with_block_rows():
            monkeypatch.setattr(module, "block_rows", lambda *_: rows)
    return request.param


def modules_with_block_rows():
    if keras.backend.backend() != "torch":
        return [additive]
    from keras_attention.ops import additive_torch

    return [additive, additive_torch]


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("scores", [False, True])
def test_every_path_equals_a_loop_over_pairs(path, scores, mask):
    arrays = inputs()
    expected = reference(*arrays, mask)
    got = attention(mask, scores)(*map(ops.convert_to_tensor, arrays))
    got = got if scores else (got,)
    for ours, theirs in zip(got, expected, strict=False):
        np.testing.assert_allclose(
            ops.convert_to_numpy(ours), theirs, atol=2e-6
        )


@pytest.mark.parametrize("mask", ["none", "pairs", "nothing"])
@pytest.mark.parametrize("scores", [False, True])
def test_every_path_has_the_gradient_of_finite_differences(path, scores, mask):
    arrays, mask = inputs(), MASKS[mask]

    def compute(*arguments):
        got = attention(mask, scores)(*arguments)
        return ops.concatenate(got, axis=-1) if scores else got

    value, *found = gradients(compute, *arrays, jit_compile=True)
    weight = np.random.default_rng(3).normal(size=value.shape)  # as `gradients`

    def loss(*arguments):
        got = reference(*arguments, mask)
        return (np.concatenate(got[: 1 + scores], -1) * weight).sum()

    for index, gradient in enumerate(found):
        expected = np.zeros(arrays[index].shape)
        for position in np.ndindex(arrays[index].shape):
            moved = []
            for step in (1e-5, -1e-5):
                shifted = [array.astype("float64") for array in arrays]
                shifted[index][position] += step
                moved.append(loss(*shifted))
            expected[position] = (moved[0] - moved[1]) / 2e-5
        np.testing.assert_allclose(gradient, expected, atol=1e-5)


def test_large_features_of_opposite_sign_still_meet(path):
    query, key, vector, value = inputs()
    query, key = query + 60, key - 60
    got = attention(None, True)(
        *map(ops.convert_to_tensor, (query, key, vector, value))
    )
    expected = reference(
        *(x.astype("float64") for x in (query, key, vector, value)), None
    )
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(ours), theirs, atol=1e-5
        )


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_last_batch_of_one_example_trains(jit_compile):
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("torch compiles by another way, which Keras leaves off")
    query, value = keras.Input((5, 3)), keras.Input((7, 3))
    model = keras.Model([query, value], AdditiveAttention(11)(query, value))
    model.compile("sgd", "mse", jit_compile=jit_compile)
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(5, length, 3)) for length in (5, 7)]
    losses = model.fit(x, x[0], batch_size=4, epochs=3, verbose=0).history
    assert losses["loss"][-1] < losses["loss"][0]
