import keras
import numpy as np
from keras import ops


def compiled(function):
    """The function in one compiled graph, on torch as it is."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.jit(function)
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    return function


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

        @tf.function(autograph=False, jit_compile=jit_compile)
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


def weight_gradients(loss, variables):
    """The value of `loss()` and its gradient with respect to weights.

    Args:
        loss: A function without arguments that returns a scalar, computed
            from the weights as they are.
        variables: Keras variables.

    Returns:
        The value, and a list of arrays.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        def stateless(values):
            mapping = list(zip(variables, values, strict=True))
            with keras.StatelessScope(state_mapping=mapping):
                return loss()

        values = [v.value for v in variables]
        value, found = jax.jit(jax.value_and_grad(stateless))(values)
    elif backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss()
        found = tape.gradient(
            value,
            [v.value for v in variables],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
    else:
        import torch

        value = loss()
        tensors = [v.value for v in variables]
        found = torch.autograd.grad(
            value, tensors, allow_unused=True, materialize_grads=True
        )
    numbers = [np.asarray(ops.convert_to_numpy(x)) for x in found]
    return float(ops.convert_to_numpy(value)), numbers
