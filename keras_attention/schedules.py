"""Learning rates that published systems were trained with."""

import keras
from keras import ops

from keras_attention.ops import checks

__all__ = ["TransformerSchedule"]


@keras.saving.register_keras_serializable(package="keras_attention")
class TransformerSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Lets the learning rate rise linearly, then fall as one over a root.

    The schedule of the Transformer (Vaswani et al., 2017, section 5.3,
    equation 3), with steps counted from 1:

        rate = scale * hidden_dim^-0.5
               * min(step^-0.5, step * warmup_steps^-1.5)

    It is highest at step `warmup_steps`: `scale * (hidden_dim *
    warmup_steps)^-0.5`, which is 7.0e-4 for the paper's base model. The paper
    takes it with Adam, beta_1 = 0.9, beta_2 = 0.98, epsilon = 1e-9.

    Args:
        hidden_dim: d_model, the size of the model's vectors.
        warmup_steps: Steps until the rate is highest.
        scale: Factor on the whole; 1 in the paper. To have a rate r at the
            top, pass `r * (hidden_dim * warmup_steps) ** 0.5`.

    Call arguments:
        step: Steps taken so far, as Keras's optimizers count them: 0 at the
            first.

    Returns:
        The learning rate, a float32 scalar.

    Raises:
        ValueError: A size is not a positive integer, or `scale` is not
            positive.

    Examples:
        >>> import keras
        >>> from keras_attention.schedules import TransformerSchedule
        >>> schedule = TransformerSchedule(512, warmup_steps=4000)
        >>> [f"{float(schedule(step)):.2e}" for step in (0, 3999, 15999)]
        ['1.75e-07', '6.99e-04', '3.49e-04']
        >>> optimizer = keras.optimizers.Adam(
        ...     schedule, beta_1=0.9, beta_2=0.98, epsilon=1e-9
        ... )

    Reference:
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762), section 5.3
    """

    def __init__(
        self, hidden_dim: int, warmup_steps: int = 4000, scale: float = 1.0
    ):
        super().__init__()
        self.hidden_dim = checks.positive_int(hidden_dim, "hidden_dim")
        self.warmup_steps = checks.positive_int(warmup_steps, "warmup_steps")
        self.scale = checks.positive(scale, "scale")

    def __call__(self, step):
        step = ops.cast(step, "float32") + 1.0
        rising = step * self.warmup_steps**-1.5
        falling = ops.rsqrt(step)
        peak = self.scale * self.hidden_dim**-0.5
        return peak * ops.minimum(rising, falling)

    def get_config(self):
        return {
            "hidden_dim": self.hidden_dim,
            "warmup_steps": self.warmup_steps,
            "scale": self.scale,
        }
