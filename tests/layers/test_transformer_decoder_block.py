import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import (
    AdditiveAttention,
    AlibiBias,
    CoverageAttention,
    HardAttention,
    LocalAttention,
    LocationAttention,
    LuongAttention,
    MonotonicAttention,
    MultiHeadAttention,
    PositionEmbedding,
    RotaryEmbedding,
    SlidingWindowAttention,
    TransformerDecoderBlock,
)
from tests.marks import slow_on_jax

B, T, S, D, F, N = 2, 5, 7, 6, 11, 3
K = 4


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def inputs(seed=0):
    rng = np.random.default_rng(seed)
    shapes = ((B, T, D), (B, S, D))
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def built(with_memory=True, **arguments):
    """A block with random weights, biases and scales too."""
    block = TransformerDecoderBlock(F, **{"num_heads": N, **arguments})
    block.build((B, T, D), (B, S, D) if with_memory else None)
    rng = np.random.default_rng(1)
    block.set_weights([rng.normal(size=w.shape) * 0.4 for w in block.weights])
    return block


@pytest.mark.parametrize("normalize_first", [False, True])
def test_it_is_the_equation(normalize_first):
    block = built(normalize_first=normalize_first)
    x, memory = inputs()
    parts = [
        lambda x: block.self_attention(x, x, use_causal_mask=True),
        lambda x: block.cross_attention(x, memory),
        block.feed_forward,
    ]
    norms = [
        block.self_attention_norm,
        block.cross_attention_norm,
        block.feed_forward_norm,
    ]
    expected = ops.convert_to_tensor(x)
    for part, norm in zip(parts, norms, strict=True):
        if normalize_first:
            expected = expected + part(norm(expected))
        else:
            expected = norm(expected + part(expected))
    np.testing.assert_allclose(
        numpy(block(x, memory)), numpy(expected), atol=1e-5
    )


def test_no_position_reads_a_later_one():
    block = built()
    x, memory = inputs()
    changed = x.copy()
    changed[:, 3:] += 10
    before, after = numpy(block(x, memory)), numpy(block(changed, memory))
    np.testing.assert_allclose(before[:, :3], after[:, :3], atol=1e-5)
    assert np.abs(before[:, 3:] - after[:, 3:]).max() > 0.1


@pytest.mark.parametrize("implicit", [False, True])
def test_padding_of_inputs_and_memory_is_never_read(implicit):
    block = built()
    x, memory = inputs()
    mask = np.ones((B, T), bool)
    mask[:, 1] = False
    memory_mask = np.arange(S)[None] < np.array([[3], [S - 1]])

    def run(x, memory):
        x, memory = map(ops.convert_to_tensor, (x, memory))
        if not implicit:
            output = block(
                x, memory, padding_mask=mask, memory_mask=memory_mask
            )
            return numpy(output)[mask]
        x._keras_mask = ops.convert_to_tensor(mask)
        memory._keras_mask = ops.convert_to_tensor(memory_mask)
        return numpy(block(x, memory))[mask]

    changed = np.where(mask[..., None], x, 99).astype("float32")
    memory_changed = np.where(memory_mask[..., None], memory, 99)
    np.testing.assert_allclose(
        run(x, memory),
        run(changed, memory_changed.astype("float32")),
        atol=1e-5,
    )


def cross_attentions():
    return {
        "made": None,
        "grouped": MultiHeadAttention(4, 3, num_key_value_heads=2),
        "additive": AdditiveAttention(5),
        "luong": LuongAttention(),
        "hard": HardAttention(5, "straight_through"),
        "local": LocalAttention(2, "predictive", "general"),
        "monotonic": MonotonicAttention(5, initial_score_bias=-0.5),
        "location": LocationAttention(5, 2, 3),
        "coverage": CoverageAttention(5),
    }


@pytest.mark.parametrize("normalize_first", [False, True])
@pytest.mark.parametrize("name", list(cross_attentions()))
def test_stepping_is_the_call_on_the_whole(name, normalize_first):
    block = built(
        cross_attention=cross_attentions()[name],
        normalize_first=normalize_first,
    )
    x, source = inputs()
    memory_mask = np.arange(S)[None] < np.array([[3], [S]])
    expected, self_scores, scores = block(
        x, source, memory_mask=memory_mask, return_attention_scores=True
    )
    memory = block.memory(source, mask=memory_mask)
    state = block.initial_state(memory, max_length=T + 1)
    for t in range(T):
        output, state, extras = block.step(
            x[:, t], memory, state, return_attention_scores=True
        )
        for found, whole in (
            (output, numpy(expected)[:, t]),
            (extras["scores"], numpy(scores)[..., t, :]),
            (extras["self_scores"][..., :T], numpy(self_scores)[..., t, :]),
        ):
            np.testing.assert_allclose(numpy(found), whole, atol=1e-5)


@pytest.mark.parametrize("name", ["rotary", "ALiBi", "l2"])
def test_self_attention_that_tells_positions_apart_steps_alike(name):
    arguments = {
        "rotary": dict(rotary=RotaryEmbedding()),
        "ALiBi": dict(position_bias=AlibiBias(N)),
        "l2": dict(score="l2"),
    }[name]
    block = built(
        num_heads=None,
        self_attention=MultiHeadAttention(N, 4, **arguments),
        cross_attention=AdditiveAttention(5),
    )
    x, source = inputs()
    expected = numpy(block(x, source))
    memory = block.memory(source)
    state = block.initial_state(memory, max_length=T)
    for t in range(T):
        output, state, _ = block.step(x[:, t], memory, state)
        np.testing.assert_allclose(numpy(output), expected[:, t], atol=1e-5)


def test_hypotheses_share_a_memory_and_are_reordered_by_one_take():
    block = built()
    x, source = inputs()
    tokens = np.random.default_rng(5).normal(size=(B, K, 2, D))
    tokens = tokens.astype("float32")
    memory = block.memory(source)
    state = block.initial_state(memory, max_length=2)
    repeat = np.repeat(np.arange(B), K)
    state = keras.tree.map_structure(
        lambda x: ops.take(x, repeat, axis=0), state
    )
    _, state, extras = block.step(
        tokens[:, :, 0], memory, state, return_attention_scores=True
    )
    assert extras["scores"].shape == (B, K, N, S)
    assert extras["self_scores"].shape == (B, K, N, 2)
    # Every hypothesis goes on from the second of its source.
    state = keras.tree.map_structure(
        lambda x: ops.take(x, repeat * K + 1, axis=0), state
    )
    output, _, _ = block.step(tokens[:, :, 1], memory, state)
    for k in range(K):
        whole = np.stack([tokens[:, 1, 0], tokens[:, k, 1]], 1)
        np.testing.assert_allclose(
            numpy(output)[:, k], numpy(block(whole, source))[:, 1], atol=1e-5
        )


def test_steps_never_project_the_memory_again(monkeypatch):
    block = built()
    x, source = inputs()
    memory = block.memory(source)
    monkeypatch.setattr(block.cross_attention, "project", None)
    state = block.initial_state(memory, max_length=1)
    block.step(x[:, 0], memory, state)


def test_without_a_memory_it_is_a_language_model():
    block = built(with_memory=False)
    x, source = inputs()
    assert block.cross_attention is None
    expected, scores = block(x, return_attention_scores=True)
    assert scores.shape == (B, N, T, T)
    state = block.initial_state(batch_size=B, max_length=T)
    for t in range(T):
        output, state, _ = block.step(x[:, t], None, state)
        np.testing.assert_allclose(
            numpy(output), numpy(expected)[:, t], atol=1e-5
        )
    with pytest.raises(ValueError, match="built without a memory"):
        block(x, source)
    with pytest.raises(ValueError, match="`batch_size` must be given"):
        block.initial_state(max_length=T)


def test_symbolic_shapes_with_unknown_sizes_and_scores():
    x, source = keras.Input((None, D)), keras.Input((None, 13))
    block = TransformerDecoderBlock(F, N, dtype="mixed_bfloat16")
    outputs = block(x, source, return_attention_scores=True)
    assert [y.shape for y in outputs] == [
        (None, None, D),
        (None, N, None, None),
        (None, N, None, None),
    ]
    model = keras.Model([x, source], outputs)
    found = model([inputs()[0], np.zeros((B, S, 13))])
    assert [tuple(y.shape) for y in found] == [
        (B, T, D),
        (B, N, T, T),
        (B, N, T, S),
    ]
    assert keras.backend.standardize_dtype(found[0].dtype) == "bfloat16"


@pytest.mark.parametrize("given", [False, True])
def test_it_saves_and_reloads(tmp_path, given):
    x, source = keras.Input((None, D)), keras.Input((None, D))
    cross = AdditiveAttention(5) if given else None
    block = TransformerDecoderBlock(F, N, cross_attention=cross)
    model = keras.Model([x, source], block(x, source))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        numpy(again(inputs())), numpy(model(inputs())), atol=1e-6
    )


@slow_on_jax
@pytest.mark.parametrize("jit_compile", [False, True])
def test_it_learns_to_shift_and_to_copy(jit_compile):
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("there is nothing to compile with here")
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x, source = (
        rng.normal(size=(128, 3, D)).astype("float32") for _ in range(2)
    )
    # What came one before, and the mean of the source.
    y = np.roll(x, 1, axis=1)
    y[:, 0] = 0
    y = y + source.mean(1, keepdims=True)
    inputs = keras.Input((3, D)), keras.Input((3, D))
    embedded = inputs[0] + PositionEmbedding(3)(inputs[0])
    block = TransformerDecoderBlock(32, 2, normalize_first=True)
    outputs = keras.layers.Dense(D)(block(embedded, inputs[1]))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(0.02), "mse", jit_compile=jit_compile)
    history = model.fit([x, source], y, epochs=60, batch_size=64, verbose=0)
    assert history.history["loss"][-1] < 0.3 * history.history["loss"][0]


def test_only_fitting_attention_is_taken():
    x, source = inputs()
    with pytest.raises(ValueError, match="must be an attention layer of ker"):
        TransformerDecoderBlock(F, N, cross_attention=keras.layers.Attention())
    with pytest.raises(ValueError, match="`self_attention` must be a MultiH"):
        TransformerDecoderBlock(F, self_attention=AdditiveAttention(3))
    with pytest.raises(ValueError, match="and not both"):
        TransformerDecoderBlock(
            F,
            N,
            self_attention=MultiHeadAttention(2, 3),
            cross_attention=AdditiveAttention(3),
        )
    with pytest.raises(ValueError, match="needs `num_heads` or"):
        TransformerDecoderBlock(F, self_attention=MultiHeadAttention(2, 3))(
            x, source
        )
    with pytest.raises(ValueError, match="as many features as the block"):
        TransformerDecoderBlock(F, N, cross_attention=AdditiveAttention(3))(
            x, source[..., :4]
        )
    with pytest.raises(ValueError, match="log probabilities"):
        TransformerDecoderBlock(F, N, cross_attention=HardAttention(3))
    with pytest.raises(ValueError, match="must be called with a memory"):
        TransformerDecoderBlock(F, N, cross_attention=AdditiveAttention(3))(x)
    block = TransformerDecoderBlock(F, N)
    with pytest.raises(ValueError, match="`memory` needs a block that is b"):
        block.memory(source)


@pytest.mark.parametrize("window", [2, 50])
def test_a_causal_window_of_self_attention_steps_as_it_is_called(window):
    block = TransformerDecoderBlock(
        F,
        N,
        self_attention=SlidingWindowAttention(2, 3, window, causal=True),
    )
    x, source = inputs()
    expected = numpy(block(x, source))
    memory = block.memory(source)
    state = block.initial_state(memory, max_length=T)
    for t in range(T):
        output, state, _ = block.step(x[:, t], memory, state)
        np.testing.assert_allclose(numpy(output), expected[:, t], atol=1e-5)


def test_positions_that_have_no_meaning_in_a_decoder_are_refused():
    ahead = SlidingWindowAttention(2, 3, 2)
    with pytest.raises(ValueError, match="must not read ahead.*causal=True"):
        TransformerDecoderBlock(F, N, self_attention=ahead)
    for attention, message in (
        (ahead, "no `sliding_window`.*sliding_window=3"),
        (MultiHeadAttention(2, 3, sliding_window=3), "no `sliding_window`"),
        (MultiHeadAttention(2, 4, rotary=RotaryEmbedding()), "no `rotary`"),
    ):
        with pytest.raises(ValueError, match=message):
            TransformerDecoderBlock(F, N, cross_attention=attention)
