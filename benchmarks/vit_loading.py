"""Checkpoints of ViT-B/16 in three formats, and how long they take to load."""

import json
import tempfile
import time
from pathlib import Path

import numpy as np

from keras_attention.converters import huggingface, vit, vit_google, vit_timm
from keras_attention.converters.layouts import Table
from keras_attention.converters.safetensors_file import write_safetensors
from keras_attention.models import ViT

SIZES = dict(
    image_shape=(224, 224, 3),
    patch_size=(16, 16),
    num_layers=12,
    hidden_dim=768,
    num_heads=12,
    intermediate_dim=3072,
    num_classes=1000,
    num_positions=197,
    pooling="token",
    class_token=True,
    distillation_token=False,
    representation_dim=None,
    qkv_bias=True,
    layer_scale=None,
    norm_after_pooling=False,
)
CONFIG = dict(
    model_type="vit",
    architectures=["ViTForImageClassification"],
    hidden_size=768,
    num_hidden_layers=12,
    num_attention_heads=12,
    intermediate_size=3072,
    hidden_act="gelu",
    layer_norm_eps=1e-12,
    image_size=224,
    patch_size=16,
    num_channels=3,
    id2label={str(i): f"LABEL_{i}" for i in range(1000)},
)
TIMM_CONFIG = dict(
    architecture="vit_base_patch16_224",
    num_classes=1000,
    global_pool="token",
    pretrained_cfg=dict(input_size=[3, 224, 224]),
)


def random_weights(table: Table) -> dict:
    """Arrays of a table's names and shapes."""
    rng = np.random.default_rng(0)
    return {
        entry.theirs: rng.standard_normal(entry.shape, dtype="float32") * 0.02
        for entry in table
    }


def write_huggingface(folder):
    """As transformers writes it; the token is part of a table's `tokens`."""
    weights = random_weights(vit.entries(SIZES))
    weights[vit.TOKENS[0]] = weights.pop("tokens")[None]
    weights = {
        name if name.startswith("classifier.") else f"vit.{name}": array
        for name, array in weights.items()
    }
    return write_folder(folder, CONFIG, weights)


def write_timm(folder):
    """As timm writes it, with fused queries, keys and values."""
    weights = random_weights(vit_timm.entries(SIZES))
    weights["cls_token"] = weights.pop("tokens")[None]
    for i in range(SIZES["num_layers"]):
        for kind in ("weight", "bias"):
            before = f"blocks.{i}.attn."
            weights[f"{before}qkv.{kind}"] = np.concatenate(
                [weights.pop(f"{before}{role}.{kind}") for role in "qkv"]
            )
    return write_folder(folder, TIMM_CONFIG, weights)


def write_folder(folder, config, weights):
    path = folder / huggingface.CONFIG_FILE
    path.write_text(json.dumps(config), encoding="utf-8")
    write_safetensors(folder / huggingface.WEIGHT_FILES[0], weights)
    return folder


def write_google(folder):
    """As Google's files are, not compressed."""
    path = folder / "B_16.npz"
    np.savez(path, **random_weights(vit_google.entries(SIZES)))
    return path


def loading(write, read):
    """What `ViT.from_preset` takes beyond reading arrays, once in a process.

    Args:
        write: `write(folder)` writes a checkpoint, returns its path.
        read: `read(path)` returns its arrays.
    """

    def make():
        folder = tempfile.TemporaryDirectory()
        path = write(Path(folder.name))
        seconds = []

        def step():
            begin = time.process_time()
            model = ViT.from_preset(path)
            loaded = time.process_time()
            arrays = read(path)
            seconds.append(2 * loaded - begin - time.process_time())
            assert model.count_params() == sum(x.size for x in arrays.values())
            folder.cleanup()

        # Whoever loads a model does it once: not what a second time takes.
        step.times = lambda clock, steps: seconds
        return step

    return make


FORMATS = (
    (
        "huggingface",
        "transformers' folder",
        write_huggingface,
        huggingface.read_weights,
    ),
    ("timm", "timm's folder", write_timm, huggingface.read_weights),
    ("npz", "Google's .npz file", write_google, vit_google.read_npz),
)
