"""Pictures of shapes, their masks, and what two decoders say of them."""

import keras
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from keras_attention.data import ImageProcessor, synthetic
from keras_attention.models import ViTSegmenter

COLOURS = ListedColormap(["white", "tab:blue", "tab:orange", "tab:green"])
NAMES = "background", "disc", "square", "triangle"
SIZE, SHOWN = 24, 6


def learn(model, learning_rate, epochs):
    images, masks = synthetic.shapes(1500, seed=0, size=SIZE)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        keras.optimizers.Adam(learning_rate),
        loss,
        metrics=["accuracy"],
        jit_compile=False,
    )
    pixels = model.image_processor(images)
    history = model.fit(pixels, masks, batch_size=50, epochs=epochs, verbose=0)
    accuracy = history.history["accuracy"][-1]
    if accuracy < 0.9:
        raise RuntimeError(f"{accuracy:.0%} of the pixels are right.")


def draw():
    linear = ViTSegmenter.from_preset(
        "vit_tiny",
        num_classes=len(NAMES),
        decoder="linear",
        image_shape=(SIZE, SIZE, 3),
        patch_size=3,
        num_layers=2,
        hidden_dim=32,
        intermediate_dim=64,
        image_processor=ImageProcessor((SIZE, SIZE)),
    )
    learn(linear, 8e-3, epochs=8)
    transformer = ViTSegmenter(linear.encoder, len(NAMES), num_decoder_layers=1)
    transformer.freeze()
    learn(transformer, 7e-3, epochs=6)

    images, masks = synthetic.shapes(SHOWN, seed=9, size=SIZE)
    rows = {
        "picture": images,
        "mask": masks,
        "linear": linear.segment(images),
        "mask transformer": transformer.segment(images),
    }
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots(len(rows), 1)
    for axis, (name, shown) in zip(axes, rows.items(), strict=True):
        image = axis.imshow(
            np.concatenate(shown, axis=1),  # side by side
            cmap=COLOURS,
            vmin=-0.5,
            vmax=3.5,
            interpolation="nearest",
        )
        for index in range(1, SHOWN):
            axis.axvline(index * SIZE - 0.5, color="black", linewidth=0.8)
        axis.set(xticks=[], yticks=[], ylabel=name)
    bar = figure.colorbar(image, ax=axes, ticks=range(len(NAMES)), shrink=0.5)
    bar.set_ticklabels(NAMES)
    return figure
