import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import LocalAttention
from tests.marks import slow_on_jax

# S is longer than four windows of D = 1, so that windows are cut out, and
# shorter than four of D = 2, so that all pairs are masked.
B, T, S, D, E, V, U = 3, 11, 17, 5, 7, 2, 13
LENGTHS = (S, 10, 0)
WINDOWS = (1, 2, 19)
ALIGNMENTS = ("monotonic", "predictive")


def arrays(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def make(window, alignment, score="general", **kwargs):
    units = U if score == "concat" else None
    return LocalAttention(window, alignment, score, units=units, **kwargs)


def sources(score="general"):
    size = D if score == "dot" else E
    return arrays((B, T, D), (B, S, V), (B, S, size))


def ragged(lengths=LENGTHS):
    return np.arange(S) < np.array(lengths)[:, None]


def pair_score(layer, query, key):
    """Luong et al., 2015, equation 8, for one pair."""
    if layer.score == "dot":
        return query @ key
    W = numpy(layer.query_dense.kernel)
    if layer.score == "general":
        return query @ W @ key
    U = numpy(layer.key_dense.kernel)
    return np.tanh(query @ W + key @ U) @ numpy(layer.score_vector)


def position_weights(layer):
    """`W_p` and `v_p` in float64."""
    weights = layer.position_dense.kernel, layer.position_vector
    return [numpy(x).astype("float64") for x in weights]


def aligned(layer, query, t, length, weights=None):
    """Equation 9."""
    if layer.alignment == "monotonic":
        return t
    W_p, v_p = weights or position_weights(layer)
    return length / (1 + np.exp(-np.tanh(query @ W_p) @ v_p))


def reference(layer, query, value, key, lengths, readable=None, weights=None):
    """Luong et al., 2015, section 3.2, one position of a window at a time."""
    output = np.zeros((*query.shape[:2], value.shape[-1]))
    scores = np.zeros((*query.shape[:2], key.shape[1]))
    for b, t in np.ndindex(query.shape[:2]):
        p = aligned(layer, query[b, t], t, lengths[b], weights)
        total = 0
        for s in range(lengths[b]):
            if abs(s - p) > layer.window:
                continue
            if readable is not None and not readable[b, t, s]:
                continue
            scores[b, t, s] = np.exp(pair_score(layer, query[b, t], key[b, s]))
            total += scores[b, t, s]
        for s in np.flatnonzero(scores[b, t]):
            scores[b, t, s] /= total
            if layer.alignment == "predictive":
                sigma = layer.window / 2
                scores[b, t, s] *= np.exp(-((s - p) ** 2) / (2 * sigma**2))
            output[b, t] += scores[b, t, s] * value[b, s]
    return output, scores


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("score", ["dot", "general", "concat"])
@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_output_is_the_papers_with_true_lengths(alignment, score, window):
    query, value, key = sources(score)
    layer = make(window, alignment, score, seed=1)
    output = layer(query, value, key, value_mask=ragged())
    expected, expected_scores = reference(layer, query, value, key, LENGTHS)
    np.testing.assert_allclose(numpy(output), expected, rtol=1e-4, atol=1e-5)
    output, scores = layer(
        query, value, key, value_mask=ragged(), return_attention_scores=True
    )
    np.testing.assert_allclose(numpy(output), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        numpy(scores), expected_scores, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("window", [1, 2])
@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_every_mask_is_honored_on_every_way(alignment, window):
    query, value, key = sources()
    rng = np.random.default_rng(1)
    holes = ragged() & (rng.random((B, S)) < 0.8)
    holes[0, -1] = holes[1, 9] = True  # the lengths stay
    pairs = rng.random((B, T, S)) < 0.8
    rows = rng.random((B, T)) < 0.8
    causal = np.arange(S) <= np.arange(T)[:, None]
    layer = make(window, alignment)
    masks = {
        "value_mask": ragged(),
        "key_mask": holes,
        "query_mask": rows,
        "attention_mask": pairs,
        "use_causal_mask": True,
    }
    output = numpy(layer(query, value, key, **masks))
    readable = pairs & causal & holes[:, None] & rows[..., None]
    expected, _ = reference(layer, query, value, key, LENGTHS, readable)
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)
    assert (output[~readable.any(-1)] == 0).all()
    # What is masked for every query is never read.
    changed = [np.where(holes[..., None], x, 1e4) for x in (value, key)]
    np.testing.assert_array_equal(
        numpy(layer(query, *changed, **masks)), output
    )
    # One mask for the batch, and one for all queries, in their short forms.
    for short in (pairs[0], pairs[:1], pairs[:, :1]):
        output = layer(query, value, key, attention_mask=short)
        readable = np.broadcast_to(short, pairs.shape)
        expected, _ = reference(layer, query, value, key, [S] * B, readable)
        np.testing.assert_allclose(
            numpy(output), expected, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("window", [1, 2])
def test_equal_scores_read_the_mean_of_the_window(window):
    query, value, key = sources()
    layer = make(window, "monotonic", kernel_initializer="zeros")
    output = numpy(layer(query, value, key))
    mean = value[:, 4 - window : 5 + window].mean(1)
    np.testing.assert_allclose(output[:, 4], mean, rtol=1e-4, atol=1e-5)
    mean = value[:, : 1 + window].mean(1)
    np.testing.assert_allclose(output[:, 0], mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("window", [1, 2])
def test_a_zero_position_network_looks_at_the_middle(window):
    query, value, key = sources()
    layer = make(
        window,
        "predictive",
        kernel_initializer="zeros",
        score_initializer="zeros",
    )
    mask = ragged((12, 10, 8))
    _, scores = layer(
        query, value, key, value_mask=mask, return_attention_scores=True
    )
    for b, middle in enumerate((6, 5, 4)):
        width = 2 * window + 1
        place = np.arange(S) - middle
        expected = np.exp(-2 * (place / window) ** 2) / width
        expected[abs(place) > window] = 0
        np.testing.assert_allclose(numpy(scores)[b, 3], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("alignment", "score", "window", "hypotheses"),
    [
        ("monotonic", "general", 1, 1),
        ("monotonic", "concat", 2, 2),
        ("predictive", "concat", 1, 2),
        ("predictive", "general", 2, 1),
    ],
)
def test_steps_equal_the_call_and_never_project_the_memory(
    alignment, score, window, hypotheses
):
    query, value, key = sources(score)
    layer = make(window, alignment, score)
    memory = layer.memory(value, key, mask=ragged())
    expected, scores = layer(
        query, value, key, value_mask=ragged(), return_attention_scores=True
    )

    def projected(*args, **kwargs):
        raise AssertionError("a step ran the memory's projection")

    if layer.key_dense is not None:
        layer.key_dense.call = projected
    layer.project = projected
    state = layer.initial_state(memory)
    state = {
        name: ops.repeat(x, hypotheses, axis=0) for name, x in state.items()
    }
    for t in range(T):
        step_query = query[:, t]
        if hypotheses > 1:
            # The other hypothesis reads the queries of the next example.
            other = np.roll(step_query, 1, axis=0)
            step_query = np.stack([step_query, other], axis=1)
        context, state, extras = layer.step(
            step_query, memory, state, return_attention_scores=True
        )
        context, found = numpy(context), numpy(extras["scores"])
        position = numpy(extras["position"])
        assert position.shape == ((B, 2) if hypotheses > 1 else (B,))
        assert position.dtype == "float32"
        if hypotheses > 1:
            context, found = context[:, 0], found[:, 0]
            position = position[:, 0]
        np.testing.assert_allclose(context, numpy(expected)[:, t], atol=1e-5)
        np.testing.assert_allclose(found, numpy(scores)[:, t], atol=1e-5)
        wanted = [aligned(layer, query[b, t], t, LENGTHS[b]) for b in range(B)]
        np.testing.assert_allclose(position, wanted, rtol=1e-5)
        without = layer.step(query[:, t], memory, layer.initial_state(memory))
        assert set(without[2]) == {"position"}
    if alignment == "monotonic":
        assert numpy(state["position"]).tolist() == [T] * B * hypotheses


def test_hypotheses_keep_their_own_positions():
    query, value, key = sources()
    layer = make(1, "monotonic")
    expected = numpy(layer(query, value, key))
    memory = layer.memory(value, key)
    state = {"position": np.array([3, 5, 0, 10, 7, 2], "int32")}
    at = state["position"].reshape(B, 2)
    step_query = np.stack([query[b, at[b]] for b in range(B)])
    context, state, _ = layer.step(step_query, memory, state)
    for b in range(B):
        np.testing.assert_allclose(
            numpy(context)[b], expected[b, at[b]], atol=1e-5
        )
    assert numpy(state["position"]).tolist() == [4, 6, 1, 11, 8, 3]
    with pytest.raises(ValueError, match="one position per hypothesis"):
        layer.step(step_query, memory, layer.initial_state(memory))


@pytest.mark.parametrize("score", ["general", "concat"])
@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_a_step_never_touches_what_is_outside_its_window(alignment, score):
    query, value, key = sources(score)
    layer = make(1, alignment, score)
    memory = layer.memory(value, key, mask=ragged((S, S, S)))
    state = layer.initial_state(memory)
    expected, _, extras = layer.step(query[:, 0], memory, state)
    distance = np.arange(S) - numpy(extras["position"])[:, None]
    # A window has room for one position more where p is not an integer.
    outside = (np.abs(distance) > 2)[..., None]
    poisoned = {
        name: np.where(outside, np.nan, numpy(memory[name]))
        for name in ("key", "value")
    }
    context, _, _ = layer.step(query[:, 0], {**memory, **poisoned}, state)
    np.testing.assert_allclose(numpy(context), numpy(expected), atol=1e-6)


def gradients(layer, inputs, lengths):
    """Gradients of a weighted sum of the output to all weights and inputs."""
    mask = ragged(lengths)
    weight = ops.convert_to_tensor(arrays((B, T, V), seed=7)[0])

    def loss(*inputs):
        return ops.sum(layer(*inputs, value_mask=mask) * weight)

    backend = keras.backend.backend()
    variables = [layer.position_dense.kernel, layer.position_vector]
    tensors = [ops.convert_to_tensor(x) for x in inputs]
    if backend == "tensorflow":
        import tensorflow as tf

        values = [v.value for v in variables]
        with tf.GradientTape() as tape:
            tape.watch([*tensors, *values])
            total = loss(*tensors)
        found = tape.gradient(total, [*values, *tensors])
        return [numpy(ops.convert_to_tensor(x)) for x in found]
    if backend == "jax":
        import jax

        chosen = set(map(id, variables))
        others = [v for v in layer.variables if id(v) not in chosen]
        fixed = [v.value for v in others]

        def stateless(values, inputs):
            with keras.StatelessScope(
                list(zip(variables + others, values + fixed, strict=True))
            ):
                return loss(*inputs)

        values = [v.value for v in variables]
        run = jax.jit(jax.grad(stateless, (0, 1)))
        of_values, of_inputs = run(values, tensors)
        return [numpy(x) for x in (*of_values, *of_inputs)]
    for tensor in tensors:
        tensor.requires_grad_(True)
    layer.zero_grad()
    loss(*tensors).backward()
    found = [v.value.grad for v in variables] + [x.grad for x in tensors]
    return [numpy(x) for x in found]


@pytest.mark.parametrize(("window", "score"), [(1, "general"), (2, "concat")])
def test_the_gradient_is_that_of_finite_differences(window, score):
    inputs = sources(score)
    layer = make(window, "predictive", score)
    lengths = (S, 10, 7)
    layer(*inputs)
    found = gradients(layer, inputs, lengths)
    arguments = [x.astype("float64") for x in inputs]
    arguments = [*position_weights(layer), *arguments]
    weight = arrays((B, T, V), seed=7)[0]

    def loss():
        output, _ = reference(
            layer, *arguments[2:], lengths, weights=arguments[:2]
        )
        return (output * weight).sum()

    rng = np.random.default_rng(3)
    for argument, gradient in zip(arguments, found, strict=True):
        assert np.abs(gradient).max() > 1e-3
        for _ in range(4):
            index = tuple(rng.integers(argument.shape))
            start = argument[index]
            argument[index] = start + 1e-6
            above = loss()
            argument[index] = start - 1e-6
            below = loss()
            argument[index] = start
            np.testing.assert_allclose(
                gradient[index], (above - below) / 2e-6, rtol=1e-3, atol=1e-4
            )


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_a_functional_model_takes_any_length_and_reloads(alignment, tmp_path):
    query = keras.Input((None, D))
    value = keras.Input((None, E))
    layer, other = make(1, alignment), make(1, alignment)
    model = keras.Model([query, value], layer(query, value))
    asked = keras.Model(
        [query, value], other(query, value, return_attention_scores=True)
    )
    other.set_weights(layer.get_weights())
    assert model.output_shape == (None, None, E)
    assert asked.outputs[1].shape == (None, None, None)
    path = tmp_path / "model.keras"
    model.save(path)
    models = [model, keras.saving.load_model(path), asked]
    if keras.backend.backend() == "tensorflow":
        models.append(keras.saving.load_model(path))
        models[-1].compile(jit_compile=True)
    for t, s in ((3, 23), (23, 2), (T, S)):
        inputs = arrays((B, t, D), (B, s, E))
        expected, _ = reference(layer, inputs[0], inputs[1], inputs[1], [s] * B)
        for each in models:
            output = each.predict(inputs, verbose=0)
            if each is asked:
                output, scores = output
                assert scores.shape == (B, t, s)
            np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


@slow_on_jax
@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_model_with_windows_fits(alignment, jit_compile):
    query = keras.Input((None, D))
    value = keras.Input((None, E))
    layer = make(1, alignment, "concat", dropout=0.1)
    model = keras.Model([query, value], layer(query, value))
    if jit_compile and keras.backend.backend() != "tensorflow":
        pytest.skip("JAX always compiles, and torch has no XLA")
    model.compile("sgd", "mse", jit_compile=jit_compile)
    before = [x.copy() for x in model.get_weights()]
    inputs = arrays((B, T, D), (B, S, E))
    (target,) = arrays((B, T, E), seed=1)
    model.fit(inputs, target, epochs=1, verbose=0)
    kernels = zip(before, model.get_weights(), strict=True)
    assert all(
        np.abs(x - y).max() > 0
        for x, y in kernels
        if x.dtype.kind == "f"  # not the state of the dropout's seed
    )


@pytest.mark.parametrize("policy", ["float16", "mixed_bfloat16"])
def test_positions_stay_exact_in_low_precision(policy):
    length = 4001  # float16 knows even numbers only from 2048 on
    query, value = arrays((1, 3, D), (1, length, E))
    layer = make(1, "predictive", dtype=policy, score_initializer="ones")
    memory = layer.memory(value)
    query = numpy(ops.cast(ops.cast(query, policy[-8:].strip("_")), "float32"))
    context, _, extras = layer.step(query, memory, {})
    expected = [aligned(layer, x, None, length) for x in query[0]]
    np.testing.assert_allclose(
        numpy(extras["position"])[0], expected, rtol=1e-5
    )
    assert keras.backend.standardize_dtype(context.dtype) == layer.compute_dtype
    late = make(1, "monotonic", dtype=policy)
    state = {"position": np.array([3001], "int32")}
    _, state, extras = late.step(
        query[:, 0], late.memory(value), state, return_attention_scores=True
    )
    assert np.flatnonzero(numpy(extras["scores"])).tolist() == [
        3000,
        3001,
        3002,
    ]
    assert numpy(extras["position"]).tolist() == [3001]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": 0}, "`window` must be a positive integer"),
        ({"window": 2.5}, "Received: window=2.5"),
        ({"alignment": "p"}, "`alignment` must be one of 'monotonic'"),
        ({"score": "location"}, "`score` must be one of 'dot', 'general'"),
        ({"score": "concat"}, "`units` must be a positive integer"),
        ({"units": 3}, "`units` is the size of the projections"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LocalAttention(**{"window": 1, **arguments})


def test_a_mask_with_heads_is_refused():
    query, value, key = sources()
    heads = np.ones((B, 2, T, S), bool)
    with pytest.raises(ValueError, match="LocalAttention has no heads"):
        make(1, "monotonic")(query, value, key, attention_mask=heads)


def test_a_step_without_its_position_is_refused():
    layer = make(2, "monotonic")
    memory = layer.memory(arrays((2, 7, 5))[0])
    with pytest.raises(ValueError, match="`state` must be what"):
        layer.step(arrays((2, 5))[0], memory, {})
