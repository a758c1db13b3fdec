import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.ops import hypothesis_cache as cache
from tests.gradients import compiled

B, K, N, G, H, HV = 2, 3, 4, 2, 5, 7
M = 11


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    """2, 2, 4, 3 positions, so that a short search goes through four."""
    monkeypatch.setattr(cache, "FIRST", 2)


def test_segments_double_until_there_is_room():
    assert cache.segment_sizes(M) == [2, 2, 4, 3]
    assert cache.segment_sizes(1) == [1]


def draws(*shape, rng):
    return rng.standard_normal(shape).astype("float32")


def attend(query, keys, values):
    """One hypothesis `(N, H)` over its own past, head by head."""
    output = np.zeros((N, HV), "float32")
    for n in range(N):
        g = n // (N // G)
        logits = np.array([0.3 * query[n] @ key[g] for key in keys])
        weights = np.exp(logits - logits.max())
        weights /= weights.sum()
        output[n] = weights @ np.array([value[g] for value in values])
    return output


def step(query, key, value, segments, slots, position):
    slots = cache.trace(slots, position, K)
    segments = cache.write(segments, position, key, value)
    masks = cache.segment_masks(slots, position, K, M)
    output = cache.read(query, segments, masks, position, 0.3)
    return output, segments, slots


@pytest.mark.parametrize("compile_step", [False, True])
def test_hypotheses_that_change_places_read_their_own_past(compile_step):
    rng = np.random.default_rng(0)
    run = compiled(step) if compile_step else step
    segments = cache.empty_segments(B, K, M, (G, H), (G, HV), "float32")
    slots = ops.zeros((B * K, M), "int32")
    pasts = [[([], []) for _ in range(K)] for _ in range(B)]
    for position in range(M):
        query = draws(B, K, N, H, rng=rng)
        key, value = draws(B, K, G, H, rng=rng), draws(B, K, G, HV, rng=rng)
        output, segments, slots = run(
            *map(ops.convert_to_tensor, (query, key, value)),
            segments,
            slots,
            ops.convert_to_tensor(position, "int32"),
        )
        for b, k in np.ndindex(B, K):
            keys, values = pasts[b][k]
            pasts[b][k] = keys, values = (
                [*keys, key[b, k]],
                [*values, value[b, k]],
            )
            np.testing.assert_allclose(
                ops.convert_to_numpy(output)[b, k],
                attend(query[b, k], keys, values),
                atol=1e-5,
            )
        # As a search does: some hypotheses twice, others not at all.
        chosen = rng.integers(0, K, (B, K))
        pasts = [[pasts[b][k] for k in chosen[b]] for b in range(B)]
        rows = (np.arange(B)[:, None] * K + chosen).reshape(-1)
        slots = ops.take(slots, rows, axis=0)


def test_a_single_hypothesis_needs_no_slots():
    rng = np.random.default_rng(1)
    segments = cache.empty_segments(B, 1, 3, (G, H), (G, HV), "float32")
    keys, values = [], []
    for position in range(3):
        key, value = draws(B, 1, G, H, rng=rng), draws(B, 1, G, HV, rng=rng)
        query = draws(B, 1, N, H, rng=rng)
        keys.append(key)
        values.append(value)
        segments = cache.write(
            segments, ops.array(position), *map(ops.array, (key, value))
        )
        masks = cache.segment_masks(None, position, 1, 3)
        output = cache.read(
            ops.array(query), segments, masks, ops.array(position), 0.3
        )
        for b in range(B):
            np.testing.assert_allclose(
                ops.convert_to_numpy(output)[b, 0],
                attend(
                    query[b, 0],
                    [x[b, 0] for x in keys],
                    [x[b, 0] for x in values],
                ),
                atol=1e-5,
            )


def test_values_of_half_precision_stay_so():
    segments = cache.empty_segments(B, 1, 3, (G, H), (G, HV), "bfloat16")
    ones = (
        ops.ones((B, 1, G, H), "bfloat16"),
        ops.ones((B, 1, G, HV), "bfloat16"),
    )
    segments = cache.write(segments, ops.array(0), *ones)
    masks = cache.segment_masks(None, 0, 1, 3)
    output = cache.read(
        ops.ones((B, 1, N, H), "bfloat16"), segments, masks, ops.array(0), 1.0
    )
    assert keras.backend.standardize_dtype(output.dtype) == "bfloat16"
    assert np.all(ops.convert_to_numpy(ops.cast(output, "float32")) == 1)
