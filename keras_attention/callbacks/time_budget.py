import math
import time
from collections.abc import Callable

import keras


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
