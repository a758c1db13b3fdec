import itertools
import math
import string

import keras
from keras import ops

from keras_attention.layers.attention import cloned
from keras_attention.ops.additive import on_accelerator

APART_FROM = 2048


def projection(name, rank, num_inputs, sizes, use_bias, **arguments):
    """A layer that maps the last axes of a tensor to others.

    Its weights are those of Keras's attention, and so are its names.

    Args:
        name: Name of the projection.
        rank: Rank of the tensors, if one axis is mapped: `(B, ..., D)`.
        num_inputs: How many axes are summed over: features, or heads and
            their size.
        sizes: Sizes of the axes in their place.
        use_bias: Whether it has a bias.
        **arguments: Those of `keras.layers.EinsumDense`.
    """
    letters = iter(string.ascii_lowercase)
    kept = "".join(next(letters) for _ in range(rank - 1))
    summed = "".join(next(letters) for _ in range(num_inputs))
    made = "".join(next(letters) for _ in sizes)
    for initializer in ("kernel_initializer", "bias_initializer"):
        # Cloned, or all kernels would start equal under a seed.
        arguments[initializer] = cloned(arguments[initializer])
    layer = keras.layers.EinsumDense(
        f"{kept}{summed},{summed}{made}->{kept}{made}",
        output_shape=(*[None] * (rank - 2), *sizes),
        bias_axes=made if use_bias else None,
        name=name,
        **arguments,
    )
    # Masks reach us as arguments: a projection need not warn about them.
    layer.supports_masking = True
    return layer


def is_plain(layer):
    """Whether a Dense or EinsumDense only multiplies and adds its weights."""
    return (
        type(layer) in (keras.layers.Dense, keras.layers.EinsumDense)
        and layer.quantization_mode is None
        and layer.activity_regularizer is None
    )


def project(layer, x, num_inputs=1):
    """`layer(x)`, without what Keras does around a call.

    That takes 0.2 ms on torch, a tenth of a small model's step. There the
    bias is added within the product.

    Args:
        layer: A Dense, or as `projection` makes them.
        x: A tensor.
        num_inputs: How many of its last axes are summed over.
    """
    if not is_plain(layer):
        return layer(x)
    kernel = _weight(layer.kernel, layer)
    features = math.prod(kernel.shape[:num_inputs])
    shape = _shape(x)[: len(x.shape) - num_inputs]
    made = linear(
        reshape(_cast(x, kernel.dtype), (-1, features)),  # (R, D)
        reshape(kernel, (features, -1)),
        layer.bias,
    )
    made = reshape(made, (*shape, *kernel.shape[num_inputs:]))
    return made if layer.activation is None else layer.activation(made)


def can_project_at_once(layers):
    """Whether `project_at_once` does what these layers do to one tensor."""
    return len({id(layer) for layer in layers}) == len(layers) and all(
        is_plain(layer)
        and layer.dtype_policy == layers[0].dtype_policy
        and (layer.bias is None) == (layers[0].bias is None)
        for layer in layers
    )


def is_better_apart(x):
    """Whether queries, keys and values of `x` are better made one by one.

    What is made at once lies side by side. From a length on, torch's kernel
    on a CPU reads rows that follow each other faster: 4 % of a block's step.
    """
    return (
        keras.backend.backend() == "torch"
        and x.shape[-2] >= APART_FROM
        and not on_accelerator()
    )


def project_at_once(layers, x):
    """What several projections of features make of one tensor.

    One product, and for its gradient two, instead of as many for each layer:
    their kernels are small, and are put side by side.

    Args:
        layers: As `projection` makes them, of one input axis.
        x: `(B, ..., D)`.

    Returns:
        A list of `(B, ..., *sizes)`, one per layer.
    """
    kernels = [_weight(layer.kernel, layer) for layer in layers]
    sizes = [kernel.shape[1:] for kernel in kernels]
    features, shape = x.shape[-1], _shape(x)[:-1]
    bias = None
    if layers[0].bias is not None:
        biases = [_weight(layer.bias, layer) for layer in layers]
        bias = _join([reshape(one, (-1,)) for one in biases])
    made = linear(
        reshape(_cast(x, kernels[0].dtype), (-1, features)),  # (R, D)
        _join([reshape(kernel, (features, -1)) for kernel in kernels]),
        bias,
    )  # (R, sum of widths)
    parts = _split(made, [math.prod(size) for size in sizes])
    return [
        reshape(part, (*shape, *size))
        for part, size in zip(parts, sizes, strict=True)
    ]


def linear(rows, kernel, bias=None):
    """`rows` `(R, D)` times `kernel` `(D, E)`, plus a bias of E numbers."""
    if bias is None:
        return ops.matmul(rows, kernel)
    bias = reshape(_cast(bias, kernel.dtype), (-1,))
    if keras.backend.backend() == "torch":
        import torch

        return torch.addmm(bias, rows, kernel)
    return ops.matmul(rows, kernel) + bias


# Keras's operations search their arguments for symbolic tensors, which takes
# longer than torch takes for what these do.


def reshape(x, shape):
    if keras.backend.backend() == "torch":
        return x.reshape(shape)
    return ops.reshape(x, shape)


def _shape(x):
    return x.shape if keras.backend.backend() == "torch" else ops.shape(x)


def _cast(x, dtype):
    x = ops.convert_to_tensor(x)
    return x if x.dtype == dtype else ops.cast(x, _name(dtype))


def _name(dtype):
    return keras.backend.standardize_dtype(dtype)


def _weight(weight, layer):
    """A weight in the dtype that its layer computes in."""
    x = ops.convert_to_tensor(weight)
    if _name(x.dtype) == layer.compute_dtype:
        return x
    return ops.cast(x, layer.compute_dtype)


def _join(tensors):
    """Side by side, along the last axis."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.cat(tensors, dim=-1)
    return ops.concatenate(tensors, axis=-1)


def _split(rows, widths):
    """Parts of the last axis.

    On torch by `split`, whose gradient is put together once: that of each
    slice would be as large as the whole, and mostly zeros.
    """
    if keras.backend.backend() == "torch":
        return rows.split(widths, dim=-1)
    ends = itertools.accumulate(widths)
    return [
        rows[:, end - width : end]
        for end, width in zip(ends, widths, strict=True)
    ]
