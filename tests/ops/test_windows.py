import numpy as np
import pytest
from keras import ops

from keras_attention.ops import windows
from keras_attention.ops.luong import dot_attention

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


def test_a_source_ends_behind_its_last_readable_position():
    mask = np.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]) > 0
    length = windows.source_length(ops.convert_to_tensor(mask))
    assert ops.convert_to_numpy(length).tolist() == [4, 0, 5]


def test_the_gaussian_falls_to_exp_minus_two_at_the_edge():
    distance = ops.convert_to_tensor([0.0, 10.0, -5.0])
    weight = windows.gaussian(ops.square(distance), 10)
    expected = [1, np.exp(-2), np.exp(-0.5)]
    np.testing.assert_allclose(ops.convert_to_numpy(weight), expected, 1e-6)


@pytest.mark.parametrize("window", [1, 2, 3, 50])
def test_columns_hold_every_position_of_every_window(window):
    positions = np.array([[-9, 0, 0.49, 0.5, 3, 7.2, 11.9, 12, 30]], "float32")
    (columns,) = windows.window_axes(
        ops.convert_to_tensor(positions[..., None]), window, (13,)
    )
    columns = ops.convert_to_numpy(columns)
    assert columns.shape == (1, 9, min(2 * window + 1, 13))
    for position, found in zip(positions[0], columns[0], strict=True):
        wanted = [s for s in range(13) if abs(s - position) <= window]
        assert set(wanted) <= set(found.tolist()) <= set(range(13))
        assert (np.diff(found) == 1).all()


def test_spread_scores_lie_where_they_were_gathered():
    scores = np.array([[[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]], "float32")
    columns = np.array([[[0, 1, 2], [2, 3, 4]]], "int32")
    spread = windows.spread_windows(
        ops.convert_to_tensor(scores), [ops.convert_to_tensor(columns)], (5,)
    )
    expected = [[[0.1, 0.2, 0.3, 0, 0], [0, 0, 0.4, 0.5, 0.6]]]
    np.testing.assert_allclose(ops.convert_to_numpy(spread), expected, 1e-6)


def test_a_grid_is_read_row_by_row():
    rows, columns = np.array([[[1, 2]]]), np.array([[[2, 3, 4]]])
    axes = [ops.convert_to_tensor(x.astype("int32")) for x in (rows, columns)]
    flat = ops.convert_to_numpy(windows.flat_columns(axes, (3, 5)))
    assert flat.tolist() == [[[7, 8, 9, 12, 13, 14]]]
    scores = np.arange(1, 7, dtype="float32")[None, None]
    spread = windows.spread_windows(ops.convert_to_tensor(scores), axes, (3, 5))
    expected = [[0, 0, 0, 0, 0], [0, 0, 1, 2, 3], [0, 0, 4, 5, 6]]
    spread = ops.convert_to_numpy(spread).reshape(3, 5)
    assert spread.tolist() == expected
    length = windows.source_lengths(
        ops.convert_to_tensor(scores[0] > 2), (2, 3)
    )
    assert ops.convert_to_numpy(length).tolist() == [[2, 3]]
    length = windows.source_lengths(
        ops.convert_to_tensor(scores[0] < 3), (2, 3)
    )
    assert ops.convert_to_numpy(length).tolist() == [[1, 2]]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("read", ["whole", "gathered"])
def test_gathered_windows_equal_attention_under_their_mask(read, causal):
    query, key, value = arrays((B, T, D), (B, S, D), (B, S, V))
    rng = np.random.default_rng(1)
    positions = rng.uniform(-5, S + 5, size=(B, T)).astype("float32")
    source = rng.random((B, S)) < 0.7
    pair = rng.random((1, T, S)) < 0.7
    columns = np.arange(S)
    mask = np.abs(columns - positions[..., None]) <= 3
    mask = mask & source[:, None] & pair
    if causal:
        mask = mask & (columns <= np.arange(T)[:, None])
    arguments = [
        *map(ops.convert_to_tensor, (query, key, value, positions[..., None])),
        3,
        (S,),
        *map(ops.convert_to_tensor, (source, pair)),
        causal,
    ]

    def attend_windows(query, key, value, mask, square):
        return dot_attention(query, key, value, mask, return_scores=True)

    if read == "whole":
        output, scores = windows.whole_attention(attend_windows, *arguments)
    else:
        output, scores = windows.gathered_attention(
            attend_windows, *arguments, return_scores=True
        )
    expected = masked_attention(query, key, value, mask)
    np.testing.assert_allclose(
        ops.convert_to_numpy(output), expected, rtol=1e-4, atol=1e-5
    )
    scores = ops.convert_to_numpy(scores)
    assert ((scores > 0) == mask).all()
    np.testing.assert_allclose(scores.sum(-1), mask.any(-1), atol=1e-5)
