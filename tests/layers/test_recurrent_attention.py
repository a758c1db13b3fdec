"""What Monotonic-, Location- and CoverageAttention share: the recurrence."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention import layers
from keras_attention.decoding import beam_search
from tests.decoding.history_model import compilers

B, T, S, D, V, U = 3, 5, 7, 11, 13, 17
LAYERS = {
    "monotonic": lambda: layers.MonotonicAttention(U, initial_score_bias=-1.0),
    "location": lambda: layers.LocationAttention(U, 2, 3),
    "coverage": lambda: layers.CoverageAttention(U, fertility=2.0),
}
each_layer = pytest.mark.parametrize("name", LAYERS)


def arrays(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def made(name):
    """A layer in which the state counts: weights are far from zero."""
    keras.utils.set_random_seed(1)
    layer = LAYERS[name]()
    layer.build((B, T, D), (B, S, V))
    for weight in layer.weights:
        if weight.path.endswith(("feature/kernel", "location/kernel")):
            weight.assign(4 * weight)
    return layer


@each_layer
def test_a_step_depends_on_those_before(name):
    layer = made(name)
    query, value = arrays((B, T, D), (B, S, V))
    before = numpy(layer(query, value))
    query[:, 1] += 1
    after = numpy(layer(query, value))
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    assert np.abs(after[:, 2:] - before[:, 2:]).max() > 1e-3


@each_layer
@pytest.mark.parametrize("how", ["query_mask", "attention_mask"])
def test_a_step_with_nothing_to_read_leaves_the_state(name, how):
    layer = made(name)
    query, value = arrays((B, T, D), (B, S, V))
    skipped = np.arange(T) % 2 == 1
    mask = np.repeat(~skipped[None], B, axis=0)
    if how == "attention_mask":
        mask = np.repeat(mask[..., None], S, axis=-1)
    output = numpy(layer(query, value, **{how: mask}))
    assert not output[:, skipped].any()
    np.testing.assert_allclose(
        output[:, ~skipped],
        numpy(layer(query[:, ~skipped], value)),
        atol=1e-6,
    )


@each_layer
def test_all_masks_together_are_their_joint_one(name):
    layer = made(name)
    query, value = arrays((B, T, D), (B, S, V))
    rng = np.random.default_rng(3)
    rows, columns, keys = (rng.random((B, n)) < 0.7 for n in (T, S, S))
    columns[:, 0] = keys[:, 0] = True  # where reading begins, either way
    pairs = rng.random((B, T, S)) < 0.7
    causal = np.arange(S) <= np.arange(T)[:, None]
    apart = layer(
        query,
        value,
        query_mask=rows,
        value_mask=columns,
        key_mask=keys,
        attention_mask=pairs,
        use_causal_mask=True,
    )
    joint = rows[..., None] & (columns & keys)[:, None] & pairs & causal
    together = layer(query, value, attention_mask=joint)
    np.testing.assert_allclose(numpy(apart), numpy(together), atol=1e-6)


@each_layer
def test_padding_in_front_changes_nothing(name):
    layer = made(name)
    query, value = arrays((B, T, D), (B, S, V))
    expected = numpy(layer(query, value))
    padded = np.concatenate([np.full((B, 2, V), 50.0, "float32"), value], 1)
    mask = np.arange(S + 2)[None].repeat(B, 0) >= 2
    np.testing.assert_allclose(
        numpy(layer(query, padded, value_mask=mask)), expected, atol=1e-5
    )


@each_layer
def test_hypotheses_are_reordered_by_one_take(name):
    layer = made(name)
    K = 3
    queries, value = arrays((B, K, 2, D), (B, S, V))
    memory = layer.memory(value)
    state = layer.initial_state(memory)
    (key,) = state
    repeat = np.repeat(np.arange(B), K)
    state = {key: ops.take(state[key], repeat, axis=0)}
    _, state, _ = layer.step(queries[:, :, 0], memory, state)
    # Every hypothesis goes on from the second of its source.
    state = {key: ops.take(state[key], repeat * K + 1, axis=0)}
    context, _, _ = layer.step(queries[:, :, 1], memory, state)
    for k in range(K):
        whole = np.stack([queries[:, 1, 0], queries[:, k, 1]], axis=1)
        np.testing.assert_allclose(
            numpy(context)[:, k], numpy(layer(whole, value))[:, 1], atol=1e-5
        )


@each_layer
@pytest.mark.parametrize("how", compilers())
def test_beams_score_as_the_whole_sequence_does(name, how):
    """A beam that went on with another's state would score otherwise."""
    vocabulary, length = 6, 4
    keras.utils.set_random_seed(2)
    words = keras.layers.Embedding(vocabulary, D)
    decoder = layers.AttentionRNN(keras.layers.GRUCell(D), made(name))
    output = keras.layers.Dense(vocabulary, kernel_initializer="random_normal")
    (value,) = arrays((B, S, V))

    def logits_of(token_ids):
        return output(10 * decoder(words(token_ids), value)["outputs"])

    logits_of(np.zeros((B, length), "int32"))
    output.kernel.assign(5 * output.kernel)

    def step(token_ids, memory, state):
        result, state, _ = decoder.step(words(token_ids), memory, state)
        return output(10 * result), state, {}

    def search(value):
        memory = decoder.memory(value)
        state = decoder.initial_state(memory)
        found = beam_search(
            step, memory, state, 1, 0, length, 3, 3, length_penalty=None
        )
        return found.token_ids, found.lengths, found.log_probabilities

    if how in ("graph", "xla"):
        import tensorflow as tf

        search = tf.function(search, jit_compile=how == "xla")
    elif how == "jit":
        import jax

        search = jax.jit(search)
    tokens, lengths, found = map(numpy, search(ops.convert_to_tensor(value)))
    for n in range(3):
        read = np.concatenate([np.ones((B, 1)), tokens[:, n, :-1]], axis=1)
        logs = numpy(ops.log_softmax(logits_of(read.astype("int32"))))
        logs = np.take_along_axis(logs, tokens[:, n, :, None], axis=-1)[..., 0]
        logs *= np.arange(length) < lengths[:, n, None]
        np.testing.assert_allclose(found[:, n], logs.sum(-1), atol=1e-4)


@each_layer
def test_a_state_that_does_not_fit_is_explained(name):
    layer = made(name)
    query, value = arrays((B, D), (B, S, V))
    memory = layer.memory(value)
    state = layer.initial_state(memory)
    (key,) = state
    with pytest.raises(ValueError, match="what `initial_state"):
        layer.step(query, memory, {"position": state[key]})
    for wrong in (state[key][1:], state[key][:, 1:], state[key][0]):
        with pytest.raises(ValueError, match="one row per hypothesis"):
            layer.step(query, memory, {key: wrong})
    with pytest.raises(ValueError, match="has no heads"):
        layer(query[:, None], value, attention_mask=np.ones((B, 1, 1, S)))


@pytest.mark.one_backend
@each_layer
def test_lora_and_int8_reach_every_projection(name):
    layer = made(name)
    query, value = arrays((B, T, D), (B, S, V))
    before = numpy(layer(query, value))
    for part in layer._flatten_layers(include_self=False):
        if isinstance(part, keras.layers.Dense):
            part.enable_lora(2)
            part.lora_kernel_b.assign(np.ones((2, part.units)))
            after = numpy(layer(query, value))
            assert np.abs(after - before).max() > 1e-4, part.name
            before = after
            part.quantize("int8")
            np.testing.assert_allclose(
                numpy(layer(query, value)), before, atol=0.1
            )
            before = numpy(layer(query, value))
