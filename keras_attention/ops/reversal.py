import math

from keras import ops

from keras_attention.ops.windows import source_length


def reverse_readable(x, mask):
    """Turns each row around up to its end, and leaves what is behind it.

    Args:
        x: `(B, S, ...)`.
        mask: Booleans `(B, S)`, False at padding. A row ends with its last
            position at True.

    Returns:
        `(B, S, ...)`. The same again gives back `x`.
    """
    batch, length = ops.shape(mask)
    positions = ops.arange(0, length, dtype="int32")  # (S,)
    ends = source_length(mask)[:, None]  # (B, 1)
    mirrored = ops.where(positions < ends, ends - 1 - positions, positions)
    # One flat take: along an axis it is many times slower on TensorFlow. From
    # two axes: torch's exporter to ONNX mistakes any other number.
    rows = mirrored + length * ops.arange(0, batch, dtype="int32")[:, None]
    flat = ops.reshape(x, (-1, math.prod(x.shape[2:])))  # (B x S, ...)
    return ops.reshape(ops.take(flat, rows, axis=0), ops.shape(x))
