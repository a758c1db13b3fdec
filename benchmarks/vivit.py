"""ViViT in its four variants, and the same sizes in transformers and
vit-pytorch.
"""

import importlib.util
from pathlib import Path

import numpy as np

from benchmarks.classification import torch_inference, torch_training
from benchmarks.steps import normal
from keras_attention.models import ViViT
from keras_attention.models.vivit import ENCODER, JOINT, PRESETS

CLASSES = 400
# vit-pytorch has the exact GELU; so have all in these rows.
ACTIVATION = "gelu"
TEMPORAL_LAYERS = 4
# 1,024 tubelets, from where on attention costs what the rest does.
SMALL = dict(
    video_shape=(32, 128, 128, 3),
    tubelet_size=(2, 16, 16),
    num_layers=4,
    hidden_dim=256,
    num_heads=4,
    intermediate_dim=1024,
)
B_16X2 = dict(video_shape=(32, 224, 224, 3), **PRESETS["vivit_b_16x2"])
# Products of a clip, in billions (tests/models/test_vivit_costs.py).
B_16X2_PRODUCTS = {JOINT: 451.5, ENCODER: 283.3}


class Sizes:
    """What is made on both sides.

    Args:
        options: Arguments of `ViViT`.
        variant: The variant.
        batch: How many clips.
        dtype: Policy of both.
        recompute: Argument of ours.
    """

    def __init__(
        self, options, variant, batch=1, dtype="float32", recompute=False
    ):
        self.options, self.variant, self.batch = options, variant, batch
        self.dtype, self.recompute = dtype, recompute

    def data(self):
        """Videos `(B, frames, height, width, 3)` and labels `(B,)`."""
        labels = np.random.default_rng(0).integers(0, CLASSES, self.batch)
        video = normal(self.batch, *self.options["video_shape"])
        return video, labels.astype("int32")

    def ours(self):
        return ViViT(
            variant=self.variant,
            num_temporal_layers=TEMPORAL_LAYERS,
            num_classes=CLASSES,
            activation=ACTIVATION,
            dtype=self.dtype,
            recompute=self.recompute,
            **self.options,
        )

    def transformers(self, attention):
        """With the attention named, "sdpa" for torch's fused kernel."""
        from transformers import VivitConfig, VivitForVideoClassification

        options = self.options
        frames, pixels = options["video_shape"][:2]
        return VivitForVideoClassification(
            VivitConfig(
                image_size=pixels,
                num_frames=frames,
                tubelet_size=options["tubelet_size"],
                hidden_size=options["hidden_dim"],
                num_hidden_layers=options["num_layers"],
                num_attention_heads=options["num_heads"],
                intermediate_size=options["intermediate_dim"],
                hidden_act=ACTIVATION,
                num_labels=CLASSES,
                attn_implementation=attention,
            )
        )

    def vit_pytorch(self):
        """Its factorized encoder, on torch's fused kernel."""
        options = self.options
        frames, *pixels, channels = options["video_shape"]
        frame_patch, *patch = options["tubelet_size"]
        return vit_pytorch_file("vivit.py").ViViT(
            image_size=tuple(pixels),
            image_patch_size=tuple(patch),
            frames=frames,
            frame_patch_size=frame_patch,
            channels=channels,
            num_classes=CLASSES,
            dim=options["hidden_dim"],
            spatial_depth=options["num_layers"],
            temporal_depth=TEMPORAL_LAYERS,
            heads=options["num_heads"],
            dim_head=options["hidden_dim"] // options["num_heads"],
            mlp_dim=options["intermediate_dim"],
            variant=ENCODER,
        )


def vit_pytorch_file(name):
    """A module of the package vit-pytorch, without the package.

    That would ask for torchvision, which has no build beside this torch.
    """
    package = importlib.util.find_spec("vit_pytorch")
    if package is None or package.origin is None:
        raise ImportError("vit-pytorch is missing. `make bench` installs it.")
    path = Path(package.origin).with_name(name)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Of each: name, words, variant, how it is made, and our axes in its order.
PEERS = (
    (
        "transformers-sdpa",
        "transformers' ViViT on torch's fused kernel",
        JOINT,
        lambda sizes: sizes.transformers("sdpa"),
        (0, 1, 4, 2, 3),
    ),
    (
        "transformers-eager",
        "transformers' ViViT, which holds the scores",
        JOINT,
        lambda sizes: sizes.transformers("eager"),
        (0, 1, 4, 2, 3),
    ),
    (
        "vit-pytorch",
        "vit-pytorch's, without biases of queries, keys and values",
        ENCODER,
        Sizes.vit_pytorch,
        (0, 4, 1, 2, 3),
    ),
)


def peer_training(sizes, make, axes):
    return lambda: torch_training(make(sizes), sizes, axes)


def peer_inference(sizes, make, axes):
    return lambda: torch_inference(make(sizes), sizes, axes)
