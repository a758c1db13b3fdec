import numpy as np
from keras import ops

from keras_attention.ops import checks

LAYOUTS = ("interleaved", "halves")


def sinusoids(
    length, dim, start=0, max_wavelength=10000.0, layout="interleaved"
):
    """Sines and cosines of positions, at geometrically spaced wavelengths.

        angle[t, i]         = (start + t) / max_wavelength ** (2 i / dim)
        encoding[t, 2 i]     = sin(angle[t, i])
        encoding[t, 2 i + 1] = cos(angle[t, i])

    Vaswani et al., 2017, section 3.5.

    Args:
        length: Number of positions, T; an int or a scalar tensor.
        dim: Number of features, D.
        start: The first position, an int or a scalar tensor.
        max_wavelength: The longest wavelength over 2 pi.
        layout: "interleaved" as above, or "halves": all sines, then all
            cosines.

    Returns:
        `(T, D)`, float32: positions beyond 256 are not whole numbers in
        bfloat16, so a lower precision must come after the sine.
    """
    exponents = 2 * np.arange((dim + 1) // 2) / dim
    rates = (max_wavelength**-exponents).astype("float32")
    rates = ops.convert_to_tensor(rates)
    start = ops.cast(checks.start_index(start), "int32")
    positions = ops.arange(0, length, dtype="int32") + start
    angles = ops.cast(positions, "float32")[:, None] * rates
    sines, cosines = ops.sin(angles), ops.cos(angles)
    if layout == "halves":
        return ops.concatenate([sines, cosines[:, : dim // 2]], axis=-1)
    pairs = ops.stack([sines, cosines], axis=-1)  # (T, D / 2, 2)
    return ops.reshape(pairs, (-1, 2 * rates.shape[0]))[:, :dim]
