import keras
import numpy as np
import pytest

from keras_attention import optimizers
from keras_attention.data import ImageProcessor
from keras_attention.models import ViT, ViTSegmenter
from tests.marks import slow_on_jax
from tests.models.segmenter_reference import (
    D,
    K,
    Paper,
    interpolated,
    made,
    numpy,
    objective,
    on_jax,
    pictures,
)

decoders = pytest.mark.parametrize("decoder", ["mask_transformer", "linear"])


@decoders
@pytest.mark.parametrize("tokens", [1, 0, 2])
def test_it_computes_what_the_paper_says(decoder, tokens):
    encoder = dict(
        pooling="average" if tokens == 0 else "token",
        distillation_token=tokens == 2,
    )
    model = made(decoder, encoder=encoder)
    images = pictures()
    states = numpy(model.encoder.features(normalize=True)(images))
    assert states.shape == (2, tokens + 15, D)
    found = numpy(model(images))
    assert found.shape == (2, 12, 20, K)
    for state, logits in zip(states, found, strict=True):
        masks = getattr(Paper(model), decoder)(state[tokens:].astype(float))
        expected = interpolated(masks.reshape(3, 5, K), 12, 20)
        np.testing.assert_allclose(logits, expected, atol=2e-4)
        assert expected.std() > 0.1


@slow_on_jax
@decoders
@pytest.mark.parametrize(
    ("dtype", "encoder"),
    [
        (None, {}),
        ("mixed_bfloat16", dict(pooling="attention", representation_dim=7)),
        (None, dict(image_processor=ImageProcessor(30, (12, 20), "bicubic"))),
    ],
)
def test_it_comes_back_from_files(decoder, dtype, encoder, tmp_path):
    model = made(
        decoder,
        dtype,
        encoder,
        decoder_dropout=0.2,
        decoder_stochastic_depth=0.3,
        name="mine",
    )
    images = pictures()
    expected = numpy(model(images))
    model.save_to_preset(tmp_path / "preset")
    model.save(tmp_path / "model.keras")
    for again in (
        ViTSegmenter.from_preset(tmp_path / "preset"),
        keras.saving.load_model(tmp_path / "model.keras"),
    ):
        assert again.get_config() == model.get_config()
        np.testing.assert_allclose(numpy(again(images)), expected, atol=1e-6)
    again = ViTSegmenter.from_preset(
        tmp_path / "preset",
        decoder_dropout=0.4,
        stochastic_depth=0.1,
        image_shape=(8, 8, 3),
        num_classes=7,
    )
    assert (again.decoder_dropout, again.encoder.stochastic_depth) == (0.4, 0.1)
    assert again(pictures(8, 8)).shape == (2, 8, 8, 7)
    block = "block_2/feed_forward/output/kernel"
    for a, b in zip(again.weights, model.weights, strict=False):
        if a.path == block:
            np.testing.assert_array_equal(numpy(a), numpy(b))


def test_the_encoders_weights_are_the_models():
    model = made()
    ours = {id(weight) for weight in model.weights}
    assert {id(weight) for weight in model.encoder.weights} < ours
    before = numpy(model.encoder(pictures()))
    model.get_layer("norm").beta.assign(np.ones(D))
    assert np.abs(numpy(model.encoder(pictures())) - before).max() > 0.1


@decoders
def test_other_classes_begin_anew(decoder):
    model = made(decoder)
    model.enable_lora(2)
    other = model.reset_head(7)
    assert other(pictures()).shape == (2, 12, 20, 7)
    a, b = (x.encoder.features()(pictures()) for x in (model, other))
    np.testing.assert_allclose(numpy(a), numpy(b), atol=1e-5)
    kept = {w.path: numpy(w) for w in other.weights}
    anew = {
        w.path
        for w in model.weights
        if "lora" not in w.path
        and "seed" not in w.path
        and (
            kept[w.path].shape != w.shape
            or np.abs(kept[w.path] - numpy(w)).max() > 1e-6
        )
    }
    assert {path.partition("/")[0] for path in anew} == (
        {"head"} if decoder == "linear" else {"class_tokens", "mask_norm"}
    )


@decoders
def test_other_sizes_keep_the_weights(decoder):
    model = made(decoder)
    for shape, patch in (((20, 8, 3), None), ((24, 40, 3), 8)):
        other = model.resize(shape, patch, "bicubic")
        assert other(pictures(*shape[:2])).shape == (2, *shape[:2], K)
        assert other.encoder.interpolation == "bicubic"
        ours = {w.path: numpy(w) for w in model.weights}
        changed = {
            w.path
            for w in other.weights
            if ours[w.path].shape != w.shape or (ours[w.path] != numpy(w)).any()
        }
        assert changed <= {
            "position_embedding/embeddings",
            "patch_embedding/embedding/kernel",
        }
    with pytest.raises(ValueError, match="width=21"):
        model.resize((12, 21, 3))


@on_jax
@decoders
def test_layers_are_frozen_and_slowed_by_depth(decoder):
    model = made(decoder)
    order = [model.depth_of(layer.name) for layer in model.layers]
    assert order == sorted(order) and order[-1] == 5
    factors = model.learning_rate_factors(0.5)
    assert set(factors) == {w.path for w in model.trainable_weights}
    assert factors["patch_embedding/embedding/kernel"] == 0.5**4
    assert factors["block_2/feed_forward/output/kernel"] == 0.5
    last = "head/bias" if decoder == "linear" else "class_tokens/tokens"
    assert factors[last] == 1
    model.freeze()
    before = [numpy(w) for w in model.encoder.weights]
    factors = model.learning_rate_factors(0.5)
    model.compile(
        optimizers.LayerwiseAdamW(0.01, factors),
        **objective(K),
        jit_compile=keras.backend.backend() != "torch",
    )
    labels = np.random.default_rng(0).choice([1, 255], size=(2, 12, 20))
    model.fit(pictures(), labels, verbose=0)
    for a, b in zip(before, model.encoder.weights, strict=True):
        np.testing.assert_array_equal(a, numpy(b))
    model.freeze(0)
    assert len(model.trainable_weights) > len(factors)


@decoders
def test_it_quantizes_and_takes_low_rank_updates(decoder, tmp_path):
    images = pictures()
    model = made(decoder)
    expected = numpy(model(images))
    model.enable_lora(2)
    np.testing.assert_allclose(numpy(model(images)), expected, atol=1e-5)
    model = made(decoder)
    model.quantize("int8")
    close = numpy(model(images))
    assert 0 < np.abs(close - expected).mean() < 0.2 * expected.std()
    model.save_to_preset(tmp_path)
    again = ViTSegmenter.from_preset(tmp_path)
    np.testing.assert_allclose(numpy(again(images)), close, atol=1e-5)
    assert again.get_config() == model.get_config()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(num_classes=0), "num_classes=0"),
        (dict(num_classes=1), "background as a class"),
        (dict(decoder="upernet"), "'mask_transformer', 'linear'. Received"),
        (dict(num_decoder_layers=0), "num_decoder_layers=0"),
        (dict(decoder_dropout=1.0), "decoder_dropout=1.0"),
        (dict(decoder_stochastic_depth=-1), "decoder_stochastic_depth=-1"),
        (dict(encoder="vit_b_16"), "without a head. Received: str"),
        (dict(hidden_size=3), "hidden_size. Check the spelling"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    encoder = ViT.from_preset("vit_tiny", num_layers=1, num_classes=0)
    arguments = {"encoder": encoder, "num_classes": K, **options}
    with pytest.raises(ValueError, match=message):
        ViTSegmenter(**arguments)


def test_an_encoder_with_a_head_and_other_images_are_refused(tmp_path):
    encoder = ViT.from_preset("vit_tiny", num_layers=1)
    with pytest.raises(ValueError, match=r"num_classes=10. .*reset_head\(0\)"):
        ViTSegmenter(encoder, K)
    model = made()
    for images in (pictures(24), pictures()[0]):
        with pytest.raises(ValueError, match=r"12, 20, 3"):
            model(images)
    with pytest.raises(ValueError, match="batch_size=0"):
        model.segment([], batch_size=0)
    model.save_to_preset(tmp_path)
    with pytest.raises(ValueError, match="Call ViTSegmenter.from_preset"):
        ViT.from_preset(tmp_path)
