"""One run of a recipe: its model, its batches, its scores."""

import keras
import numpy as np

from applications.vision import experiment as vision
from keras_attention import layers
from keras_attention.data import ImageBatches, ImageProcessor
from keras_attention.models import ViT, ViTSegmenter
from keras_attention.ops import checks

IGNORED = 255  # in masks
SIZES = "patch_size", "num_layers", "hidden_dim", "num_heads", "pooling"


def make_model(recipe, num_classes, weights=None, steps=1000):
    """The compiled model of a recipe.

    Args:
        recipe: A `Recipe`.
        num_classes: How many classes.
        weights: What `from_preset` reads trained weights from.
        steps: Training steps, unless there is a budget.
    """
    if recipe.system == "vit":
        model = make_vit(recipe, num_classes, weights)
        vision.freeze(recipe, model)
    else:
        vision.check_none_are_read(recipe, weights)
        makers = {"keras_hub": keras_hub_vit, "bag_of_patches": bag_of_patches}
        model = makers[recipe.system](recipe, num_classes)
    if recipe.task == "segmentation":
        loss = keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, ignore_class=IGNORED
        )
        iou = keras.metrics.MeanIoU(
            num_classes,
            ignore_class=IGNORED,
            sparse_y_pred=False,
            name="mean_iou",
        )
        vision.compile_model(recipe, model, steps, loss, iou)
    else:
        vision.compile_classifier(recipe, model, steps)
    return model


def make_vit(recipe, num_classes, weights=None):
    """A ViT or a segmenter, from a preset's size or from weights."""
    options = dict(
        dropout=recipe.dropout,
        stochastic_depth=recipe.stochastic_depth,
        dtype=recipe.precision,
    )
    if recipe.task == "segmentation":
        make = ViTSegmenter.from_preset
        options["decoder"] = recipe.decoder
    else:
        make = ViT.from_preset
    if weights is not None:
        fixed = [name for name in SIZES if name != "patch_size"]
        vision.check_sizes(recipe, weights, fixed)
        if recipe.image_size is not None:
            options["image_shape"] = (*vision.sides(recipe, ()), 3)
        return make(
            weights,
            num_classes=num_classes,
            patch_size=recipe.patch_size,
            **options,
        )
    height, width = sides_of_preset(recipe)
    return make(
        recipe.preset,
        num_classes=num_classes,
        image_shape=(height, width, 3),
        image_processor=ImageProcessor((height, width)),
        position_stddev=recipe.position_stddev,
        head_initializer=recipe.head_initializer,
        **vision.sizes_of(recipe, SIZES),
        **options,
    )


def size_of_preset(recipe):
    """All sizes of the preset, as the recipe changes them."""
    return {
        "image_shape": (224, 224, 3),
        **ViT.presets[
            checks.one_of(recipe.preset, "preset", tuple(ViT.presets))
        ],
        **vision.sizes_of(recipe, SIZES),
    }


def sides_of_preset(recipe):
    """Height and width of the preset, as the recipe changes them."""
    return vision.sides(recipe, size_of_preset(recipe)["image_shape"][:2])


def keras_hub_vit(recipe, num_classes):
    """keras-hub's ViT of the same size, with a class token."""
    # Here, as no other part of a run needs it.
    import keras_hub

    sizes = size_of_preset(recipe)
    patch = sizes["patch_size"]
    backbone = keras_hub.models.ViTBackbone(
        image_shape=(*sides_of_preset(recipe), 3),
        patch_size=(patch, patch),
        num_layers=sizes["num_layers"],
        num_heads=sizes["num_heads"],
        hidden_dim=sizes["hidden_dim"],
        mlp_dim=sizes["intermediate_dim"],
        dropout_rate=recipe.dropout,
        dtype=recipe.precision,
    )
    model = keras_hub.models.ViTImageClassifier(
        backbone,
        num_classes,
        pooling="gap" if recipe.pooling == "average" else "token",
        dtype=recipe.precision,
    )
    # Its own `fit` takes arrays and tf.data alone.
    return keras.Model(model.input, model.output)


def bag_of_patches(recipe, num_classes):
    """The same size without attention: no patch knows of another."""
    sizes = size_of_preset(recipe)
    dtype = recipe.precision
    images = keras.Input((*sides_of_preset(recipe), 3))
    x = layers.PatchEmbedding(
        sizes["patch_size"], sizes["hidden_dim"], dtype=dtype
    )(images)
    x = x + layers.PositionEmbedding(x.shape[1], dtype=dtype)(x)
    for _ in range(sizes["num_layers"]):
        y = keras.layers.LayerNormalization(dtype=dtype)(x)
        x = x + layers.FeedForward(sizes["intermediate_dim"], dtype=dtype)(y)
    x = keras.layers.LayerNormalization()(x)
    # The mean of what each patch says by itself.
    x = keras.layers.Dense(num_classes, kernel_initializer="zeros")(x)
    return keras.Model(images, keras.ops.mean(x, axis=1))


def make_batches(recipe, model, pairs, num_classes, **options):
    """Batches as a model takes them.

    Args:
        recipe: A `Recipe`.
        model: Whose pictures have its size.
        pairs: Of pictures and labels or masks.
        num_classes: How many classes.
        **options: The other arguments of `ImageBatches`.
    """
    processor = getattr(model, "image_processor", None)
    return ImageBatches(
        pairs,
        num_classes,
        processor or ImageProcessor(model.input_shape[1:3]),
        recipe.batch_size,
        masks=recipe.task == "segmentation",
        ignore_class=IGNORED,
        one_hot=recipe.task == "classification",
        mixing_share=recipe.mixing_share,
        num_threads=recipe.num_threads,
        **options,
    )


def make_training(recipe, model, pairs, num_classes, seed, **options):
    """The same for training, augmented.

    Args:
        recipe: A `Recipe`.
        model: Whose pictures have its size.
        pairs: Of pictures and labels or masks.
        num_classes: How many classes.
        seed: Seed of order and augmentation.
        **options: The other arguments of `ImageBatches`.
    """
    return make_batches(
        recipe,
        model,
        pairs,
        num_classes,
        augmentation=vision.make_augmentation(recipe),
        seed=seed,
        **options,
    )


def make_test(recipe, model, pairs, num_classes):
    """What a model is tested on."""
    return make_batches(recipe, model, pairs, num_classes, shuffle=False)


def make_callbacks(recipe, folder):
    """Callbacks for `fit`; the last one resumes."""
    segments = recipe.task == "segmentation"
    watched = "val_mean_iou" if segments else "val_accuracy"
    return vision.make_callbacks(recipe, folder, watched)


def evaluate(model, batches):
    """Scores of a model on batches in their order: a dict of numbers."""
    classes = batches.num_classes
    scores = vision.LabelScores(classes)
    confusion = np.zeros((classes, classes), "int64")
    for index in range(batches.num_batches):
        images, targets = batches[index]
        logits = model.predict_on_batch(images)
        if not batches.masks:
            scores.add(logits, targets.argmax(-1))
            continue
        counted = targets != IGNORED
        found = np.asarray(logits).argmax(-1)[counted]
        pairs = classes * targets[counted] + found
        confusion += np.bincount(pairs, minlength=classes**2).reshape(
            classes, classes
        )
    return overlaps(confusion) if batches.masks else scores.results("pictures")


def overlaps(confusion):
    """What a table of true (rows) and found classes of pixels says."""
    if not confusion.sum():
        raise ValueError(
            "There must be something to test on. Received: masks in which all "
            f"pixels are {IGNORED}, which counts for none."
        )
    right, true, found = (
        confusion.diagonal(),
        *(confusion.sum(axis) for axis in (1, 0)),
    )
    number = int(confusion.sum())
    union = true + found - right
    there = union > 0
    ious = right[there] / union[there]
    return {
        "pixels": number,
        "pixel_accuracy": float(right.sum() / number),
        "mean_iou": float(ious.mean()),
        "iou_by_class": dict(
            zip(np.flatnonzero(there).tolist(), ious.tolist(), strict=True)
        ),
    }
