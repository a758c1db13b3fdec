import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import AdditiveAttention, LuongAttention

B, T, S, D, E, V, U = 2, 3, 5, 7, 11, 13, 17


def arrays(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def make(score, **kwargs):
    needed = {
        "concat": {"units": U},
        "location": {"max_length": 19},
    }
    return LuongAttention(score=score, **needed.get(score, {}), **kwargs)


def key_size(score):
    return D if score == "dot" else E


def pair_score(layer, query, key, s):
    """Luong et al., 2015, equation 8 and "location", for one pair."""
    if layer.score == "dot":
        return query @ key
    if layer.score == "location":
        return (query @ numpy(layer.location_dense.kernel))[s]
    W = numpy(layer.query_dense.kernel)
    if layer.score == "general":
        return query @ W @ key
    U = numpy(layer.key_dense.kernel) if layer.project_key else np.eye(len(key))
    v = numpy(layer.score_vector)
    return v @ np.tanh(np.concatenate([W, U]).T @ np.concatenate([query, key]))


def reference(layer, query, value, key, lengths):
    """The output of each query, one pair at a time."""
    output = np.zeros((*query.shape[:2], value.shape[-1]))
    for b, t in np.ndindex(query.shape[:2]):
        size = lengths[b]
        if size:
            scores = [
                pair_score(layer, query[b, t], key[b, s], s)
                for s in range(size)
            ]
            weights = np.exp(scores) / np.exp(scores).sum()
            output[b, t] = weights @ value[b, :size]
    return output


SCORES = ["dot", "general", "concat", "location"]


@pytest.mark.parametrize("score", [*SCORES, "released"])
@pytest.mark.parametrize("lengths", [(S, S), (3, 0)])
def test_output_is_the_papers_with_true_lengths(score, lengths):
    if score == "released":
        layer = LuongAttention(score="concat", project_key=False)
    else:
        layer = make(score)
    size = key_size(score)
    query, value, key = arrays((B, T, D), (B, S, V), (B, S, size))
    mask = np.arange(S) < np.array(lengths)[:, None]
    output = layer(query, value, key, value_mask=mask)
    expected = reference(layer, query, value, key, lengths)
    np.testing.assert_allclose(numpy(output), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("score", SCORES)
def test_equal_scores_read_the_mean(score):
    zeros = {"kernel_initializer": "zeros", "score_initializer": "zeros"}
    layer = make(score, **zeros)
    (value,) = arrays((B, S, D))
    output, scores = layer(
        np.zeros((B, T, D), "float32"), value, return_attention_scores=True
    )
    np.testing.assert_allclose(numpy(scores), np.full((B, T, S), 1 / S), 1e-6)
    mean = np.tile(value.mean(1, keepdims=True), (1, T, 1))
    np.testing.assert_allclose(numpy(output), mean, rtol=1e-4, atol=1e-5)


def test_dot_gives_the_numbers_of_keras():
    query, value = arrays((B, T, D), (B, S, D))
    expected = keras.layers.Attention()([query, value])
    output = LuongAttention()(query, value)
    np.testing.assert_allclose(numpy(output), numpy(expected), atol=1e-5)


@pytest.mark.parametrize("score", SCORES)
def test_many_queries_read_as_few_do(score):
    query, value = arrays((B, 67, D), (B, S, key_size(score)))
    mask = np.arange(S) < np.array([[S], [0]])
    layer = make(score)
    output = numpy(layer(query, value, value_mask=mask))
    few = numpy(layer(query[:, -T:], value, value_mask=mask))
    np.testing.assert_allclose(output[:, -T:], few, rtol=1e-4, atol=1e-5)
    assert (output[1] == 0).all()


def test_concat_is_additive_attention_with_the_same_weights():
    query, value = arrays((B, T, D), (B, S, E))
    layer, other = make("concat"), AdditiveAttention(units=U)
    layer(query, value), other(query, value)
    other.query_dense.kernel.assign(layer.query_dense.kernel)
    other.key_dense.kernel.assign(layer.key_dense.kernel)
    other.score_vector.assign(layer.score_vector)
    np.testing.assert_allclose(
        numpy(layer(query, value)), numpy(other(query, value)), atol=1e-6
    )


def test_location_never_reads_the_keys():
    query, value, key, other = arrays((B, T, D), (B, S, V), *[(B, S, E)] * 2)
    layer = make("location")
    np.testing.assert_array_equal(
        numpy(layer(query, value, key)), numpy(layer(query, value, other))
    )


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("hypotheses", [None, 2])
def test_steps_equal_the_call_and_never_project_the_memory(score, hypotheses):
    query, value = arrays((B, T, D), (B, S, key_size(score)))
    mask = np.arange(S) < np.array([[S], [2]])
    layer = make(score)
    memory = layer.memory(value, mask=mask)  # builds before any query
    expected, scores = layer(
        query, value, value_mask=mask, return_attention_scores=True
    )

    def projected(*args, **kwargs):
        raise AssertionError("a step ran the memory's projection")

    if layer.key_dense is not None:
        layer.key_dense.call = projected
    layer.project = projected
    state = layer.initial_state(memory)
    for t in range(T):
        step_query = query[:, t]
        if hypotheses:
            step_query = np.stack([query[:, t], query[:, 0]], axis=1)
        context, state, extras = layer.step(
            step_query, memory, state, return_attention_scores=True
        )
        context, found = numpy(context), numpy(extras["scores"])
        if hypotheses:
            np.testing.assert_allclose(
                context[:, 1], numpy(expected)[:, 0], atol=1e-5
            )
            context, found = context[:, 0], found[:, 0]
        np.testing.assert_allclose(context, numpy(expected)[:, t], atol=1e-5)
        np.testing.assert_allclose(found, numpy(scores)[:, t], atol=1e-5)


@pytest.mark.parametrize("score", SCORES)
def test_a_functional_model_takes_any_length_and_reloads(score, tmp_path):
    size = key_size(score)
    query = keras.Input((None, D))
    value = keras.Input((None, size))
    outputs = make(score)(query, value, return_attention_scores=True)
    model = keras.Model([query, value], outputs)
    assert model.outputs[0].shape == (None, None, size)
    assert model.outputs[1].shape == (None, None, None)
    path = tmp_path / "model.keras"
    model.save(path)
    again = keras.saving.load_model(path)
    for t, s in ((T, S), (S, T)):
        inputs = arrays((B, t, D), (B, s, size))
        for x, y in zip(
            model.predict(inputs, verbose=0),
            again.predict(inputs, verbose=0),
            strict=True,
        ):
            np.testing.assert_allclose(x, y, atol=1e-6)
        assert x.shape == (B, t, s)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow's graphs"
)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_source_too_long_in_a_graph_is_an_error(jit_compile):
    query, value = keras.Input((None, D)), keras.Input((None, E))
    layer = LuongAttention(score="location", max_length=3)
    model = keras.Model([query, value], layer(query, value))
    model.compile(jit_compile=jit_compile)
    model.predict(arrays((B, T, D), (B, 3, E)), verbose=0)
    message = None if jit_compile else "longer than `max_length`"
    with pytest.raises(Exception, match=message):
        model.predict(arrays((B, T, D), (B, 4, E)), verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"score": "cosine"}, "`score` must be one of 'dot', 'general'"),
        ({"units": U}, "`units` is the size of the projections"),
        ({"score": "location", "max_length": 5, "units": U}, "`units` is"),
        (
            {"score": "concat", "project_key": False, "units": U},
            "project_key=False. Leave `units` out",
        ),
        ({"score": "concat"}, "`units` must be a positive integer"),
        ({"score": "concat", "units": 0}, "Received: units=0"),
        ({"project_key": False}, "`project_key=False` is a choice of"),
        ({"score": "location"}, "`max_length` must be a positive integer"),
        ({"score": "general", "max_length": 5}, "`max_length` is the number"),
    ],
)
def test_arguments_that_do_not_fit_the_score_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LuongAttention(**arguments)


def test_dot_needs_equal_sizes():
    query, value = arrays((B, T, D), (B, S, E))
    message = "same size. Received: query size 7, key size 11"
    with pytest.raises(ValueError, match=message):
        LuongAttention()(query, value)
    layer = LuongAttention()
    memory = layer.memory(value)
    with pytest.raises(ValueError, match=message):
        layer.step(query[:, 0], memory, {})
    layer(value, value)
    with pytest.raises(ValueError, match=message):
        layer.step(query[:, 0], memory, {})


def test_location_refuses_a_source_that_is_too_long():
    layer = LuongAttention(score="location", max_length=4)
    query, value = arrays((B, T, D), (B, S, E))
    message = "source length 5, max_length=4. Shorten"
    with pytest.raises(ValueError, match=message):
        layer(query, value)
    with pytest.raises(ValueError, match=message):
        layer.memory(value)


def test_general_refuses_keys_of_another_size_than_it_was_built_for():
    layer = LuongAttention("general")
    query, value, other = arrays((2, 3, 5), (2, 7, 11), (2, 7, 13))
    layer(query, value)
    for call in (lambda: layer(query, other), lambda: layer.memory(other)):
        with pytest.raises(ValueError, match="key size 13, built for 11"):
            call()
