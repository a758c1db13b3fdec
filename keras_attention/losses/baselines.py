"""What rewards of hard attention are compared with."""

import keras
from keras import ops

from keras_attention.ops import checks


@keras.saving.register_keras_serializable(package="keras_attention")
class MovingAverageBaseline(keras.layers.Layer):
    """Keeps a running mean of rewards, the baseline of hard attention.

    After each batch of training (Xu et al., 2015, section 4.1),

        b <- momentum * b + (1 - momentum) * mean(rewards)

    from b = 0. A call returns b as it was before: a baseline that knows the
    samples it is compared with would bias the gradient. Kept as an attribute
    of a model, it is saved with the model's weights.

    Args:
        momentum: Share of the old value, in [0, 1); the paper's 0.9.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        rewards: `(B,)` or any shape: the rewards of whole sequences.
        training: Whether to update; not in `evaluate` and `predict`.

    Returns:
        b, a scalar.

    Raises:
        ValueError: `momentum` is not in [0, 1).

    Examples:
        >>> import keras
        >>> from keras_attention import losses
        >>> baseline = losses.MovingAverageBaseline()
        >>> rewards = keras.ops.array([-3.0, -5.0])
        >>> float(baseline(rewards, training=True))
        0.0
        >>> round(float(baseline(rewards)), 6)
        -0.4
    """

    def __init__(self, momentum: float = 0.9, **kwargs):
        super().__init__(**kwargs)
        self.momentum = checks.rate(momentum, "momentum")
        # Here, as no shape is waited for: a model that calls it in
        # `compute_loss` alone would never build it.
        self.average = self.add_weight(
            shape=(),
            initializer="zeros",
            trainable=False,
            autocast=False,
            dtype="float32",
            name="average",
        )
        self.built = True

    def call(self, rewards, training=None):
        # A new tensor: a plain read would change with the variable.
        before = self.average * 1.0
        if training:
            mean = ops.mean(ops.cast(rewards, "float32"))
            share = 1 - self.momentum
            self.average.assign(
                self.momentum * before + share * ops.stop_gradient(mean)
            )
        return before

    def compute_output_spec(self, rewards, training=None):
        return keras.KerasTensor((), "float32")

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum}


def leave_one_out_baseline(rewards, num_samples: int):
    """Compares each sample with the others of the same example.

    With K samples of an example, the baseline of one is the mean reward of
    the K - 1 others (Mnih and Rezende, 2016, section 2.5): nothing to keep
    between batches, and no bias.

    Args:
        rewards: `(B * K, ...)`, the samples of an example next to each other,
            as `keras.ops.repeat(x, K, axis=0)` lays them out.
        num_samples: K, 2 or more.

    Returns:
        The baseline of each sample, of the shape of `rewards`.

    Raises:
        ValueError: `num_samples` is not an integer above 1, or the leading
            axis is not a multiple of it.

    Examples:
        >>> import keras
        >>> from keras_attention import losses
        >>> rewards = keras.ops.array([1.0, 2.0, 6.0])
        >>> baseline = losses.leave_one_out_baseline(rewards, num_samples=3)
        >>> [float(x) for x in baseline]
        [4.0, 3.5, 1.5]
    """
    if checks.positive_int(num_samples, "num_samples") < 2:
        raise ValueError(
            "`num_samples` must be 2 or more: one sample has no others. "
            f"Received: num_samples={num_samples}."
        )
    shape = ops.shape(rewards)
    if checks.known(shape[0]) and shape[0] % num_samples:
        raise ValueError(
            "The leading axis of `rewards` must be a multiple of "
            f"`num_samples`. Received: shape {tuple(rewards.shape)}, "
            f"num_samples={num_samples}."
        )
    grouped = ops.reshape(rewards, (-1, num_samples, *shape[1:]))
    others = ops.sum(grouped, axis=1, keepdims=True) - grouped
    return ops.reshape(others / (num_samples - 1), shape)
