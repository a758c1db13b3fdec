"""ViT's checkpoints: parity with the libraries that made them."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.models import ViT

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.numpy")

D, N, L, F, K = 24, 3, 3, 40, 5
SIZES = dict(
    hidden_size=D,
    num_hidden_layers=L,
    num_attention_heads=N,
    image_size=12,
    patch_size=4,
    layer_norm_eps=1e-5,
)


def numpy(x):
    return ops.convert_to_numpy(x)


def randomized(model):
    """All weights random, norms and biases too."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            noise = torch.randn(weight.shape, generator=generator)
            weight.copy_(0.3 * noise + (weight.ndim == 1) * 0.5)
    return model.eval()


def make_vit(head=True, **options):
    config = transformers.ViTConfig(
        intermediate_size=F, num_labels=K, **{**SIZES, **options}
    )
    kind = "ViTForImageClassification" if head else "ViTModel"
    return getattr(transformers, kind)(config)


def make_deit(kind):
    config = transformers.DeiTConfig(intermediate_size=F, num_labels=K, **SIZES)
    return getattr(transformers, kind)(config)


def make_dinov2(head=True):
    config = transformers.Dinov2Config(
        num_labels=K, mlp_ratio=2, layerscale_value=0.5, **SIZES
    )
    kind = "Dinov2ForImageClassification" if head else "Dinov2Model"
    return getattr(transformers, kind)(config)


MODELS = {
    "vit": make_vit,
    "vit, other activation": lambda: make_vit(
        hidden_act="gelu_pytorch_tanh", qkv_bias=False
    ),
    "vit, not square": lambda: make_vit(image_size=(8, 12), patch_size=(2, 4)),
    "vit, bare": lambda: make_vit(head=False),
    "deit": lambda: make_deit("DeiTForImageClassification"),
    "deit, with teacher": lambda: make_deit(
        "DeiTForImageClassificationWithTeacher"
    ),
    "dinov2": make_dinov2,
    "dinov2, bare": lambda: make_dinov2(head=False),
}


@pytest.fixture(params=MODELS, scope="module")
def checkpoint(request, tmp_path_factory):
    """A model of the transformers library and its folder."""
    model = randomized(MODELS[request.param]())
    folder = tmp_path_factory.mktemp("checkpoint")
    model.save_pretrained(folder)
    return model, folder


def pictures(model, size=None, batch=2):
    config = model.config
    size = size or config.image_size
    size = size if isinstance(size, (tuple, list)) else (size, size)
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (batch, *size, 3)).astype("float32")


def theirs(model, images, **options):
    """Output and hidden states of their model."""
    pixels = torch.tensor(images.transpose(0, 3, 1, 2))
    with torch.no_grad():
        found = model(pixels, output_hidden_states=True, **options)
    if "logits" in found:
        output = found.logits
    elif found.pooler_output is not None:
        output = found.pooler_output
    else:
        output = found.last_hidden_state[:, 0]
    return output.numpy(), [x.numpy() for x in found.hidden_states]


def test_it_computes_what_transformers_computes(checkpoint):
    model, folder = checkpoint
    images = pictures(model)
    expected, states = theirs(model, images)
    ours = ViT.from_preset(folder)
    np.testing.assert_allclose(numpy(ours(images)), expected, atol=1e-5)
    found = ours.features(range(L))(images)
    for state, hidden in zip(found.values(), states[1:], strict=True):
        np.testing.assert_allclose(numpy(state), hidden, atol=1e-4)
    assert np.std(expected) > 0.1


@pytest.mark.one_backend
def test_images_of_another_size_are_read_as_transformers_reads_them(
    checkpoint,
):
    model, folder = checkpoint
    if not isinstance(model.config.patch_size, int):
        pytest.skip("transformers resizes from squares only")
    size = 5 * model.config.patch_size, 7 * model.config.patch_size
    images = pictures(model, size)
    options = {"interpolate_pos_encoding": True}
    if model.config.model_type == "dinov2":
        options = {}
    expected, _ = theirs(model, images, **options)
    ours = ViT.from_preset(folder, image_shape=(*size, 3))
    np.testing.assert_allclose(numpy(ours(images)), expected, atol=1e-5)


@pytest.mark.one_backend
def test_transformers_reads_what_is_written(checkpoint, tmp_path):
    model, folder = checkpoint
    images = pictures(model)
    ours = ViT.from_preset(folder)
    ours.to_huggingface(tmp_path / "back")
    again = type(model).from_pretrained(tmp_path / "back").eval()
    assert type(again) is type(model)
    expected, _ = theirs(model, images)
    found, _ = theirs(again, images)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # All but the token that nothing reads is the same.
    for (name, a), b in zip(
        again.named_parameters(), model.parameters(), strict=True
    ):
        if "mask_token" not in name:
            np.testing.assert_array_equal(a.detach(), b.detach(), name)


def test_names_of_the_memory_are_read_too(tmp_path):
    model = randomized(make_vit())
    model.save_pretrained(tmp_path / "there")
    arrays = {k: v.numpy() for k, v in model.state_dict().items()}
    assert any(".layers." in name for name in arrays)
    safetensors.save_file(arrays, tmp_path / "there" / "model.safetensors")
    images = pictures(model)
    np.testing.assert_allclose(
        numpy(ViT.from_preset(tmp_path / "there")(images)),
        theirs(model, images)[0],
        atol=1e-5,
    )


@pytest.mark.one_backend
def test_a_new_head_keeps_the_rest(checkpoint):
    model, folder = checkpoint
    images = pictures(model)
    ours = ViT.from_preset(folder)
    other = ViT.from_preset(folder, num_classes=7)
    assert other(images).shape == (2, 7)
    np.testing.assert_array_equal(numpy(other(images)), 0)
    for a, b in zip(
        ours.features(range(L))(images).values(),
        other.features(range(L))(images).values(),
        strict=True,
    ):
        np.testing.assert_array_equal(numpy(a), numpy(b))


def test_what_does_not_fit_is_named(tmp_path):
    folder = tmp_path / "there"
    make_vit().save_pretrained(folder)
    arrays = safetensors.load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    changed = {**config, "num_hidden_layers": L + 1}
    (folder / "config.json").write_text(json.dumps(changed))
    with pytest.raises(ValueError, match="none called .*encoder.layer.3.*att"):
        ViT.from_preset(folder)
    changed = {**config, "intermediate_size": F + 1}
    (folder / "config.json").write_text(json.dumps(changed))
    with pytest.raises(ValueError, match=r"weight is \(40, 24\), not \(41,"):
        ViT.from_preset(folder)
    changed = {**config, "hidden_act": "quick_gelu"}
    (folder / "config.json").write_text(json.dumps(changed))
    with pytest.raises(ValueError, match="Received: 'quick_gelu'"):
        ViT.from_preset(folder)
    (folder / "config.json").write_text(json.dumps(config))
    del arrays["vit.layernorm.bias"]
    safetensors.save_file(arrays, folder / "model.safetensors")
    with pytest.raises(ValueError, match="none called .'layernorm.bias'"):
        ViT.from_preset(folder)


def test_a_model_that_transformers_lacks_is_not_written(tmp_path):
    model = ViT.from_preset("vit_tiny", num_layers=1, pooling="average")
    with pytest.raises(ValueError, match="only with pooling='token'"):
        model.to_huggingface(tmp_path / "there")
    assert not (tmp_path / "there").exists()
    with pytest.raises(ValueError, match="Received: 2 labels"):
        model.to_huggingface(tmp_path / "there", labels=["cat", "dog"])


def test_the_processor_of_pictures_goes_with_the_model(tmp_path):
    folder = tmp_path / "there"
    make_vit(image_size=16).save_pretrained(folder)
    theirs = transformers.BitImageProcessor(
        size={"shortest_edge": 20}, crop_size={"height": 16, "width": 16}
    )
    theirs.save_pretrained(folder)
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (30, 40, 3), dtype="uint8")
    expected = theirs(picture)["pixel_values"][0]
    model = ViT.from_preset(folder)
    model.save_to_preset(tmp_path / "ours")
    model.to_huggingface(tmp_path / "back")
    again = [ViT.from_preset(tmp_path / x) for x in ("ours", "back")]
    for found in (model, *again):
        pixels = found.image_processor(picture)
        np.testing.assert_allclose(
            pixels[0].transpose(2, 0, 1), expected, atol=1e-5
        )
    assert again[0].get_config() == model.get_config()
    back = transformers.AutoImageProcessor.from_pretrained(tmp_path / "back")
    np.testing.assert_allclose(
        back(picture)["pixel_values"][0], expected, atol=1e-5
    )


def test_low_rank_updates_are_merged(tmp_path):
    keras.utils.set_random_seed(0)
    folder = tmp_path / "there"
    randomized(make_vit()).save_pretrained(folder)
    model = ViT.from_preset(folder)
    model.enable_lora(2)
    for variable in model.trainable_variables:
        variable.assign(keras.random.normal(variable.shape) * 0.1)
    model.to_huggingface(tmp_path / "back")
    images = pictures(make_vit())
    np.testing.assert_allclose(
        numpy(ViT.from_preset(tmp_path / "back")(images)),
        numpy(model(images)),
        atol=1e-5,
    )
