"""ViT, and the same sizes in keras-hub and in transformers."""

import keras
import numpy as np

from benchmarks.steps import between_batches, forward, normal, wait
from keras_attention.models import ViT
from keras_attention.models.vit import PRESETS

CLASSES = 1000
# keras-hub and transformers have the exact GELU; so have we in these rows.
ACTIVATION = "gelu"


class Sizes:
    """What is made on both sides.

    Args:
        preset: A name in `ViT.presets`.
        pixels: Height and width of the images.
        batch: How many.
        dtype: Policy of both; half precision on torch's side is autocast's
            in training and the weights' in inference.
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
        model = ViTForImageClassification(
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
        return model.to(torch_device())


def training(sizes):
    """A step of `fit` with AdamW, ours."""
    return lambda: step_of_fit(sizes.ours(), *sizes.data())


def inference(sizes):
    """Logits of a batch, ours."""
    return lambda: predict(sizes.ours(), sizes.data()[0])


def peer_training(sizes):
    """The same with keras-hub's model; with transformers' on torch."""

    def make():
        if keras.backend.backend() == "torch":
            return torch_training(sizes)
        return step_of_fit(sizes.keras_hub(), *sizes.data())

    return make


def peer_inference(sizes):
    def make():
        if keras.backend.backend() == "torch":
            return torch_inference(sizes)
        return predict(sizes.keras_hub(), sizes.data()[0])

    return make


def step_of_fit(model, images, labels):
    model.compile(
        keras.optimizers.AdamW(),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=keras.backend.backend() != "torch",
    )
    return between_batches(model, (images, labels))


def predict(model, images):
    return forward(lambda x: model(x, training=False), [images], model)


def torch_data(sizes):
    import torch

    images, labels = sizes.data()
    images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    device = torch_device()
    return (
        torch.tensor(images, device=device),
        torch.tensor(labels, device=device, dtype=torch.long),
    )


def torch_training(sizes):
    import torch

    model = sizes.transformers().train()
    optimizer = torch.optim.AdamW(model.parameters())
    images, labels = torch_data(sizes)
    half = torch.autocast(
        images.device.type, torch.bfloat16, enabled=sizes.dtype != "float32"
    )

    def step():
        with half:
            logits = model(images).logits
            loss = torch.nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        # Read as `fit` reads it for its progress bar.
        return loss.item()

    return step


def torch_inference(sizes):
    import torch

    dtype = torch.float32 if sizes.dtype == "float32" else torch.bfloat16
    model = sizes.transformers().eval().to(dtype)
    images = torch_data(sizes)[0].to(dtype)

    def step():
        with torch.no_grad():
            model(images)
        wait()

    return step


def torch_device():
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
