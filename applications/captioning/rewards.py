"""Rounds of self-critical training."""

import time

import keras
import numpy as np

from applications.captioning import experiment, sources
from applications.common import command
from applications.common.folders import STATE_FILE
from keras_attention import data
from keras_attention.callbacks import SaveAndResume
from keras_attention.data.self_critical import check_model
from keras_attention.losses import SparseCategoricalCrossentropy
from keras_attention.metrics import CIDErD


class RoundLog(keras.callbacks.Callback):
    """Adds rewards, and the seconds of all rounds so far, to the logs.

    Args:
        history: The logs of rounds before this training.
    """

    def __init__(self, history):
        super().__init__()
        before = history[-1] if history else {}
        self.begin = {
            name: clock() - before.get(name, 0.0)
            for name, clock in (
                ("seconds", time.monotonic),
                ("cpu_seconds", time.process_time),
            )
        }
        self.batches = None

    def on_epoch_end(self, epoch, logs=None):
        logs["reward"] = float(self.batches.rewards.mean())
        logs["greedy_reward"] = float(self.batches.greedy_rewards.mean())
        logs["seconds"] = time.monotonic() - self.begin["seconds"]
        logs["cpu_seconds"] = time.process_time() - self.begin["cpu_seconds"]


def prepare(recipe, about, folder, resume):
    """The compiled model, the parts, and what resumes; all that can fail.

    Args:
        recipe: Of the run that is gone on with.
        about: The `recipe.json` of this one.
        folder: Of this run.
        resume: Whether it was stopped.
    """
    for module in ("matplotlib", "PIL"):
        command.require(module)
    choices = about["self_critical"]
    keras.utils.set_random_seed(choices["draws_seed"])
    splits = sources.read_splits(recipe, about["data"], about["seed"])
    if choices["images"] > len(splits.train):
        raise ValueError(
            "A round takes pictures out of those that are trained on. "
            f"Received: --images {choices['images']}, of {len(splits.train)}."
        )
    model, *_ = experiment.read_run(choices["begins_with"])
    check_model(model)
    model.compile(
        keras.optimizers.Adam(
            choices["learning_rate"], global_clipnorm=recipe.clipnorm
        ),
        # Rewards above and below 0 weigh captions: no mean over weights.
        SparseCategoricalCrossentropy(reduction="sum_over_batch_size"),
        jit_compile=recipe.jit_compile,
    )
    last = SaveAndResume(folder / STATE_FILE)
    if resume:
        last.restore(model)
    return model, splits, last


def fit(recipe, about, model, splits, resume, verbose):
    """Draws and trains, round by round; returns the logs.

    Args:
        recipe: With `max_length`.
        about: With the choices of `self_critical`.
        model: Compiled.
        splits: A `Splits`.
        resume: The callback that knows how many rounds are done.
        verbose: As of `fit`.
    """
    choices, log = about["self_critical"], RoundLog(resume.history)
    reward = CIDErD([x.captions for x in splits.train]).score
    score = experiment.written_captions(
        recipe, splits.validation, max(1, choices["rounds"] // 10)
    )
    for number in range(len(resume.history), choices["rounds"]):
        rng = np.random.default_rng([choices["draws_seed"], number])
        rows = rng.choice(len(splits.train), choices["images"], replace=False)
        log.batches = data.SelfCriticalBatches(
            model,
            [splits.train[row] for row in rows],
            reward,
            num_samples=choices["num_samples"],
            max_length=recipe.max_length,
            seed=int(rng.integers(2**31)),
        )
        model.fit(
            log.batches,
            epochs=number + 1,
            initial_epoch=number,
            shuffle=False,
            callbacks=[log, score, resume],
            verbose=verbose,
        )
    return resume.history
