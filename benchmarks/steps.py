"""Turns a function of tensors into a step to be timed, on any backend."""

import keras
import numpy as np
from keras import ops


def forward_and_backward(layer, function, arrays, weights=None):
    """A compiled step: a value and its gradients.

    Args:
        layer: Built; its trainable weights get gradients.
        function: Takes tensors like `arrays`, returns one tensor. The loss
            is the sum of its squares.
        arrays: NumPy inputs, which get gradients too.
        weights: On torch, what gets gradients instead of the layer's.

    Returns:
        A function without arguments that runs one step to its end.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        def loss(weights, inputs):
            mapping = zip(layer.trainable_variables, weights, strict=True)
            with keras.StatelessScope(state_mapping=list(mapping)):
                return ops.sum(ops.square(function(*inputs)))

        step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
        weights = [v.value for v in layer.trainable_variables]
        inputs = [jax.numpy.asarray(x) for x in arrays]
        return lambda: jax.block_until_ready(step(weights, inputs))
    if backend == "tensorflow":
        import tensorflow as tf

        weights = [v.value for v in layer.trainable_variables]

        @tf.function(jit_compile=True)
        def step(*inputs):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                loss = tf.reduce_sum(tf.square(function(*inputs)))
            return loss, tape.gradient(loss, [*weights, *inputs])

        inputs = [tf.constant(x) for x in arrays]
        return lambda: float(step(*inputs)[0])
    import torch

    if weights is None:
        weights = [v.value for v in layer.trainable_variables]
    inputs = [ops.convert_to_tensor(x).requires_grad_() for x in arrays]

    def run():
        loss = function(*inputs).square().sum()
        if loss.requires_grad:  # fixed position codes have nothing to learn
            torch.autograd.grad(loss, [*weights, *inputs], allow_unused=True)
        wait()

    return run


def forward(function, arrays, model=None):
    """A compiled step without gradients.

    Args:
        function: Takes tensors like `arrays`, returns one tensor.
        arrays: NumPy inputs.
        model: On JAX, whose weights are inputs of what is compiled; if None,
            they are constants in it.
    """
    backend = keras.backend.backend()
    tensors = [ops.convert_to_tensor(x) for x in arrays]
    if backend == "jax":
        import jax

        variables = model.variables if model is not None else []

        def stateless(values, *tensors):
            mapping = list(zip(variables, values, strict=True))
            with keras.StatelessScope(state_mapping=mapping):
                return function(*tensors)

        step = jax.jit(stateless)
        values = [variable.value for variable in variables]
        return lambda: jax.block_until_ready(step(values, *tensors))
    if backend == "tensorflow":
        import tensorflow as tf

        step = tf.function(function, jit_compile=True)
        return lambda: step(*tensors).numpy()
    import torch

    def run():
        with torch.no_grad():
            function(*tensors)
        wait()

    return run


def between_batches(model, batch):
    """A step of `fit`: the time between the ends of two.

    Args:
        model: Compiled.
        batch: What a data set gives for one, taken again and again from
            where the model is, as peers take theirs.

    Returns:
        A function that takes a step, with `times` of its own.
    """

    if keras.backend.backend() != "tensorflow":
        batch = keras.tree.map_structure(ops.convert_to_tensor, batch)

    def step():
        ends(lambda: 0.0, 1)

    def times(clock, steps):
        # What a call of `fit` costs by itself is not a step's.
        return list(np.diff(ends(clock, steps + 2)[-steps - 1 :]))

    def ends(clock, steps):
        class Ends(keras.callbacks.Callback):
            ends: list = []

            def on_train_batch_end(self, batch, logs=None):
                # `fit` leaves a loss as it is that JAX could not compute: then
                # this raises, where the time would be that of no step.
                float(logs["loss"])
                self.ends.append(clock())

        callback = Ends()
        model.fit(
            (batch for _ in range(steps)),
            steps_per_epoch=steps,
            callbacks=[callback],
            verbose=0,
        )
        return callback.ends

    step.times = times
    return step


def wait():
    """Waits for torch's device."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def normal(*shape, seed=0):
    """A float32 array of draws from a normal distribution."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape, dtype="float32")
