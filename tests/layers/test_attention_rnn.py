import keras
import numpy as np
import pytest
from keras import ops

from keras_attention import layers
from keras_attention.layers import AttentionRNN

B, T, S, D, V, N, U, A = 3, 5, 7, 11, 13, 17, 19, 23
LENGTHS = np.array([S, 4, 1])
MASK = np.arange(S) < LENGTHS[:, None]


def arrays(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def gru(**kwargs):
    return keras.layers.GRUCell(
        N, reset_after=False, bias_initializer="glorot_uniform", **kwargs
    )


def stacked():
    return keras.layers.StackedRNNCells([gru(), keras.layers.GRUCell(N)])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_step(cell, x, state):
    """Cho et al., 2014, equations 5 to 8; Keras's z keeps the old state."""
    W, K = numpy(cell.kernel), numpy(cell.recurrent_kernel)
    b = numpy(cell.bias)
    z, r, h = slice(0, N), slice(N, 2 * N), slice(2 * N, 3 * N)
    update = sigmoid(x @ W[:, z] + state @ K[:, z] + b[z])
    reset = sigmoid(x @ W[:, r] + state @ K[:, r] + b[r])
    new = np.tanh(x @ W[:, h] + (reset * state) @ K[:, h] + b[h])
    return update * state + (1 - update) * new


def read(attention, query, memory):
    """Bahdanau et al., 2015, A.1.2, or Luong et al., 2015, "general"."""
    W = numpy(attention.query_dense.kernel)
    if isinstance(attention, layers.AdditiveAttention):
        K, v = numpy(attention.key_dense.kernel), numpy(attention.score_vector)
        scores = np.array([v @ np.tanh(query @ W + m @ K) for m in memory])
    else:
        scores = np.array([query @ W @ m for m in memory])
    weights = np.exp(scores) / np.exp(scores).sum()
    return weights @ memory, weights


def reference(layer, x, memory, state, lengths=LENGTHS):
    """Outputs, contexts and scores, one example and one step at a time."""
    outputs = np.zeros((B, T, layer.attentional_layer or N))
    contexts, scores = np.zeros((B, T, V)), np.zeros((B, T, S))
    for b in range(B):
        s, source = state[b], memory[b, : lengths[b]]
        fed = np.zeros(layer.attentional_layer or 0)
        for t in range(T):
            if layer.query_from == "previous":  # Bahdanau et al., A.2.2
                c, weights = read(layer.attention, s, source)
                c = gated(layer, s, c)
                s = gru_step(layer.cell, np.concatenate([x[b, t], c]), s)
            else:  # Luong et al., section 3 and, with what is fed, 3.3
                parts = [x[b, t]] + [fed] * layer.input_feeding
                s = gru_step(layer.cell, np.concatenate(parts), s)
                c, weights = read(layer.attention, s, source)
                c = gated(layer, s, c)
            if layer.attentional_layer:
                W = numpy(layer.attentional_dense.kernel)
                fed = np.tanh(np.concatenate([c, s]) @ W)
            outputs[b, t] = fed if layer.attentional_layer else s
            contexts[b, t], scores[b, t, : lengths[b]] = c, weights
    return outputs, contexts, scores


def gated(layer, query, context):
    """Xu et al., 2015, section 4.2.1."""
    if layer.gate is None:
        return context
    W, b = numpy(layer.gate_dense.kernel), numpy(layer.gate_dense.bias)
    return sigmoid(query @ W + b) * context


PAPERS = {
    "Bahdanau": lambda: AttentionRNN(gru(), layers.AdditiveAttention(U)),
    "Luong": lambda: AttentionRNN(
        gru(),
        layers.LuongAttention("general"),
        query_from="current",
        attentional_layer=A,
    ),
    "Luong, input feeding": lambda: AttentionRNN(
        gru(),
        layers.LuongAttention("general"),
        query_from="current",
        attentional_layer=A,
        input_feeding=True,
    ),
    "Xu, scalar": lambda: AttentionRNN(
        gru(), layers.AdditiveAttention(U), gate="scalar"
    ),
    "Xu, vector": lambda: AttentionRNN(
        gru(), layers.AdditiveAttention(U), gate="vector"
    ),
}


@pytest.mark.parametrize("paper", PAPERS)
def test_it_is_the_papers_recurrence(paper):
    layer = PAPERS[paper]()
    x, memory, state = arrays((B, T, D), (B, S, V), (B, N))
    result = layer(
        x,
        memory,
        memory_mask=MASK,
        initial_state=state,
        return_attention_scores=True,
    )
    names = ("outputs", "contexts", "scores")
    expected = reference(layer, x, memory, state)
    for name, numbers in zip(names, expected, strict=True):
        np.testing.assert_allclose(
            numpy(result[name]), numbers, atol=2e-5, err_msg=name
        )


def test_queries_are_compared_with_a_key_and_read_the_memory():
    layer = AttentionRNN(gru(), layers.AdditiveAttention(U), gate="scalar")
    x, values, keys = arrays((B, T, D), (B, S, V), (B, S, V + 2))
    options = dict(memory_mask=MASK, return_attention_scores=True)
    called = layer(x, values, memory_key=keys, **options)
    by_key = numpy(called["scores"])
    # With the values in the key's place the same scores read the same.
    attention, state = layer.attention, np.zeros((B, N), "float32")
    scores = attention(
        state[:, None],
        values,
        keys,
        value_mask=MASK,
        return_attention_scores=True,
    )[1]
    np.testing.assert_allclose(by_key[:, 0], numpy(scores)[:, 0], atol=1e-5)
    contexts = by_key @ values * numpy(called["gate"])
    np.testing.assert_allclose(numpy(called["contexts"]), contexts, atol=1e-5)
    memory = layer.memory(values, MASK, keys)
    state = layer.initial_state(memory)
    for t in range(T):
        output, state, extras = layer.step(x[:, t], memory, state)
        np.testing.assert_allclose(
            numpy(output), numpy(called["outputs"][:, t]), atol=1e-5
        )
        assert tuple(extras["gate"].shape) == (B, 1)
    symbols = [keras.Input(y.shape[1:]) for y in (x, values, keys)]
    spec = layer(symbols[0], symbols[1], memory_key=symbols[2])
    assert spec["gate"].shape == (None, T, 1)
    model = keras.Model(symbols, spec["outputs"])
    plain = layer(x, values, memory_key=keys)["outputs"]
    np.testing.assert_allclose(
        model.predict([x, values, keys], verbose=0), numpy(plain), atol=1e-5
    )


CELLS = {
    "GRU": gru,
    "GRU, reset after": lambda: keras.layers.GRUCell(N),
    "LSTM": lambda: keras.layers.LSTMCell(N),
    "stacked": stacked,
}
LUONG = dict(query_from="current", attentional_layer=A, input_feeding=True)


@pytest.mark.parametrize("arguments", [{}, LUONG], ids=["Bahdanau", "Luong"])
@pytest.mark.parametrize("cell", CELLS)
def test_stepping_is_calling(cell, arguments):
    layer = AttentionRNN(
        CELLS[cell](), layers.AdditiveAttention(U), gate="vector", **arguments
    )
    x, values = arrays((B, T, D), (B, S, V))
    called = layer(x, values, memory_mask=MASK, return_attention_scores=True)
    memory = layer.memory(values, MASK)
    state = layer.initial_state(memory)
    for t in range(T):
        output, state, extras = layer.step(
            x[:, t], memory, state, return_attention_scores=True
        )
        for name, got in {"outputs": output, **extras}.items():
            np.testing.assert_allclose(
                numpy(got), numpy(called[name][:, t]), atol=1e-5
            )
    for got, last in zip(
        keras.tree.flatten(state),
        keras.tree.flatten(called["states"]),
        strict=True,
    ):
        np.testing.assert_allclose(numpy(got), numpy(last), atol=1e-5)


def attentions():
    yield "additive", lambda: layers.AdditiveAttention(U)
    for score in ("general", "concat", "location"):
        needed = {"concat": {"units": U}, "location": {"max_length": S}}
        yield (
            score,
            lambda score=score, needed=needed: layers.LuongAttention(
                score, **needed.get(score, {})
            ),
        )
    yield "monotonic", lambda: layers.LocalAttention(1, "monotonic", "general")
    yield (
        "predictive",
        lambda: layers.LocalAttention(1, "predictive", "general"),
    )
    yield (
        "predictive on a grid",
        lambda: layers.LocalAttention(
            1, "predictive", "general", grid_shape=(S, 1)
        ),
    )
    yield (
        "raffel",
        lambda: layers.MonotonicAttention(U, initial_score_bias=-0.5),
    )
    yield "filters", lambda: layers.LocationAttention(U, 2, 3)
    yield "coverage", lambda: layers.CoverageAttention(U, fertility=2.0)
    yield "heads", lambda: layers.MultiHeadAttention(2, 3)


ATTENTIONS = dict(attentions())


@pytest.mark.parametrize("name", ATTENTIONS)
def test_beams_of_a_source_share_its_memory(name):
    beams = 2
    layer = AttentionRNN(gru(), ATTENTIONS[name]())
    x, values, first = arrays((B * beams, 2, D), (B, S, V), (B * beams, N))
    # As if every hypothesis were a source of its own:
    apart = layer(
        x,
        np.repeat(values, beams, 0),
        memory_mask=np.repeat(MASK, beams, 0),
        initial_state=first,
    )
    memory = layer.memory(values, MASK)
    state = layer.initial_state(memory)
    state["cell"] = [ops.convert_to_tensor(first)]
    state["attention"] = keras.tree.map_structure(
        lambda x: ops.repeat(x, beams, axis=0), state["attention"]
    )
    for t in range(2):
        output, state, extras = layer.step(
            np.reshape(x[:, t], (B, beams, D)), memory, state
        )
        assert tuple(output.shape) == (B, beams, N)
        for got, expected in (
            (output, apart["outputs"]),
            (extras["contexts"], apart["contexts"]),
        ):
            flat = numpy(got).reshape(B * beams, -1)
            np.testing.assert_allclose(flat, numpy(expected)[:, t], atol=1e-5)


def test_dot_reads_with_queries_of_the_size_of_a_key():
    layer = AttentionRNN(gru(), layers.LuongAttention("dot"))
    x, memory = arrays((B, T, D), (B, S, N))
    scores = layer(x, memory, return_attention_scores=True)["scores"]
    # The first query is the first state, zeros: all positions count the same.
    np.testing.assert_allclose(numpy(scores)[:, 0], 1 / S, atol=1e-6)


@pytest.mark.parametrize("cell", ["GRU", "stacked"])
def test_masked_positions_of_the_memory_are_never_read(cell):
    layer = AttentionRNN(CELLS[cell](), layers.AdditiveAttention(U))
    x, memory = arrays((B, T, D), (B, S, V))
    before = layer(x, memory, memory_mask=MASK)
    memory[~MASK] = 1e3
    after = layer(x, memory, memory_mask=MASK)
    np.testing.assert_array_equal(
        numpy(before["outputs"]), numpy(after["outputs"])
    )


@pytest.mark.parametrize("cell", CELLS)
def test_a_masked_step_keeps_the_state_and_gives_zeros(cell):
    layer = AttentionRNN(CELLS[cell](), layers.AdditiveAttention(U), **LUONG)
    x, memory = arrays((B, T, D), (B, S, V))
    inputs_mask = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 0, 1], [0] * 5], bool)
    result = layer(x, memory, inputs_mask=inputs_mask)
    without = layer(x[1:2, ::2], memory[1:2])  # the second, shortened
    outputs = numpy(result["outputs"])
    assert not outputs[~inputs_mask].any()
    np.testing.assert_allclose(
        outputs[1, ::2], numpy(without["outputs"])[0], atol=1e-5
    )
    for got, expected in zip(
        keras.tree.flatten(result["states"]),
        keras.tree.flatten(without["states"]),
        strict=True,
    ):
        np.testing.assert_allclose(numpy(got)[1], numpy(expected)[0], atol=1e-5)
        assert not numpy(got)[2].any()  # as it began


def model_of(layer):
    x, memory = keras.Input((None, D)), keras.Input((None, V))
    return keras.Model([x, memory], layer(x, memory)["outputs"])


@pytest.mark.parametrize("cell", CELLS)
def test_it_saves_and_reloads(cell, tmp_path):
    model = model_of(
        AttentionRNN(
            CELLS[cell](), layers.AdditiveAttention(U), gate="scalar", **LUONG
        )
    )
    inputs = arrays((B, T, D), (B, S, V))
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        numpy(reloaded(inputs)), numpy(model(inputs)), atol=1e-6
    )


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(
    "cell, attention",
    [
        ("GRU", "additive"),
        ("GRU", "heads"),
        ("stacked", "additive"),
        # The contract trains them by a step.
        *(
            pytest.param("GRU", name, marks=pytest.mark.slow)
            for name in ATTENTIONS
            if name not in ("additive", "heads")
        ),
        pytest.param("LSTM", "additive", marks=pytest.mark.slow),
    ],
)
def test_fit_moves_every_weight(cell, attention, jit_compile):
    # torch has no compiler for loops, and JAX without one takes minutes.
    backend = keras.backend.backend()
    if backend != "tensorflow" and jit_compile != (backend == "jax"):
        pytest.skip(f"{backend} trains in one way only")
    layer = AttentionRNN(
        CELLS[cell](), ATTENTIONS[attention](), gate="vector", **LUONG
    )
    model = model_of(layer)
    x, memory, y = arrays((B, T, D), (B, S, V), (B, T, A))
    before = [numpy(v) for v in model.trainable_variables]
    model.compile("sgd", "mse", jit_compile=jit_compile)
    history = model.fit([x, memory], y, epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]
    for old, variable in zip(before, model.trainable_variables, strict=True):
        assert np.abs(numpy(variable) - old).max() > 0, variable.path


@pytest.mark.parametrize("attention", ["additive", "heads"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_it_trains_where_no_length_is_known(attention, jit_compile):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("lengths are unknown on TensorFlow only")
    import tensorflow as tf

    model = model_of(AttentionRNN(gru(), ATTENTIONS[attention]()))
    batches = [
        (tuple(arrays((B, t, D), (B, s, V))), arrays((B, t, N))[0])
        for t, s in ((T, S), (T - 1, S + 2))
    ]
    unknown = [tf.TensorSpec((None, None, size)) for size in (D, V, N)]
    data = tf.data.Dataset.from_generator(
        lambda: iter(batches),
        output_signature=(tuple(unknown[:2]), unknown[2]),
    )
    model.compile("sgd", "mse", jit_compile=jit_compile)
    history = model.fit(
        data.repeat(), epochs=3, steps_per_epoch=2, shuffle=False, verbose=0
    )
    losses = history.history["loss"]
    assert losses[-1] < losses[0]


def test_a_loss_does_not_count_masked_steps():
    ids = keras.Input((None,), dtype="int32")
    memory = keras.Input((None, V))
    x = keras.layers.Embedding(9, D, mask_zero=True)(ids)
    layer = AttentionRNN(gru(), layers.LocalAttention(2, score="general"))
    for scores in (False, True):
        result = layer(x, memory, return_attention_scores=scores)
        model = keras.Model([ids, memory], result["outputs"])
        model.compile("sgd", "mse")
        inputs = [np.array([[1, 2, 3, 0, 0]] * B), *arrays((B, S, V))]
        target = np.zeros((B, 5, N))
        loss = model.evaluate(inputs, target, verbose=0)
        target[:, 3:] = 100
        assert model.evaluate(inputs, target, verbose=0) == pytest.approx(loss)


def test_a_layer_that_only_ever_stepped_has_all_its_parts():
    layer = AttentionRNN(gru(), ATTENTIONS["heads"](), gate="vector", **LUONG)
    x, memory = arrays((B, T, D), (B, S, V))
    values = layer.memory(memory)
    output, _, extras = layer.step(x[:, 0], values, layer.initial_state(values))
    called = layer(x, memory)
    for step, call in (
        (output, called["outputs"]),
        (extras["contexts"], called["contexts"]),
    ):
        np.testing.assert_allclose(numpy(step), numpy(call)[:, 0], atol=1e-6)
    with pytest.raises(ValueError, match="Call `memory` of the same layer"):
        AttentionRNN(gru(), ATTENTIONS["heads"]()).step(x[:, 0], values, {})


@pytest.mark.parametrize("kind", ["dropout", "recurrent_dropout"])
def test_cell_dropout_is_drawn_once_for_all_steps(kind):
    cell = gru(**{kind: 0.5, "seed": 1})
    layer = AttentionRNN(cell, ATTENTIONS["heads"]())
    x, memory = arrays((B, T, D), (B, S, V))
    still = numpy(layer(x, memory)["outputs"])
    np.testing.assert_array_equal(
        numpy(layer(x, memory, training=False)["outputs"]), still
    )
    first = numpy(layer(x, memory, training=True)["outputs"])
    second = numpy(layer(x, memory, training=True)["outputs"])
    assert np.abs(first - still).max() > 1e-3
    assert np.abs(first - second).max() > 1e-3  # drawn anew for each call
    model = model_of(layer)
    jit_compile = keras.backend.backend() != "torch"
    model.compile("sgd", "mse", jit_compile=jit_compile)
    model.fit([x, memory], np.zeros((B, T, N)), verbose=0)


def test_a_dropped_input_is_dropped_in_every_step():
    cell = gru(dropout=0.5, seed=1)
    layer = AttentionRNN(cell, layers.AdditiveAttention(U))
    x, memory = arrays((B, T, D), (B, S, V))
    layer(x, memory)
    masks, draw = [], cell.get_dropout_mask
    cell.get_dropout_mask = lambda x: masks.append(draw(x)) or masks[-1]
    layer(x, memory, training=True)
    first, *others = map(numpy, masks)
    assert first.shape == (B, D + V) and others
    for other in others:
        np.testing.assert_array_equal(other, first)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"cell": keras.layers.Dense(3)}, "`cell` must be a Keras RNN cell"),
        ({"attention": keras.layers.Attention()}, "with `memory` and `step`"),
        (
            {"attention": layers.AdditiveAttention(U, dropout=0.1)},
            "no dropout of its own",
        ),
        (
            {"attention": layers.SlidingWindowAttention(1, 2, 3)},
            "must have no `sliding_window`",
        ),
        (
            {
                "attention": layers.MultiHeadAttention(
                    1, 2, activity_regularizer="l2"
                )
            },
            "no activity regularizer",
        ),
        ({"dtype": "mixed_bfloat16"}, "in one dtype.*bfloat16, and float32"),
        ({"query_from": "next"}, "`query_from` must be one of"),
        ({"gate": "matrix"}, "`gate` must be one of"),
        ({"attentional_layer": 0}, "`attentional_layer` must be a positive"),
        ({"input_feeding": True}, "Set `attentional_layer`"),
    ],
)
def test_bad_arguments_are_explained(arguments, message):
    good = {"cell": gru(), "attention": layers.AdditiveAttention(U)}
    with pytest.raises(ValueError, match=message):
        AttentionRNN(**{**good, **arguments})


def test_bad_inputs_are_explained():
    layer = AttentionRNN(gru(), layers.AdditiveAttention(U))
    x, memory, state = arrays((B, T, D), (B, S, V), (B, N + 1))
    with pytest.raises(ValueError, match=r"\(batch, length, features\)"):
        layer(x[0], memory)
    for wrong in (state, state[:1, :N]):
        with pytest.raises(ValueError, match="must match the cell's states"):
            layer(x, memory, initial_state=wrong)
    with pytest.raises(ValueError, match="`inputs_mask`"):
        layer(x, memory, inputs_mask=np.ones((B, T + 1), bool))
    values = layer.memory(memory)
    with pytest.raises(ValueError, match=r"\(B, D\) or \(B, K, D\)"):
        layer.step(x[None], values, layer.initial_state(values))
