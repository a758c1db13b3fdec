import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.ops import masks

query, key = np.zeros((2, 3, 5)), np.zeros((2, 7, 5))


def joined(**kwargs):
    mask = masks.joint_mask(query, key, **kwargs)
    return np.broadcast_to(ops.convert_to_numpy(mask), (2, 3, 7))


def test_without_masks_there_is_none():
    assert masks.joint_mask(query, key) is None


def test_every_mask_is_joined_by_and():
    rng = np.random.default_rng(0)
    query_mask = rng.random((2, 3)) < 0.8
    value_mask = rng.random((2, 7)) < 0.8
    key_mask = rng.random((2, 7)) < 0.8
    attention_mask = rng.random((2, 3, 7)) < 0.8
    expected = np.zeros((2, 3, 7), bool)
    for b, t, s in np.ndindex(2, 3, 7):
        expected[b, t, s] = (
            query_mask[b, t]
            and value_mask[b, s]
            and key_mask[b, s]
            and attention_mask[b, t, s]
            and s <= t
        )
    got = joined(
        query_mask=query_mask,
        value_mask=value_mask,
        key_mask=key_mask,
        attention_mask=attention_mask,
        use_causal_mask=True,
    )
    np.testing.assert_array_equal(got, expected)


def test_axes_along_which_a_mask_does_not_vary_stay_one():
    mask = masks.joint_mask(query, key, value_mask=np.ones((2, 7), bool))
    assert tuple(mask.shape) == (2, 1, 7)
    mask = masks.joint_mask(query, key, use_causal_mask=True)
    assert tuple(mask.shape) == (1, 3, 7)


def test_a_mask_of_pairs_needs_no_batch():
    pairs = np.random.default_rng(1).random((3, 7)) < 0.5
    np.testing.assert_array_equal(
        joined(attention_mask=pairs), np.stack([pairs, pairs])
    )


def test_a_mask_with_heads_keeps_them():
    heads = np.random.default_rng(1).random((2, 4, 3, 7)) < 0.5
    causal = np.arange(3)[:, None] >= np.arange(7)
    got = masks.joint_mask(
        query, key, attention_mask=heads, use_causal_mask=True
    )
    np.testing.assert_array_equal(ops.convert_to_numpy(got), heads & causal)


def test_zeros_and_ones_are_cast():
    for dtype in ("int32", "float32", "uint8"):
        mask = masks.as_mask(np.array([[1, 0]], dtype), "mask")
        assert keras.backend.standardize_dtype(mask.dtype) == "bool"
        np.testing.assert_array_equal(
            ops.convert_to_numpy(mask), [[True, False]]
        )


@pytest.mark.parametrize("wrong", [2, -1, 0.5, float("nan"), -1e9])
def test_other_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match="`mask` must hold.*Received a value"):
        masks.as_mask(np.array([[1.0, wrong]]), "mask")


@pytest.mark.parametrize(
    "name, shape",
    [
        ("query_mask", (2, 7)),
        ("value_mask", (2, 3)),
        ("key_mask", (3, 7)),
        ("attention_mask", (2, 7, 3)),
        ("attention_mask", (7, 3)),
        ("attention_mask", (3, 4, 3, 7)),
    ],
)
def test_a_mask_of_the_wrong_shape_is_refused(name, shape):
    with pytest.raises(ValueError, match=f"`{name}` must have shape"):
        masks.joint_mask(query, key, **{name: np.ones(shape, bool)})
