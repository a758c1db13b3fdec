import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.data import ImageProcessor
from keras_attention.models import ViT, ViViT, joint_probabilities
from keras_attention.ops import resampling
from tests.marks import slow_on_jax

SIZES = dict(
    video_shape=(4, 8, 12, 3),
    tubelet_size=(2, 4, 4),
    num_layers=2,
    num_temporal_layers=2,
    hidden_dim=8,
    num_heads=2,
    intermediate_dim=12,
    num_classes=5,
)
T, S, D, N = 2, 6, 8, 2
VARIANTS = (
    "spatio_temporal",
    "factorized_encoder",
    "factorized_self_attention",
    "factorized_dot_product",
)


def numpy(x):
    return ops.convert_to_numpy(x)


def clips(number=2, shape=SIZES["video_shape"], seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (number, *shape)).astype("float32")


def made(variant="spatio_temporal", **options):
    """A model with random weights, of the head and of positions too."""
    model = ViViT(variant=variant, **{**SIZES, **options})
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if keras.backend.is_float_dtype(weight.dtype):
            weight.assign(0.3 * rng.normal(size=weight.shape))
    return model


class Reference:
    """Arnab et al., 2021, section 3, in NumPy."""

    frames, places = T, S

    def __init__(self, model):
        self.w = {v.path: numpy(v).astype("float64") for v in model.weights}
        self.model = model

    def norm(self, x, name):
        centred = x - x.mean(-1, keepdims=True)
        x = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
        return x * self.w[f"{name}/gamma"] + self.w[f"{name}/beta"]

    def read(self, x, name, heads=range(N), readable=None):
        """Attention over the last axis but one, by some of the heads."""
        made = []
        for h in heads:
            q, k, v = (
                x @ self.w[f"{name}/{role}/kernel"][:, h]
                + self.w[f"{name}/{role}/bias"][h]
                for role in ("query", "key", "value")
            )
            logits = q @ k.swapaxes(-1, -2) / math.sqrt(D / N)
            scores = np.exp(logits - logits.max(-1, keepdims=True))
            scores /= scores.sum(-1, keepdims=True)
            made.append(
                scores @ v @ self.w[f"{name}/attention_output/kernel"][h]
            )
        return sum(made)

    def attend(self, x, name, axis):
        """By all heads along an axis of `(B, T, S, D)`, or the only one."""
        x = x.swapaxes(axis, -2)
        x = self.read(x, name).swapaxes(axis, -2)
        return x + self.w[f"{name}/attention_output/bias"]

    def transform(self, x, name):
        x = x @ self.w[f"{name}/intermediate/kernel"]
        x = x + self.w[f"{name}/intermediate/bias"]
        x = (
            x
            * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
            / 2
        )
        x = x @ self.w[f"{name}/output/kernel"]
        return x + self.w[f"{name}/output/bias"]

    def block(self, x, name):
        variant = self.model.variant
        attention = f"{name}/self_attention"
        y = self.norm(x, f"{attention}_norm")
        if variant == "factorized_dot_product":
            time = self.read(y.swapaxes(1, 2), attention, range(N // 2))
            space = self.read(y, attention, range(N // 2, N))
            bias = self.w[f"{attention}/attention_output/bias"]
            x = x + time.swapaxes(1, 2) + space + bias
        else:
            parts = [(attention, -2)]
            if variant == "factorized_self_attention":
                parts = [(attention, 2), (f"{name}/time_attention", 1)]
                if self.model.order == "time_space":
                    parts.reverse()
            for part, axis in parts:
                x = x + self.attend(self.norm(x, f"{part}_norm"), part, axis)
        y = self.norm(x, f"{name}/feed_forward_norm")
        return x + self.transform(y, f"{name}/feed_forward")

    def embed(self, x, prefix=""):
        token = self.w.get(f"{prefix}prefix_tokens/tokens")
        if token is not None:
            tokens = np.broadcast_to(token, (len(x), *token.shape))
            x = np.concatenate([tokens, x], axis=1)
        return x + self.w[f"{prefix}position_embedding/embeddings"]

    def __call__(self, video):
        model, variant = self.model, self.model.variant
        t, h, w = model.tubelet_size
        T, S = self.frames, self.places
        batch, frames, height, width, channels = video.shape
        x = video.reshape(
            batch, frames // t, t, height // h, h, width // w, w, channels
        )
        x = x.transpose(0, 1, 3, 5, 2, 4, 6, 7)
        x = x.reshape(batch, T, S, -1)
        x = x @ self.w["tubelet_embedding/embedding/kernel"]
        x = x + self.w["tubelet_embedding/embedding/bias"]
        token = model.pooling == "token"
        layers = range(model.num_layers)
        if variant == "factorized_encoder":
            x = self.embed(x.reshape(batch * T, S, D))
            for i in layers:
                x = self.block(x, f"block_{i}")
            x = self.norm(x, "norm")
            x = x[:, 0] if token else x.mean(1)
            x = x.reshape(batch, T, D)
            if model.num_temporal_layers:
                x = self.embed(x, "temporal_")
                for i in range(2):
                    x = self.block(x, f"temporal_block_{i}")
                x = self.norm(x, "temporal_norm")
                x = x[:, 0] if token else x.mean(1)
            else:
                x = x.mean(1)
        else:
            x = self.embed(x.reshape(batch, T * S, D))
            if variant != "spatio_temporal":
                x = x.reshape(batch, T, S, D)
            for i in layers:
                x = self.block(x, f"block_{i}")
            x = self.norm(x.reshape(batch, -1, D), "norm")
            x = x[:, 0] if token else x.mean(1)
        return x @ self.w["head/kernel"] + self.w["head/bias"]


CASES = {
    **{variant: dict(variant=variant) for variant in VARIANTS},
    "pooled": dict(variant="spatio_temporal", pooling="average"),
    "pooled encoder": dict(variant="factorized_encoder", pooling="average"),
    "frames averaged": dict(
        variant="factorized_encoder", num_temporal_layers=0
    ),
    "time first": dict(variant="factorized_self_attention", order="time_space"),
}


@pytest.mark.parametrize("name", CASES)
def test_it_computes_what_the_paper_says(name):
    model, video = made(**CASES[name]), clips()
    expected = Reference(model)(video)
    assert expected.std() > 0.1
    np.testing.assert_allclose(numpy(model(video)), expected, atol=1e-4)


def moves(model, block):
    """Which states of a block each tubelet moves: `(T S, states...)`."""
    video = clips(1)
    changed = np.repeat(video, T * S, axis=0)
    for i, (t, row, column) in enumerate(np.ndindex(T, 2, 3)):
        rows, columns = 4 * row, 4 * column
        tubelet = changed[i, 2 * t : 2 * t + 2, rows : rows + 4]
        tubelet[:, :, columns : columns + 4] += 1
    states = model.features([block])
    before, after = (numpy(states(x)[block]) for x in (video, changed))
    return abs(after - before).max(-1) > 1e-5


TOKENS = np.arange(T * S)
SAME_FRAME = TOKENS[:, None] // S == TOKENS // S
SAME_PLACE = TOKENS[:, None] % S == TOKENS % S


@pytest.mark.parametrize(
    ("variant", "block", "expected"),
    [
        ("spatio_temporal", "block_0", True),
        ("factorized_dot_product", "block_0", SAME_FRAME | SAME_PLACE),
        ("factorized_dot_product", "block_1", True),
    ],
)
def test_a_state_depends_on_what_its_variant_reads(variant, block, expected):
    """Each tubelet is changed in turn: all of the Jacobian's zeros."""
    model = made(variant)
    found = moves(model, block).reshape(T * S, -1)
    found = found[:, model.num_prefix_tokens :]
    np.testing.assert_array_equal(found, np.broadcast_to(expected, found.shape))


@slow_on_jax
@pytest.mark.parametrize("pooling", ["token", "average"])
def test_of_an_encoder_frames_stay_apart_until_time(pooling):
    model = made("factorized_encoder", pooling=pooling)
    own_frame = TOKENS[:, None] // S == np.arange(T)
    for block in ("block_0", "block_1"):
        found = moves(model, block)  # (T S, T, S), class tokens first
        np.testing.assert_array_equal(
            found, np.broadcast_to(own_frame[..., None], found.shape)
        )
    assert moves(model, "temporal_block_0").all()


@pytest.mark.parametrize("order", ["space_time", "time_space"])
@pytest.mark.parametrize(
    ("silent", "expected"),
    [
        ("time_attention", SAME_FRAME),
        ("self_attention", SAME_PLACE),
        (None, np.ones_like(SAME_FRAME)),
    ],
)
def test_of_a_block_one_part_reads_frames_and_one_places(
    silent, expected, order
):
    """A part that is silent adds nothing; both reach all tokens."""
    model = made("factorized_self_attention", order=order)
    if silent:
        kernel = getattr(model.get_layer("block_0"), silent).output_dense.kernel
        kernel.assign(np.zeros(kernel.shape))
    found = moves(model, "block_0").reshape(T * S, T * S)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_frames_have_an_order(variant):
    """By their positions, and by nothing else."""
    model = made(variant, tubelet_size=(1, 4, 4))
    video = clips(1)
    shuffled = video[:, [2, 0, 3, 1]]
    a, b = (numpy(model(x)) for x in (video, shuffled))
    assert abs(a - b).max() > 1e-3
    for layer in model.layers:
        if layer.name.endswith("position_embedding"):
            table = numpy(layer.embeddings)
            if variant == "factorized_encoder" and "temporal" not in layer.name:
                continue  # of one frame
            tokens = int(model.pooling == "token")
            rows = table[tokens:].reshape(4, -1, D)
            table[tokens:] = np.tile(rows[:1], (4, 1, 1)).reshape(-1, D)
            layer.embeddings.assign(table)
    a, b = (numpy(model(x)) for x in (video, shuffled))
    np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_scores_are_what_heads_read(variant):
    model = made(variant)
    found = model.attention()(clips())
    shapes = {name: x.shape for name, x in found.items()}
    expected = {
        "spatio_temporal": {"block_0": (2, N, 13, 13)},
        "factorized_encoder": {
            "block_0": (2, T, N, 7, 7),
            "temporal_block_1": (2, N, 3, 3),
        },
        "factorized_self_attention": {
            "block_1/space": (2, T, N, S, S),
            "block_1/time": (2, S, N, T, T),
        },
        "factorized_dot_product": {
            "block_1/space": (2, T, N // 2, S, S),
            "block_1/time": (2, S, N // 2, T, T),
        },
    }[variant]
    assert expected.items() <= {k: tuple(v) for k, v in shapes.items()}.items()
    for scores in found.values():
        np.testing.assert_allclose(numpy(scores).sum(-1), 1, atol=1e-5)
    with pytest.raises(ValueError, match="block_0, .*Received: 'block_9'"):
        model.attention(["block_9"])


def image_model(**options):
    keras.utils.set_random_seed(0)
    model = ViT(
        **{
            **dict(
                image_shape=(8, 12, 3),
                patch_size=4,
                num_layers=2,
                hidden_dim=8,
                num_heads=2,
                intermediate_dim=12,
                num_classes=0,
            ),
            **options,
        }
    )
    rng = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(0.3 * rng.normal(size=weight.shape))
    return model


@pytest.mark.parametrize("method", ["central_frame", "average"])
@pytest.mark.parametrize(
    ("variant", "pooling"),
    [
        ("factorized_encoder", "token"),
        ("factorized_self_attention", "average"),
        ("spatio_temporal", "average"),
    ],
)
def test_it_starts_as_the_image_model_of_each_frame(variant, pooling, method):
    """Of a still clip each frame has the image model's states."""
    image = image_model(pooling=pooling)
    model = ViViT.from_vit(
        image, frames=4, variant=variant, num_classes=3, method=method
    )
    assert model.pooling == pooling and model.grid_shape == (2, 2, 3)
    picture = np.random.default_rng(0).uniform(-1, 1, (1, 8, 12, 3))
    video = np.repeat(picture[:, None], 4, axis=1).astype("float32")
    np.testing.assert_array_equal(numpy(model(video)), np.zeros((1, 3)))
    states = numpy(model.features(["block_1"])(video)["block_1"])
    expected = numpy(image.features(1)(picture.astype("float32")))
    # Equal keys in every frame: reading all of them is reading one.
    states = states.reshape(2, -1, 8)
    np.testing.assert_allclose(
        states, np.broadcast_to(expected, states.shape), atol=1e-5
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_takes_over_all_weights_of_an_image_models_blocks(variant):
    image = image_model(dtype="mixed_bfloat16")
    model = ViViT.from_vit(image, frames=4, variant=variant, num_classes=3)
    assert model.dtype_policy.name == "mixed_bfloat16"
    ours = {v.path: numpy(v) for v in model.weights}
    for weight in image.weights:
        if weight.path.startswith(("block_", "norm/")):
            np.testing.assert_array_equal(ours[weight.path], numpy(weight))


def test_attention_along_time_begins_as_none_and_learns():
    model = ViViT.from_vit(
        image_model(), 4, variant="factorized_self_attention", num_classes=2
    )
    video = clips(1)
    moved = video.copy()
    moved[:, 2:] = 0
    states = model.features(["block_1"])
    first, second = (numpy(states(x)["block_1"])[0, 0] for x in (video, moved))
    np.testing.assert_array_equal(first, second)
    model.compile(
        keras.optimizers.SGD(0.1),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(clips(8), np.arange(8) % 2, epochs=3, verbose=0)
    kernel = model.get_layer("block_1").time_attention.output_dense.kernel
    assert abs(numpy(kernel)).max() > 1e-6


@slow_on_jax
@pytest.mark.parametrize("variant", VARIANTS)
def test_other_clips_and_tubelets_resample_what_is_learned(variant):
    model = made(variant)
    other = model.resize((8, 12, 8, 3), method="bilinear")
    assert other.grid_shape == (4, 3, 2) and other.interpolation == "bilinear"
    assert other(clips(2, (8, 12, 8, 3))).shape == (2, 5)
    ours, theirs = (
        {v.path: numpy(v) for v in x.weights} for x in (model, other)
    )
    token = model.num_prefix_tokens
    tables = {"position_embedding/embeddings": ((2, 2, 3), (4, 3, 2))}
    if variant == "factorized_encoder":
        tables = {
            "position_embedding/embeddings": ((2, 3), (3, 2)),
            "temporal_position_embedding/embeddings": ((2,), (4,)),
        }
    for path, (old, new) in tables.items():
        table, found = ours.pop(path), theirs.pop(path)
        np.testing.assert_array_equal(found[:token], table[:token])
        grid = resampling.resample_grid(
            table[token:].reshape(*old, D).astype("float64"), new, "bilinear"
        )
        np.testing.assert_allclose(
            found[token:], grid.reshape(-1, D), atol=1e-6
        )
    for path, value in ours.items():
        np.testing.assert_array_equal(theirs[path], value, path)
    # A clip that is shown twice as long and as large, tubelet by tubelet.
    larger = model.resize((8, 16, 24, 3), (4, 8, 8))
    video = clips()
    parts = video.reshape(2, 2, 2, 2, 4, 3, 4, 3).transpose(
        0, 1, 3, 5, 2, 4, 6, 7
    )
    parts = resampling.resample_grid(
        parts.astype("float64"), (4, 8, 8), "bilinear"
    )
    parts = parts.transpose(0, 1, 4, 2, 5, 3, 6, 7)
    enlarged = parts.reshape(2, 8, 16, 24, 3).astype("float32")
    np.testing.assert_allclose(
        numpy(larger(enlarged)), numpy(model(video)), atol=1e-4
    )


def test_several_label_sets_share_a_head():
    model = made(num_classes={"noun": 3, "verb": 2})
    whole = made(num_classes=5)
    video = clips(8)
    found, expected = model(video), numpy(whole(video))
    assert list(found) == ["noun", "verb"]
    np.testing.assert_allclose(numpy(found["noun"]), expected[:, :3], atol=1e-6)
    np.testing.assert_allclose(numpy(found["verb"]), expected[:, 3:], atol=1e-6)
    joint = numpy(joint_probabilities(found))
    nouns, verbs = (
        np.exp(x) / np.exp(x).sum(-1, keepdims=True)
        for x in (expected[:, :3], expected[:, 3:])
    )
    np.testing.assert_allclose(
        joint, nouns[:, :, None] * verbs[:, None], atol=1e-6
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", {"noun": loss, "verb": loss})
    labels = {"noun": np.arange(8) % 3, "verb": np.arange(8) % 2}
    history = model.fit(video, labels, epochs=5, verbose=0).history["loss"]
    assert history[-1] < history[0]
    again = ViViT.from_config(model.get_config())
    assert again.num_classes == {"noun": 3, "verb": 2}


@slow_on_jax
@pytest.mark.parametrize(
    "options",
    [
        dict(num_classes={"noun": 3, "verb": 2}, representation_dim=7),
        dict(variant="factorized_encoder", dtype="mixed_bfloat16"),
        dict(
            variant="factorized_self_attention",
            stochastic_depth=0.2,
            order="time_space",
            time_initializer=None,
        ),
        dict(
            variant="factorized_dot_product",
            num_classes=0,
            sampled_frames=2,
            tubelet_size=(1, 4, 4),
        ),
        dict(recompute=True, image_processor=ImageProcessor(9, (8, 12))),
    ],
)
def test_it_comes_back_from_files(options, tmp_path):
    model = made(**options)
    video = clips()

    def outputs(model):
        found = model(video)
        parts = found.values() if isinstance(found, dict) else [found]
        return np.concatenate([numpy(ops.cast(x, "float32")) for x in parts], 1)

    expected = outputs(model)
    assert expected.std() > 0.01
    model.save_to_preset(tmp_path / "preset")
    model.save(tmp_path / "model.keras")
    for again in (
        ViViT.from_preset(tmp_path / "preset"),
        keras.saving.load_model(tmp_path / "model.keras"),
    ):
        assert again.get_config() == model.get_config()
        np.testing.assert_allclose(outputs(again), expected, atol=1e-6)


def test_frames_are_sampled_evenly():
    model = made(sampled_frames=2, tubelet_size=(1, 4, 4))
    every = made(video_shape=(2, 8, 12, 3), tubelet_size=(1, 4, 4))
    video = clips()
    np.testing.assert_allclose(
        numpy(model(video)), numpy(every(video[:, [1, 3]])), atol=1e-6
    )


@pytest.mark.parametrize(
    "variant",
    [
        # Each kind of block once; the others in `make test-all`.
        "spatio_temporal",
        "factorized_dot_product",
        pytest.param("factorized_encoder", marks=pytest.mark.slow),
        pytest.param("factorized_self_attention", marks=pytest.mark.slow),
    ],
)
def test_recomputing_changes_no_gradient(variant):
    """And draws the same dropout again, in each step another."""
    losses = []
    for recompute in (False, True):
        keras.utils.set_random_seed(0)
        model = made(
            variant, recompute=recompute, dropout=0.2, stochastic_depth=0.2
        )
        model.compile(
            keras.optimizers.SGD(0.1),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=keras.backend.backend() != "torch",
        )
        history = model.fit(
            clips(8), np.arange(8) % 5, epochs=4, verbose=0, shuffle=False
        )
        losses.append(history.history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_is_frozen_and_slowed_by_depth(variant):
    model = made(variant)
    order = [model.depth_of(layer.name) for layer in model.layers]
    assert order == sorted(order)
    last = model.num_blocks
    assert last == (4 if variant == "factorized_encoder" else 2)
    factors = model.learning_rate_factors(0.5)
    assert factors["head/kernel"] == 1
    if variant == "factorized_encoder":
        pooled = made(variant, num_temporal_layers=0)
        assert pooled.depth_of("norm") == 3
    assert factors["block_0/feed_forward/output/kernel"] == 0.5**last
    assert factors["tubelet_embedding/embedding/kernel"] == 0.5 ** (last + 1)
    model.freeze()
    trainable = {v.path for v in model.trainable_weights}
    assert trainable == {"head/kernel", "head/bias"}
    other = model.reset_head(7)
    np.testing.assert_array_equal(numpy(other(clips())), np.zeros((2, 7)))


@slow_on_jax
@pytest.mark.parametrize("variant", VARIANTS)
def test_it_quantizes_and_takes_low_rank_updates(variant):
    model, video = made(variant), clips()
    expected = numpy(model(video))
    model.enable_lora(2)
    np.testing.assert_allclose(numpy(model(video)), expected, atol=1e-5)
    model = made(variant)
    model.quantize("int8")
    close = numpy(model(video))
    assert 0 < abs(close - expected).max() < 0.3 * abs(expected).max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(variant="model_2"), "variant='model_2'"),
        (dict(order="both"), "order='both'"),
        (dict(order="time_space"), "variant='spatio_temporal'. Leave"),
        (
            dict(variant="factorized_dot_product", time_initializer=None),
            "time_initializer=None",
        ),
        (dict(video_shape=(4, 8, 12)), r"video_shape=\(4, 8, 12\)"),
        (dict(video_shape=(5, 8, 12, 3)), "frames=5"),
        (dict(hidden_dim=9), "hidden_dim=9"),
        (dict(num_temporal_layers=-1), "num_temporal_layers=-1"),
        (dict(num_classes={}), "at least one label set"),
        (dict(num_classes={"noun": 0}), "noun"),
        (dict(sampled_frames=5), "sampled_frames=5 of 4"),
        (
            dict(variant="factorized_dot_product", pooling="token"),
            "Use pooling=",
        ),
        (
            dict(variant="factorized_dot_product", num_heads=1),
            "must be even. Received: num_heads=1",
        ),
        (
            dict(variant="factorized_self_attention", qkv_bias=False),
            "qkv_bias=False",
        ),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ViViT(**{**SIZES, **options})


def test_image_models_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="must be a ViT. Received: Sequential"):
        ViViT.from_vit(keras.Sequential())
    with pytest.raises(ValueError, match="distillation_token=True"):
        ViViT.from_vit(image_model(distillation_token=True))
    with pytest.raises(ValueError, match=r"sizes. Received: \['num_layers'\]"):
        ViViT.from_vit(image_model(), 4, num_layers=3)
