"""What every search shares: the loop, its buffers and a checked step.

TensorFlow and JAX compile the loop, and so need every buffer allocated before
it. On torch it is a Python loop that writes into its buffers in place.
"""

import keras
import numpy as np
from keras import ops, tree

# The entry of a state that a search neither expands nor reorders.
SHARED = "shared"


def is_torch():
    return keras.backend.backend() == "torch"


def loop(condition, body, variables, max_iterations):
    """Runs `variables = body(*variables)` as long as `condition` holds.

    The first variable is a position: a Python int on torch, so that writing
    at it needs no transfer from the device.
    """
    if is_torch():
        return _eager_loop(condition, body, variables)
    position, *rest = variables
    return ops.while_loop(
        condition,
        body,
        (ops.convert_to_tensor(position, dtype="int32"), *rest),
        maximum_iterations=max_iterations,
    )


def _eager_loop(condition, body, variables):
    import torch

    with torch.no_grad():
        while condition(*variables):
            variables = body(*variables)
    return variables


def write(buffer, position, value):
    """Returns `buffer` with `buffer[position] = value`; in place on torch."""
    if is_torch():
        buffer[position] = value
        return buffer
    start = [position] + [0] * len(value.shape)
    return ops.slice_update(buffer, start, ops.expand_dims(value, 0))


def batch_size(memory, state):
    """Size of the leading axis: an int, or a tensor where it is unknown."""
    leaves = tree.flatten((memory, state))
    shapes = [ops.shape(leaf) for leaf in leaves if hasattr(leaf, "shape")]
    sizes = [shape[0] for shape in shapes if shape]
    if not sizes:
        raise ValueError(
            "`memory` or `state` must hold a tensor, whose leading axis is "
            f"the batch. Received: memory={memory}, state={state}. Pass, for "
            "example, the encoded source as the memory."
        )
    return next((n for n in sizes if isinstance(n, int)), sizes[0])


def select(values, index):
    """Returns `values[b, index[b, n]]` for values `(B, C)`, index `(B, N)`."""
    batch, columns = ops.shape(values)
    rows = ops.expand_dims(ops.arange(0, batch, dtype="int32"), 1) * columns
    return ops.take(ops.reshape(values, (-1,)), rows + index, axis=0)


def flat_rows(beams, num_beams):
    """Rows `b * num_beams + beams[b, k]` of `(B, K)` beams, flattened."""
    sources = ops.arange(0, ops.shape(beams)[0], dtype="int32")
    rows = ops.expand_dims(sources * num_beams, 1) + beams
    return ops.reshape(rows, (-1,))


def shared_leaves(state):
    """Of each leaf of a state, whether it stands under the key `"shared"`."""
    if not isinstance(state, dict):
        return [False] * len(tree.flatten(state))
    return tree.flatten(
        {
            name: tree.map_structure(lambda _, name=name: name == SHARED, part)
            for name, part in state.items()
        }
    )


def reorder(leaves, rows, shared):
    """Takes rows of each tensor; scalars and what is shared stay.

    One flat `take`, since `take_along_axis` over a cache is many times slower
    on TensorFlow.
    """
    return tuple(
        leaf if stays or not len(leaf.shape) else ops.take(leaf, rows, axis=0)
        for leaf, stays in zip(leaves, shared, strict=True)
    )


def log_normalizer(logits):
    """Returns log sum exp over the vocabulary, `(B, K, 1)`.

    Zero where all logits are -inf: such a hypothesis cannot go on, and its
    log probabilities stay -inf instead of turning into NaN.
    """
    total = ops.logsumexp(logits, axis=-1, keepdims=True)
    return ops.where(total > -np.inf, total, ops.zeros_like(total))


def ban(logits, tokens):
    """Makes some tokens impossible, without renormalizing the others."""
    if not tokens:
        return logits
    banned = np.zeros((logits.shape[-1],), "bool")
    banned[list(tokens)] = True
    return ops.where(ops.convert_to_tensor(banned), -np.inf, logits)


def checked_step(step, memory, state, tokens, needed):
    """Wraps `step` so that it takes leaves and is held to its contract.

    Args:
        step: `step(token_ids, memory, state) -> logits, state, extras`.
        memory: Passed to `step` as it is.
        state: A nest of the structure that `step` takes and returns.
        tokens: `{argument name: token}`, all to be found in the vocabulary.
        needed: `{extra: who needs it}`.

    Returns:
        A function of `token_ids` and the leaves of a state. It returns
        float32 logits `(B, K, V)`, new leaves and the extras needed.
    """

    def run(token_ids, leaves):
        outputs = step(
            token_ids, memory, tree.pack_sequence_as(state, list(leaves))
        )
        if not isinstance(outputs, (tuple, list)) or len(outputs) != 3:
            raise ValueError(
                "`step` must return three things: logits, state, extras. "
                f"Received: {type(outputs).__name__}. Return {{}} for a state "
                "or extras of which there are none."
            )
        logits, new_state, extras = outputs
        _check_logits(logits, token_ids, tokens)
        new_leaves = _check_state(state, leaves, new_state)
        for name, reason in needed.items():
            _check_extra(extras, name, reason, token_ids)
        extras = {name: ops.convert_to_tensor(extras[name]) for name in needed}
        return ops.cast(logits, "float32"), new_leaves, extras

    return run


def _check_logits(logits, token_ids, tokens):
    shape = tuple(logits.shape)
    hypotheses = token_ids.shape[1]
    if len(shape) != 3 or shape[1] not in (None, hypotheses) or not shape[2]:
        raise ValueError(
            "`step` must return logits of shape (B, K, V), with K "
            f"hypotheses and a known V. Received: logits.shape={shape}, "
            f"K={hypotheses}. Keep the axis of hypotheses, K=1 included."
        )
    for name, token in tokens.items():
        if not 0 <= token < shape[2]:
            raise ValueError(
                f"`{name}` must be in the vocabulary, 0 to {shape[2] - 1}. "
                f"Received: {name}={token}. Check which vocabulary it is of."
            )


def _check_state(state, leaves, new_state):
    try:
        tree.assert_same_structure(state, new_state)
    except (ValueError, TypeError) as error:
        raise ValueError(
            "`step` must return a state of the structure that it was given. "
            f"Received: {new_state} for {state}. Return every part of it, "
            "changed or not."
        ) from error
    new_leaves = []
    for old, new in zip(leaves, tree.flatten(new_state), strict=True):
        new = ops.convert_to_tensor(new)
        if _kind(old) != _kind(new):
            raise ValueError(
                "`step` must return a state of the shapes and dtypes that it "
                f"was given. Received: {tuple(new.shape)} {new.dtype} for "
                f"{tuple(old.shape)} {old.dtype}. Create the state in the "
                "dtype that `step` computes in, and a cache at full length."
            )
        if tuple(old.shape) != tuple(new.shape):  # one of them is unknown
            new = ops.reshape(new, ops.shape(old))
        new_leaves.append(new)
    return tuple(new_leaves)


def _kind(leaf):
    """Dtype, rank and all of the shape that a step could get wrong."""
    shape = tuple(leaf.shape)
    return keras.backend.standardize_dtype(leaf.dtype), len(shape), shape[1:]


def _check_extra(extras, name, reason, token_ids):
    if name not in extras:
        raise ValueError(
            f"`step` must return {name!r} in its extras for {reason}. "
            f"Received: extras={sorted(extras)}. Ask the attention layer for "
            "it in `step`, or leave the argument out."
        )
    shape = tuple(extras[name].shape)
    if len(shape) < 2 or shape[1] not in (None, token_ids.shape[1]):
        raise ValueError(
            f"Extras must have the shape (B, K, ...), K={token_ids.shape[1]}. "
            f"Received: {name} of shape {shape}."
        )


def extras_like(step, token_ids, state, batch):
    """Returns zeros `(B, K, ...)` for each extra that `step` is asked for.

    They come from a step of which only the shapes are used; a compiler drops
    the rest. On torch, where buffers can wait for the first values, `{}`.
    """
    if is_torch():
        return {}
    _, _, extras = step(token_ids, state)
    return {
        name: ops.zeros(
            (batch, token_ids.shape[1], *ops.shape(value)[2:]),
            dtype=keras.backend.standardize_dtype(value.dtype),
        )
        for name, value in extras.items()
    }


def over_time(value, max_length):
    """Returns zeros `(T, *value.shape)`."""
    dtype = keras.backend.standardize_dtype(value.dtype)
    return ops.zeros((max_length, *ops.shape(value)), dtype=dtype)


def record(buffers, position, values, max_length):
    """Returns a dict of buffers `(T, ...)` with `values` at `position`."""
    return {
        name: write(
            buffers[name] if name in buffers else over_time(value, max_length),
            position,
            value,
        )
        for name, value in values.items()
    }


def zero_behind(values, lengths):
    """Zeros `(..., T, *)` from position `lengths` `(...)` on."""
    leading = len(lengths.shape)
    inside = within(lengths, ops.shape(values)[leading])  # (..., T)
    for _ in range(len(values.shape) - leading - 1):
        inside = ops.expand_dims(inside, -1)
    return ops.where(inside, values, ops.zeros_like(values))


def within(lengths, max_length):
    """Returns booleans `(..., T)`: is position t before `lengths`?"""
    positions = ops.arange(0, max_length, dtype="int32")
    return positions < ops.expand_dims(lengths, -1)
