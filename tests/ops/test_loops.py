import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.ops.loops import scan, scan_with_kernels
from tests.gradients import gradients


def running(decay, inputs, **options):
    """A decaying sum, its square beside it."""

    def step(carry, x):
        total = decay * carry["total"] + x["x"]
        return {"total": total}, {"total": total, "square": total * total}

    carry = {"total": ops.zeros_like(inputs[0])}
    return scan(step, carry, {"x": inputs}, **options)


@pytest.mark.parametrize("convolves", [False, True])
def test_it_is_a_loop_over_time(convolves):
    inputs = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    carry, outputs = running(0.5, ops.array(inputs), convolves=convolves)
    total, totals = np.zeros(3), []
    for x in inputs:
        total = 0.5 * total + x
        totals.append(total)
    for got, expected in (
        (carry["total"], total),
        (outputs["total"], np.stack(totals)),
        (outputs["square"], np.stack(totals) ** 2),
    ):
        np.testing.assert_allclose(
            ops.convert_to_numpy(got), expected, atol=1e-6
        )


def test_it_has_a_gradient_when_compiled():
    inputs = np.ones((3, 1), "float32")
    decay = np.array(0.5, "float32")
    _, by_decay, by_inputs = gradients(
        lambda decay, inputs: running(decay, inputs)[0]["total"][0],
        decay,
        inputs,
        jit_compile=True,
    )
    # total = x2 + d x1 + d^2 x0, times the weight that `gradients` draws.
    weight = np.random.default_rng(0).normal(size=())
    np.testing.assert_allclose(by_decay, weight * (1 + 2 * 0.5), rtol=1e-5)
    np.testing.assert_allclose(
        by_inputs[:, 0], weight * np.array([0.25, 0.5, 1]), rtol=1e-5
    )


def test_kernels_get_the_gradient_of_the_plain_loop():
    rng = np.random.default_rng(0)
    x, kernel, constant = (
        rng.normal(size=shape).astype("float32")
        for shape in ((5, 3, 2), (2, 2), (2,))
    )

    def by_kernels(x, kernel, constant):
        def step(affine, carry, inputs_t, constants):
            new = ops.tanh(affine("state", carry * constants["scale"]))
            return new, new

        last, outputs = scan_with_kernels(
            step,
            ops.ones_like(x[0]),
            {},
            {"scale": constant},
            {"state": kernel},
            {"state": x},
        )
        return ops.concatenate([outputs, last[None]], axis=0)

    def unrolled(x, kernel, constant):
        state, states = ops.ones_like(x[0]), []
        for t in range(5):
            state = ops.tanh(ops.matmul(state * constant, kernel) + x[t])
            states.append(state)
        return ops.stack([*states, state])

    for jit_compile in (False, True):
        got, expected = (
            gradients(f, x, kernel, constant, jit_compile=jit_compile)
            for f in (by_kernels, unrolled)
        )
        for one, other in zip(got, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="of JAX's export")
def test_a_loop_over_convolutions_is_exported_with_an_unknown_length():
    import jax
    from jax import export

    def total(x):
        start = ops.zeros(2)
        return scan(lambda y, x: (y + x, y), start, x, convolves=True)[0]

    spec = jax.ShapeDtypeStruct((*export.symbolic_shape("t"), 2), "float32")
    exported = export.export(jax.jit(total))(spec)
    np.testing.assert_array_equal(exported.call(np.ones((3, 2), "f4")), [3, 3])
