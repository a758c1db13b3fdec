import keras
import numpy as np
from keras import ops


def gradients(function, *inputs, jit_compile=False):
    """The value of `function` and the gradient of its weighted sum.

    The weights are drawn once for a shape, so that two functions of equal
    value get the same.

    Args:
        function: A function of float tensors that returns one.
        inputs: NumPy arrays.
        jit_compile: Whether to compile on TensorFlow and JAX.

    Returns:
        A list of arrays: the value, then the gradient of each input.
    """
    backend = keras.backend.backend()

    def weighted(value):
        rng = np.random.default_rng(len(value.shape))
        weights = rng.normal(size=tuple(value.shape))
        return ops.sum(value * ops.cast(weights, value.dtype))

    if backend == "jax":
        import jax

        def loss(*inputs):
            value = function(*inputs)
            return weighted(value), value

        numbers = tuple(range(len(inputs)))
        run = jax.grad(loss, numbers, has_aux=True)
        run = jax.jit(run) if jit_compile else run
        found, value = run(*map(ops.convert_to_tensor, inputs))
    elif backend == "tensorflow":
        import tensorflow as tf

        @tf.function(jit_compile=jit_compile)
        def run(*inputs):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                value = function(*inputs)
                loss = weighted(value)
            return tape.gradient(loss, inputs), value

        found, value = run(*map(tf.convert_to_tensor, inputs))
    else:
        import torch

        tensors = [
            ops.convert_to_tensor(x).detach().requires_grad_() for x in inputs
        ]
        value = function(*tensors)
        found = torch.autograd.grad(weighted(value), tensors)
    return [ops.convert_to_numpy(x) for x in (value, *found)]
