"""A cache of keys and values that all hypotheses of a source share.

B sources, K hypotheses each, M positions, G heads. A beam search does not
move what was computed when it reorders its hypotheses: each of the K writes
one entry per position, and a table of slots says whose entry of each position
a hypothesis goes back to. All K then read all entries of the source as one
memory, each behind a mask of its own. A cache is cut into segments, the first
`FIRST` positions long and each further one as long as all before it, so that
a step reads only those that hold something.
"""

from functools import partial

import keras
import numpy as np
from keras import ops

from keras_attention.ops.checks import known
from keras_attention.ops.masks import concrete_value
from keras_attention.ops.softmax import wide_dtype

FIRST = 32


def segment_sizes(max_length):
    """Positions of each segment: 32, 32, 64, 128, ..., M in all.

    One of all where M is a tensor, since a graph has so many segments.
    """
    if not known(max_length):
        return [max_length]
    sizes = []
    while sum(sizes) < max_length:
        sizes.append(min(sum(sizes) or FIRST, max_length - sum(sizes)))
    return sizes


def empty_segments(
    batch, hypotheses, max_length, key_shape, value_shape, dtype
):
    """Segments with nothing in them.

    Args:
        batch: B.
        hypotheses: K.
        max_length: M.
        key_shape: `(G, H)` of one entry.
        value_shape: `(G, Hv)`.
        dtype: Of both.

    Returns:
        A list of dicts of `key` `(B, G, m * K, H)` and `value`
        `(B, G, m * K, Hv)` for segments of m positions.
    """
    segments = []
    for size in segment_sizes(max_length):
        segment = {}
        for name, (groups, width) in (
            ("key", key_shape),
            ("value", value_shape),
        ):
            shape = (batch, groups, size * hypotheses, width)
            segment[name] = ops.zeros(shape, dtype)
        segments.append(segment)
    return segments


def room(segments, hypotheses):
    """Positions that segments hold in all, M."""
    return sum(ops.shape(x["key"])[2] for x in segments) // hypotheses


def write(segments, position, key, value):
    """The segments with the entries of all hypotheses at a position.

    Args:
        segments: As `empty_segments` makes them; on torch they are written.
        position: Scalar int32.
        key: `(B, K, G, H)`.
        value: `(B, K, G, Hv)`.
    """
    new = {"key": key, "value": value}
    hypotheses = key.shape[1]
    held = concrete_value(position)
    written, first = [], 0
    for segment in segments:
        size = ops.shape(segment["key"])[2] // hypotheses
        if held is None or 0 <= held - first < size:
            segment = {
                name: _write(
                    segment[name],
                    ops.transpose(
                        ops.cast(x, segment[name].dtype), (0, 2, 1, 3)
                    ),
                    position - first,
                    size,
                )
                for name, x in new.items()
            }
        written.append(segment)
        first += size
    return written


def _write(buffer, entries, position, size):
    """Entries `(B, G, K, H)` into `(B, G, m * K, H)`, if it has the place."""
    hypotheses = entries.shape[2]
    if keras.backend.backend() == "torch":
        start = int(position) * hypotheses
        buffer[:, :, start : start + hypotheses] = entries
        return buffer
    inside = ops.logical_and(position >= 0, position < size)
    start = (0, 0, ops.clip(position, 0, size - 1) * hypotheses, 0)
    held = ops.slice(buffer, start, ops.shape(entries))
    return ops.slice_update(buffer, start, ops.where(inside, entries, held))


def trace(slots, position, hypotheses):
    """The table of slots with each hypothesis's own entry at a position.

    Args:
        slots: `(B * K, M)` int32: whose entry of each position it goes back
            to. The search reorders its rows.
        position: Scalar int32.
        hypotheses: K.
    """
    rows, length = ops.shape(slots)
    own = ops.arange(0, rows, dtype="int32") % hypotheses
    here = ops.arange(0, length, dtype="int32") == position
    return ops.where(here, own[:, None], slots)


def segment_masks(slots, position, hypotheses, max_length):
    """What each hypothesis may read of each segment.

    Args:
        slots: What `trace` returned, or None for a single hypothesis.
        position: Scalar int32, the last one written.
        hypotheses: K.
        max_length: M.

    Returns:
        A list of booleans, `(B, K, m * K)`, B = 1 for a single hypothesis.
    """
    reached = ops.arange(0, max_length, dtype="int32") <= position
    if slots is None:
        mask = reached[None, None]
    else:
        slots = ops.reshape(slots, (-1, hypotheses, max_length, 1))
        own = ops.equal(slots, ops.arange(0, hypotheses, dtype="int32"))
        mask = ops.logical_and(own, reached[:, None])  # (B, K, M, K)
        mask = ops.reshape(mask, (-1, hypotheses, max_length * hypotheses))
    masks, first = [], 0
    for size in segment_sizes(max_length):
        size *= hypotheses
        masks.append(mask[..., first : first + size])
        first += size
    return masks


def read(query, segments, masks, position, scale):
    """Attention of each hypothesis over its own past.

    Args:
        query: `(B, K, N, H)`.
        segments: Written up to `position`.
        masks: As `segment_masks` makes them.
        position: Scalar int32.
        scale: Factor of the products.

    Returns:
        `(B, K, N, Hv)` in the dtype of the values.
    """
    batch, hypotheses, heads, width = ops.shape(query)
    groups = segments[0]["key"].shape[1]
    query = ops.transpose(query * scale, (0, 2, 1, 3))  # (B, N, K, H)
    rows = heads // groups * hypotheses  # that share a key head
    query = ops.reshape(query, (batch, groups, rows, width))
    held = concrete_value(position)
    result = read_segment(query, segments[0], masks[0])
    first = ops.shape(masks[0])[-1] // hypotheses
    for segment, mask in zip(segments[1:], masks[1:], strict=True):
        more = partial(with_segment, result, query, segment, mask)
        if held is None:
            same = partial(tuple, result)
            result = ops.cond(position >= first, more, same)
        elif held >= first:
            result = more()
        first += ops.shape(mask)[-1] // hypotheses
    _, total, output = result
    output = ops.cast(output / total, segments[0]["value"].dtype)
    output = ops.reshape(output, (batch, heads, hypotheses, output.shape[-1]))
    return ops.transpose(output, (0, 2, 1, 3))


def read_segment(query, segment, mask):
    """Largest logit, sum of exponentials and what they read, unscaled.

    Args:
        query: `(B, G, R, H)`, the R = N / G * K rows of a key head.
        segment: `key` and `value`, `(B, G, E, .)`.
        mask: `(B, K, E)`; something is readable in each row.
    """
    batch, groups, rows, _ = ops.shape(query)
    entries = ops.shape(mask)[-1]
    logits = ops.matmul(query, ops.transpose(segment["key"], (0, 1, 3, 2)))
    logits = ops.cast(logits, wide_dtype(logits.dtype))
    # (B, N, K, E), as masks fit; a single hypothesis has one row.
    apart = (batch, groups * rows // mask.shape[1], mask.shape[1], entries)
    logits = ops.reshape(logits, apart)
    logits = ops.where(mask[:, None], logits, -np.inf)
    logits = ops.reshape(logits, (batch, groups, rows, entries))
    largest = ops.max(logits, axis=-1, keepdims=True)
    weights = ops.exp(logits - largest)
    total = ops.sum(weights, axis=-1, keepdims=True)
    value = segment["value"]
    output = ops.matmul(ops.cast(weights, value.dtype), value)
    return largest, total, ops.cast(output, total.dtype)


def with_segment(one, query, segment, mask):
    """A partial result and one segment more (Milakov and Gimelshein, 2018)."""
    other = read_segment(query, segment, mask)
    largest = ops.maximum(one[0], other[0])
    first, second = (ops.exp(x[0] - largest) for x in (one, other))
    return (
        largest,
        one[1] * first + other[1] * second,
        one[2] * first + other[2] * second,
    )
