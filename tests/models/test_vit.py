import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.data import ImageProcessor
from keras_attention.models import ViT
from keras_attention.ops import resampling
from tests.marks import slow_on_jax

SIZES = dict(
    image_shape=(12, 20, 3),
    patch_size=4,
    num_layers=3,
    hidden_dim=12,
    num_heads=3,
    intermediate_dim=20,
    num_classes=5,
)


def numpy(x):
    return ops.convert_to_numpy(x)


def pictures(height=12, width=20, number=2, seed=0):
    rng = np.random.default_rng(seed)
    shape = (number, height, width, 3)
    return rng.uniform(-1, 1, shape).astype("float32")


def made(**options):
    """A model with random weights, of the head and of positions too."""
    keras.utils.set_random_seed(0)
    model = ViT(**{**SIZES, **options})
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if keras.backend.is_float_dtype(weight.dtype):
            weight.assign(0.3 * rng.normal(size=weight.shape))
    return model


@slow_on_jax
@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("vit_ti_16", {}, 5_717_416),
        ("vit_s_16", {}, 22_050_664),
        ("vit_s_16", {"pooling": "average"}, 22_049_896),
        ("vit_s_32", {}, 22_878_952),
        ("vit_s_32", {"pooling": "average"}, 22_878_184),
        ("vit_b_8", {}, 86_576_872),
        ("vit_b_16", {}, 86_567_656),
        ("vit_b_16", {"pooling": "average"}, 86_566_120),
        ("vit_b_32", {}, 88_224_232),
        ("vit_l_16", {}, 304_326_632),
        ("vit_l_32", {}, 306_535_400),
        ("vit_h_14", {}, 632_045_800),
    ],
)
def test_the_papers_sizes_have_the_papers_weights(name, options, expected):
    """Counted in models of one and two blocks: all blocks are alike."""
    one, two = (
        ViT.from_preset(name, num_layers=n, **options).count_params()
        for n in (1, 2)
    )
    layers = ViT.presets[name]["num_layers"]
    assert one + (layers - 1) * (two - one) == expected


@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(pooling="average", norm_after_pooling=True),
        dict(pooling="attention", class_token=True, qkv_bias=False),
        dict(distillation_token=True, layer_scale=0.1, stochastic_depth=0.2),
        dict(
            pooling="token_and_average",
            representation_dim=7,
            prefix_positions=False,
        ),
        dict(num_classes=0, dtype="mixed_bfloat16"),
        dict(image_processor=ImageProcessor(30, (12, 20), "bicubic")),
    ],
)
def test_it_comes_back_from_files(options, tmp_path):
    model = made(**options)
    images = pictures()
    expected = numpy(ops.cast(model(images), "float32"))
    width = 5 if model.num_classes else 12
    assert expected.shape == (2, width) and expected.std() > 0.01
    model.save_to_preset(tmp_path / "preset")
    model.save(tmp_path / "model.keras")
    for again in (
        ViT.from_preset(tmp_path / "preset"),
        keras.saving.load_model(tmp_path / "model.keras"),
    ):
        assert again.get_config() == model.get_config()
        found = numpy(ops.cast(again(images), "float32"))
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_features_are_what_the_blocks_pass_on():
    model = made()
    images = pictures()
    states = model.features([0, -1])(images)
    assert list(states) == ["block_0", "block_2"]
    first, last = states.values()
    assert first.shape == last.shape == (2, 16, 12)
    x = first
    for index in (1, 2):
        x = model.get_layer(f"block_{index}")(x)
    np.testing.assert_allclose(numpy(x), numpy(last), atol=1e-5)
    normalized = model.features(normalize=True)(images)
    head = model.get_layer("head")
    np.testing.assert_allclose(
        numpy(head(normalized[:, 0])), numpy(model(images)), atol=1e-5
    )
    grid = model.features(grid=True)(images)
    np.testing.assert_array_equal(
        numpy(grid).reshape(2, 15, 12), numpy(last)[:, 1:]
    )
    with pytest.raises(ValueError, match="one of 3. Received: 3"):
        model.features([3])


def test_attention_is_what_heads_read():
    model = made(pooling="average", class_token=True)
    images = pictures()
    found = model.attention()(images)
    assert list(found) == ["block_0", "block_1", "block_2"]
    x = model.features(0)(images)
    layer = model.get_layer("block_1")
    query = layer.self_attention_norm(x)
    _, expected = layer.self_attention(
        query, query, return_attention_scores=True
    )
    assert expected.shape == (2, 3, 16, 16)
    np.testing.assert_allclose(
        numpy(found["block_1"]), numpy(expected), atol=1e-5
    )
    assert list(model.attention([-1])(images)) == ["block_2"]
    with pytest.raises(ValueError, match="Received: -4"):
        model.attention([-4])


def test_another_size_resamples_positions_and_keeps_the_rest():
    model = made()
    other = model.resize((20, 8, 3), method="bicubic")
    assert other.interpolation == "bicubic" and other.grid_shape == (5, 2)
    ours, theirs = (
        {v.path: numpy(v) for v in x.weights} for x in (model, other)
    )
    name = "position_embedding/embeddings"
    table = ours.pop(name)
    found = theirs.pop(name)
    np.testing.assert_array_equal(found[0], table[0])
    grid = resampling.resample_grid(
        table[1:].reshape(3, 5, 12).astype("float64"), (5, 2), "bicubic"
    )
    np.testing.assert_allclose(found[1:], grid.reshape(10, 12), atol=1e-6)
    for path, value in ours.items():
        np.testing.assert_array_equal(theirs[path], value, path)
    assert other(pictures(20, 8)).shape == (2, 5)
    with pytest.raises(ValueError, match="channels cannot change"):
        model.resize((12, 20, 1))
    with pytest.raises(ValueError, match="width=21"):
        model.resize((12, 21, 3))


@pytest.mark.parametrize("new_size", [(8, 8), (6, 4)])
def test_larger_patches_see_in_an_enlarged_image_what_they_saw(new_size):
    model = made()
    images = pictures()
    rows, columns = (n // 4 for n in (12, 20))
    size = rows * new_size[0], columns * new_size[1]
    larger = model.resize((*size, 3), patch_size=new_size)
    # Each patch is enlarged alone: an interpolation that ends at its border.
    patches = images.reshape(2, rows, 4, columns, 4, 3).swapaxes(2, 3)
    patches = resampling.resample_grid(
        patches.astype("float64"), new_size, "bilinear"
    )
    enlarged = patches.swapaxes(2, 3).reshape(2, *size, 3).astype("float32")
    np.testing.assert_allclose(
        numpy(larger(enlarged)), numpy(model(images)), atol=1e-4
    )


def test_a_new_head_begins_at_zero():
    model = made()
    model.enable_lora(2)
    other = model.reset_head(7)
    images = pictures()
    np.testing.assert_array_equal(numpy(other(images)), np.zeros((2, 7)))
    a, b = (x.features()(images) for x in (model, other))
    np.testing.assert_allclose(numpy(a), numpy(b), atol=1e-6)


@pytest.mark.parametrize(
    ("number", "first"),
    [(0, "patch_embedding"), (2, "block_2"), (3, "norm"), (None, "head")],
)
def test_blocks_are_frozen_from_the_first_on(number, first):
    model = made(dropout=0.1)
    model.freeze(number)
    layers = [layer for layer in model.layers if layer.trainable_variables]
    assert layers[0].name == first
    assert layers[-1].name == "head"
    order = [model.depth_of(layer.name) for layer in model.layers]
    assert order == sorted(order)


def test_a_linear_probe_learns_and_changes_nothing_else():
    model = made(num_classes=2).reset_head(2)
    model.freeze()
    before = [numpy(w) for w in model.non_trainable_weights]
    images = pictures(number=16)
    labels = (images.mean((1, 2, 3)) > np.median(images.mean((1, 2, 3)))) * 1
    model.compile(
        keras.optimizers.Adam(0.05),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    history = model.fit(images, labels, epochs=30, verbose=0).history["loss"]
    assert history[-1] < history[0]
    assert np.abs(numpy(model.get_layer("head").kernel)).max() > 0.1
    for old, new in zip(before, model.non_trainable_weights, strict=True):
        np.testing.assert_array_equal(numpy(new), old)


def test_it_quantizes_and_takes_low_rank_updates(tmp_path):
    model = made(hidden_dim=16, num_heads=4, intermediate_dim=24)
    images = pictures()
    expected = numpy(model(images))
    model.enable_lora(2)
    np.testing.assert_allclose(numpy(model(images)), expected, atol=1e-5)
    model = made(hidden_dim=16, num_heads=4, intermediate_dim=24)
    model.quantize("int8")
    close = numpy(model(images))
    assert 0 < np.abs(close - expected).max() < 0.2 * np.abs(expected).max()


@pytest.mark.parametrize(
    "jit_compile", [True, pytest.param(False, marks=pytest.mark.slow)]
)
def test_it_learns_what_no_patch_tells_alone(jit_compile):
    """Whether two opposite corners are alike: one must read the other."""
    rng = np.random.default_rng(0)
    marks = rng.integers(2, size=(3000, 2))
    images = rng.normal(0, 0.1, (3000, 12, 12, 1)).astype("float32")
    images[:, :4, :4] += (2 * marks[:, 0] - 1)[:, None, None, None]
    images[:, -4:, -4:] += (2 * marks[:, 1] - 1)[:, None, None, None]
    labels = marks[:, 0] ^ marks[:, 1]
    keras.utils.set_random_seed(0)
    model = ViT(
        image_shape=(12, 12, 1),
        patch_size=4,
        num_layers=2,
        hidden_dim=16,
        num_heads=2,
        intermediate_dim=32,
        num_classes=2,
    )
    model.compile(
        keras.optimizers.Adam(5e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=jit_compile and keras.backend.backend() != "torch",
    )
    model.fit(images[:2500], labels[:2500], batch_size=50, epochs=6, verbose=0)
    _, accuracy = model.evaluate(images[2500:], labels[2500:], verbose=0)
    assert accuracy > 0.95


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            dict(hidden_dim=13),
            "multiple of `num_heads`. Received: hidden_dim=13",
        ),
        (dict(num_layers=0), "num_layers=0"),
        (dict(num_classes=-1), "num_classes=-1"),
        (dict(pooling="max"), "pooling='max'"),
        (dict(pooling="token", class_token=False), "class_token=False"),
        (
            dict(pooling="average", distillation_token=True, class_token=True),
            "Use pooling=",
        ),
        (dict(image_shape=(12, 20)), r"image_shape=\(12, 20\)"),
        (dict(image_shape=(12, 21, 3)), "21"),
        (dict(interpolation="nearest"), "nearest"),
        (dict(activation="gulu"), "gulu"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ViT(**{**SIZES, **options})


def test_an_image_of_another_size_is_refused():
    with pytest.raises(ValueError, match="24"):
        made()(pictures(24, 20))
