"""What `fit` does beside training: budgets, best weights, going on."""

import json
import math
import os
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_attention.metrics import bleu
from keras_attention.ops import checks

__all__ = [
    "AverageWeights",
    "BestWeights",
    "TimeBudget",
    "SaveAndResume",
    "SemiSamplingSchedule",
    "TemperatureSchedule",
    "ValidationBLEU",
]


class AverageWeights(keras.callbacks.Callback):
    """Ends training with the mean of the weights of the last epochs.

    A mean lies nearer the middle of a valley than the points that training
    jumps between. The Transformer was tested so: its last 5 checkpoints, 10
    minutes apart, for the base model (Vaswani et al., 2017, section 6.1). What
    the logs say of an epoch is of its own weights, not of the mean.

    It keeps as many copies of the weights. Statistics that are no weights of
    training, such as those of batch normalization, are averaged as well,
    integers are left as they are. Of this, `BestWeights` and an optimizer's
    `use_ema` choose one: the callback that is last in `fit` has the last word.

    Args:
        last: Number of epochs; of fewer, all there are.

    Raises:
        ValueError: If `last` is not a positive integer.

    Examples:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x, y = np.ones((4, 1)), np.ones((4, 1))
        >>> average = AverageWeights(last=2)
        >>> history = model.fit(x, y, epochs=3, callbacks=[average], verbose=0)
        >>> len(average.recent)
        2

    Reference:
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762), section 6.1
    """

    def __init__(self, last: int = 5):
        super().__init__()
        self.last = checks.positive_int(last, "last")
        self.recent = []

    def on_epoch_end(self, epoch, logs=None):
        weights = [to_numpy(v) for v in self.model.weights]
        self.recent = [*self.recent, weights][-self.last :]

    def on_train_end(self, logs=None):
        if not self.recent:
            return
        for variable, values in zip(
            self.model.weights, zip(*self.recent, strict=True), strict=True
        ):
            if values[0].dtype.kind == "f":
                variable.assign(np.mean(values, axis=0, dtype="float64"))

    def get_state(self) -> dict:
        """What `set_state` needs: a dict of numbers and arrays."""
        return {
            "epochs": len(self.recent),
            **{
                f"weights/{epoch}/{i}": x
                for epoch, weights in enumerate(self.recent)
                for i, x in enumerate(weights)
            },
        }

    def set_state(self, state: dict):
        """Goes on from where `get_state` was called."""
        epochs = int(state["epochs"])
        number = (len(state) - 1) // max(1, epochs)
        self.recent = [
            [state[f"weights/{epoch}/{i}"] for i in range(number)]
            for epoch in range(epochs)
        ]


class BestWeights(keras.callbacks.Callback):
    """Ends training with the weights of the epoch that was best.

    As `keras.callbacks.EarlyStopping(restore_best_weights=True)`, with a
    state that `SaveAndResume` can save.

    Args:
        monitor: What the epochs are compared by. An epoch without it, such as
            one whose BLEU was not asked for, is passed over.
        mode: `"min"` if less is better, or `"max"`.
        patience: Stop after this many compared epochs in a row that were no
            better; None never stops.

    Raises:
        ValueError: If `mode` or `patience` is none of these.

    Examples:
        >>> import keras
        >>> model = keras.Sequential([keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x, y = np.ones((4, 3)), np.ones((4, 1))
        >>> best = BestWeights("loss")
        >>> history = model.fit(x, y, epochs=3, callbacks=[best], verbose=0)
        >>> best.best == min(history.history["loss"])
        True
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "min",
        patience: int | None = None,
    ):
        super().__init__()
        if mode not in ("min", "max"):
            raise ValueError(
                f'`mode` must be "min" or "max". Received: mode={mode!r}.'
            )
        if patience is not None and patience < 1:
            raise ValueError(
                "`patience` must be at least 1, or None. Received: "
                f"patience={patience}."
            )
        self.monitor, self.mode, self.patience = monitor, mode, patience
        self.best, self.best_epoch, self.waited = None, None, 0
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor not in (logs or {}):
            return
        value, sign = float(logs[self.monitor]), 1 if self.mode == "max" else -1
        better = self.best is None or sign * value > sign * self.best
        if better:
            self.best, self.best_epoch, self.waited = value, epoch, 0
            self.weights = [to_numpy(v) for v in self.model.weights]
            return
        self.waited += 1
        if self.patience is not None and self.waited >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        for variable, value in zip(
            self.model.weights if self.weights else [],
            self.weights,
            strict=True,
        ):
            variable.assign(value)

    def get_state(self) -> dict:
        """What `set_state` needs: a dict of numbers and arrays."""
        if self.best is None:
            return {"waited": self.waited}
        return {
            "waited": self.waited,
            "best": self.best,
            "best_epoch": self.best_epoch,
            **{f"weights/{i}": x for i, x in enumerate(self.weights)},
        }

    def set_state(self, state: dict):
        """Goes on from where `get_state` was called."""
        self.waited = int(state["waited"])
        if "best" in state:
            self.best = float(state["best"])
            self.best_epoch = int(state["best_epoch"])
            self.weights = [
                state[f"weights/{i}"] for i in range(len(state) - 3)
            ]


class TimeBudget(keras.callbacks.Callback):
    """Stops training after so much time, with a learning rate to match.

    For comparing models by what a core can do in an hour rather than by
    steps. The learning rate rises linearly over the first steps and then
    falls to 0 along a cosine of the share of the budget that is spent, so
    that nobody has to know how many steps there will be. Compilation,
    validation and other callbacks count too. Compile the optimizer with a
    number as its learning rate.

    Args:
        minutes: Minutes of the clock.
        learning_rate: The highest learning rate.
        warmup_steps: Steps until it is reached.
        clock: Returns the seconds spent so far. Unless it is given, the CPU
            time of this process, all its threads together, which a busy
            machine does not lengthen. Where an accelerator does the work,
            `time.monotonic`.

    Raises:
        ValueError: If an argument is not positive.
    """

    def __init__(
        self,
        minutes: float,
        learning_rate: float,
        warmup_steps: int = 100,
        clock: Callable[[], float] = time.process_time,
    ):
        super().__init__()
        for name, value in (
            ("minutes", minutes),
            ("learning_rate", learning_rate),
            ("warmup_steps", warmup_steps),
        ):
            if not value > 0:
                raise ValueError(
                    f"`{name}` must be positive. Received: {name}={value}."
                )
        self.minutes, self.learning_rate = minutes, learning_rate
        self.warmup_steps, self.clock = warmup_steps, clock
        self.steps, self._spent_before, self._start = 0, 0.0, None

    @property
    def spent(self) -> float:
        """Seconds of the budget that are gone."""
        if self._start is None:
            return self._spent_before
        return self._spent_before + self.clock() - self._start

    def on_train_begin(self, logs=None):
        self._start = self.clock()

    def on_train_batch_begin(self, batch, logs=None):
        share = min(1.0, self.spent / (60 * self.minutes))
        warmup = min(1.0, (self.steps + 1) / self.warmup_steps)
        falling = 0.5 * (1 + math.cos(math.pi * share))
        optimizer = self.model.optimizer
        optimizer.learning_rate = self.learning_rate * warmup * falling

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.spent >= 60 * self.minutes:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self._spent_before, self._start = self.spent, None

    def get_state(self) -> dict:
        """What `set_state` needs: a dict of numbers."""
        return {"spent": self.spent, "steps": self.steps}

    def set_state(self, state: dict):
        """Goes on from where `get_state` was called."""
        self._spent_before = float(state["spent"])
        self.steps = int(state["steps"])
        if self._start is not None:
            self._start = self.clock()


class HardAttentionSchedule(keras.callbacks.Callback):
    """Sets a variable of every `HardAttention` before each epoch."""

    def __init__(self, schedule: Callable[[int], float], name: str, check):
        super().__init__()
        self.schedule, self.name, self.check = schedule, name, check

    def on_epoch_begin(self, epoch, logs=None):
        variables = [
            getattr(layer, f"{self.name}_variable", None)
            for layer in self.model._flatten_layers()
        ]
        variables = [x for x in variables if x is not None]
        if not variables:
            raise ValueError(
                f"`{type(self).__name__}` needs a model with a "
                "`HardAttention` that is built. Received: "
                f"model={self.model!r}."
            )
        value = self.check(self.schedule(epoch), self.name)
        for variable in variables:
            variable.assign(value)


class TemperatureSchedule(HardAttentionSchedule):
    """Sets the temperature of every `HardAttention` before each epoch.

    A temperature that falls makes Gumbel-softmax samples harder as training
    goes on (Jang et al., 2017, section 2.2).

    Args:
        schedule: `schedule(epoch) -> temperature`, above 0; epochs count from
            0, and go on where a resumed training goes on.

    Raises:
        ValueError: The model has no such layer, or a temperature is not
            positive.

    Examples:
        >>> import keras, numpy as np
        >>> from keras_attention import callbacks, layers
        >>> query, memory = keras.Input((3, 4)), keras.Input((5, 6))
        >>> attention = layers.HardAttention(8, "gumbel_softmax")
        >>> model = keras.Model([query, memory], attention(query, memory))
        >>> model.compile("sgd", "mse")
        >>> x, y = [np.ones((2, 3, 4)), np.ones((2, 5, 6))], np.ones((2, 3, 6))
        >>> cool = callbacks.TemperatureSchedule(lambda epoch: 0.5**epoch)
        >>> history = model.fit(x, y, epochs=3, callbacks=[cool], verbose=0)
        >>> float(attention.temperature_variable)
        0.25
    """

    def __init__(self, schedule: Callable[[int], float]):
        super().__init__(schedule, "temperature", checks.positive)


class SemiSamplingSchedule(HardAttentionSchedule):
    """Sets the semi-sampling of every `HardAttention` before each epoch.

    From soft to hard attention: with a share of 1 all examples read the
    expectation, as soft attention does, and what encodes the memory learns to
    tell locations apart; with less, some read one location. Where encoder and
    attention begin together, hard attention from the first step on may never
    learn where to look.

    Args:
        schedule: `schedule(epoch) -> share`, from 0 to 1; epochs count from
            0, and go on where a resumed training goes on.

    Raises:
        ValueError: The model has no such layer, or a share is not from 0 to 1.

    Examples:
        >>> import keras, numpy as np
        >>> from keras_attention import callbacks, layers
        >>> query, memory = keras.Input((3, 4)), keras.Input((5, 6))
        >>> attention = layers.HardAttention(8, "straight_through")
        >>> model = keras.Model([query, memory], attention(query, memory))
        >>> model.compile("sgd", "mse")
        >>> x, y = [np.ones((2, 3, 4)), np.ones((2, 5, 6))], np.ones((2, 3, 6))
        >>> harden = callbacks.SemiSamplingSchedule(
        ...     lambda epoch: 1.0 if epoch < 2 else 0.5)
        >>> history = model.fit(x, y, epochs=3, callbacks=[harden], verbose=0)
        >>> float(attention.semi_sampling_variable)
        0.5
    """

    def __init__(self, schedule: Callable[[int], float]):
        super().__init__(schedule, "semi_sampling", checks.share)


class ValidationBLEU(keras.callbacks.Callback):
    """Adds `val_bleu` to the logs: BLEU of what the model itself writes.

    The validation loss reads the right words before each word; a translation
    has only its own. Put it before callbacks that monitor it, such as
    `BestWeights("val_bleu", mode="max", patience=3)`, which stops early.

    Some translations are printed as training goes on, each between its source
    and its reference, unless `fit` is silent (`verbose=0`).

    Args:
        sources: Sentences to translate.
        references: Their translations.
        every: Epochs from one score to the next.
        samples: How many translations are printed, spread over the
            sentences; 0 prints none.
        **options: Passed to the model's `generate`.

    Raises:
        ValueError: If there are no sentences, not as many references, or a
            number is too small.
    """

    def __init__(
        self,
        sources: Sequence[str],
        references: Sequence[str],
        every: int = 1,
        samples: int = 3,
        **options,
    ):
        super().__init__()
        if every < 1:
            raise ValueError(
                f"`every` must be at least 1. Received: every={every}."
            )
        self.sources, self.references = list(sources), list(references)
        if not 0 < len(self.sources) == len(self.references):
            raise ValueError(
                "There must be sentences to translate, and a reference for "
                f"each. Received: {len(self.sources)} sources, "
                f"{len(self.references)} references."
            )
        self.samples = checks.non_negative_int(samples, "samples")
        self.every, self.options = every, options

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every or logs is None:
            return
        translations = self.model.generate(self.sources, **self.options)
        score = bleu(translations, self.references, num_resamples=0)
        logs["val_bleu"] = score.score
        if self.samples and (self.params or {}).get("verbose", 1):
            # Keras's progress bar has not ended its line yet.
            print("\n" + self.sample_lines(translations), flush=True)

    def sample_lines(self, translations: Sequence[str]) -> str:
        """Some translations as text, between source and reference.

        Args:
            translations: One for each source.
        """
        number = min(self.samples, len(self.sources))
        rows = [i * len(self.sources) // number for i in range(number)]
        return "\n".join(
            f"source     {self.sources[i]}\n"
            f"translated {translations[i]}\n"
            f"reference  {self.references[i]}"
            for i in rows
        )


class SaveAndResume(keras.callbacks.Callback):
    """Saves at each epoch's end all that training needs to go on.

    That is every variable of the model and its optimizer, dropout's random
    seeds among them, the logs of the epochs so far, and the state of other
    callbacks. One file holds it all and is replaced in one move, so that a
    kill at any moment leaves a state that belongs together
    (`keras.callbacks.BackupAndRestore` writes weights and epoch one after the
    other, and knows no other callbacks). A run that goes on from it ends as
    one that was not killed, as long as its data depend on the epoch alone.

    Args:
        path: The file, `.npz`.
        callbacks: Those whose state is saved too: each has `get_state()`,
            a dict of numbers and arrays, and `set_state(state)`. Pass them
            to `fit` as well, before this one.

    Examples:
        The model must be compiled:

        >>> import tempfile, keras
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((4, 3)), np.ones((4, 1))
        >>> path = f"{tempfile.mkdtemp()}/state.npz"
        >>> def train(epochs):
        ...     resume = SaveAndResume(path)
        ...     first = resume.restore(model)
        ...     model.fit(x, y, epochs=epochs, initial_epoch=first,
        ...               callbacks=[resume], verbose=0)
        ...     return first, len(resume.history)
        >>> train(epochs=2)
        (0, 2)
        >>> train(epochs=5)
        (2, 5)
    """

    def __init__(
        self,
        path: str | Path,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ):
        super().__init__()
        self.path, self.callbacks = Path(path), list(callbacks)
        self.history, self.finished = [], False
        self._torch_random_state = {}

    def restore(self, model: keras.Model) -> int:
        """Brings model, optimizer and callbacks to the state in the file.

        Args:
            model: Built and compiled as when the file was written.

        Returns:
            The epoch to go on with, 0 if there is no file. `history` has the
            logs of those before, and `finished` tells whether training had
            stopped by itself.

        Raises:
            ValueError: If the file cannot be read or is of another model.
        """
        if not self.path.is_file():
            return 0
        try:
            with (  # NumPy leaves a file open that is no archive
                self.path.open("rb") as content,
                np.load(content, allow_pickle=False) as file,
            ):
                arrays = dict(file)
            about = json.loads(str(arrays.pop("about")))
        except (
            OSError,
            ValueError,
            KeyError,
            EOFError,
            zipfile.BadZipFile,
        ) as error:
            raise ValueError(
                f"{self.path} must be a state of `SaveAndResume`. Received: "
                f"{error}. Delete it to begin anew."
            ) from None
        model.optimizer.build(model.trainable_variables)
        variables = [*model.variables, *model.optimizer.variables]
        values = [
            x for name, x in arrays.items() if name.startswith("variables/")
        ]
        ours, theirs = (
            [tuple(x.shape) for x in xs] for xs in (variables, values)
        )
        if ours != theirs or len(about["callbacks"]) != len(self.callbacks):
            raise ValueError(
                f"{self.path} must be of the model that is to go on. "
                f"Received: a state of {len(values)} variables and "
                f"{len(about['callbacks'])} callbacks for a model with "
                f"{len(variables)} and {len(self.callbacks)}, or of other "
                "shapes. Delete it to begin anew."
            )
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        for index, callback in enumerate(self.callbacks):
            start = f"callbacks/{index}/"
            callback.set_state(
                {
                    name.removeprefix(start): value
                    for name, value in arrays.items()
                    if name.startswith(start)
                }
            )
        self._torch_random_state = {
            name: state
            for name, state in arrays.items()
            if name.startswith("torch/")
        }
        self.history, self.finished = about["history"], about["finished"]
        return len(self.history)

    def on_epoch_begin(self, epoch, logs=None):
        # Not before: `fit` itself draws while it looks at the first batch.
        set_torch_random_state(self._torch_random_state)
        self._torch_random_state = {}

    def on_epoch_end(self, epoch, logs=None):
        self.history.append({k: float(v) for k, v in (logs or {}).items()})
        self.finished = self.model.stop_training
        variables = [*self.model.variables, *self.model.optimizer.variables]
        arrays: dict[str, Any] = {
            f"variables/{i}": to_numpy(v) for i, v in enumerate(variables)
        }
        arrays.update(torch_random_state())
        for index, callback in enumerate(self.callbacks):
            for name, value in callback.get_state().items():
                arrays[f"callbacks/{index}/{name}"] = np.asarray(value)
        about = {
            "history": self.history,
            "finished": self.finished,
            "callbacks": [type(c).__name__ for c in self.callbacks],
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_name(self.path.name + ".new")
        with open(new, "wb") as file:
            np.savez(file, about=np.array(json.dumps(about)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)


def to_numpy(variable):
    """A copy of a variable in a type that NumPy's files know."""
    value = np.array(ops.convert_to_numpy(variable))
    # bfloat16 and its like are no types of NumPy's own; float32 holds them.
    return value.astype("float32") if value.dtype.kind == "V" else value


def torch_random_state():
    """States of torch's generators, from which dropout draws on torch.

    On the other backends all randomness is in the model's variables.
    """
    if keras.backend.backend() != "torch":
        return {}
    import torch

    states = {"torch/cpu": torch.get_rng_state().numpy()}
    if torch.cuda.is_available():
        for i, state in enumerate(torch.cuda.get_rng_state_all()):
            states[f"torch/cuda/{i}"] = state.numpy()
    return states


def set_torch_random_state(states):
    """The inverse of `torch_random_state`."""
    if keras.backend.backend() != "torch" or not states:
        return
    import torch

    torch.set_rng_state(torch.from_numpy(states["torch/cpu"]))
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            if f"torch/cuda/{i}" in states:
                state = torch.from_numpy(states[f"torch/cuda/{i}"])
                torch.cuda.set_rng_state(state, i)
