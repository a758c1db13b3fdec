"""ViT, and the same sizes in keras-hub and in transformers."""

import keras
import numpy as np

from benchmarks.classification import (
    predict,
    step_of_fit,
    torch_inference,
    torch_training,
)
from benchmarks.steps import normal
from keras_attention.models import ViT
from keras_attention.models.vit import PRESETS

CLASSES = 1000
# keras-hub and transformers have the exact GELU; so have we in these rows.
ACTIVATION = "gelu"
TORCH_AXES = 0, 3, 1, 2  # channels first


class Sizes:
    """What is made on both sides.

    Args:
        preset: A name in `ViT.presets`.
        pixels: Height and width of the images.
        batch: How many.
        dtype: Policy of both.
    """

    def __init__(self, preset, pixels=224, batch=8, dtype="float32"):
        self.preset, self.dtype = preset, dtype
        self.image_shape, self.batch = (pixels, pixels, 3), batch
        self.options = PRESETS[preset]

    def data(self):
        """Images `(B, height, width, 3)` and labels `(B,)`."""
        labels = np.random.default_rng(0).integers(0, CLASSES, self.batch)
        return normal(self.batch, *self.image_shape), labels.astype("int32")

    def ours(self):
        return ViT.from_preset(
            self.preset,
            image_shape=self.image_shape,
            num_classes=CLASSES,
            activation=ACTIVATION,
            dtype=self.dtype,
        )

    def keras_hub(self):
        from keras_hub.models import ViTBackbone, ViTImageClassifier

        options = self.options
        backbone = ViTBackbone(
            self.image_shape,
            options["patch_size"],
            options["num_layers"],
            options["num_heads"],
            options["hidden_dim"],
            options["intermediate_dim"],
            dtype=self.dtype,
        )
        classifier = ViTImageClassifier(backbone, CLASSES)
        # Its own `fit` takes no generators.
        return keras.Model(classifier.inputs, classifier.outputs)

    def transformers(self):
        """With the attention it takes by itself: torch's fused kernel."""
        from transformers import ViTConfig, ViTForImageClassification

        options = self.options
        return ViTForImageClassification(
            ViTConfig(
                hidden_size=options["hidden_dim"],
                num_hidden_layers=options["num_layers"],
                num_attention_heads=options["num_heads"],
                intermediate_size=options["intermediate_dim"],
                image_size=self.image_shape[0],
                patch_size=options["patch_size"],
                num_labels=CLASSES,
            )
        )


def peer_training(sizes):
    """The same with keras-hub's model; with transformers' on torch."""

    def make():
        if keras.backend.backend() == "torch":
            return torch_training(sizes.transformers(), sizes, TORCH_AXES)
        return step_of_fit(sizes.keras_hub(), *sizes.data())

    return make


def peer_inference(sizes):
    def make():
        if keras.backend.backend() == "torch":
            return torch_inference(sizes.transformers(), sizes, TORCH_AXES)
        return predict(sizes.keras_hub(), sizes.data()[0])

    return make
