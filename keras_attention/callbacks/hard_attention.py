"""How hard attention changes as training goes on."""

import warnings
from collections.abc import Callable

import keras

from keras_attention.ops import checks


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


class AttentionAlarm(keras.callbacks.Callback):
    """Warns when hard attention looks at the same place for every word.

    Hard attention that learns together with its encoder may never find out
    where to look: its scores stay the same at every word, the decoder learns
    to do without, and the loss falls all the same. What tells is
    `attention_change`, which captioners with hard attention log in training:
    the total variation distance between the scores of neighbouring words,
    `0.5 sum_s |alpha[t] - alpha[t - 1]|`, 0 for the same and 1 for scores
    without a place in common. A warning and a printed line say so once, and
    what to do; training goes on.

    Args:
        least_change: Below it attention counts as the same.
        patience: Epochs in a row below it until the alarm; the first ones of
            a training may be.

    Raises:
        ValueError: An argument is out of range; or, when an epoch ends, the
            model logs no `attention_change`.

    Examples:
        >>> import warnings
        >>> from keras_attention import callbacks
        >>> alarm = callbacks.AttentionAlarm(patience=1)
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     alarm.on_epoch_end(4, {"attention_change": 0.01})
        <BLANKLINE>
        Attention is nearly the same at every word: in epoch 4 the scores of
        neighbouring words differ by 0.010 of 1. ...
    """

    def __init__(self, least_change: float = 0.02, patience: int = 3):
        super().__init__()
        self.least_change = checks.share(least_change, "least_change")
        self.patience = checks.positive_int(patience, "patience")
        self.waited, self.warned = 0, False

    def on_epoch_end(self, epoch, logs=None):
        change = (logs or {}).get("attention_change")
        if change is None:
            raise ValueError(
                "`AttentionAlarm` needs a model that logs `attention_change`: "
                "a captioner with a `HardAttention`. Received: logs of "
                f"{', '.join(logs or {}) or 'nothing'}. Leave it out."
            )
        self.waited = self.waited + 1 if change < self.least_change else 0
        if self.waited < self.patience or self.warned:
            return
        self.warned = True
        text = (
            "Attention is nearly the same at every word: in epoch "
            f"{epoch} the scores of neighbouring words differ by "
            f"{change:.3f} of 1. The decoder does without. Begin with soft "
            "attention, SemiSamplingSchedule(lambda epoch: 1.0 if epoch < 10 "
            "else 0.5), or take an encoder that has been trained."
        )
        # Keras's progress bar has not ended its line yet.
        print(f"\n{text}", flush=True)
        warnings.warn(text, stacklevel=2)
