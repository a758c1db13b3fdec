"""What runs share that learn classes of what they see: training, scores."""

import time

import keras
import numpy as np

from applications.common import training
from keras_attention.callbacks import BestWeights
from keras_attention.optimizers import LayerwiseAdamW


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


def compile_classifier(recipe, model, steps):
    """Compiles a model of logits for labels that are vectors."""
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=recipe.label_smoothing
    )
    accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    compile_model(recipe, model, steps, loss, accuracy)


def compile_model(recipe, model, steps, loss, metric):
    model.compile(
        make_optimizer(recipe, model, steps),
        loss,
        metrics=[metric],
        jit_compile=recipe.jit_compile,
    )


def sides(recipe, shape):
    """Height and width of what a model sees.

    Args:
        recipe: A `VisionRecipe`.
        shape: Height and width where it names none.
    """
    size = recipe.image_size or shape
    return (size, size) if isinstance(size, int) else tuple(size)


def sizes_of(recipe, names):
    """The constructor arguments of a model that a recipe changes."""
    sizes = {name: getattr(recipe, name) for name in names}
    sizes = {name: size for name, size in sizes.items() if size is not None}
    if recipe.hidden_dim is not None:
        sizes["intermediate_dim"] = 4 * recipe.hidden_dim
    return sizes


def check_sizes(recipe, weights, names):
    """Refuses sizes that the weights fix."""
    fixed = [name for name in names if getattr(recipe, name) is not None]
    if fixed:
        raise ValueError(
            "Weights say the size of their model. Received: weights of "
            f"{weights} with {', '.join(fixed)}. Add --set "
            f"{' '.join(f'{name}=None' for name in fixed)}."
        )


def check_none_are_read(recipe, *weights):
    """Refuses weights for what ours is compared with."""
    for name in weights:
        if name is not None:
            raise ValueError(
                "Weights are read into a model of ours. Received: system="
                f"{recipe.system}, weights of {name}."
            )


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
        "color": lambda: keras.layers.RandomColorJitter(
            (0, 255), 0.2, 0.2, 0.2, 0.05
        ),
        "rand_augment": keras.layers.RandAugment,
        "erasing": lambda: keras.layers.RandomErasing((0.0, 1.0)),
        "mixup": keras.layers.MixUp,
        "cutmix": keras.layers.CutMix,
    }
    return [makers[name]() for name in recipe.augmentation]


def make_callbacks(recipe, folder, watched="val_accuracy"):
    """Callbacks for `fit`; the last one resumes.

    Args:
        recipe: A `VisionRecipe`.
        folder: Of the run.
        watched: The log by which epochs are compared.
    """
    if recipe.ema is not None:
        # The average of the weights is validated, and stays at the end.
        return [MovingAverage(), *training.make_callbacks(recipe, folder)]
    best = BestWeights(watched, mode="max")
    return training.make_callbacks(recipe, folder, best)


class LabelScores:
    """Adds up what logits say of labels.

    Args:
        num_classes: How many classes.
    """

    def __init__(self, num_classes):
        self.confusion = np.zeros((num_classes, num_classes), "int64")
        self.top, self.nats = 0, 0.0

    def add(self, logits, labels):
        """Adds some examples: logits `(B, num_classes)`, labels `(B,)`."""
        logits = np.asarray(keras.ops.convert_to_numpy(logits), "float64")
        np.add.at(self.confusion, (labels, logits.argmax(-1)), 1)
        self.top += (np.argsort(-logits, -1)[:, :5] == labels[:, None]).sum()
        chosen = np.take_along_axis(logits, labels[:, None], -1)[:, 0]
        self.nats += (np.logaddexp.reduce(logits, -1) - chosen).sum()

    def results(self, examples):
        """The scores by name; `examples` is what was looked at."""
        number, true = int(self.confusion.sum()), self.confusion.sum(1)
        right = self.confusion.diagonal()
        accuracy = float(right.sum() / number)
        results = {
            examples: number,
            "accuracy": accuracy,
            # Half of the 95 % interval of a share.
            "accuracy_confidence": float(
                1.96 * (accuracy * (1 - accuracy) / number) ** 0.5
            ),
            "accuracy_by_class": (right / np.maximum(true, 1)).tolist(),
            "nats_per_example": float(self.nats / number),
        }
        if len(true) > 5:
            results["top_5_accuracy"] = float(self.top / number)
        return results
