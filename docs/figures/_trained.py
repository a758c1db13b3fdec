"""Models that several figures look into, trained once per build."""

import functools

import keras
import numpy as np

from keras_attention import losses
from keras_attention.data import (
    CaptionBatches,
    CaptionedImage,
    ImageProcessor,
    WordTokenizer,
    synthetic,
)
from keras_attention.models import ShowAttendTell, ViT, ViViT


@functools.cache
def corner_model():
    """A ViT that tells whether two corners show the same mark, and pictures."""
    keras.utils.set_random_seed(0)
    processor = ImageProcessor((32, 32))
    images, labels = synthetic.corner_match(24000, seed=0)
    model = ViT(
        image_shape=(32, 32, 3),
        patch_size=8,
        num_layers=2,
        hidden_dim=96,
        num_heads=4,
        intermediate_dim=384,
        num_classes=2,
        pooling="average",
        image_processor=processor,
    )
    model.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    pixels = processor.normalize(images)
    model.fit(pixels, labels, batch_size=128, epochs=2, verbose=0)
    tests, labels = synthetic.corner_match(300, seed=1)
    pixels = processor.normalize(tests)
    _, accuracy = model.evaluate(pixels, labels, verbose=0)
    if accuracy < 0.9:
        raise RuntimeError(f"The model of the figures learned {accuracy:.2f}.")
    return model, pixels[:3]


@functools.cache
def roll_model():
    """A ViViT that tells which way a glyph rolls, and clips.

    A tubelet stands still: only what compares tubelets sees the motion.
    """

    def clips(number, seed):
        videos, labels = synthetic.roll_motion(
            number, seed=seed, frames=8, hold=2
        )
        return videos / np.float32(127.5) - 1, labels

    keras.utils.set_random_seed(0)
    model = ViViT(
        video_shape=(8, 12, 12, 3),
        tubelet_size=(2, 4, 4),
        variant="factorized_self_attention",
        num_layers=2,
        hidden_dim=32,
        num_heads=4,
        intermediate_dim=64,
        num_classes=4,
        position_stddev=0.3,
        head_initializer="glorot_uniform",
    )
    model.compile(
        keras.optimizers.Adam(3e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(*clips(2000, seed=0), batch_size=50, epochs=8, verbose=0)
    tests, labels = clips(400, seed=1)
    _, accuracy = model.evaluate(tests, labels, verbose=0)
    if accuracy < 0.9:
        raise RuntimeError(f"The model of the figures learned {accuracy:.2f}.")
    return model, tests[:3]


@functools.cache
def scene_captioner(
    kind=ShowAttendTell,
    preset="show_attend_tell_small",
    decay=False,
    num_buckets=2,
    backbone=None,
    **options,
):
    """A captioner that describes grids of objects, and such scenes.

    Args:
        kind: Its class.
        preset: One of its presets.
        decay: Whether the learning rate falls.
        num_buckets: Shapes of batches.
        backbone: Makes what an `SCACNN` weighs; others take features.
        **options: Of the preset.
    """
    rate, steps = 2e-3, 800
    keras.utils.set_random_seed(0)
    if backbone is None:
        options["feature_shape"] = (4, 4, 32)
    else:
        options["backbone"] = backbone()
    if decay:
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    scenes = synthetic.grid_scenes(8000, seed=0)
    words = WordTokenizer.train(scenes.captions)
    examples = [
        CaptionedImage(grid, (caption,))
        for grid, caption in zip(as_grids(scenes), scenes.captions, strict=True)
    ]
    model = kind.from_preset(preset, tokenizer=words, **options)
    model.compile(
        keras.optimizers.Adam(rate),
        losses.SparseCategoricalCrossentropy(
            reduction="mean_with_sample_weight"
        ),
    )
    batches = CaptionBatches(
        examples,
        words,
        input_name="features",
        num_buckets=num_buckets,
        steps_per_epoch=steps,
    )
    # A network over the cells takes them for its images.
    named = (
        ({model.source_name: x.pop("features"), **x}, *others)
        for x, *others in batches
    )
    model.fit(named, steps_per_epoch=steps, shuffle=False, verbose=0)
    tests = synthetic.grid_scenes(200, seed=1)
    captions = model.generate(as_grids(tests))
    exact = synthetic.score_scene_captions(captions, tests).exact
    if exact < 0.7:
        raise RuntimeError(f"The captioner of the figures learned {exact:.2f}.")
    return model, tests[:20]


def as_grids(scenes):
    return scenes.inputs.reshape(-1, 4, 4, 32)
