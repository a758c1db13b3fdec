import keras
from keras import ops


def masked_softmax(logits, mask=None, axis=-1):
    """Softmax over the readable positions, in float32 or wider.

    Args:
        logits: A float tensor.
        mask: Booleans that broadcast to `logits`, True = may be read.
        axis: The axis to normalize, an int or a tuple.

    Returns:
        Scores of the shape of `logits`, float32 (float64 if `logits` are).
        Masked positions get exactly 0, so a row in which nothing may be read
        is all zeros, and no masked logit (infinite or NaN included) moves
        the others.

    Examples:
        >>> import numpy as np
        >>> from keras import ops
        >>> from keras_attention.ops import masked_softmax
        >>> logits = ops.convert_to_tensor([[1, 1, np.inf], [0, 1, 2]])
        >>> mask = ops.convert_to_tensor([[True, True, False], [False] * 3])
        >>> ops.convert_to_numpy(masked_softmax(logits, mask)).tolist()
        [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]
    """
    logits = ops.cast(logits, wide_dtype(logits.dtype))
    if mask is None:
        return _softmax(logits, axis)
    # A finite floor: infinities would turn a fully masked row into NaN, also
    # in the gradient.
    logits = ops.where(mask, logits, -1e30)
    # A row with nothing to read must give zeros: after the softmax, not
    # before, or a large negative logit turns the row into a plain mean.
    return ops.where(mask, _softmax(logits, axis), 0.0)


def masked_log_softmax(logits, mask=None):
    """Logarithm of `masked_softmax` over the last axis; 0 where masked."""
    logits = ops.cast(logits, wide_dtype(logits.dtype))
    if mask is None:
        return ops.log_softmax(logits, axis=-1)
    logits = ops.log_softmax(ops.where(mask, logits, -1e30), axis=-1)
    return ops.where(mask, logits, 0.0)


def mean_one_softmax(logits, mask=None):
    """A softmax times the number of readable positions: their mean is 1.

    Args:
        logits: `(..., S)`.
        mask: Booleans that broadcast to `logits`, True = may be read.

    Returns:
        Weights of the shape of `logits`, float32 or wider. Equal logits give
        exactly 1, which `S * softmax` misses for some S by a rounding error.
        Masked positions get exactly 0.
    """
    logits = ops.cast(logits, wide_dtype(logits.dtype))
    if mask is None:
        mask = ops.ones_like(logits, dtype="bool")
    logits = ops.where(mask, logits, -1e30)
    highest = ops.stop_gradient(ops.max(logits, axis=-1, keepdims=True))
    powers = ops.where(mask, ops.exp(logits - highest), 0.0)
    readable = ops.cast(ops.broadcast_to(mask, ops.shape(logits)), powers.dtype)
    total = ops.sum(powers, axis=-1, keepdims=True)
    count = ops.sum(readable, axis=-1, keepdims=True)
    # A row with nothing to read has powers of 0 only.
    return powers / ops.maximum(total / ops.maximum(count, 1.0), 1e-30)


def _softmax(logits, axis):
    if isinstance(axis, int) and logits.shape[axis] == 1:
        # Keras warns of such an axis, which here is a memory of one position.
        return ops.exp(logits - logits)
    return ops.softmax(logits, axis=axis)


def wide_dtype(dtype):
    """The dtype a softmax runs in: float32, or float64 if given that."""
    dtype = keras.backend.standardize_dtype(dtype)
    return "float64" if dtype == "float64" else "float32"
