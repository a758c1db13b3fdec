"""One run of a recipe: its model, its clips, its scores."""

from pathlib import Path

import keras

from applications.vision import experiment as vision
from keras_attention.data import ImageProcessor, VideoBatches, VideoViews
from keras_attention.models import ViT, ViViT
from keras_attention.ops import checks

SIZES = "num_layers", "num_temporal_layers", "hidden_dim", "num_heads"
SIZES += ("pooling",)


def make_model(
    recipe, num_classes, weights=None, steps=1000, image_weights=None
):
    """The compiled model of a recipe.

    Args:
        recipe: A `Recipe`.
        num_classes: How many classes.
        weights: What `ViViT.from_preset` reads trained weights from.
        steps: Training steps, unless there is a budget.
        image_weights: What `ViT.from_preset` reads those of an image model
            from, to begin with.
    """
    if None not in (weights, image_weights):
        raise ValueError(
            "A model begins with the weights of one other. Received: "
            f"--weights {weights}, --image-weights {image_weights}."
        )
    if recipe.system == "vivit":
        model = make_vivit(recipe, num_classes, weights, image_weights)
        if recipe.dataset == "named":
            model.image_processor = cropping(
                model.image_processor, model.video_shape
            )
        vision.freeze(recipe, model)
    else:
        vision.check_none_are_read(recipe, weights, image_weights)
        model = bag_of_frames(recipe, num_classes)
    vision.compile_classifier(recipe, model, steps)
    return model


def make_vivit(recipe, num_classes, weights=None, image_weights=None):
    """A ViViT from a preset's size, or from weights of videos or images."""
    options = dict(
        num_classes=num_classes,
        dropout=recipe.dropout,
        stochastic_depth=recipe.stochastic_depth,
        recompute=recipe.recompute,
        dtype=recipe.precision,
    )
    if image_weights is not None:
        return from_images(recipe, image_weights, options)
    variant = {} if recipe.variant is None else {"variant": recipe.variant}
    if weights is not None:
        vision.check_sizes(recipe, weights, SIZES)
        # Files of scenic's alone do not always tell.
        told = variant if Path(weights).is_file() else {}
        model = ViViT.from_preset(weights, **told, **options)
        if recipe.variant not in (None, model.variant):
            raise ValueError(
                "Weights say the variant of their model. Received: weights of "
                f"{weights}, {model.variant}, with variant={recipe.variant}. "
                "Add --set variant=None."
            )
        shape = clip_shape(recipe, model.video_shape)
        size = tubelet_size(recipe, model.tubelet_size)
        if (shape, size) != (model.video_shape, model.tubelet_size):
            model = model.resize(shape, size)
        return model
    shape, size = sizes_of_preset(recipe)
    return ViViT.from_preset(
        recipe.preset,
        video_shape=shape,
        tubelet_size=size,
        image_processor=ImageProcessor(shape[1:3]),
        position_stddev=recipe.position_stddev,
        head_initializer=recipe.head_initializer,
        **vision.sizes_of(recipe, SIZES),
        **variant,
        **options,
    )


def from_images(recipe, image_weights, options):
    """A ViViT that begins with the weights of a ViT."""
    fixed = [x for x in SIZES if x not in ("num_temporal_layers", "pooling")]
    vision.check_sizes(recipe, image_weights, fixed)
    vit = ViT.from_preset(image_weights)
    shape = (*vision.sides(recipe, vit.image_shape[:2]), vit.image_shape[2])
    patch = (recipe.patch_size,) * 2 if recipe.patch_size else vit.patch_size
    if (shape, patch) != (vit.image_shape, vit.patch_size):
        vit = vit.resize(shape, patch)
    own = vision.sizes_of(recipe, ("num_temporal_layers", "pooling"))
    return ViViT.from_vit(
        vit,
        frames=recipe.frames or 32,
        tubelet_frames=recipe.tubelet_frames or 2,
        variant=recipe.variant or "factorized_encoder",
        method=recipe.inflation,
        **own,
        **options,
    )


def sizes_of_preset(recipe):
    """Of a clip and of a tubelet, as the recipe changes the preset's."""
    preset = checks.one_of(recipe.preset, "preset", tuple(ViViT.presets))
    sizes = {"video_shape": (32, 224, 224, 3), **ViViT.presets[preset]}
    shape = clip_shape(recipe, sizes["video_shape"])
    return shape, tubelet_size(recipe, sizes["tubelet_size"])


def clip_shape(recipe, shape):
    """What a model sees, where another shape is not asked for."""
    frames, height, width, channels = shape
    sides = vision.sides(recipe, (height, width))
    return (recipe.frames or frames, *sides, channels)


def tubelet_size(recipe, size):
    frames, *patch = size
    if recipe.patch_size is not None:
        patch = [recipe.patch_size] * 2
    return (recipe.tubelet_frames or frames, *patch)


def cropping(processor, shape):
    """A processor that keeps proportions, and crops what is too much.

    Args:
        processor: Scales as the weights expect it.
        shape: Of a clip.
    """
    processor = processor or ImageProcessor()
    if processor.crop_size is not None:
        return processor
    height, width = shape[1:3]
    # As the paper trains and tests: crops of 224 out of 256.
    size = round(max(height, width) * 256 / 224)
    return ImageProcessor.from_config(
        {
            **processor.get_config(),
            "size": size,
            "crop_size": (height, width),
        }
    )


def bag_of_frames(recipe, num_classes):
    """A ViT on each frame, and what it finds in all of them averaged."""
    shape, size = sizes_of_preset(recipe)
    vit = ViT.from_preset(
        "vit_tiny",
        image_shape=shape[1:],
        patch_size=size[1:],
        num_classes=0,
        dropout=recipe.dropout,
        stochastic_depth=recipe.stochastic_depth,
        position_stddev=recipe.position_stddev,
        **vision.sizes_of(
            recipe, [x for x in SIZES if x != "num_temporal_layers"]
        ),
        dtype=recipe.precision,
    )
    clips = keras.Input(shape)
    x = vit(keras.ops.reshape(clips, (-1, *shape[1:])))
    x = keras.ops.reshape(x, (-1, shape[0], x.shape[-1]))
    x = keras.ops.mean(x, axis=1)
    # Several frames together may tell more than each: as far as it can be
    # said without their order.
    x = keras.layers.Dense(vit.hidden_dim, "relu")(x)
    return keras.Model(clips, keras.layers.Dense(num_classes)(x))


def make_batches(recipe, model, pairs, num_classes, **options):
    """Clips as a model takes them.

    Args:
        recipe: A `Recipe`.
        model: Whose clips have its size.
        pairs: Of videos and labels.
        num_classes: How many classes.
        **options: The other arguments of `VideoBatches`.
    """
    shape = model.input_shape[1:]
    return VideoBatches(
        pairs,
        num_classes,
        frames=shape[0],
        stride=recipe.stride,
        image_processor=processor_of(recipe, model),
        batch_size=recipe.batch_size,
        mixing_share=recipe.mixing_share,
        one_hot=True,
        num_threads=recipe.num_threads,
        **options,
    )


def make_training(recipe, model, pairs, num_classes, seed, **options):
    """The same for training, augmented.

    Args:
        recipe: A `Recipe`.
        model: Whose clips have its size.
        pairs: Of videos and labels.
        num_classes: How many classes.
        seed: Seed of order, sampling and augmentation.
        **options: The other arguments of `VideoBatches`.
    """
    return make_batches(
        recipe,
        model,
        pairs,
        num_classes,
        random_crop=recipe.random_crop,
        augmentation=vision.make_augmentation(recipe),
        seed=seed,
        **options,
    )


def processor_of(recipe, model):
    """What makes frames of a video those that a model takes."""
    own = getattr(model, "image_processor", None)
    if own is not None:
        return own
    shape = model.input_shape[1:]
    processor = ImageProcessor(shape[1:3])
    named = recipe.dataset == "named"
    return cropping(processor, shape) if named else processor


def make_test(recipe, model, pairs, num_classes):
    """Several views of each video, or the clip that is spread over it."""
    if recipe.stride is None:
        return make_batches(recipe, model, pairs, num_classes, shuffle=False)
    return VideoViews(
        pairs,
        frames=model.input_shape[1],
        stride=recipe.stride,
        views=recipe.views,
        crops=recipe.crops,
        image_processor=processor_of(recipe, model),
    )


make_callbacks = vision.make_callbacks


def predictions(model, batches):
    """Logits and labels of videos, batch by batch, views averaged."""
    for index in range(batches.num_batches):
        clips, targets = batches[index]
        logits = keras.ops.convert_to_numpy(model.predict_on_batch(clips))
        if isinstance(batches, VideoViews):
            yield logits.mean(0, keepdims=True), targets[:1]
        else:
            yield logits, targets.argmax(-1)


def evaluate(model, batches):
    """Scores of a model on videos: a dict of numbers."""
    scores = vision.LabelScores(model.output_shape[-1])
    for logits, labels in predictions(model, batches):
        scores.add(logits, labels)
    return scores.results("videos")
