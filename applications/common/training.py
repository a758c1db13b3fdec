"""What training runs share: learning rate, callbacks, going on."""

import importlib.util
import time

import keras

from applications.common.folders import STATE_FILE
from keras_attention.callbacks import SaveAndResume, TimeBudget

CLOCKS = {"cpu": time.process_time, "wall": time.monotonic}


def make_learning_rate(recipe, steps):
    """A schedule over `steps`, or a number that `TimeBudget` changes."""
    if recipe.budget_minutes is not None:
        return recipe.learning_rate
    warmup = min(recipe.warmup_steps, steps - 1)
    return keras.optimizers.schedules.CosineDecay(
        0.0,
        steps - warmup,
        warmup_target=recipe.learning_rate,
        warmup_steps=warmup,
    )


def make_callbacks(recipe, folder, last=None):
    """Callbacks for `fit`; the last one resumes.

    Args:
        recipe: With `budget_minutes` and `budget_clock`.
        folder: Of the run.
        last: The callback that says with which weights training ends, if any.
    """
    chosen = [] if last is None else [last]
    if recipe.budget_minutes is not None:
        chosen.append(
            TimeBudget(
                recipe.budget_minutes,
                recipe.learning_rate,
                recipe.warmup_steps,
                CLOCKS[recipe.budget_clock],
            )
        )
    others = []
    if (
        keras.backend.backend() == "tensorflow"
        and importlib.util.find_spec("tensorboard") is not None
    ):
        others.append(
            keras.callbacks.TensorBoard(folder / "logs", write_graph=False)
        )
    return [*others, *chosen, SaveAndResume(folder / STATE_FILE, chosen)]


def fit(recipe, model, batches, epochs, callbacks, verbose):
    """Trains, from where the last callback resumes; returns the logs.

    Args:
        recipe: With `budget_minutes`.
        model: Compiled.
        batches: Those of training and of validation.
        epochs: How many, unless a budget ends them.
        callbacks: As `make_callbacks` returns them.
        verbose: As of `fit`.
    """
    training, validation = batches
    resume = callbacks[-1]
    first_epoch = len(resume.history)
    if recipe.budget_minutes is not None:
        epochs = 10**6  # the budget ends it
    model.fit(
        training,
        validation_data=validation,
        # A run that was killed behind its training has none left.
        epochs=first_epoch if resume.finished else epochs,
        initial_epoch=first_epoch,
        shuffle=False,  # the batches are shuffled by seed and epoch
        callbacks=callbacks,
        verbose=verbose,
    )
    return resume.history
