import numpy as np
from keras import ops

from keras_attention.ops import checks
from keras_attention.ops.softmax import wide_dtype


def rotate(inputs, start=0, max_wavelength=10000.0, layout="interleaved"):
    """Turns each pair of features by an angle that grows with the position.

        angle[t, i]      = (start + t) / max_wavelength ** (2 i / H)
        output[t, 2 i]     = x[2 i] cos(angle) - x[2 i + 1] sin(angle)
        output[t, 2 i + 1] = x[2 i] sin(angle) + x[2 i + 1] cos(angle)

    Su et al., 2021, equation 34. The product of a turned query and a turned
    key depends on the distance of their positions alone.

    Args:
        inputs: `(B, T, ..., H)`, H even: `(B, T, N, H)` for heads.
        start: The first position, an int or a scalar tensor.
        max_wavelength: The longest wavelength over 2 pi.
        layout: "interleaved" as above, or "halves": feature i is paired with
            feature `i + H / 2`.

    Returns:
        The shape and dtype of the inputs. Angles and products are float32 or
        wider: positions beyond 256 are not whole numbers in bfloat16.

    Raises:
        ValueError: The number of features is odd, the layout is neither, or
            `start` is not one position.

    Examples:
        >>> from keras import ops
        >>> from keras_attention.ops import rotate
        >>> x = ops.ones((1, 3, 2, 8))
        >>> turned = rotate(x, start=5)
        >>> tuple(turned.shape)
        (1, 3, 2, 8)
    """
    checks.one_of(layout, "layout", ("interleaved", "halves"))
    if inputs.shape[-1] % 2:
        raise ValueError(
            "The features must come in pairs. Received: shape "
            f"{tuple(inputs.shape)}. Pass an even size of the last axis."
        )
    wide = wide_dtype(inputs.dtype)
    shape, dim = ops.shape(inputs), inputs.shape[-1]
    rates = max_wavelength ** (-2 * np.arange(dim // 2) / dim)
    rates = ops.convert_to_tensor(rates.astype(wide))
    start = ops.cast(checks.start_index(start), "int32")
    positions = ops.arange(0, shape[1], dtype="int32") + start
    angles = ops.cast(positions, wide)[:, None] * rates  # (T, H/2)
    between = [1] * (len(inputs.shape) - 3)
    angles = ops.reshape(angles, (1, -1, *between, dim // 2))
    sines, cosines = ops.sin(angles), ops.cos(angles)
    x = ops.cast(inputs, wide)
    if layout == "halves":
        first, second = x[..., : dim // 2], x[..., dim // 2 :]
    else:
        first, second = x[..., ::2], x[..., 1::2]
    turned = [first * cosines - second * sines]
    turned.append(first * sines + second * cosines)
    if layout == "halves":
        output = ops.concatenate(turned, axis=-1)
    else:
        output = ops.reshape(ops.stack(turned, axis=-1), shape)
    return ops.cast(output, inputs.dtype)
