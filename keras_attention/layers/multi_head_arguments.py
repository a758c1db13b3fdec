"""What `MultiHeadAttention` asks of its arguments."""

import numpy as np

from keras_attention.layers.position_bias import PositionBias
from keras_attention.layers.rotary_embedding import RotaryEmbedding
from keras_attention.ops import checks
from keras_attention.ops.masks import agree


def key_value_heads(num_key_value_heads, num_heads):
    if num_key_value_heads is None:
        return num_heads
    checks.positive_int(num_key_value_heads, "num_key_value_heads")
    if num_heads % num_key_value_heads:
        raise ValueError(
            "`num_heads` must be a multiple of `num_key_value_heads`, so that "
            f"groups are equal. Received: num_heads={num_heads}, "
            f"num_key_value_heads={num_key_value_heads}. "
            f"Pass a divisor of {num_heads}."
        )
    return num_key_value_heads


def output_sizes(output_shape):
    if output_shape is None:
        return None
    try:
        sizes = np.atleast_1d(output_shape).tolist()
        return tuple(checks.positive_int(x, "output_shape") for x in sizes)
    except ValueError as error:
        raise ValueError(
            f"Invalid `output_shape`: {output_shape}. It must be a positive "
            "integer, or a tuple of them."
        ) from error


def axes(attention_axes):
    if attention_axes is None:
        return None
    if isinstance(attention_axes, int):
        return (attention_axes,)
    if not isinstance(attention_axes, (list, tuple)):
        raise ValueError(
            "`attention_axes` must be an int, list, or tuple. "
            f"Received: attention_axes={attention_axes}."
        )
    return tuple(attention_axes)


def rotary_embedding(rotary, key_dim):
    if rotary is None:
        return None
    if not isinstance(rotary, RotaryEmbedding):
        raise ValueError(
            "`rotary` must be a RotaryEmbedding of keras_attention. Received: "
            f"rotary={rotary!r} of type {type(rotary).__name__}."
        )
    if key_dim % 2:
        raise ValueError(
            "`rotary` turns pairs of features, so `key_dim` must be even. "
            f"Received: key_dim={key_dim}."
        )
    return rotary


def position_bias(bias, num_heads):
    if bias is None:
        return None
    if not isinstance(bias, PositionBias):
        raise ValueError(
            "`position_bias` must be an AlibiBias or a RelativePositionBias "
            f"of keras_attention. Received: position_bias={bias!r} of type "
            f"{type(bias).__name__}. Pass another bias to the call, as "
            "`attention_bias`."
        )
    if bias.num_heads != num_heads:
        raise ValueError(
            "`position_bias` must have as many heads as the layer. Received: "
            f"num_heads={num_heads}, and {bias.num_heads} of {bias!r}."
        )
    return bias


def score(name, num_heads, num_key_value_heads):
    checks.one_of(name, "score", ("scaled_dot", "l2"))
    if name == "l2" and num_key_value_heads != num_heads:
        raise ValueError(
            "With score='l2' one projection makes queries and keys, so there "
            "are as many of both. Received: "
            f"num_key_value_heads={num_key_value_heads}, "
            f"num_heads={num_heads}. Leave `num_key_value_heads` out."
        )
    return name


def check_mask_heads(mask, num_heads):
    if mask is None or len(mask.shape) != 4:
        return
    if mask.shape[1] not in (None, 1, num_heads):
        raise ValueError(
            "The heads axis of `attention_mask` must be 1 or "
            f"{num_heads}. Received: shape {tuple(mask.shape)}."
        )


def check_bias(bias, num_heads, query, key):
    if bias is None:
        return None
    allowed = (query.shape[0], num_heads, query.shape[1], key.shape[1])
    fits = len(query.shape) == 3 and len(bias.shape) == 4
    if not fits or not all(
        size == 1 or agree(size, other)
        for size, other in zip(bias.shape, allowed, strict=True)
    ):
        raise ValueError(
            "`attention_bias` must broadcast to (B, N, T, S) = "
            f"{allowed}, for inputs of rank 3. Received: shape "
            f"{tuple(bias.shape)}. Add axes of size 1 where it does not "
            "vary."
        )
    return bias


def check_shapes(query, value, key, attended):
    """Raises unless shapes fit each other, and the axes attended over."""
    received = f"Received shapes: query {query}, value {value}, key {key}."
    if len(value) != len(key) or not all(map(agree, value[:-1], key[:-1])):
        raise ValueError(
            "All dimensions of `value` and `key`, except the last one, "
            f"must be equal. {received}"
        )
    if len(query) < 3 or len(query) != len(value):
        raise ValueError(
            "`query`, `value` and `key` must have the same rank, 3 or "
            f"more: (batch, length, features). {received}"
        )
    if not agree(query[0], value[0]):
        raise ValueError(
            "`query`, `value` and `key` must have the same batch size. "
            f"{received}"
        )
    if not set(attended) <= set(range(1, len(query) - 1)):
        raise ValueError(
            "`attention_axes` must be axes between batch and features. "
            f"Received: attention_axes={attended}. {received}"
        )
    for axis in range(1, len(query) - 1):
        if axis not in attended and not agree(query[axis], value[axis]):
            raise ValueError(
                "An axis that is not attended over must have the same "
                f"size in `query` and `value`. {received} Attended: "
                f"attention_axes={attended}."
            )
