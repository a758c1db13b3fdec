import keras
from keras import ops

from keras_attention.ops import checks


@keras.saving.register_keras_serializable(package="keras_attention")
class StochasticDepth(keras.layers.Layer):
    """Leaves a residual branch out for some examples in training.

    To stand at the end of a branch, before the sum (Huang et al., 2016,
    section 3, equation 2). For each example on its own,

        output = 0                      with probability rate
        output = inputs / (1 - rate)    else

    so that the expected output is the input. The paper scales at inference
    instead (equation 5). Unlike `keras.layers.Dropout`, an example is kept or
    dropped as a whole. Each branch of a network gets a layer of its own, which
    draws on its own. Deep networks raise the rate with depth, to `rate * l /
    (L - 1)` in block l of L, counted from 0: `np.linspace(0, rate, L)`.

    Args:
        rate: Share of the examples dropped, in [0, 1); 1 minus the paper's
            survival probability p.
        seed: Seed of the draws. Branches of one seed would drop the same
            examples.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, ...)`, the result of the branch.
        training: Whether anything is dropped.

    Returns:
        The shape of the inputs.

    Raises:
        ValueError: `rate` is not in [0, 1).

    Examples:
        >>> import keras, keras_attention
        >>> x = keras.ops.ones((6, 2, 3))
        >>> branch = keras_attention.layers.FeedForward(8)
        >>> depth = keras_attention.layers.StochasticDepth(0.1, seed=1)
        >>> tuple((x + depth(branch(x), training=True)).shape)
        (6, 2, 3)

    Reference:
        [Huang et al., 2016](https://arxiv.org/abs/1603.09382), section 3.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.rate = checks.rate(rate, "rate")
        self.seed = seed
        self.seed_generator = None
        if self.rate:
            self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs, training=None):
        if not training or not self.rate:
            return inputs
        noise_shape = (ops.shape(inputs)[0], *[1] * (len(inputs.shape) - 1))
        # In float32: of bfloat16 there are 128 draws, too few for small rates.
        draws = keras.random.uniform(
            noise_shape, dtype="float32", seed=self.seed_generator
        )
        return ops.where(draws >= self.rate, inputs / (1 - self.rate), 0)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
