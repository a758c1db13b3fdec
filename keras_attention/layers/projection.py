import string

import keras

from keras_attention.layers.attention import cloned


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
