"""ViViT's checkpoints: transformers' own, and scenic's as flax packs them."""

import json

import numpy as np
import pytest
from keras import ops

from keras_attention.models import ViViT
from tests.models.test_vivit import Reference

D, N, L, F, K = 8, 2, 2, 12, 5


def numpy(x):
    return ops.convert_to_numpy(x)


def clips(shape, number=2):
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (number, *shape)).astype("float32")


# === transformers ===


@pytest.fixture(params=["classifier", "bare"], scope="module")
def checkpoint(request, tmp_path_factory):
    """A model of the transformers library, all weights random."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.VivitConfig(
        image_size=12,
        num_frames=4,
        tubelet_size=[2, 4, 4],
        hidden_size=D,
        num_hidden_layers=L,
        num_attention_heads=N,
        intermediate_size=F,
        num_labels=K,
        hidden_act="gelu_fast",
    )
    kind = {"classifier": "VivitForVideoClassification", "bare": "VivitModel"}
    model = getattr(transformers, kind[request.param])(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            noise = torch.randn(weight.shape, generator=generator)
            weight.copy_(0.3 * noise + (weight.ndim == 1) * 0.5)
    folder = tmp_path_factory.mktemp("checkpoint")
    model.eval().save_pretrained(folder)
    transformers.VivitImageProcessor(
        size={"shortest_edge": 14}, crop_size={"height": 12, "width": 12}
    ).save_pretrained(folder)
    return model, folder


def test_it_computes_what_transformers_computes(checkpoint):
    import torch

    model, folder = checkpoint
    video = clips((4, 12, 12, 3))
    pixels = torch.tensor(video.transpose(0, 1, 4, 2, 3))
    with torch.no_grad():
        expected = model(pixels, output_hidden_states=True)
    ours = ViViT.from_preset(folder)
    assert ours.variant == "spatio_temporal" and ours.grid_shape == (2, 3, 3)
    output = expected.get("logits", expected.get("pooler_output"))
    np.testing.assert_allclose(numpy(ours(video)), output.numpy(), atol=1e-5)
    assert np.std(output.numpy()) > 0.1
    states = ours.features()(video)
    pairs = zip(states.values(), expected.hidden_states[1:], strict=True)
    for state, hidden in pairs:
        np.testing.assert_allclose(numpy(state), hidden.numpy(), atol=1e-4)
    assert ours.num_classes == (K if "logits" in expected else 0)
    # What theirs cannot do: other frames and sizes.
    other = ViViT.from_preset(folder, video_shape=(8, 16, 8, 3), num_classes=3)
    assert other(clips((8, 16, 8, 3))).shape == (2, 3)


def test_frames_are_scaled_as_the_file_says(checkpoint):
    """Its processor takes 1 off and then the mean: to [-3, 1], not [-1, 1]."""
    transformers = pytest.importorskip("transformers")
    _, folder = checkpoint
    theirs = transformers.VivitImageProcessor.from_pretrained(folder)
    ours = ViViT.from_preset(folder).image_processor
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (4, 20, 16, 3), "uint8")
    expected = theirs(list(video), return_tensors="np")["pixel_values"][0]
    found = ours(list(video)).transpose(0, 3, 1, 2)
    # Theirs resizes floats or bytes as its version does: to a step of 256.
    np.testing.assert_allclose(found, expected, atol=2.1 / 127)
    assert expected.min() < -2


def test_what_does_not_fit_is_named(checkpoint, tmp_path):
    _, folder = checkpoint
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    del config["tubelet_size"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="must hold .*tubelet_size"):
        ViViT.from_preset(tmp_path)
    with pytest.raises(ValueError, match="query.* is .* not"):
        ViViT.from_preset(folder, hidden_dim=2 * D)
    with pytest.raises(ValueError, match="those of variant='spatio_temporal'"):
        ViViT.from_preset(folder, variant="factorized_encoder")


# === scenic ===


def scenic_arrays(variant, pooling, num_temporal_layers=2, classes=K):
    """A random checkpoint, named as the paper's code names its layers.

    Clips are of 4 frames of 224 x 224 in tubelets of 2 x 112 x 112.
    """
    rng = np.random.default_rng(3)
    tree = {}

    def add(name, *shape):
        *folders, last = name.split("/")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        noise = rng.normal(size=shape).astype("float32")
        place[last] = 0.3 * noise + 0.5 * (len(shape) == 1)

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

    def row(name, cls, positions, blocks):
        if pooling == "token":
            add(cls, 1, 1, D)
            positions += 1
        add(f"{name}/posembed_input/pos_embedding", 1, positions, D)
        for i in range(blocks):
            block = f"{name}/encoderblock_{i}"
            if variant == "factorized_self_attention":
                for axis in ("space", "time"):
                    norm(f"{block}/LayerNorm_{axis}")
                    attention(f"{block}/MultiHeadDotProductAttention_{axis}")
                norm(f"{block}/LayerNorm_mlp")
                feed = f"{block}/MlpBlock"
            else:
                norm(f"{block}/LayerNorm_0")
                attention(f"{block}/MultiHeadDotProductAttention_0")
                norm(f"{block}/LayerNorm_1")
                feed = f"{block}/MlpBlock_0"
            dense(f"{feed}/Dense_0", D, F)
            dense(f"{feed}/Dense_1", F, D)
        norm(f"{name}/encoder_norm")

    add("embedding/kernel", 2, 112, 112, 3, D)
    add("embedding/bias", D)
    tree["embedding"]["kernel"] /= 50
    if variant == "factorized_encoder":
        row("SpatialTransformer", "cls_SpatialTransformer", 4, L)
        if num_temporal_layers:
            row(
                "TemporalTransformer",
                "cls_TemporalTransformer",
                2,
                num_temporal_layers,
            )
    else:
        row("Transformer", "cls", 2 * 4, L)
    dense("output_projection", D, classes)
    return tree


FILES = {
    "model 1": ("spatio_temporal", "token"),
    "model 1, pooled": ("spatio_temporal", "average"),
    "model 2": ("factorized_encoder", "token"),
    "model 2, pooled": ("factorized_encoder", "average"),
    "model 3": ("factorized_self_attention", "average"),
    "model 4": ("factorized_dot_product", "average"),
}


class Clip(Reference):
    """The same equations for 2 x 4 tubelets."""

    frames, places = 2, 4


def write(path, tree):
    serialization = pytest.importorskip("flax.serialization")
    path.write_bytes(serialization.msgpack_serialize(tree))
    return path


@pytest.mark.one_backend
@pytest.mark.parametrize("name", FILES)
def test_scenics_files_are_what_the_paper_says(name, tmp_path):
    variant, pooling = FILES[name]
    tree = scenic_arrays(variant, pooling)
    root = {"optimizer": {"target": tree, "state": {"step": 3}}}
    path = write(tmp_path / "checkpoint", root)
    options = {}
    if name == "model 4":
        options = {"variant": variant}  # its names are those of model 1
    model = ViViT.from_preset(path, **options)
    assert (model.variant, model.pooling) == (variant, pooling)
    assert model.video_shape == (4, 224, 224, 3)
    assert model.image_processor.size == 256
    assert model.image_processor.crop_size == (224, 224)
    video = clips((4, 224, 224, 3), 1)
    expected = Clip(model)(video)
    np.testing.assert_allclose(numpy(model(video)), expected, atol=1e-4)
    # The weights are where the names say, not only somewhere.
    row = "SpatialTransformer" if "encoder" in variant else "Transformer"
    block = tree[row]["encoderblock_1"]
    ours = model.get_layer("block_1")
    last = "space" if variant == "factorized_self_attention" else "0"
    found = ours.self_attention.query_dense.kernel
    np.testing.assert_array_equal(
        numpy(found),
        block[f"MultiHeadDotProductAttention_{last}"]["query"]["kernel"],
    )
    if last == "space":
        np.testing.assert_array_equal(
            numpy(ours.time_attention.output_dense.kernel),
            block["MultiHeadDotProductAttention_time"]["out"]["kernel"],
        )
    new = write(tmp_path / "new", {"params": tree})
    again = ViViT.from_preset(new, **options)
    np.testing.assert_array_equal(numpy(again(video)), numpy(model(video)))


@pytest.mark.one_backend
def test_label_sets_are_named_for_a_file_that_has_one_head(tmp_path):
    tree = scenic_arrays("factorized_encoder", "token", 0)
    path = write(tmp_path / "epic", {"params": tree})
    model = ViViT.from_preset(path, num_classes={"noun": 3, "verb": 2})
    head = model.get_layer("head")
    np.testing.assert_array_equal(
        numpy(head.kernel), tree["output_projection"]["kernel"]
    )
    assert model.num_temporal_layers == 0
    assert model.video_shape == (32, 224, 224, 3)
    other = ViViT.from_preset(path, num_classes={"noun": 4, "verb": 2})
    assert not numpy(other.get_layer("head").kernel).any()


@pytest.mark.one_backend
def test_large_arrays_in_pieces_and_short_numbers_are_read(
    tmp_path, monkeypatch
):
    serialization = pytest.importorskip("flax.serialization")
    import ml_dtypes

    tree = scenic_arrays("spatio_temporal", "token")
    whole = ViViT.from_preset(write(tmp_path / "whole", {"params": tree}))
    # flax cuts arrays beyond a gigabyte.
    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", 1000)
    path = write(tmp_path / "pieces", {"params": tree})
    assert b"__msgpack_chunked_array__" in path.read_bytes()
    pieces = ViViT.from_preset(path)
    for a, b in zip(whole.weights, pieces.weights, strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b))
    tree["cls"] = tree["cls"].astype(ml_dtypes.bfloat16)
    path = write(tmp_path / "short", {"params": tree})
    found = ViViT.from_preset(path).get_layer("prefix_tokens").tokens
    np.testing.assert_array_equal(
        numpy(found), tree["cls"][0].astype("float32")
    )


@pytest.mark.one_backend
def test_other_files_are_refused(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="packed by msgpack. Received"):
        ViViT.from_preset(path)
    with pytest.raises(ValueError, match="must hold a ViViT as scenic"):
        ViViT.from_preset(write(path, {"params": {"a": np.zeros(3)}}))
    tree = scenic_arrays("spatio_temporal", "token")
    with pytest.raises(ValueError, match="those of variant='spatio_temporal'"):
        ViViT.from_preset(
            write(path, {"params": tree}), variant="factorized_dot_product"
        )
    tree["more"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"left over: \['more'\]"):
        ViViT.from_preset(write(path, {"params": tree}))
    del tree["more"]
    positions = tree["Transformer"]["posembed_input"]
    positions["pos_embedding"] = np.zeros((1, 8, D), "float32")
    with pytest.raises(ValueError, match="square frames.* 7 positions"):
        ViViT.from_preset(write(path, {"params": tree}))
    whole = write(path, {"params": scenic_arrays("spatio_temporal", "token")})
    whole.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(ValueError, match="packed by msgpack. Received"):
        ViViT.from_preset(whole)
