import numpy as np
from keras import ops

from keras_attention.ops.loops import scan
from tests.gradients import gradients


def running(decay, inputs):
    """A decaying sum, its square beside it."""

    def step(carry, x):
        total = decay * carry["total"] + x["x"]
        return {"total": total}, {"total": total, "square": total * total}

    carry = {"total": ops.zeros_like(inputs[0])}
    return scan(step, carry, {"x": inputs})


def test_it_is_a_loop_over_time():
    inputs = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    carry, outputs = running(0.5, ops.array(inputs))
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
