"""The steps of known RNN cells, with the products left to the caller.

What a cell multiplies with its inputs can be done for all steps before a
loop, and the gradient of what it multiplies with its state after it: see
`loops.scan_with_kernels`, whose `affine` these steps call.
"""

import keras
from keras import ops


def steps_of(cell, features, training=False):
    """The steps of a built cell, or None if they are not known here.

    Args:
        cell: A Keras RNN cell.
        features: How many of its inputs are known before the loop; the rest
            are `read` in each step.
        training: Whether its dropout is active.
    """
    dropout = getattr(cell, "dropout", 0) or getattr(
        cell, "recurrent_dropout", 0
    )
    if dropout and training:
        return None
    if type(cell) is keras.layers.LSTMCell:  # a subclass may compute anything
        return LSTMSteps(cell, features)
    if type(cell) is keras.layers.GRUCell:
        return (ResetAfterGRUSteps if cell.reset_after else GRUSteps)(
            cell, features
        )
    return None


class CellSteps:
    """What the steps of the cells share.

    A subclass sets `kernels`, a dict of matrices by name, defines
    `added(inputs)`, a dict of what is added to the products with them, of the
    shape `(T, B, .)` for inputs `(T, B, features)`, and a step:

    `steps(affine, read, states)` returns the output and the new states of a
    step. `affine(name, x)` is `x @ kernels[name]` plus what is added in that
    step, `read` is a list of `(B, .)`, which together are the inputs that
    were not known before, and `states` is a list of `(B, units)`.
    """

    def __init__(self, cell, features):
        self.cell = cell
        kernel, self.recurrent = self.weight("kernel", "recurrent_kernel")
        self.kernel, self.read_kernel = kernel[:features], kernel[features:]
        self.bias = self.weight("bias")[0] if cell.use_bias else None

    def weight(self, *names):
        return [
            ops.cast(
                ops.convert_to_tensor(getattr(self.cell, name)),
                self.cell.compute_dtype,
            )
            for name in names
        ]


class LSTMSteps(CellSteps):
    """`keras.layers.LSTMCell` (Hochreiter and Schmidhuber, 1997)."""

    def __init__(self, cell, features):
        super().__init__(cell, features)
        self.kernels = {"gates": stacked(self.read_kernel, self.recurrent)}

    def added(self, inputs):
        return {"gates": project(inputs, self.kernel, self.bias)}

    def __call__(self, affine, read, states):
        state, memory = states
        squash, gate = self.cell.activation, self.cell.recurrent_activation
        gates = affine("gates", concatenate([*read, state]))
        add, keep, new, show = ops.split(gates, 4, axis=-1)
        memory = gate(keep) * memory + gate(add) * squash(new)
        state = gate(show) * squash(memory)
        return state, [state, memory]


class GRUSteps(CellSteps):
    """`keras.layers.GRUCell` with `reset_after=False` (Cho et al., 2014)."""

    def __init__(self, cell, features):
        super().__init__(cell, features)
        self.size = size = 2 * cell.units  # of the two gates
        self.kernels = {
            "gates": stacked(
                self.read_kernel[:, :size], self.recurrent[:, :size]
            ),
            "candidate": stacked(
                self.read_kernel[:, size:], self.recurrent[:, size:]
            ),
        }

    def added(self, inputs):
        size, bias = self.size, self.bias
        gates, candidate = (
            (None, None)
            if bias is None
            else (
                bias[:size],
                bias[size:],
            )
        )
        return {
            "gates": project(inputs, self.kernel[:, :size], gates),
            "candidate": project(inputs, self.kernel[:, size:], candidate),
        }

    def __call__(self, affine, read, states):
        (state,) = states
        gates = affine("gates", concatenate([*read, state]))
        gates = self.cell.recurrent_activation(gates)
        update, reset = ops.split(gates, 2, axis=-1)
        candidate = affine("candidate", concatenate([*read, reset * state]))
        candidate = self.cell.activation(candidate)
        state = update * state + (1 - update) * candidate
        return state, [state]


class ResetAfterGRUSteps(CellSteps):
    """`keras.layers.GRUCell` with `reset_after=True`, as cuDNN computes."""

    def __init__(self, cell, features):
        super().__init__(cell, features)
        self.kernels = {"state": self.recurrent}
        if self.read_kernel.shape[0]:
            self.kernels["inputs"] = self.read_kernel

    def added(self, inputs):
        bias, state_bias = (
            (None, ops.zeros_like(self.recurrent[0]))
            if self.bias is None
            else (self.bias[0], self.bias[1])
        )
        inputs = project(inputs, self.kernel, bias)
        return {
            "inputs": inputs,
            "state": ops.broadcast_to(state_bias, ops.shape(inputs)),
        }

    def __call__(self, affine, read, states):
        (state,) = states
        inputs = affine("inputs", concatenate(read) if read else None)
        recurrent = affine("state", state)
        size = 2 * self.cell.units  # of the two gates
        gates = inputs[:, :size] + recurrent[:, :size]
        gates = self.cell.recurrent_activation(gates)
        update, reset = ops.split(gates, 2, axis=-1)
        candidate = inputs[:, size:] + reset * recurrent[:, size:]
        candidate = self.cell.activation(candidate)
        state = update * state + (1 - update) * candidate
        return state, [state]


def stacked(first, second):
    """`[x; y] @ stacked(first, second)` is `x @ first + y @ second`."""
    return ops.concatenate([first, second], 0) if first.shape[0] else second


def concatenate(parts):
    """Tensors side by side."""
    return ops.concatenate(parts, -1) if len(parts) > 1 else parts[0]


def project(x, kernel, bias=None):
    """`x @ kernel + bias` on rows, for `x` of `(..., D)`."""
    rows = ops.matmul(ops.reshape(x, (-1, x.shape[-1])), kernel)
    rows = rows if bias is None else rows + bias
    return ops.reshape(rows, (*ops.shape(x)[:-1], kernel.shape[-1]))
