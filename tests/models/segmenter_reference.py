"""Segmenters of random weights, and what they compute in NumPy."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.models import ViT, ViTSegmenter

# Keras's MeanIoU counts in int64, which JAX has not; int32 will do.
on_jax = pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64")

K, D, N, P = 5, 16, 2, 4  # classes, features, heads, size of patches


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def pictures(height=12, width=20, number=2, seed=0):
    rng = np.random.default_rng(seed)
    shape = (number, height, width, 3)
    return rng.uniform(-1, 1, shape).astype("float32")


def made(decoder="mask_transformer", dtype=None, encoder=None, **options):
    """A model with random weights, norms and biases too."""
    keras.utils.set_random_seed(0)
    sizes = dict(
        image_shape=(12, 20, 3),
        patch_size=P,
        num_layers=3,
        hidden_dim=D,
        num_heads=N,
        intermediate_dim=24,
        num_classes=0,
        dtype=dtype,
    )
    vit = ViT(**{**sizes, **(encoder or {})})
    model = ViTSegmenter(vit, K, decoder, **options)
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if keras.backend.is_float_dtype(weight.dtype):
            weight.assign(0.4 * rng.normal(size=weight.shape))
    return model


def objective(num_classes):
    """What a segmenter is compiled with; 255 is where nobody knows."""
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=255
    )
    metric = keras.metrics.MeanIoU(
        num_classes, ignore_class=255, sparse_y_pred=False, name="iou"
    )
    return dict(loss=loss, metrics=[metric])


class Paper:
    """Strudel et al., 2021, section 3.2, one vector at a time."""

    def __init__(self, model):
        self.weights = {w.path: numpy(w).astype(float) for w in model.weights}

    def dense(self, name, x):
        bias = self.weights.get(f"{name}/bias", 0)
        return x @ self.weights[f"{name}/kernel"] + bias

    def norm(self, name, x):
        y = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
        scale = self.weights[f"{name}/gamma"]
        return y * scale + self.weights[f"{name}/beta"]

    def attention(self, name, x):
        heads = {}
        for role in ("query", "key", "value"):
            kernel = self.weights[f"{name}/{role}/kernel"]  # (D, N, H)
            bias = self.weights[f"{name}/{role}/bias"]
            heads[role] = np.einsum("td,dnh->tnh", x, kernel) + bias
        read = np.zeros_like(heads["value"])
        for t, n in np.ndindex(read.shape[:2]):
            logits = heads["key"][:, n] @ heads["query"][t, n]
            weights = np.exp(logits / np.sqrt(D / N))
            read[t, n] = weights @ heads["value"][:, n] / weights.sum()
        kernel = self.weights[f"{name}/attention_output/kernel"]
        bias = self.weights[f"{name}/attention_output/bias"]
        return np.einsum("tnh,nhd->td", read, kernel) + bias

    def block(self, name, x):
        y = np.array([self.norm(f"{name}/self_attention_norm", v) for v in x])
        x = x + self.attention(f"{name}/self_attention", y)
        y = np.array([self.norm(f"{name}/feed_forward_norm", v) for v in x])
        y = self.dense(f"{name}/feed_forward/intermediate", y)
        erf = np.vectorize(math.erf)
        y = y * (1 + erf(y / np.sqrt(2))) / 2
        return x + self.dense(f"{name}/feed_forward/output", y)

    def linear(self, patches):
        return self.dense("head", patches)

    def mask_transformer(self, patches):
        x = self.dense("decoder_projection", patches)
        # The authors' order: the classes behind the patches.
        x = np.concatenate([x, self.weights["class_tokens/tokens"]])
        for name in ("decoder_block_0", "decoder_block_1"):
            x = self.block(name, x)
        x = np.array([self.norm("decoder_norm", v) for v in x])
        masks = np.zeros((len(patches), K))
        for t, k in np.ndindex(masks.shape):
            a = self.dense("patch_projection", x[t])
            b = self.dense("class_projection", x[len(patches) + k])
            masks[t, k] = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        return np.array([self.norm("mask_norm", v) for v in masks])


def interpolated(grid, height, width):
    """Bilinear, pixel centres at 1/2, as torch's align_corners=False."""
    result = np.zeros((height, width, grid.shape[-1]))
    for place in np.ndindex(height, width):
        taps = []
        for at, new, old in zip(
            place, (height, width), grid.shape, strict=False
        ):
            x = min(max((at + 0.5) * old / new - 0.5, 0), old - 1)
            low = min(int(x), old - 2)
            taps.append([(low, low + 1 - x), (low + 1, x - low)])
        for (i, a), (j, b) in ((r, c) for r in taps[0] for c in taps[1]):
            result[place] += a * b * grid[i, j]
    return result
