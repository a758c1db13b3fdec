import keras
import numpy as np
from keras import ops

from keras_attention.ops.checks import known


def is_traced(tensor):
    """Whether a tensor of the backend has no value yet.

    Symbolic tensors and tensors under a trace (`tf.function`, `jax.jit`)
    have none.
    """
    if isinstance(tensor, keras.KerasTensor):
        return True
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.is_symbolic_tensor(tensor)
    if backend == "jax":
        from jax.core import Tracer

        return isinstance(tensor, Tracer)
    return getattr(tensor, "is_meta", False)


def concrete_value(tensor):
    """The NumPy value of a tensor that has one now, else None."""
    if isinstance(tensor, (bool, int, float, list, tuple, np.ndarray)):
        return np.asarray(tensor)
    return None if is_traced(tensor) else ops.convert_to_numpy(tensor)


def as_mask(mask, name):
    """A boolean mask, True = may be read, from booleans or 0/1 numbers.

    Args:
        mask: A tensor of any shape, or None.
        name: What the caller calls it, for the error message.

    Returns:
        A boolean tensor, or None.

    Raises:
        ValueError: A number other than 0 and 1 is in the mask. Values under
            a trace cannot be seen; there, every non-zero number is True.
    """
    if mask is None:
        return None
    mask = mask if hasattr(mask, "dtype") else np.asarray(mask)
    if keras.backend.standardize_dtype(mask.dtype) == "bool":
        return ops.convert_to_tensor(mask)
    value = concrete_value(mask)
    if value is not None and not np.isin(value, (0, 1)).all():
        wrong = value[~np.isin(value, (0, 1))].flat[0]
        raise ValueError(
            f"`{name}` must hold booleans, or the numbers 0 and 1 "
            f"(1 = may be read). Received a value of {wrong}. "
            f"Compare first, for example `{name}={name} > 0`."
        )
    return ops.not_equal(ops.convert_to_tensor(mask), 0)


def agree(size, other):
    """Whether two static sizes can be equal, as far as they are known."""
    return not known(size, other) or size == other


def check_mask_shape(mask, name, allowed, broadcasts=False):
    """Raises unless the static shape of `mask` is one of `allowed`.

    Args:
        mask: A tensor.
        name: What the caller calls it.
        allowed: A dict from a spelled-out shape, such as `"(B, S)"`, to a
            tuple of sizes, None where unknown.
        broadcasts: Whether an axis may have size 1 instead.
    """
    shape = tuple(mask.shape)
    for sizes in allowed.values():
        if len(sizes) == len(shape) and all(
            agree(size, other) or (broadcasts and size == 1)
            for size, other in zip(shape, sizes, strict=True)
        ):
            return
    expected = " or ".join(
        f"{words} = {sizes}" for words, sizes in allowed.items()
    )
    if broadcasts:
        expected += ", or 1 on an axis along which it does not vary"
    raise ValueError(
        f"`{name}` must have shape {expected}. Received: shape {shape}."
    )


def causal_mask(query_length, key_length):
    """`(1, T, S)`, True where key position s is at most query position t."""
    rows = ops.arange(0, query_length, dtype="int32")
    columns = ops.arange(0, key_length, dtype="int32")
    return ops.expand_dims(rows[:, None] >= columns[None, :], 0)


def distance(query_length, key_length):
    """`(T, S)` integers s - t."""
    rows = ops.arange(0, query_length, dtype="int32")[:, None]
    return ops.arange(0, key_length, dtype="int32")[None, :] - rows


def window_mask(query_length, key_length, before, after):
    """`(T, S)`, True where s lies between t - before and t + after."""
    offset = distance(query_length, key_length)
    return ops.logical_and(offset >= -before, offset <= after)


def both(mask, other):
    """The logical and of two broadcastable masks, either of them None."""
    if mask is None or other is None:
        return other if mask is None else mask
    return ops.logical_and(mask, other)


def joint_mask(
    query,
    key,
    query_mask=None,
    value_mask=None,
    key_mask=None,
    attention_mask=None,
    use_causal_mask=False,
):
    """Joins every mask of an attention call into one.

    Args:
        query: `(B, T, ...)`, for its shape.
        key: `(B, S, ...)`, for its shape.
        query_mask: `(B, T)`; a query at False gets a zero output.
        value_mask: `(B, S)`; a position at False is never read.
        key_mask: `(B, S)`, joined with `value_mask`.
        attention_mask: `(T, S)`, `(B, T, S)` or with a heads axis `(B, N,
            T, S)`, any axis of size 1 where it does not vary: which query
            may read which position.
        use_causal_mask: Whether query t reads positions 0 to t only
            (aligned at the first position, as in Keras).

    Returns:
        None if nothing is masked, else booleans that broadcast to
        `(B, T, S)`, or to `(B, N, T, S)` if `attention_mask` has rank 4.
        Axes along which the mask does not vary stay 1.

    Raises:
        ValueError: A mask has the wrong shape, or values other than 0/1.
    """
    batch, length = query.shape[:2]
    key_length = key.shape[1]
    mask = None
    if query_mask is not None:
        query_mask = as_mask(query_mask, "query_mask")
        check_mask_shape(query_mask, "query_mask", {"(B, T)": (batch, length)})
        mask = query_mask[:, :, None]  # (B, T, 1)
    for name, given in (("value_mask", value_mask), ("key_mask", key_mask)):
        if given is not None:
            given = as_mask(given, name)
            check_mask_shape(given, name, {"(B, S)": (batch, key_length)})
            mask = both(mask, given[:, None, :])  # (B, 1, S)
    if use_causal_mask:
        causal = causal_mask(ops.shape(query)[1], ops.shape(key)[1])
        mask = both(mask, causal)  # (B or 1, T, S)
    if attention_mask is None:
        return mask
    attention_mask = as_mask(attention_mask, "attention_mask")
    check_mask_shape(
        attention_mask,
        "attention_mask",
        {
            "(B, N, T, S)": (batch, None, length, key_length),
            "(B, T, S)": (batch, length, key_length),
            "(T, S)": (length, key_length),
        },
        broadcasts=True,
    )
    if len(attention_mask.shape) == 2:
        attention_mask = attention_mask[None]
    if len(attention_mask.shape) == 4 and mask is not None:
        mask = mask[:, None]
    return both(mask, attention_mask)
