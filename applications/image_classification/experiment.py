"""One run of a recipe: its model, its batches, its training."""

import time

import keras
import numpy as np

from applications.common import training
from keras_attention import layers
from keras_attention.callbacks import BestWeights
from keras_attention.data import ImageBatches, ImageProcessor
from keras_attention.models import ViT, ViTSegmenter
from keras_attention.ops import checks
from keras_attention.optimizers import LayerwiseAdamW

IGNORED = 255  # in masks
SIZES = "patch_size", "num_layers", "hidden_dim", "num_heads", "pooling"


class Clock(keras.callbacks.Callback):
    """Adds the seconds of training so far to the logs.

    Args:
        history: The logs of epochs before this training.
    """

    def __init__(self, history):
        super().__init__()
        self.before = history[-1] if history else {}

    def on_train_begin(self, logs=None):
        self.begin = {
            "seconds": (time.monotonic, time.monotonic()),
            "cpu_seconds": (time.process_time, time.process_time()),
        }

    def on_epoch_end(self, epoch, logs=None):
        for name, (clock, begin) in self.begin.items():
            logs[name] = self.before.get(name, 0.0) + clock() - begin


class MovingAverage(keras.callbacks.SwapEMAWeights):
    """Keras's, whose weights stay there on JAX when training ends."""

    def on_train_end(self, logs=None):
        if keras.backend.backend() == "jax":
            # Weights and averages are the same arrays now, and `predict`
            # gives those of the weights away.
            for variable in self.model.trainable_variables:
                variable.assign(variable.value.copy())


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
        freeze(recipe, model)
    elif weights is not None:
        raise ValueError(
            "Weights are read into a ViT of ours. Received: system="
            f"{recipe.system}, --weights {weights}."
        )
    elif recipe.system == "keras_hub":
        model = keras_hub_vit(recipe, num_classes)
    else:
        model = bag_of_patches(recipe, num_classes)
    if recipe.task == "segmentation":
        loss = keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, ignore_class=IGNORED
        )
        metrics = [
            keras.metrics.MeanIoU(
                num_classes,
                ignore_class=IGNORED,
                sparse_y_pred=False,
                name="mean_iou",
            )
        ]
    else:
        loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        )
        metrics = [keras.metrics.CategoricalAccuracy(name="accuracy")]
    model.compile(
        make_optimizer(recipe, model, steps),
        loss,
        metrics=metrics,
        jit_compile=recipe.jit_compile,
    )
    return model


def sides(recipe, image_shape):
    """Height and width of the pictures that a model sees."""
    size = recipe.image_size or image_shape[:2]
    return (size, size) if isinstance(size, int) else tuple(size)


def sizes_of(recipe):
    """The constructor arguments of `ViT` that a recipe changes."""
    sizes = {name: getattr(recipe, name) for name in SIZES}
    sizes = {name: size for name, size in sizes.items() if size is not None}
    if recipe.hidden_dim is not None:
        sizes["intermediate_dim"] = 4 * recipe.hidden_dim
    return sizes


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
        fixed = [
            name
            for name in SIZES
            if name != "patch_size" and getattr(recipe, name) is not None
        ]
        if fixed:
            raise ValueError(
                "Weights say the size of their model. Received: --weights "
                f"{weights} with {', '.join(fixed)}. Add --set "
                f"{' '.join(f'{name}=None' for name in fixed)}."
            )
        if recipe.image_size is not None:
            options["image_shape"] = (*sides(recipe, ()), 3)
        return make(
            weights,
            num_classes=num_classes,
            patch_size=recipe.patch_size,
            **options,
        )
    height, width = sides(recipe, size_of_preset(recipe)["image_shape"])
    return make(
        recipe.preset,
        num_classes=num_classes,
        image_shape=(height, width, 3),
        image_processor=ImageProcessor((height, width)),
        position_stddev=recipe.position_stddev,
        head_initializer=recipe.head_initializer,
        **sizes_of(recipe),
        **options,
    )


def size_of_preset(recipe):
    """All sizes of the preset, as the recipe changes them."""
    return {
        "image_shape": (224, 224, 3),
        **ViT.presets[
            checks.one_of(recipe.preset, "preset", tuple(ViT.presets))
        ],
        **sizes_of(recipe),
    }


def keras_hub_vit(recipe, num_classes):
    """keras-hub's ViT of the same size, with a class token."""
    # Here, as no other part of a run needs it.
    import keras_hub

    sizes = size_of_preset(recipe)
    patch = sizes["patch_size"]
    backbone = keras_hub.models.ViTBackbone(
        image_shape=(*sides(recipe, sizes["image_shape"]), 3),
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
    images = keras.Input((*sides(recipe, sizes["image_shape"]), 3))
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


def freeze(recipe, model):
    """Leaves those parts trainable that the recipe trains."""
    if recipe.trainable == "head":
        model.freeze()
    elif recipe.trainable == "lora":
        model.enable_lora(recipe.lora_rank)
        for layer in model.layers:
            if model.depth_of(layer.name) > model.depth_of("norm"):
                layer.trainable = True
    elif recipe.freeze_blocks is not None:
        model.freeze(recipe.freeze_blocks)


def make_optimizer(recipe, model, steps):
    accumulation = recipe.gradient_accumulation
    options = dict(
        weight_decay=recipe.weight_decay,
        global_clipnorm=recipe.clipnorm,
        use_ema=recipe.ema is not None,
        # A short run must forget how it began.
        ema_momentum=min(recipe.ema or 0.99, max(0.0, 1 - 10 / steps)),
        gradient_accumulation_steps=accumulation,
    )
    # Keras counts all steps, those too that only add to the gradients.
    rate = training.make_learning_rate(recipe, steps)
    if recipe.layer_decay is None:
        optimizer = keras.optimizers.AdamW(rate, **options)
    else:
        factors = model.learning_rate_factors(recipe.layer_decay)
        optimizer = LayerwiseAdamW(rate, factors, **options)
    # Kernels alone decay.
    optimizer.exclude_from_weight_decay(
        var_list=[
            x for x in model.trainable_variables if "kernel" not in x.path
        ]
    )
    return optimizer


def make_augmentation(recipe):
    """The layers that a recipe names."""
    makers = {
        "flip": lambda: keras.layers.RandomFlip("horizontal"),
        # Whole pixels: interpolated ones would be blurred.
        "shift": lambda: keras.layers.RandomTranslation(
            recipe.shift, recipe.shift, interpolation="nearest"
        ),
        "zoom": lambda: keras.layers.RandomZoom((-0.3, 0.1)),
        "rotate": lambda: keras.layers.RandomRotation(0.05),
        "rand_augment": keras.layers.RandAugment,
        "erasing": lambda: keras.layers.RandomErasing((0.0, 1.0)),
        "mixup": keras.layers.MixUp,
        "cutmix": keras.layers.CutMix,
    }
    return [makers[name]() for name in recipe.augmentation]


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


def make_callbacks(recipe, folder):
    """Callbacks for `fit`; the last one resumes."""
    if recipe.ema is not None:
        # The average of the weights is validated, and stays at the end.
        return [MovingAverage(), *training.make_callbacks(recipe, folder)]
    best = BestWeights(watched(recipe), mode="max")
    return training.make_callbacks(recipe, folder, best)


def watched(recipe):
    """The log by which epochs are compared."""
    segments = recipe.task == "segmentation"
    return "val_mean_iou" if segments else "val_accuracy"


def evaluate(model, batches):
    """Scores of a model on batches in their order: a dict of numbers."""
    classes = batches.num_classes
    confusion = np.zeros((classes, classes), "int64")
    top, nats = 0, 0.0
    for index in range(batches.num_batches):
        images, targets = batches[index]
        logits = np.asarray(
            keras.ops.convert_to_numpy(model.predict_on_batch(images)),
            "float64",
        )
        found = logits.argmax(-1)
        right = targets if batches.masks else targets.argmax(-1)
        counted = right != IGNORED if batches.masks else slice(None)
        pairs = classes * right[counted] + found[counted]
        confusion += np.bincount(pairs.ravel(), minlength=classes**2).reshape(
            classes, classes
        )
        if not batches.masks:
            top += (np.argsort(-logits, -1)[:, :5] == right[:, None]).sum()
            chosen = np.take_along_axis(logits, right[:, None], -1)[:, 0]
            nats += (np.logaddexp.reduce(logits, -1) - chosen).sum()
    results = shares(confusion, batches.masks)
    if not batches.masks:
        number = len(batches.examples)
        results["nats_per_image"] = float(nats / number)
        if classes > 5:
            results["top_5_accuracy"] = float(top / number)
    return results


def shares(confusion, masks):
    """What a table of true (rows) and found classes says."""
    if not confusion.sum():
        raise ValueError(
            "There must be something to test on. Received: masks in which all "
            f"pixels are {IGNORED}, which counts for none."
        )
    right, true, found = (
        confusion.diagonal(),
        *(confusion.sum(axis) for axis in (1, 0)),
    )
    number, total = int(confusion.sum()), right.sum()
    accuracy = float(total / number)
    if masks:
        union = true + found - right
        there = union > 0
        ious = right[there] / union[there]
        return {
            "pixels": number,
            "pixel_accuracy": accuracy,
            "mean_iou": float(ious.mean()),
            "iou_by_class": dict(
                zip(np.flatnonzero(there).tolist(), ious.tolist(), strict=True)
            ),
        }
    return {
        "images": number,
        "accuracy": accuracy,
        # Half of the 95 % interval of a share.
        "accuracy_confidence": float(
            1.96 * (accuracy * (1 - accuracy) / number) ** 0.5
        ),
        "accuracy_by_class": (right / np.maximum(true, 1)).tolist(),
    }
