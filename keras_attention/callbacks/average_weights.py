import keras
import numpy as np

from keras_attention.callbacks.variables import to_numpy
from keras_attention.ops import checks


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
