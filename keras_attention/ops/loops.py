import keras
from keras import tree


def scan(step, carry, inputs, length=None):
    """Runs a recurrence over axis 0, with a gradient on every backend.

    `keras.ops.scan` has no gradient under XLA on TensorFlow and wants outputs
    of the structure of the carry; this is the loop a recurrent decoder needs.

    Args:
        step: `step(carry, inputs_t) -> (carry, outputs_t)`. Structure,
            shapes and dtypes of the carry do not change.
        carry: A nest of tensors.
        inputs: A nest of tensors `(T, ...)`.
        length: T, where `inputs` is empty.

    Returns:
        The last carry, and the outputs stacked to `(T, ...)`.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.lax.scan(step, carry, inputs, length=length)
    if backend == "tensorflow":
        return _scan_tensorflow(step, carry, inputs, length)
    return _scan_torch(step, carry, inputs, length)


def _scan_torch(step, carry, inputs, length):
    import torch

    if length is None:
        length = tree.flatten(inputs)[0].shape[0]
    outputs = []
    for t in range(length):
        inputs_t = tree.map_structure(lambda x, t=t: x[t], inputs)
        carry, outputs_t = step(carry, inputs_t)
        outputs.append(outputs_t)
    return carry, tree.map_structure(lambda *x: torch.stack(x), *outputs)


def _scan_tensorflow(step, carry, inputs, length):
    import tensorflow as tf

    flat_inputs = tree.flatten(inputs)
    if length is None:
        length = flat_inputs[0].shape[0]
        length = tf.shape(flat_inputs[0])[0] if length is None else length

    # The outputs' dtypes and shapes are known from one step outside the loop,
    # which the graph optimizer then drops.
    first = tree.map_structure(lambda x: x[0], inputs)
    _, example = step(carry, first)

    reads = [
        tf.TensorArray(x.dtype, size=length).unstack(x) for x in flat_inputs
    ]
    writes = [
        tf.TensorArray(x.dtype, size=length, element_shape=x.shape)
        for x in tree.flatten(example)
    ]

    def body(t, flat_carry, writes):
        inputs_t = tree.pack_sequence_as(inputs, [x.read(t) for x in reads])
        before = tree.pack_sequence_as(carry, flat_carry)
        after, outputs_t = step(before, inputs_t)
        after = tree.flatten(after)
        for new, old in zip(after, flat_carry, strict=True):
            new.set_shape(old.shape)
        writes = [
            array.write(t, x)
            for array, x in zip(writes, tree.flatten(outputs_t), strict=True)
        ]
        return t + 1, after, writes

    _, flat_carry, writes = tf.while_loop(
        lambda t, *_: t < length,
        body,
        (0, tree.flatten(carry), writes),
        maximum_iterations=length,
    )
    outputs = [array.stack() for array in writes]
    return (
        tree.pack_sequence_as(carry, flat_carry),
        tree.pack_sequence_as(example, outputs),
    )
