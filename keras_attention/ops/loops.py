import keras
from keras import ops, tree


def scan_with_kernels(
    step,
    carry,
    inputs,
    constants,
    kernels,
    added,
    training=True,
    convolves=False,
):
    """A `scan` over products with matrices, whose gradient is taken at once.

    The plain gradient of a loop adds up the matrices' gradients step by step,
    from products of B rows each. Here it is one product of all T x B rows,
    after the loop, and no step keeps a copy of what does not change.

    Args:
        step: `step(affine, carry, inputs_t, constants) -> (carry,
            outputs_t)`, where `affine(name, x)` is `x @ kernels[name] +
            added_t[name]` for `x` of `(B, .)`, or `added_t[name]` alone if x
            is None; at most once per name.
        carry: A nest of tensors with leading axis B.
        inputs: A nest of tensors `(T, B, ...)`.
        constants: A nest of the other tensors that `step` uses. Those it
            closes over get no gradient.
        kernels: A dict of matrices.
        added: A dict of tensors `(T, B, .)`, one for each name.
        training: Whether a gradient is likely to be asked for. If not, the
            loop keeps its plain one: TensorFlow cannot export another.
        convolves: As of `scan`.

    Returns:
        The last carry, and the outputs stacked to `(T, ...)`.
    """

    def run(carry, inputs, constants, added, kernels):
        """The scan's result, and the rows that met each kernel."""

        def body(carry, x):
            inputs_t, added_t = x
            rows = {}

            def affine(name, x):
                if x is None:
                    return added_t[name]
                rows[name] = x
                return ops.matmul(x, kernels[name]) + added_t[name]

            carry, outputs_t = step(affine, carry, inputs_t, constants)
            return carry, (outputs_t, rows)

        carry, (outputs, rows) = scan(
            body, carry, (inputs, added), convolves=convolves
        )
        return (carry, outputs), rows

    arguments = (carry, inputs, constants, added)
    backend = keras.backend.backend()
    if backend == "torch" or not training:  # eager steps gain nothing
        return run(*arguments, kernels)[0]
    if backend == "jax":
        return _kernels_jax(run, arguments, kernels)
    return _kernels_tensorflow(run, arguments, kernels)


def _kernel_gradients(rows, by_added):
    """A product's gradient is that of what was added to it."""

    def flat(x):
        return ops.reshape(x, (-1, x.shape[-1]))

    return {
        name: ops.matmul(ops.transpose(flat(x)), flat(by_added[name]))
        for name, x in rows.items()
    }


def _kernels_jax(run, arguments, kernels):
    import jax

    @jax.custom_vjp
    def function(arguments, kernels):
        return run(*arguments, kernels)[0]

    def forward(arguments, kernels):
        result, pull_back, rows = jax.vjp(
            lambda *arguments: run(*arguments, kernels),
            *arguments,
            has_aux=True,
        )
        return result, (pull_back, rows)

    def backward(saved, upstream):
        pull_back, rows = saved
        gradients = pull_back(upstream)
        return gradients, _kernel_gradients(rows, gradients[-1])

    function.defvjp(forward, backward)
    return function(arguments, kernels)


def _kernels_tensorflow(run, arguments, kernels):
    import tensorflow as tf

    nests = (arguments, kernels)
    structure: list = []

    @tf.custom_gradient
    def function(*leaves):
        # Copies: of a tensor given twice, each has a gradient of its own.
        leaves = [tf.identity(x) for x in leaves]
        arguments, kernels = tree.pack_sequence_as(nests, leaves)
        watched = tree.flatten(arguments)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([x for x in watched if x.dtype.is_floating])
            result, rows = run(*arguments, kernels)
        structure.append(result)
        results = [tf.identity(x) for x in tree.flatten(result)]

        def gradient(*upstream):
            pairs = [
                (x, up)
                for x, up in zip(tree.flatten(result), upstream, strict=True)
                if x.dtype.is_floating
            ]
            gradients = tape.gradient(
                [x for x, _ in pairs],
                watched,
                output_gradients=[up for _, up in pairs],
            )
            *_, by_added = tree.pack_sequence_as(arguments, gradients)
            by_kernel = _kernel_gradients(rows, by_added)
            return *gradients, *tree.flatten(by_kernel)

        return tuple(results), gradient

    # Variables are read here, once: a read inside the loop would be kept for
    # every step.
    results = function(*map(tf.convert_to_tensor, tree.flatten(nests)))
    return tree.pack_sequence_as(structure[-1], list(results))


def scan(step, carry, inputs, length=None, convolves=False):
    """Runs a recurrence over axis 0, with a gradient on every backend.

    `keras.ops.scan` has no gradient under XLA on TensorFlow and wants outputs
    of the structure of the carry; this is the loop a recurrent decoder needs.

    Args:
        step: `step(carry, inputs_t) -> (carry, outputs_t)`. Structure,
            shapes and dtypes of the carry do not change.
        carry: A nest of tensors.
        inputs: A nest of tensors `(T, ...)`.
        length: T, where `inputs` is empty.
        convolves: Whether steps run convolutions. JAX then lays them out one
            after the other on a CPU, where XLA takes the gradient of a
            convolution's kernel 25 times as long in a loop.

    Returns:
        The last carry, and the outputs stacked to `(T, ...)`.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        steps = [length, *(x.shape[0] for x in tree.flatten(inputs))]
        unroll = (
            convolves
            and jax.default_backend() == "cpu"
            and isinstance(steps[-1], int)  # unknown in an export
        )
        return jax.lax.scan(step, carry, inputs, length=length, unroll=unroll)
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
