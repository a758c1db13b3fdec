"""ViT against timm: its own checkpoints, and Google's as it reads them."""

import importlib.util
import json
import math
import subprocess
import sys

import numpy as np
import pytest
from keras import ops

from keras_attention.models import ViT

if importlib.util.find_spec("timm") is None:
    pytest.skip("needs timm", allow_module_level=True)

pytestmark = pytest.mark.one_backend

D, L, F, N, K = 24, 3, 40, 3, 5
SIZES = dict(
    img_size=(12, 16),
    patch_size=4,
    embed_dim=D,
    depth=L,
    num_heads=N,
    mlp_ratio=F / D,
    num_classes=K,
)
MODELS = {
    "token": {},
    "average": dict(global_pool="avg", class_token=False),
    "average beside a token": dict(global_pool="avg"),
    "attention": dict(global_pool="map", class_token=False),
    "scaled": dict(init_values=0.1, no_embed_class=True),
    "features": dict(num_classes=0, qkv_bias=False),
    "distilled": {},
}


def numpy(x):
    return ops.convert_to_numpy(x)


def run_timm(folder, models):
    subprocess.run(
        [sys.executable, "-m", "tests.timm_reference", folder],
        input=json.dumps(models),
        text=True,
        check=True,
    )


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """Folders of checkpoints, with inputs and outputs of timm."""
    folder = tmp_path_factory.mktemp("timm")
    models = {
        name: {
            "architecture": (
                "deit_tiny_distilled_patch16_224"
                if name == "distilled"
                else "vit_tiny_patch16_224"
            ),
            "options": {**SIZES, **options},
            "resize": (20, 8),
        }
        for name, options in MODELS.items()
    }
    run_timm(folder, models)
    return folder


def compare(model, found, key=""):
    images = found[f"{key}images"]
    np.testing.assert_allclose(
        numpy(model(images)), found[f"{key}output"], atol=1e-5
    )
    states = model.features(range(L))(images)
    for i, state in enumerate(states.values()):
        patches = numpy(state)[:, model.num_prefix_tokens :]
        np.testing.assert_allclose(patches, found[f"{key}{i}"], atol=1e-4)
    assert found[f"{key}output"].std() > 0.1


@pytest.mark.parametrize("name", MODELS)
def test_it_computes_what_timm_computes(references, name):
    found = np.load(references / name / "reference.npz")
    compare(ViT.from_preset(references / name), found)


@pytest.mark.parametrize("name", MODELS)
def test_images_of_another_size_are_read_as_timm_reads_them(references, name):
    found = np.load(references / name / "reference.npz")
    model = ViT.from_preset(references / name, image_shape=(20, 8, 3))
    compare(model, found, "resized ")


def test_what_the_files_do_not_tell_is_asked_for(references, tmp_path):
    for name in ("config.json", "model.safetensors"):
        text = (references / "token" / name).read_bytes()
        (tmp_path / name).write_bytes(text)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["model_args"]
    changed = {**config, "architecture": "vit_odd_patch4_12"}
    (tmp_path / "config.json").write_text(json.dumps(changed))
    with pytest.raises(ValueError, match="num_heads=None, global_pool='tok"):
        ViT.from_preset(tmp_path)
    changed = {**config, "architecture": "resnet50"}
    (tmp_path / "config.json").write_text(json.dumps(changed))
    with pytest.raises(ValueError, match="num_heads=None"):
        ViT.from_preset(tmp_path)
    # Heads of the architecture's name, as files of the hub have it.
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert ViT.from_preset(tmp_path).num_heads == 3


# The published files number a block's layers in one row, big_vision's do not.
GOOGLE = {
    "token": dict(old=True),
    "average": dict(old=True, pooling="average"),
    "attention": dict(pooling="attention", prefix="params/"),
    "features": dict(old=True, classes=0),
}
POOLINGS = {"token": "token", "average": "avg", "attention": "map"}


def google_arrays(
    pooling="token", classes=K, representation=None, old=False, prefix=""
):
    """A random checkpoint, named as flax names the layers of Google's code."""
    rng = np.random.default_rng(3)
    arrays = {}

    def add(name, *shape):
        noise = rng.normal(size=shape).astype("float32")
        arrays[prefix + name] = 0.3 * noise + 0.5 * (len(shape) == 1)

    def norm(name):
        add(f"{name}/scale", D)
        add(f"{name}/bias", D)

    def dense(name, inputs, outputs):
        add(f"{name}/kernel", inputs, outputs)
        add(f"{name}/bias", outputs)

    def attention(name):
        for role in ("query", "key", "value"):
            add(f"{name}/{role}/kernel", D, N, D // N)
            add(f"{name}/{role}/bias", N, D // N)
        add(f"{name}/out/kernel", N, D // N, D)
        add(f"{name}/out/bias", D)

    add("embedding/kernel", 4, 4, 3, D)
    add("embedding/bias", D)
    token = pooling == "token"
    if token:
        add("cls", 1, 1, D)
    positions = "Transformer/posembed_input/pos_embedding"
    add("pos_embedding" if prefix else positions, 1, token + 9, D)
    numbers = (0, 1, 2, 3) if old else (0, 0, 1, 0)
    for i in range(L):
        block = f"Transformer/encoderblock_{i}"
        norm(f"{block}/LayerNorm_{numbers[0]}")
        attention(f"{block}/MultiHeadDotProductAttention_{numbers[1]}")
        norm(f"{block}/LayerNorm_{numbers[2]}")
        dense(f"{block}/MlpBlock_{numbers[3]}/Dense_0", D, F)
        dense(f"{block}/MlpBlock_{numbers[3]}/Dense_1", F, D)
    norm("Transformer/encoder_norm")
    if pooling == "attention":
        add("MAPHead_0/probe", 1, 1, D)
        attention("MAPHead_0/MultiHeadDotProductAttention_0")
        norm("MAPHead_0/LayerNorm_0")
        dense("MAPHead_0/MlpBlock_0/Dense_0", D, F)
        dense("MAPHead_0/MlpBlock_0/Dense_1", F, D)
    if representation:
        dense("pre_logits", D, representation)
    if classes:
        dense("head", representation or D, classes)
    return arrays


@pytest.fixture(scope="module")
def google(tmp_path_factory):
    """Google's files, with inputs and what timm makes of them."""
    folder = tmp_path_factory.mktemp("google")
    models = {}
    for name, options in GOOGLE.items():
        path = folder / f"{name}.npz"
        np.savez(path, **google_arrays(**options))
        pooling = options.get("pooling", "token")
        sizes = {
            "img_size": (12, 12),
            "num_classes": options.get("classes", K),
            "global_pool": POOLINGS[pooling],
            "class_token": pooling == "token",
            "act_layer": "gelu_tanh",
        }
        if pooling == "average":
            sizes["fc_norm"] = False
        models[name] = {
            "architecture": "vit_tiny_patch16_224",
            "options": {**SIZES, **sizes},
            "npz": str(path),
        }
    run_timm(folder, models)
    return folder


@pytest.mark.parametrize("name", GOOGLE)
def test_googles_files_are_read_as_timm_reads_them(google, name):
    found = np.load(google / name / "reference.npz")
    compare(ViT.from_preset(google / f"{name}.npz"), found)


def test_layers_numbered_in_one_row_are_those_of_today(tmp_path):
    np.savez(tmp_path / "old.npz", **google_arrays(representation=7, old=True))
    old = ViT.from_preset(tmp_path / "old.npz")
    arrays = google_arrays(representation=7)
    # Names as other files have them: with prefixes, all blocks at once, and
    # of half the precision.
    blocks = [
        {
            name.partition("encoderblock_0/")[2]: arrays[
                name.replace("encoderblock_0", f"encoderblock_{i}")
            ]
            for name in arrays
            if "encoderblock_0/" in name
        }
        for i in range(L)
    ]
    others = {k: v for k, v in arrays.items() if "encoderblock_" not in k}
    scanned = {
        f"Transformer/encoderblock/{name}": np.stack([b[name] for b in blocks])
        for name in blocks[0]
    }
    renamed = {f"opt/target/{k}": v for k, v in (others | scanned).items()}
    np.savez(tmp_path / "new.npz", **renamed)
    new = ViT.from_preset(tmp_path / "new.npz")
    images = np.random.default_rng(0).normal(size=(2, 12, 12, 3))
    np.testing.assert_array_equal(numpy(new(images)), numpy(old(images)))
    assert old.representation_dim == 7
    short = {
        name: (array.view("<u4") >> 16).astype("<u2").view("V2")
        for name, array in renamed.items()
    }
    np.savez(tmp_path / "short.npz", **short)
    short = ViT.from_preset(tmp_path / "short.npz")
    np.testing.assert_allclose(
        numpy(short(images)), numpy(old(images)), atol=0.3
    )


def test_positions_without_the_token_are_told_by_their_number(tmp_path):
    """big_vision adds them before the class token."""
    arrays = google_arrays()
    name = "Transformer/posembed_input/pos_embedding"
    arrays["pos_embedding"] = arrays.pop(name)[:, 1:]
    np.savez(
        tmp_path / "big.npz", **{f"params/{k}": v for k, v in arrays.items()}
    )
    model = ViT.from_preset(tmp_path / "big.npz")
    assert not model.prefix_positions and model.class_token
    # The same as one whose token has a position of zero.
    arrays[name] = np.pad(arrays.pop("pos_embedding"), ((0, 0), (1, 0), (0, 0)))
    np.savez(tmp_path / "zero.npz", **arrays)
    zero = ViT.from_preset(tmp_path / "zero.npz")
    images = np.random.default_rng(0).normal(size=(2, 12, 12, 3))
    np.testing.assert_allclose(
        numpy(model(images)), numpy(zero(images)), atol=1e-5
    )


def test_positions_that_are_computed_are_not_in_the_file(tmp_path):
    """Beyer et al., 2022: big_vision's sincos2d, at 224 pixels."""
    arrays = google_arrays(pooling="average")
    del arrays["Transformer/posembed_input/pos_embedding"]
    np.savez(tmp_path / "fixed.npz", **arrays)
    model = ViT.from_preset(tmp_path / "fixed.npz")
    assert model.image_shape == (224, 224, 3) and model.grid_shape == (56, 56)
    found = numpy(model.get_layer("position_embedding").embeddings)
    quarter = D // 4
    for row, column in ((0, 0), (3, 50), (55, 7)):
        expected = []
        for place in (column, row):
            for function in (math.sin, math.cos):
                for i in range(quarter):
                    rate = 1 / 10_000 ** (i / (quarter - 1))
                    expected.append(function(place * rate))
        np.testing.assert_allclose(
            found[56 * row + column], expected, atol=1e-5
        )
    small = ViT.from_preset(tmp_path / "fixed.npz", image_shape=(12, 12, 3))
    assert small.grid_shape == (3, 3)


def test_objects_in_a_file_are_refused(tmp_path):
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="without pickled objects. Received"):
        ViT.from_preset(tmp_path / "objects.npz")
    (tmp_path / "text.npz").write_text("nothing")
    with pytest.raises(ValueError, match="must be a .npz file of arrays"):
        ViT.from_preset(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match="must hold a vision Transformer"):
        ViT.from_preset(tmp_path / "other.npz")
    arrays = google_arrays()
    np.savez(tmp_path / "more.npz", **arrays, conv_root=np.zeros(3))
    with pytest.raises(ValueError, match=r"left over: \['conv_root'\]"):
        ViT.from_preset(tmp_path / "more.npz")
