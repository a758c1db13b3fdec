import keras

from keras_attention.callbacks.variables import to_numpy
from keras_attention.ops import checks


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
        start_from_epoch: The first epoch that is compared, from 0: what comes
            before is of another kind, as soft attention before hard.

    Raises:
        ValueError: If an argument is none of these.

    Examples:
        >>> import keras, numpy as np
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
        start_from_epoch: int = 0,
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
        self.start_from_epoch = checks.non_negative_int(
            start_from_epoch, "start_from_epoch"
        )
        self.best, self.best_epoch, self.waited = None, None, 0
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        if epoch < self.start_from_epoch or self.monitor not in (logs or {}):
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
