import numpy as np
import pytest
from keras import ops

from keras_attention.ops import bands
from keras_attention.ops.attention import attend
from keras_attention.ops.luong import dot_attention, dot_logits
from tests.gradients import compiled

B, T, S, D, V = 2, 37, 41, 5, 3


def arrays(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def masked_attention(query, key, value, mask):
    """Plain attention, one query at a time; `mask` is `(B, T, S)`."""
    output = np.zeros((*query.shape[:2], value.shape[-1]))
    for b, t in np.ndindex(query.shape[:2]):
        columns = np.flatnonzero(mask[b, t])
        if columns.size:
            weights = np.exp(key[b, columns] @ query[b, t])
            output[b, t] = weights / weights.sum() @ value[b, columns]
    return output


@pytest.mark.parametrize(
    ("lengths", "reach", "masks"),
    [
        ((T, S), (2, 2), "none"),
        ((S, T), (19, 0), "both"),
        ((3, S), (3, 17), "source"),
        ((S, 3), (2, 2), "pair"),
        ((T, T), (3, 17), "pair"),
        ((T, S), (100, 100), "both"),
    ],
)
def test_a_band_equals_attention_under_its_mask(lengths, reach, masks):
    t, s = lengths
    before, after = reach
    query, key, value = arrays((B, t, D), (B, s, D), (B, s, V))
    rng = np.random.default_rng(1)
    source = rng.random((B, s)) < 0.7
    pair = rng.random((1, t, s)) < 0.7
    source = source if masks in ("source", "both") else None
    pair = pair if masks in ("pair", "both") else None
    offset = np.arange(s) - np.arange(t)[:, None]
    mask = np.tile((-before <= offset) & (offset <= after), (B, 1, 1))
    mask = mask if source is None else mask & source[:, None]
    mask = mask if pair is None else mask & pair
    masks = [
        None if source is None else source[:, None, None],
        None if pair is None else pair[:, None],
    ]
    masks = [ops.convert_to_tensor(x) for x in masks if x is not None]

    def attend_block(query, key, value, mask):
        return dot_attention(query, key, value, mask[:, 0])[0]

    def read(query, key, value):
        return bands.banded_attention(
            attend_block, query, key, value, before, after, masks
        )

    output = compiled(read)(*map(ops.convert_to_tensor, (query, key, value)))
    expected = masked_attention(query, key, value, mask)
    np.testing.assert_allclose(
        ops.convert_to_numpy(output), expected, rtol=1e-4, atol=1e-5
    )


def test_a_band_carries_heads_behind_the_length():
    heads = 2
    query, key, value = arrays(
        (B, T, heads, D), (B, T, heads, D), (B, T, heads, V)
    )

    def by_head(query, key, value, mask):
        outputs = [
            attend(
                dot_logits(query[:, :, n], key[:, :, n]),
                value[:, :, n],
                mask[:, 0],
            )
            for n in range(heads)
        ]
        return ops.stack([output for output, _ in outputs], axis=2)

    output = bands.banded_attention(
        by_head, *map(ops.convert_to_tensor, (query, key, value)), 2, 0
    )
    offset = np.arange(T) - np.arange(T)[:, None]
    mask = np.tile((offset >= -2) & (offset <= 0), (B, 1, 1))
    for n in range(heads):
        expected = masked_attention(
            query[:, :, n], key[:, :, n], value[:, :, n], mask
        )
        np.testing.assert_allclose(
            ops.convert_to_numpy(output[:, :, n]),
            expected,
            rtol=1e-4,
            atol=1e-5,
        )
