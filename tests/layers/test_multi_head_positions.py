"""What tells positions apart inside `MultiHeadAttention`."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import (
    AlibiBias,
    MultiHeadAttention,
    RelativePositionBias,
    RotaryEmbedding,
    TransformerEncoderBlock,
)
from keras_attention.ops import dot_product, tiles
from tests.gradients import gradients
from tests.marks import slow_on_jax

B, T, S, N, D, E, H = 2, 5, 7, 6, 11, 13, 4
BACKEND = keras.backend.backend()


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def normal(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape).astype("float32")


def inputs():
    return normal(B, T, D), normal(B, S, E, seed=1)


def built(query_shape, value_shape, **arguments):
    """A layer with random weights, biases too."""
    layer = MultiHeadAttention(N, H, **arguments)
    layer.build(query_shape, value_shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) * 0.5 for w in layer.weights])
    return layer


def positions():
    """One of each way to tell positions apart, and all of them at once."""
    return {
        "rotary": dict(rotary=RotaryEmbedding()),
        "ALiBi": dict(position_bias=AlibiBias(N)),
        "relative": dict(position_bias=RelativePositionBias(N, 4, 5)),
        "all": dict(
            rotary=RotaryEmbedding(layout="halves"),
            position_bias=RelativePositionBias(N, None, 3),
            num_key_value_heads=2,
            sliding_window=4,
        ),
    }


each = pytest.mark.parametrize("name", list(positions()))


def turn(x, position, max_wavelength, layout):
    """Su et al., 2021, equation 34, of one vector: a matrix for each pair."""
    output = np.zeros(x.shape)
    half = len(x) // 2
    for i in range(half):
        angle = position * max_wavelength ** (-i / half)
        pair = [i, i + half] if layout == "halves" else [2 * i, 2 * i + 1]
        matrix = [
            [np.cos(angle), -np.sin(angle)],
            [np.sin(angle), np.cos(angle)],
        ]
        output[pair] = matrix @ x[pair]
    return output


def reference(layer, query, value, logit, reads):
    """One pair of positions at a time.

    Args:
        layer: The layer, for its weights.
        query: `(B, T, D)`.
        value: `(B, S, E)`.
        logit: `logit(q, k, n, t, s)`, of a query and a key of head n.
        reads: `reads(t, s)`, whether a query reads a position.
    """
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
    output = np.zeros((*query.shape[:2], o[0].shape[-1])) + o[1]
    for b, n, t in np.ndindex(len(query), layer.num_heads, query.shape[1]):
        g = n // group
        one = query[b, t] @ q[0][:, n] + q[1][n]
        logits = np.array(
            [
                logit(one, x @ k[0][:, g] + k[1][g], n, t, s)
                if reads(t, s)
                else -np.inf
                for s, x in enumerate(value[b])
            ]
        )
        weights = np.exp(logits - logits.max())
        head = weights / weights.sum() @ (value[b] @ v[0][:, g] + v[1][g])
        output[b, t] += head @ o[0][n]
    return output


@pytest.mark.parametrize("layout", ["interleaved", "halves"])
@pytest.mark.parametrize("causal", [False, True])
def test_rotary_heads_are_the_equation(layout, causal):
    query, value = inputs()
    layer = built(
        query.shape,
        value.shape,
        num_key_value_heads=3,
        rotary=RotaryEmbedding(max_wavelength=50.0, layout=layout),
    )

    def logit(q, k, n, t, s):
        turned = (turn(x, i, 50, layout) for x, i in ((q, t), (k, s)))
        return np.dot(*turned) / np.sqrt(H)

    expected = reference(
        layer, query, value, logit, lambda t, s: s <= t or not causal
    )
    found = layer(query, value, use_causal_mask=causal)
    np.testing.assert_allclose(numpy(found), expected, atol=1e-4)


def test_alibi_is_the_equation_in_both_directions():
    query, value = inputs()
    layer = built(query.shape, value.shape, position_bias=AlibiBias(N))
    # Of 6 heads: those of 4, then every second one of 8.
    slopes = [1 / 4, 1 / 16, 1 / 64, 1 / 256, 1 / 2, 1 / 8]

    def logit(q, k, n, t, s):
        return q @ k / np.sqrt(H) - slopes[n] * abs(t - s)

    expected = reference(layer, query, value, logit, lambda t, s: True)
    np.testing.assert_allclose(numpy(layer(query, value)), expected, atol=1e-4)


def test_a_bias_of_its_own_and_one_of_the_call_are_added():
    query, value = inputs()
    layer = built(
        query.shape, value.shape, position_bias=RelativePositionBias(N, None, 3)
    )
    learned = numpy(layer.position_bias.embeddings)  # of offsets -3 to 3
    given = normal(B, N, 1, S, seed=4)

    def logit(q, k, n, t, s, b):
        offset = np.clip(s - t, -3, 3)
        return q @ k / np.sqrt(H) + learned[offset + 3, n] + given[b, n, 0, s]

    found = numpy(layer(query, value, attention_bias=given))
    for b in range(B):
        expected = reference(
            layer,
            query[b : b + 1],
            value[b : b + 1],
            lambda *pair, b=b: logit(*pair, b),
            lambda t, s: True,
        )
        np.testing.assert_allclose(found[b : b + 1], expected, atol=1e-4)


def test_a_query_with_a_window_tells_the_positions_in_it_apart():
    query, _ = inputs()
    layer = built(
        query.shape,
        query.shape,
        sliding_window=3,
        rotary=RotaryEmbedding(),
        position_bias=AlibiBias(N),
    )
    slopes = [1 / 4, 1 / 16, 1 / 64, 1 / 256, 1 / 2, 1 / 8]

    def logit(q, k, n, t, s):
        turned = (turn(x, i, 10000, "interleaved") for x, i in ((q, t), (k, s)))
        return np.dot(*turned) / np.sqrt(H) - slopes[n] * abs(t - s)

    expected = reference(
        layer, query, query, logit, lambda t, s: abs(t - s) < 3
    )
    np.testing.assert_allclose(numpy(layer(query, query)), expected, atol=1e-4)


@each
def test_stepping_over_a_cache_is_the_causal_call(name):
    query, _ = inputs()
    layer = built(query.shape, query.shape, **positions()[name])
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
    # A prompt at once, then the rest.
    cache = layer.initial_cache(B, T)
    prompt, cache, _ = layer.step_self(query[:, :3], cache)
    rest, _, _ = layer.step_self(query[:, 3:], cache)
    np.testing.assert_allclose(
        np.concatenate([numpy(prompt), numpy(rest)], 1),
        numpy(expected),
        atol=1e-5,
    )


@pytest.mark.skipif(BACKEND == "torch", reason="there is nothing to compile")
def test_a_compiled_step_knows_its_position_when_it_runs():
    query, _ = inputs()
    layer = built(query.shape, query.shape, **positions()["all"])
    expected = numpy(layer(query, query, use_causal_mask=True))

    def step(x, cache):
        return layer.step_self(x, cache)[:2]

    if BACKEND == "jax":
        import jax

        compiled = jax.jit(step)
    else:
        import tensorflow as tf

        compiled = tf.function(step, jit_compile=True)
    cache = layer.initial_cache(B, T)
    for t in range(T):
        output, cache = compiled(ops.convert_to_tensor(query[:, t]), cache)
        np.testing.assert_allclose(numpy(output), expected[:, t], atol=1e-5)


@slow_on_jax
@each
def test_positions_do_not_depend_on_what_is_behind_a_mask(name):
    query, _ = inputs()
    layer = built(query.shape, query.shape, **positions()[name])
    mask = np.arange(T)[None] < np.array([[3], [4]])
    whole = numpy(layer(query, query, value_mask=mask))
    for b, length in ((0, 3), (1, 4)):
        cut = query[b : b + 1, :length]
        np.testing.assert_allclose(
            whole[b, :length], numpy(layer(cut, cut))[0], atol=1e-5
        )


@each
def test_long_sequences_give_the_same_in_tiles(monkeypatch, name):
    """Down to the gradient of what is learned for each offset."""
    monkeypatch.setattr(tiles, "QUERIES", 2)
    monkeypatch.setattr(tiles, "CAUSAL_KEYS", 3)
    query, value = normal(B, T, D), normal(B, S, D, seed=1)
    layer = built(query.shape, value.shape, **positions()[name])
    layer.flash_attention = False
    learned = [v for v in layer.trainable_variables if v.name == "embeddings"]
    assert bool(learned) == (name in ("relative", "all"))

    def run(query, value, *values):
        mapping = list(zip(learned, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return layer(query, value, use_causal_mask=True)

    arrays = [query, value, *map(numpy, learned)]
    dense = gradients(run, *arrays, jit_compile=True)
    monkeypatch.setattr(dot_product, "TILES_FROM", 1)
    tiled = gradients(run, *arrays, jit_compile=True)
    for mine, other in zip(tiled, dense, strict=True):
        np.testing.assert_allclose(mine, other, atol=2e-5)
        assert np.abs(other).max() > 1e-3


def test_one_axis_of_several_has_positions():
    x = normal(B, 3, T, D)
    layer = built(
        x.shape,
        x.shape,
        attention_axes=2,
        rotary=RotaryEmbedding(),
        position_bias=AlibiBias(N),
    )
    row = MultiHeadAttention(
        N, H, rotary=RotaryEmbedding(), position_bias=AlibiBias(N)
    )
    row.build((B, T, D), (B, T, D))
    row.set_weights(layer.get_weights())
    found = numpy(layer(x, x))
    for i in range(3):
        np.testing.assert_allclose(
            found[:, i], numpy(row(x[:, i], x[:, i])), atol=1e-5
        )


@pytest.mark.parametrize("name", ["rotary", "ALiBi"])
def test_low_precision_tells_far_positions_apart(name):
    """Positions beyond 256 are not whole numbers in bfloat16."""
    query = normal(1, 500, 2)
    exact = MultiHeadAttention(N, H, **positions()[name])
    low = MultiHeadAttention(N, H, dtype="mixed_bfloat16", **positions()[name])
    expected = numpy(exact(query, query))
    low.build(query.shape, query.shape)
    low.set_weights(exact.get_weights())
    found = numpy(low(query, query))
    np.testing.assert_allclose(found, expected, atol=3e-2)


def test_the_order_of_a_sequence_counts_in_an_encoder_block(tmp_path):
    x = normal(B, T, D)
    outputs = {}
    for name in ("none", "ALiBi", "all"):
        arguments = positions().get(name, {})
        block = TransformerEncoderBlock(
            7, self_attention=MultiHeadAttention(N, H, **arguments)
        )
        symbolic = keras.Input((None, D))
        model = keras.Model(symbolic, block(symbolic))
        outputs[name] = numpy(model(x)), numpy(model(x[:, ::-1]))[:, ::-1]
        if name == "all":
            model.save(tmp_path / "model.keras")
            again = keras.models.load_model(tmp_path / "model.keras")
            np.testing.assert_allclose(
                numpy(again(x)), outputs[name][0], atol=1e-6
            )
    for name, (forward, backward) in outputs.items():
        # ALiBi looks both ways alike, so a sequence may be reversed.
        same = name in ("none", "ALiBi")
        assert np.allclose(forward, backward, atol=1e-5) == same, name


def test_it_saves_and_reloads_its_parts(tmp_path):
    layer = MultiHeadAttention(
        N,
        H,
        rotary=RotaryEmbedding(max_wavelength=77.0, layout="halves"),
        position_bias=RelativePositionBias(N, 8, 9, bidirectional=False),
    )
    x = keras.Input((None, D))
    model = keras.Model(x, layer(x, x))
    query, _ = inputs()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        numpy(again(query)), numpy(model(query)), atol=1e-6
    )
    assert again.layers[-1].rotary.max_wavelength == 77.0
    assert again.layers[-1].position_bias.max_distance == 9
    model.save_weights(tmp_path / "model.weights.h5")
    again.layers[-1].set_weights([w * 0 for w in layer.get_weights()])
    again.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(
        numpy(again(query)), numpy(model(query)), atol=1e-6
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(rotary=AlibiBias(N)), "`rotary` must be a RotaryEmbedding"),
        (dict(rotary=True), "`rotary` must be a RotaryEmbedding.*=True"),
        (dict(rotary=RotaryEmbedding(), key_dim=3), "`key_dim` must be even"),
        (dict(position_bias=RotaryEmbedding()), "must be an AlibiBias or a"),
        (dict(position_bias="alibi"), "must be an AlibiBias or a"),
        (dict(position_bias=AlibiBias(2)), "num_heads=6, and 2 of"),
    ],
)
def test_bad_arguments_say_what_must_hold(arguments, message):
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(**{"num_heads": N, "key_dim": H, **arguments})


@each
def test_positions_along_several_axes_at_once_are_refused(name):
    layer = MultiHeadAttention(N, H, **positions()[name])
    x = normal(B, 3, T, D)
    for tensor in (x, keras.KerasTensor(x.shape)):
        with pytest.raises(ValueError, match="positions along one axis"):
            layer(tensor, tensor)


@pytest.mark.parametrize("name", ["rotary", "ALiBi"])
def test_positions_have_no_meaning_over_a_memory(name):
    query, value = inputs()
    layer = MultiHeadAttention(N, H, **positions()[name])
    memory = layer.memory(value)
    with pytest.raises(ValueError, match="so there is no `.*Use `step_self`"):
        layer.step(query[:, 0], memory, {})


@slow_on_jax
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", ["ALiBi", "relative", "all"])
def test_long_windows_go_by_bands_with_the_same_bias(name, causal):
    length = 83
    shapes = (B, length, D), (B, length, E)
    banded = built(*shapes, **{**positions()[name], "sliding_window": 4})
    whole = built(*shapes, **{**positions()[name], "sliding_window": None})
    x = normal(*shapes[0]), normal(*shapes[1], seed=1)
    offset = np.arange(length)[None] - np.arange(length)[:, None]
    call = dict(
        value_mask=np.arange(length) < np.array([[length], [40]]),
        use_causal_mask=causal,
    )
    window = dict(attention_mask=np.abs(offset) <= 3)
    for one, other in zip(
        gradients(lambda *x: banded(*x, **call), *x),
        gradients(lambda *x: whole(*x, **call, **window), *x),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=1e-4)
