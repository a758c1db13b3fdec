"""`LocalAttention` with a `grid_shape`: windows of rows and columns."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import AttentionRNN, LocalAttention

# More places than four windows of D = 1, which are cut out, and fewer than
# four of D = 2, where all pairs are masked.
B, T, ROWS, COLUMNS, D, E, V, U = 3, 11, 7, 13, 5, 17, 2, 19
S = ROWS * COLUMNS
GRID = ROWS, COLUMNS
SIZES = (GRID, (5, 11), (0, 0))  # of the sources that a mask leaves


def arrays(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def make(window, score="general", **kwargs):
    units = U if score == "concat" else None
    return LocalAttention(
        window, "predictive", score, units, grid_shape=GRID, **kwargs
    )


def sources(score="general"):
    size = D if score == "dot" else E
    return arrays((B, T, D), (B, S, V), (B, S, size))


def sizes_mask(sizes=SIZES):
    """Sources of fewer rows and columns, in the corner of the grid."""
    mask = np.zeros((B, ROWS, COLUMNS), bool)
    for b, (rows, columns) in enumerate(sizes):
        mask[b, :rows, :columns] = True
    return mask.reshape(B, S)


def pair_score(layer, query, key):
    """Luong et al., 2015, equation 8, for one pair."""
    if layer.score == "dot":
        return query @ key
    W = numpy(layer.query_dense.kernel)
    if layer.score == "general":
        return query @ W @ key
    U = numpy(layer.key_dense.kernel)
    return np.tanh(query @ W + key @ U) @ numpy(layer.score_vector)


def position(layer, query, sizes):
    """Equation 9, with a row of v_p for each axis."""
    W_p, v_p = numpy(layer.position_dense.kernel), numpy(layer.position_vector)
    return [
        size / (1 + np.exp(-np.tanh(query @ W_p) @ v_p[:, axis]))
        for axis, size in enumerate(sizes)
    ]


def reference(layer, query, value, key, sizes, readable):
    """Section 3.2 of the paper, one place of a square at a time."""
    output = np.zeros((*query.shape[:2], value.shape[-1]))
    scores = np.zeros((*query.shape[:2], *GRID))
    for b, t in np.ndindex(query.shape[:2]):
        p = position(layer, query[b, t], sizes[b])
        D, sigma, total = layer.window, layer.window / 2, 0
        for r, c in np.ndindex(GRID):
            s = r * COLUMNS + c
            if max(abs(r - p[0]), abs(c - p[1])) > D or not readable[b, t, s]:
                continue
            scores[b, t, r, c] = np.exp(
                pair_score(layer, query[b, t], key[b, s])
            )
            total += scores[b, t, r, c]
        for r, c in np.argwhere(scores[b, t]):
            near = np.exp(-((r - p[0]) ** 2) / (2 * sigma**2))
            near *= np.exp(-((c - p[1]) ** 2) / (2 * sigma**2))
            scores[b, t, r, c] *= near / total
            output[b, t] += scores[b, t, r, c] * value[b, r * COLUMNS + c]
    return output, scores.reshape(*query.shape[:2], S)


@pytest.mark.parametrize("window", [1, 2, 19])
@pytest.mark.parametrize("score", ["dot", "general", "concat"])
def test_output_is_the_papers_on_both_axes(score, window):
    query, value, key = sources(score)
    layer = make(window, score, seed=1)
    mask = sizes_mask()
    output = layer(query, value, key, value_mask=mask)
    asked = layer(
        query, value, key, value_mask=mask, return_attention_scores=True
    )
    readable = np.broadcast_to(mask[:, None], (B, T, S))
    expected = reference(layer, query, value, key, SIZES, readable)
    for got, wanted in zip(
        (output, *asked), (expected[0], *expected), strict=True
    ):
        np.testing.assert_allclose(numpy(got), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("window", [1, 2])
def test_every_mask_is_honored_on_every_way(window):
    query, value, key = sources()
    rng = np.random.default_rng(1)
    holes = sizes_mask() & (rng.random((B, S)) < 0.8)
    # The last row and the last column of each source stay.
    holes[0, -1] = holes[1, 4 * COLUMNS + 10] = True
    pairs = rng.random((B, T, S)) < 0.8
    rows = rng.random((B, T)) < 0.8
    causal = np.arange(S) <= np.arange(T)[:, None]
    layer = make(window)
    for more, seen in (({}, True), ({"use_causal_mask": True}, causal)):
        masks = {
            "value_mask": sizes_mask(),
            "key_mask": holes,
            "query_mask": rows,
            "attention_mask": pairs,
            **more,
        }
        output = numpy(layer(query, value, key, **masks))
        readable = pairs & seen & holes[:, None] & rows[..., None]
        expected, _ = reference(layer, query, value, key, SIZES, readable)
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)
        assert (output[~readable.any(-1)] == 0).all()
        changed = [np.where(holes[..., None], x, 1e4) for x in (value, key)]
        np.testing.assert_array_equal(
            numpy(layer(query, *changed, **masks)), output
        )


def test_a_grid_of_one_axis_is_a_sequence():
    query, value, key = sources()
    sequence = LocalAttention(1, "predictive", "general")
    grid = LocalAttention(1, "predictive", "general", grid_shape=(S,))
    expected = sequence(query, value, key, value_mask=sizes_mask())
    grid(query, value, key)
    weights = sequence.get_weights()
    grid.set_weights(
        [
            w.reshape(x.shape)
            for w, x in zip(weights, grid.get_weights(), strict=True)
        ]
    )
    output = grid(query, value, key, value_mask=sizes_mask())
    np.testing.assert_allclose(numpy(output), numpy(expected), atol=1e-6)


def test_a_zero_position_network_looks_at_the_middle():
    query, value, key = sources()
    zeros = dict(kernel_initializer="zeros", score_initializer="zeros")
    _, scores = make(1, **zeros)(
        query,
        value,
        key,
        value_mask=sizes_mask([(4, 6)] * B),
        return_attention_scores=True,
    )
    edge, corner = np.exp(-2), np.exp(-4)
    expected = np.zeros(GRID)
    expected[1:4, 2:5] = [
        [corner, edge, corner],
        [edge, 1, edge],
        [corner, edge, corner],
    ]
    np.testing.assert_allclose(
        numpy(scores)[0, 3].reshape(GRID), expected / 9, atol=1e-6
    )


@pytest.mark.parametrize(
    ("score", "window", "hypotheses"),
    [("general", 1, 1), ("concat", 1, 2), ("general", 2, 2)],
)
def test_steps_equal_the_call(score, window, hypotheses):
    query, value, key = sources(score)
    layer = make(window, score)
    memory = layer.memory(value, key, mask=sizes_mask())
    expected, scores = layer(
        query,
        value,
        key,
        value_mask=sizes_mask(),
        return_attention_scores=True,
    )
    assert layer.initial_state(memory) == {}
    for t in range(T):
        step_query = query[:, t]
        if hypotheses > 1:
            # The other hypothesis reads the queries of the next example.
            other = np.roll(step_query, 1, axis=0)
            step_query = np.stack([step_query, other], axis=1)
        context, state, extras = layer.step(
            step_query, memory, {}, return_attention_scores=True
        )
        assert state == {}
        assert set(extras) == {"position", "scores"}
        found = [context, extras["scores"], extras["position"]]
        found = [x[:, 0] if hypotheses > 1 else x for x in map(numpy, found)]
        wanted = [position(layer, query[b, t], SIZES[b]) for b in range(B)]
        np.testing.assert_allclose(found[0], numpy(expected)[:, t], atol=1e-5)
        np.testing.assert_allclose(found[1], numpy(scores)[:, t], atol=1e-5)
        np.testing.assert_allclose(found[2], wanted, rtol=1e-5, atol=1e-6)


def test_a_step_never_touches_what_is_outside_its_window():
    query, value, key = sources()
    layer = make(1)
    memory = layer.memory(value, key)
    expected, _, extras = layer.step(query[:, 0], memory, {})
    r, c = np.indices(GRID).reshape(2, S)
    p = numpy(extras["position"])
    # A window has room for one place more where p is not an integer.
    outside = np.maximum(abs(r - p[:, :1]), abs(c - p[:, 1:])) > 2
    poisoned = {
        name: np.where(outside[..., None], np.nan, numpy(memory[name]))
        for name in ("key", "value")
    }
    context, _, _ = layer.step(query[:, 0], {**memory, **poisoned}, {})
    np.testing.assert_allclose(numpy(context), numpy(expected), atol=1e-6)


def test_a_window_learns_where_to_look():
    """The place that a query names is all that answers it.

    Keys are alike, so that only the predicted position tells places apart.
    """
    rng = np.random.default_rng(0)
    places = rng.integers(S, size=(256, 1))
    query = np.stack([places // COLUMNS / ROWS, places % COLUMNS / COLUMNS], -1)
    query = 2 * query.astype("float32") - 1
    value = np.broadcast_to(np.eye(S, dtype="float32"), (256, S, S))
    key = np.zeros((256, S, 2), "float32")
    inputs = [keras.Input(x.shape[1:]) for x in (query, value, key)]
    layer = LocalAttention(2, "predictive", grid_shape=GRID)
    model = keras.Model(inputs, layer(*inputs))
    model.compile(
        keras.optimizers.Adam(0.05),
        lambda place, read: -ops.sum(place * read, axis=-1),
    )
    arguments = [query, value, key]
    target = np.eye(S, dtype="float32")[places]
    before = model.evaluate(arguments, target, batch_size=256, verbose=0)
    model.fit(arguments, target, epochs=20, batch_size=64, verbose=0)
    after = model.evaluate(arguments, target, batch_size=256, verbose=0)
    assert after < 3 * before < 0, (before, after)


def test_a_decoder_reports_a_row_and_a_column_of_every_step():
    inputs, memory = keras.Input((None, D)), keras.Input((S, E))
    layer = AttentionRNN(keras.layers.GRUCell(U), make(1))
    result = layer(inputs, memory)
    assert result["position"].shape == (None, None, 2)
    model = keras.Model([inputs, memory], result)
    x, values = arrays((B, T, D), (B, S, E))
    found = model.predict([x, values], verbose=0)
    assert found["position"].shape == (B, T, 2)
    assert ((found["position"] > 0) & (found["position"] < GRID)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alignment": "monotonic"}, "On a grid positions are predicted"),
        ({"grid_shape": 7}, "`grid_shape` must be the sizes of a grid"),
        ({"grid_shape": (7, 0)}, "`grid_shape` must be a positive integer"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    good = {"window": 1, "alignment": "predictive", "grid_shape": GRID}
    with pytest.raises(ValueError, match=message):
        LocalAttention(**{**good, **arguments})


def test_a_source_that_is_not_the_grid_is_refused():
    query, value = arrays((B, T, D), (B, S - 1, E))
    with pytest.raises(ValueError, match="7 x 13 = 91. Received: grid_shape="):
        make(1)(query, value)
    with pytest.raises(ValueError, match="one position for each place"):
        make(1).memory(value)
    with pytest.raises(ValueError, match="one position for each place"):
        AttentionRNN(keras.layers.GRUCell(U), make(1))(query, value)
