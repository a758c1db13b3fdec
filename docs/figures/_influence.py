"""How far each position of an output moves when one of an input does."""

import keras
import numpy as np


def influence(call, inputs, step=1e-2):
    """`(T, S)`: how far output t moves as input s does, per unit of step.

    Args:
        call: From `(B, S, D)` to `(B, T, D)`.
        inputs: `(1, S, D)`.
    """
    moved = np.repeat(inputs, inputs.shape[1], axis=0)
    direction = np.random.default_rng(0).normal(size=inputs.shape[-1])
    for s in range(len(moved)):
        moved[s, s] += step * direction  # one position in each copy
    before, after = (
        keras.ops.convert_to_numpy(call(x.astype("float32")))
        for x in (inputs, moved)
    )
    return np.linalg.norm(after - before, axis=-1).T / step
