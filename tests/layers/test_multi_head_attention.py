import keras
import numpy as np
import pytest
from keras import ops
from keras.src.layers.attention import multi_head_attention_test

from keras_attention.layers import MultiHead, MultiHeadAttention
from keras_attention.ops import dot_product, tiles
from tests.gradients import gradients
from tests.marks import slow_on_jax

# Keras's own tests of its layer, with ours in its place. Left out, because
# they poke private names of Keras's class; their promises are tested below
# by public names.
PRIVATE = {
    # A subclass overrides `_compute_attention`.
    "test_causal_only_skipped_for_subclass",
    # Calls `_compute_attention`.
    "test_compute_attention_combines_causal_and_explicit_mask_fused_fallback",
    "test_compute_attention_combines_causal_and_explicit_mask_manual_path",
    # Reads `_sliding_window`.
    "test_sliding_window_serialization",
    # Reads `_flash_attention`.
    "test_flash_attention_with_errors",
}


class OurLayers:
    """`keras.layers`, with our `MultiHeadAttention`."""

    MultiHeadAttention = MultiHeadAttention

    def __getattr__(self, name):
        return getattr(keras.src.layers, name)


@slow_on_jax
# One of their tests names its inputs otherwise than the keys of its data.
@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
# Another loads weights from a model that was compiled into one that was not.
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
class TestKerasSuite(multi_head_attention_test.MultiHeadAttentionTest):
    @pytest.fixture(autouse=True)
    def swap(self, monkeypatch):
        monkeypatch.setattr(multi_head_attention_test, "layers", OurLayers())


for name in PRIVATE:
    setattr(TestKerasSuite, name, None)


B, T, S, N, D, E, H, V = 2, 5, 7, 6, 11, 13, 3, 4


def inputs(seed=0):
    rng = np.random.default_rng(seed)
    query = rng.normal(size=(B, T, D)).astype("float32")
    value = rng.normal(size=(B, S, E)).astype("float32")
    return query, value


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def randomize(layer, seed=1):
    """Random weights, biases too: zeros would hide a missing one."""
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(size=w.shape) * 0.5 for w in layer.weights])


def layers_of_equal_weights(theirs, **arguments):
    """Our layer with the weights of one of Keras's, both built."""
    query, value = inputs()
    theirs.build(query.shape, value.shape)
    randomize(theirs)
    ours = MultiHeadAttention(theirs.num_heads, H, **arguments)
    ours.build(query.shape, value.shape)
    ours.set_weights(theirs.get_weights())
    return ours


def reference(layer, query, value, mask=None, bias=None):
    """Vaswani et al., 2017, section 3.2.2, one head of one query at a time."""
    q, k, v, o = (
        [numpy(dense.kernel), numpy(dense.bias)]
        for dense in (
            layer.query_dense,
            layer.key_dense,
            layer.value_dense,
            layer.output_dense,
        )
    )
    group = layer.num_heads // layer.num_key_value_heads
    output = np.zeros((B, T, o[0].shape[-1])) + o[1]
    scores = np.zeros((B, layer.num_heads, T, S))
    for b, n, t in np.ndindex(B, layer.num_heads, T):
        g = n // group
        one = query[b, t] @ q[0][:, n] + q[1][n]
        logits = np.array(
            [one @ (value[b, s] @ k[0][:, g] + k[1][g]) for s in range(S)]
        ) / np.sqrt(layer.key_dim)
        if bias is not None:
            logits = logits + bias[b, n, t]
        reads = np.ones(S, bool) if mask is None else mask[b, t]
        if reads.any():
            weights = np.exp(logits[reads])
            scores[b, n, t, reads] = weights / weights.sum()
        head = scores[b, n, t] @ (value[b] @ v[0][:, g] + v[1][g])
        output[b, t] += head @ o[0][n]
    return output, scores


@pytest.mark.parametrize("groups", [None, 6, 3, 1])
def test_it_is_the_equation_with_grouped_heads_mask_and_bias(groups):
    query, value = inputs()
    layer = MultiHeadAttention(N, H, V, num_key_value_heads=groups)
    layer.build(query.shape, value.shape)
    randomize(layer)
    rng = np.random.default_rng(2)
    mask = rng.random((B, T, S)) > 0.4
    mask[:, 1] = False
    bias = rng.normal(size=(B, N, T, S)).astype("float32")
    arguments = dict(attention_mask=mask, attention_bias=bias)
    output, scores = layer(
        query, value, return_attention_scores=True, **arguments
    )
    expected, expected_scores = reference(layer, query, value, mask, bias)
    np.testing.assert_allclose(numpy(output), expected, atol=1e-5)
    np.testing.assert_allclose(numpy(scores), expected_scores, atol=1e-5)
    alone = layer(query, value, **arguments)
    np.testing.assert_allclose(numpy(alone), expected, atol=1e-5)


def test_equal_weights_give_the_numbers_of_keras():
    theirs = keras.layers.MultiHeadAttention(N, H, V, use_gate=True)
    ours = layers_of_equal_weights(theirs, value_dim=V, use_gate=True)
    assert [w.path.split("/")[1:] for w in ours.weights] == [
        w.path.split("/")[1:] for w in theirs.weights
    ]
    query, value = inputs()
    for causal in (False, True):
        arguments = dict(use_causal_mask=causal, return_attention_scores=True)
        for mine, other in zip(
            ours(query, value, **arguments),
            theirs(query, value, **arguments),
            strict=True,
        ):
            np.testing.assert_allclose(numpy(mine), numpy(other), atol=1e-5)


@pytest.mark.parametrize(
    "axes, query_sizes, value_sizes, mask_shape",
    [
        ((2,), (3, 4), (3, 2), (B, 4, 2)),
        ((1, 2), (3, 4), (3, 2), (B, 3, 4, 3, 2)),
        # An order of axes that is not its own inverse.
        ((1, 2), (3, 4, 2), (1, 5, 2), (3, 4, 1, 5)),
    ],
)
def test_attention_over_some_axes_is_that_of_keras(
    axes, query_sizes, value_sizes, mask_shape
):
    rng = np.random.default_rng(3)
    query = rng.normal(size=(B, *query_sizes, D)).astype("float32")
    value = rng.normal(size=(B, *value_sizes, E)).astype("float32")
    theirs = keras.layers.MultiHeadAttention(N, H, attention_axes=axes)
    ours = MultiHeadAttention(N, H, attention_axes=axes)
    for layer in (ours, theirs):
        layer.build(query.shape, value.shape)
    randomize(theirs)
    ours.set_weights(theirs.get_weights())
    mask = rng.random(mask_shape) > 0.3
    mask[..., 0] = True
    arguments = dict(attention_mask=mask, return_attention_scores=True)
    found = ours(query, value, **arguments)
    for mine, other in zip(
        found, theirs(query, value, **arguments), strict=True
    ):
        np.testing.assert_allclose(numpy(mine), numpy(other), atol=1e-5)
    spec = ours.compute_output_spec(
        keras.KerasTensor(query.shape),
        keras.KerasTensor(value.shape),
        return_attention_scores=True,
    )
    assert [tuple(x.shape) for x in found] == [x.shape for x in spec]


def test_grouped_heads_are_those_of_keras():
    query, _ = inputs()
    theirs = keras.layers.GroupQueryAttention(H, N, 2)
    theirs.build(query.shape, query.shape)
    randomize(theirs)
    ours = MultiHeadAttention(N, H, num_key_value_heads=2)
    ours.build(query.shape, query.shape)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(
        numpy(ours(query, query)), numpy(theirs(query, query)), atol=1e-5
    )


def test_a_weights_file_of_keras_loads_into_ours(tmp_path):
    def model(layer_class):
        query, value = keras.Input((T, D)), keras.Input((S, E))
        layer = layer_class(N, H, dropout=0.2, name="attention")
        return keras.Model([query, value], layer(query, value))

    theirs, ours = (
        model(keras.layers.MultiHeadAttention),
        model(MultiHeadAttention),
    )
    theirs.save_weights(tmp_path / "keras.weights.h5")
    ours.load_weights(tmp_path / "keras.weights.h5")
    np.testing.assert_allclose(
        numpy(ours(inputs())), numpy(theirs(inputs())), atol=1e-5
    )


def test_an_explicit_query_mask_counts():
    query, value = inputs()
    layer = MultiHeadAttention(N, H, use_bias=False)
    query_mask = np.arange(T)[None] < np.array([[3], [T]])
    output, scores = layer(
        query, value, query_mask=query_mask, return_attention_scores=True
    )
    plain = numpy(layer(query, value))
    assert (numpy(output)[~query_mask] == 0).all()
    assert (numpy(scores).transpose(0, 2, 1, 3)[~query_mask] == 0).all()
    np.testing.assert_allclose(
        numpy(output)[query_mask], plain[query_mask], atol=1e-6
    )


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "float16"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_asking_for_scores_or_dropout_does_not_move_the_output(dtype, dropout):
    query, value = inputs()
    layer = MultiHeadAttention(N, H, dropout=dropout, dtype=dtype)
    mask = np.ones((B, T, S), bool)
    mask[:, 1] = mask[:, :, 2] = False
    output = layer(query, value, attention_mask=mask)
    with_scores, scores = layer(
        query, value, attention_mask=mask, return_attention_scores=True
    )
    atol = 1e-6 if dtype == "float32" else 2e-2
    np.testing.assert_allclose(numpy(output), numpy(with_scores), atol=atol)
    assert (numpy(output)[:, 1] == 0).all()
    assert (numpy(scores)[:, :, 1] == 0).all()
    assert (numpy(scores)[..., 2] == 0).all()


@pytest.mark.parametrize("causal", [False, True])
def test_long_sequences_give_the_same_in_tiles(monkeypatch, causal):
    monkeypatch.setattr(tiles, "QUERIES", 2)
    monkeypatch.setattr(tiles, "KEYS", 3)
    monkeypatch.setattr(tiles, "CAUSAL_KEYS", 3)
    query, value = inputs()
    layer = MultiHeadAttention(N, H, num_key_value_heads=2)
    layer.flash_attention = False
    layer.build(query.shape, value.shape)
    value_mask = np.arange(S)[None] < np.array([[4], [S]])

    def run(*inputs):
        return layer(*inputs, value_mask=value_mask, use_causal_mask=causal)

    dense = gradients(run, query, value)
    monkeypatch.setattr(dot_product, "TILES_FROM", 1)
    for mine, other in zip(gradients(run, query, value), dense, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)


def test_symbolic_shapes_are_the_eager_ones_with_unknown_sizes():
    layer = MultiHeadAttention(N, H, output_shape=17)
    query, value = keras.Input((None, D)), keras.Input((None, E))
    output, scores = layer(query, value, return_attention_scores=True)
    assert output.shape == (None, None, 17)
    assert scores.shape == (None, N, None, None)
    model = keras.Model([query, value], [output, scores])
    for found, shape in zip(
        model.predict(inputs(), verbose=0),
        ((B, T, 17), (B, N, T, S)),
        strict=True,
    ):
        assert found.shape == shape
    output, scores = layer(
        keras.Input((T, D)), keras.Input((S, E)), return_attention_scores=True
    )
    assert scores.shape == (None, N, T, S)


@pytest.mark.parametrize("window", [None, 2])
@pytest.mark.parametrize("groups", [None, 2])
def test_stepping_over_a_cache_is_the_causal_call(groups, window):
    query, _ = inputs()
    layer = MultiHeadAttention(
        N, H, V, sliding_window=window, num_key_value_heads=groups
    )
    layer.build(query.shape, query.shape)
    randomize(layer)
    expected, expected_scores = layer(
        query, query, use_causal_mask=True, return_attention_scores=True
    )
    cache = layer.initial_cache(B, T + 2)
    for t in range(T):
        output, cache, extras = layer.step_self(
            query[:, t], cache, return_attention_scores=True
        )
        np.testing.assert_allclose(
            numpy(output), numpy(expected)[:, t], atol=1e-5
        )
        np.testing.assert_allclose(
            numpy(extras["scores"])[..., :T],
            numpy(expected_scores)[:, :, t],
            atol=1e-5,
        )
        assert (numpy(extras["scores"])[..., t + 1 :] == 0).all()
    # A prompt at once, then the rest.
    cache = layer.initial_cache(B, T)
    prompt, cache, _ = layer.step_self(query[:, :3], cache)
    rest, cache, extras = layer.step_self(query[:, 3:], cache)
    assert extras == {}
    np.testing.assert_allclose(
        np.concatenate([numpy(prompt), numpy(rest)], 1),
        numpy(expected),
        atol=1e-5,
    )


def test_a_cache_can_be_reordered_by_one_take():
    query, _ = inputs()
    layer = MultiHeadAttention(N, H)
    order = np.array([1, 1])
    cache = layer.initial_cache(B, T)
    _, cache, _ = layer.step_self(query[:, 0], cache)
    cache = {k: ops.take(x, order, axis=0) for k, x in cache.items()}
    output, _, _ = layer.step_self(query[order][:, 1], cache)
    expected = layer(query[order], query[order], use_causal_mask=True)
    np.testing.assert_allclose(numpy(output), numpy(expected)[:, 1], atol=1e-5)


def test_a_cache_of_another_batch_is_an_error():
    layer = MultiHeadAttention(2, 3)
    cache = layer.initial_cache(3, 5)
    with pytest.raises(ValueError, match="a cache of batch size 3"):
        layer.step_self(np.zeros((2, 7), "float32"), cache)


def test_a_full_cache_is_an_error():
    query, _ = inputs()
    layer = MultiHeadAttention(N, H)
    _, cache, _ = layer.step_self(query[:, :3], layer.initial_cache(B, 4))
    with pytest.raises(ValueError, match="2 to add, 3 held, max_length=4"):
        layer.step_self(query[:, 3:], cache)


def test_steps_over_a_memory_are_the_call_and_project_it_once(monkeypatch):
    query, value = inputs()
    layer = MultiHeadAttention(N, H, V, num_key_value_heads=3)
    value_mask = np.arange(S)[None] < np.array([[4], [S]])
    memory = layer.memory(value, mask=value_mask)
    state = layer.initial_state(memory)
    projected = []
    monkeypatch.setattr(layer, "project", projected.append)
    context, state, extras = layer.step(
        query, memory, state, return_attention_scores=True
    )  # T hypotheses that share a memory
    single, _, extra = layer.step(
        query[:, 1], memory, state, return_attention_scores=True
    )
    assert not projected
    monkeypatch.undo()
    # The memory was made before the query was known, and yet the weights
    # are in the order of Keras.
    names = [w.path.split("/")[-2] for w in layer.weights[::2]]
    assert names == ["query", "key", "value", "attention_output"]
    expected, scores = layer(
        query, value, value_mask=value_mask, return_attention_scores=True
    )
    scores = numpy(scores).transpose(0, 2, 1, 3)  # (B, K, N, S)
    for found, other in (
        (context, numpy(expected)),
        (extras["scores"], scores),
        (single, numpy(expected)[:, 1]),
        (extra["scores"], scores[:, 1]),
    ):
        np.testing.assert_allclose(numpy(found), other, atol=1e-5)


def test_it_saves_and_reloads_whole(tmp_path):
    arguments = dict(
        num_heads=N,
        key_dim=H,
        value_dim=V,
        dropout=0.1,
        use_bias=False,
        output_bias=True,
        output_initializer="zeros",
        output_shape=(2, 3),
        attention_axes=1,
        sliding_window=4,
        flash_attention=False,
        kernel_initializer="he_normal",
        kernel_regularizer="l2",
        use_gate=True,
        seed=7,
        num_key_value_heads=2,
    )
    layer = MultiHeadAttention(**arguments)
    config = MultiHeadAttention.from_config(layer.get_config()).get_config()
    assert config == layer.get_config()
    assert config["flash_attention"] is False
    x = keras.Input((T, D))
    model = keras.Model(x, layer(x, x))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    query, _ = inputs()
    np.testing.assert_allclose(
        numpy(again(query)), numpy(model(query)), atol=1e-6
    )
    assert again.layers[-1].sliding_window == 4


def test_lora_trains_and_int8_stays_close():
    query, value = inputs()
    layer = MultiHeadAttention(N, H, use_bias=False)
    exact = numpy(layer(query, value))
    layer.query_dense.enable_lora(2)
    layer.key_dense.enable_lora(2)
    assert len(layer.trainable_variables) == 6
    np.testing.assert_allclose(numpy(layer(query, value)), exact, atol=1e-6)
    layer = MultiHeadAttention(N, H, use_bias=False)
    exact = numpy(layer(query, value))
    for dense in (layer.query_dense, layer.key_dense, layer.value_dense):
        dense.quantize("int8")
        assert dense._kernel.dtype == "int8"
    assert 0 < np.abs(numpy(layer(query, value)) - exact).max() < 0.1


@slow_on_jax
@pytest.mark.parametrize("jit_compile", [False, True])
def test_it_trains_to_find_a_marked_position(jit_compile):
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("there is nothing to compile with here")
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, S, 4)).astype("float32")
    marked = rng.integers(S, size=256)
    x[..., 0] = np.arange(S)[None] == marked[:, None]
    y = x[np.arange(256), marked, 1:][:, None].repeat(S, 1)
    inputs = keras.Input((S, 4))
    outputs = MultiHeadAttention(2, 8, output_shape=3)(inputs, inputs)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(0.02), "mse", jit_compile=jit_compile)
    history = model.fit(x, y, epochs=30, batch_size=64, verbose=0)
    losses = history.history["loss"]
    # The mean of all positions, which needs no attention, leaves 0.86.
    assert losses[-1] < 0.1 < 0.8 < losses[0]


def test_flash_attention_refuses_what_no_fused_kernel_does():
    with pytest.raises(ValueError, match="Dropout is not supported"):
        MultiHeadAttention(N, H, flash_attention=True, dropout=0.1)
    layer = MultiHeadAttention(N, H, flash_attention=True)
    assert layer.flash_attention is True
    with pytest.raises(ValueError, match="Returning attention scores is not"):
        layer(*inputs(), return_attention_scores=True)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(num_heads=0), "argument `num_heads` must be a positive"),
        (dict(key_dim=2.5), "argument `key_dim` must be a positive"),
        (dict(dropout=1.0), r"`dropout` must be a number in \[0, 1\)"),
        (dict(num_key_value_heads=4), "multiple of `num_key_value_heads`"),
        (dict(sliding_window=0), "`sliding_window` must be a positive"),
        (dict(attention_axes="1"), "`attention_axes` must be an int, list"),
        (dict(output_shape=-1), "Invalid `output_shape`: -1"),
    ],
)
def test_bad_arguments_say_what_must_hold(arguments, message):
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(**{"num_heads": N, "key_dim": H, **arguments})


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(attention_mask=np.ones((B, S, T))), "`attention_mask` must"),
        (dict(attention_mask=np.ones((T, S)) * 3), "0 and 1.*value of 3"),
        (dict(value_mask=np.ones((B, T))), r"`value_mask` must have shape"),
        (dict(attention_bias=np.ones((T, S))), "`attention_bias` must broad"),
        (dict(attention_bias=np.ones((B, 5, T, S))), "`attention_bias` must"),
        (dict(attention_mask=np.ones((B, 5, T, S))), "must be 1 or 6"),
        (dict(key=np.ones((B, S + 1, E))), "except the last one, must be eq"),
        (dict(query=np.ones((B + 1, T, D))), "the same batch size"),
        (dict(query=np.ones((B, D))), "the same rank, 3 or more"),
    ],
)
def test_bad_calls_say_what_must_hold(arguments, message):
    query, value = inputs()
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(N, H)(
            **{"query": query, "value": value, **arguments}
        )


LONG = 71


def window_of(reach, causal, length=LONG):
    offset = np.arange(length) - np.arange(length)[:, None]
    return (-reach <= offset) & (offset <= (0 if causal else reach))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("what", ["masks", "scores", "bias", "dropout"])
def test_a_window_gives_what_its_mask_gives(causal, what):
    """By bands, or where it takes them by all pairs."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(B, LONG, D)).astype("float32")
    options = dict(
        num_key_value_heads=2, dropout=0.3 if what == "dropout" else 0, seed=1
    )
    layer = MultiHeadAttention(N, H, sliding_window=4, **options)
    plain = MultiHeadAttention(N, H, **options)
    for one in (layer, plain):
        one.build(x.shape, x.shape)
    randomize(layer)
    plain.set_weights(layer.get_weights())
    arguments = dict(
        query_mask=rng.random((B, LONG)) > 0.2,
        value_mask=rng.random((B, LONG)) > 0.2,
        return_attention_scores=what == "scores",
    )
    mask = rng.random((B, N, LONG, LONG)) > 0.2
    if what == "bias":
        bias = rng.normal(size=(1, N, LONG, LONG)).astype("float32")
        arguments["attention_bias"] = bias
    found = layer(
        x, x, attention_mask=mask, use_causal_mask=causal, **arguments
    )
    mask = mask & window_of(3, causal)
    expected = plain(x, x, attention_mask=mask, **arguments)
    for mine, other in zip(
        keras.tree.flatten(found), keras.tree.flatten(expected), strict=True
    ):
        np.testing.assert_allclose(numpy(mine), numpy(other), atol=1e-5)


def test_a_window_is_that_of_keras():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(B, LONG, E)).astype("float32")
    theirs = keras.layers.MultiHeadAttention(N, H, sliding_window=3)
    ours = layers_of_equal_weights(theirs, sliding_window=3)
    np.testing.assert_allclose(
        numpy(ours(x[..., :D], x)), numpy(theirs(x[..., :D], x)), atol=1e-5
    )


@pytest.mark.parametrize("causal", [False, True])
def test_a_window_over_folded_axes_gives_what_its_mask_gives(causal):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(B, 3, LONG, D)).astype("float32")
    layer = MultiHeadAttention(N, H, attention_axes=2, sliding_window=4)
    query_mask, value_mask = rng.random((2, B, 3, LONG)) > 0.2
    arguments = dict(query_mask=query_mask, value_mask=value_mask)
    mask = rng.random((LONG, LONG)) > 0.2
    found = layer(
        x, x, attention_mask=mask, use_causal_mask=causal, **arguments
    )
    layer.sliding_window = None
    mask = mask & window_of(3, causal)
    expected = layer(x, x, attention_mask=mask, **arguments)
    np.testing.assert_allclose(numpy(found), numpy(expected), atol=1e-5)


def test_a_window_has_no_meaning_over_a_memory():
    query, value = inputs()
    layer = MultiHeadAttention(N, H, sliding_window=2)
    memory = layer.memory(value)
    with pytest.raises(
        ValueError, match="no `sliding_window`.*Use `step_self`"
    ):
        layer.step(query[:, 0], memory, {})


def test_multi_head_is_another_name():
    assert MultiHead is MultiHeadAttention
