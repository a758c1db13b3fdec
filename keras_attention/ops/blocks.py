"""Working through an axis in blocks, with a gradient of one's own."""

import contextlib

import keras
from keras import ops


def with_gradient(forward, backward):
    """A function whose gradient is written by hand, on every backend.

    Args:
        forward: `forward(*inputs)` returns the output tensor and `saved`,
            any nest of tensors that the gradient needs.
        backward: `backward(inputs, saved, upstream)` returns a tuple with
            the gradient of each input, in the input's dtype.

    Returns:
        `function(*inputs)`, the output. Inputs are float tensors; what has
        no gradient (masks, lengths) is closed over. There is no second
        derivative.
    """

    def function(*inputs):
        output, saved = forward(*inputs)

        # TensorFlow and JAX pass the upstream gradient alone, torch passes
        # the inputs first.
        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            return backward(inputs, saved, upstream)

        return output, gradient

    return ops.custom_gradient(function)


def unrecorded():
    """What TensorFlow does in here is on no tape, nor on one made in here.

    For loops over blocks, whose gradient is written by hand. Under two tapes,
    as in the loop of a decoder, TensorFlow makes the gradient of any loop
    while it makes the loop, and cannot where `put_block` is in it.
    """
    if keras.backend.backend() != "tensorflow":
        return contextlib.nullcontext()
    from tensorflow.python.eager import record

    return record.stop_recording()


def is_traced_by_tensorflow(tensor):
    """Whether a choice between tensors can be left to a graph's run."""
    symbolic = isinstance(tensor, keras.KerasTensor)
    return keras.backend.backend() == "tensorflow" and not symbolic


def chosen_when_run(condition, blocked, plain, saved_of, inputs):
    """One of two ways to the same result, chosen when the sizes are known.

    For TensorFlow, which leaves sizes unknown until a graph runs. The choice
    is made inside the gradient, since XLA cannot differentiate one between
    branches that keep tensors of unknown shapes.

    Args:
        condition: A boolean scalar: whether to go by `blocked`.
        blocked: Has `forward` and `backward` as `with_gradient` takes them.
        plain: `plain(*inputs)` returns the output.
        saved_of: `saved_of(output)` returns tensors of the shapes that
            `blocked.forward` saves, which `plain` does not need.
        inputs: The tensors to compute with.
    """
    import tensorflow as tf

    def plain_forward(*inputs):
        output = plain(*inputs)
        return output, saved_of(output)

    def plain_backward(inputs, upstream):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = plain(*inputs)
        return tuple(tape.gradient(output, inputs, upstream))

    def forward(*inputs):
        return tf.cond(
            condition,
            lambda: blocked.forward(*inputs),
            lambda: plain_forward(*inputs),
        )

    def backward(inputs, saved, upstream):
        return tf.cond(
            condition,
            lambda: blocked.backward(inputs, saved, upstream),
            lambda: plain_backward(inputs, upstream),
        )

    return with_gradient(forward, backward)(*inputs)


def num_blocks(length, block_size):
    """How many blocks cover a length, an int or a scalar tensor."""
    return (length + block_size - 1) // block_size


def pad_blocks(tensor, axis, block_size, length=None, value=0):
    """Pads the end of an axis up to a multiple of the block size.

    XLA has to know the length when it compiles. Pass it where the tensor
    cannot tell, as the result of a choice between two branches.
    """
    if tensor.shape[axis] is not None:
        length = tensor.shape[axis]
        if length % block_size == 0:
            return tensor
    length = ops.shape(tensor)[axis] if length is None else length
    padding = [(0, 0)] * len(tensor.shape)
    padding[axis] = (0, num_blocks(length, block_size) * block_size - length)
    return ops.pad(tensor, padding, constant_values=value)


def take_block(tensor, starts, sizes):
    """A block of a tensor; along axes of size 1 the only entry is taken.

    Args:
        tensor: Any tensor. An axis of unknown size counts as longer than 1.
        starts: Where the block starts, one int or scalar per axis.
        sizes: The block's size, one int per axis.
    """
    starts, sizes = _broadcast(tensor, starts, sizes)
    return ops.slice(tensor, starts, sizes)


def put_block(tensor, starts, block):
    """The tensor with a block of it replaced."""
    return ops.slice_update(tensor, starts, block)


def add_block(tensor, starts, block):
    """The tensor with a block added where `take_block` would take it.

    Axes along which the tensor has size 1 and the block more are summed:
    the gradient of broadcasting.
    """
    axes = tuple(
        axis
        for axis, size in enumerate(tensor.shape)
        if size == 1 and block.shape[axis] != 1
    )
    if axes:
        block = ops.sum(block, axis=axes, keepdims=True)
    starts, sizes = _broadcast(tensor, starts, ops.shape(block))
    before = ops.slice(tensor, starts, sizes)
    return ops.slice_update(tensor, starts, before + block)


def _broadcast(tensor, starts, sizes):
    single = [size == 1 for size in tensor.shape]
    starts = [0 if one else x for one, x in zip(single, starts, strict=True)]
    sizes = [1 if one else x for one, x in zip(single, sizes, strict=True)]
    return starts, sizes
