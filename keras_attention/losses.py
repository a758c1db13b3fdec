"""What models of attention train on."""

import keras
import numpy as np
from keras import ops

from keras_attention.ops import checks
from keras_attention.ops.cross_entropy import sparse_cross_entropy
from keras_attention.ops.masks import agree, as_mask
from keras_attention.ops.softmax import wide_dtype

__all__ = [
    "MovingAverageBaseline",
    "SparseCategoricalCrossentropy",
    "leave_one_out_baseline",
    "marginal_log_likelihood",
    "reinforce_loss",
]


@keras.saving.register_keras_serializable(package="keras_attention")
class SparseCategoricalCrossentropy(keras.losses.Loss):
    """Cross-entropy of integer labels and logits, light on memory.

    The numbers of `keras.losses.SparseCategoricalCrossentropy` with
    `from_logits=True`. Its gradient is written by hand, so that one tensor of
    the size of the logits is kept where automatic gradients keep three or
    four: with a vocabulary, those are the largest tensors of a training step.

    Padding counts by its sample weight: give it 0, and with the reduction
    `"mean_with_sample_weight"` the loss is the mean over real words.

    With `label_smoothing` = e the target of a label is 1 - e + e / V, that of
    every other number e / V (Szegedy et al., 2016, section 7; Vaswani et al.,
    2017, section 5.4, take 0.1): the numbers of
    `keras.losses.CategoricalCrossentropy(label_smoothing=e)`, without one-hot
    labels. The loss then no longer falls to 0, and its exponential is no
    perplexity: validate with a loss without smoothing, or with BLEU.

    Args:
        label_smoothing: e, from 0 to less than 1.
        reduction: As of every Keras loss.
        name: Name of the loss.
        dtype: Dtype of the computation; logits of a lower precision are
            summed in float32 anyway.

    Call arguments:
        y_true: Integers `(...)`, from 0 to V - 1.
        y_pred: Logits `(..., V)`.
        sample_weight: Numbers that broadcast to `y_true`, or None.

    Returns:
        The mean of `-log softmax(y_pred)[y_true]`, or what the reduction says.

    Raises:
        ValueError: The labels do not have the shape of the logits without
            the last axis, or `label_smoothing` is not in [0, 1).

    Examples:
        >>> import numpy as np
        >>> from keras_attention.losses import SparseCategoricalCrossentropy
        >>> loss = SparseCategoricalCrossentropy()
        >>> logits = np.log([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]])
        >>> round(float(loss(np.array([[0, 2]]), logits)), 4)
        0.4581
        >>> loss = SparseCategoricalCrossentropy(label_smoothing=0.3)
        >>> round(float(loss(np.array([[0, 2]]), logits)), 4)
        0.7354
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "sparse_categorical_crossentropy",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.label_smoothing = checks.rate(label_smoothing, "label_smoothing")

    def call(self, y_true, y_pred):
        labels, logits = tuple(y_true.shape), tuple(y_pred.shape)
        if len(labels) == len(logits) and labels[-1] == 1:
            y_true, labels = ops.squeeze(y_true, -1), labels[:-1]
        fits = len(labels) == len(logits) - 1 and all(
            a == b or None in (a, b)
            for a, b in zip(labels, logits, strict=False)
        )
        if not fits:
            raise ValueError(
                "The labels must have the shape of the logits without the "
                f"last axis. Received: y_true of shape {labels}, y_pred of "
                f"shape {logits}. Pass integer labels, not one-hot vectors."
            )
        return sparse_cross_entropy(y_true, y_pred, self.label_smoothing)

    def get_config(self):
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
        }


def reinforce_loss(
    log_likelihood,
    log_probability,
    entropy=None,
    rewards=None,
    baseline=0.0,
    mask=None,
    reward_to_go=False,
    score_weight=1.0,
    entropy_weight=0.0,
):
    """What to minimize so that hard attention learns where to look.

    Its gradient is an unbiased estimate of that of the expected negative log
    likelihood, from one sample of every step (Williams, 1992; Xu et al.,
    2015, section 4.1, equation 13):

        loss = - sum_t ( log p(y_t | s, a)
                         + lambda_r (R_t - b) log alpha_t[s_t]
                         + lambda_e H[alpha_t] )

    R_t and b count as constants. R_t is the log likelihood of the whole
    sequence, or, with `reward_to_go`, of what comes from step t on: what was
    said before cannot depend on s_t, so leaving it out has the same mean and
    less variance. (The reward of step t alone would be biased.)

    Args:
        log_likelihood: `(B, T)`, log p(y_t | s, a).
        log_probability: `(B, T)`, log alpha_t[s_t] as `HardAttention` reports
            it: 0 where the expectation was read.
        entropy: `(B, T)`, H in nats, as `HardAttention` reports it; needed
            with `entropy_weight`.
        rewards: `(B, T)`, the reward of each step, if it is not the log
            likelihood: a score of what was said, for example.
        baseline: b, `(B, T)` or what broadcasts to it; it must not depend on
            the samples of its own example. `MovingAverageBaseline`,
            `leave_one_out_baseline` and learned values are such.
        mask: Booleans `(B, T)`; steps at False count nowhere.
        reward_to_go: Whether R_t leaves out the steps before t.
        score_weight: lambda_r; less than 1 trades bias for variance, and the
            authors' code takes 0.1.
        entropy_weight: lambda_e; the authors' code takes 0.002.

    Returns:
        `(B,)`, the loss of each example; average it over the batch.

    Raises:
        ValueError: Shapes are not alike, or an entropy or its weight misses
            the other.

    Examples:
        A model adds it in `compute_loss`, and trains with plain `fit`:

        >>> import keras
        >>> from keras_attention import layers, losses
        >>> decoder = layers.AttentionRNN(
        ...     keras.layers.GRUCell(8), layers.HardAttention(6, seed=2)
        ... )
        >>> words = keras.random.normal((4, 3, 5))
        >>> regions = keras.random.normal((4, 7, 9))
        >>> result = decoder(words, regions, training=True)
        >>> log_likelihood = -keras.ops.abs(result["outputs"][..., 0])
        >>> loss = losses.reinforce_loss(
        ...     log_likelihood,
        ...     result["log_probability"],
        ...     result["entropy"],
        ...     reward_to_go=True,
        ...     entropy_weight=0.002,
        ... )
        >>> tuple(loss.shape)
        (4,)
    """
    if (entropy is None) != (not entropy_weight):
        raise ValueError(
            "`entropy` and `entropy_weight` go together. Received: "
            f"entropy={entropy if entropy is None else 'a value'}, "
            f"entropy_weight={entropy_weight!r}. Pass both or neither."
        )
    rewards = log_likelihood if rewards is None else rewards
    tensors = {
        "log_likelihood": log_likelihood,
        "log_probability": log_probability,
        "rewards": rewards,
    }
    if entropy is not None:
        tensors["entropy"] = entropy
    if mask is not None:
        tensors["mask"] = mask = as_mask(mask, "mask")
    _check_alike(tensors)
    rewards = _kept(rewards, mask)
    if reward_to_go:
        rewards = ops.flip(ops.cumsum(ops.flip(rewards, 1), axis=1), 1)
    else:
        rewards = ops.sum(rewards, axis=1, keepdims=True)
    baseline = ops.cast(ops.convert_to_tensor(baseline), rewards.dtype)
    advantage = ops.stop_gradient(rewards - baseline)
    objective = log_likelihood + score_weight * advantage * log_probability
    if entropy is not None:
        objective = objective + entropy_weight * entropy
    return -ops.sum(_kept(objective, mask), axis=1)


def _kept(tensor, mask):
    return tensor if mask is None else ops.where(mask, tensor, 0.0)


def _check_alike(tensors):
    first = next(iter(tensors.values())).shape
    for x in tensors.values():
        fits = len(x.shape) == len(first) == 2
        if not fits or not all(map(agree, x.shape, first)):
            shapes = {name: tuple(x.shape) for name, x in tensors.items()}
            raise ValueError(
                f"{', '.join(map(repr, tensors))} must have one shape (B, T). "
                f"Received: {shapes}."
            )


@keras.saving.register_keras_serializable(package="keras_attention")
class MovingAverageBaseline(keras.layers.Layer):
    """Keeps a running mean of rewards, the baseline of hard attention.

    After each batch of training (Xu et al., 2015, section 4.1, equation 12),

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


def marginal_log_likelihood(scores, log_likelihood):
    """The log likelihood when every location is tried, none drawn.

        log p(y_t | a) = log sum_s alpha_t[s] p(y_t | s, a)

    Exact and without variance where the S likelihoods of a step can be had
    (Deng et al., 2018, section 3); a lower bound of it is what
    `reinforce_loss` works on (Xu et al., 2015, equation 10).

    Args:
        scores: `(..., S)`, alpha; 0 where nothing may be read.
        log_likelihood: `(..., S)`, log p(y | s, a) of each location.

    Returns:
        `(...)`, float32 or wider; -inf where all scores are 0.

    Examples:
        >>> from keras import ops
        >>> from keras_attention import losses
        >>> scores = ops.array([0.25, 0.75, 0.0])
        >>> likelihood = ops.array([0.4, 0.8, 0.1])
        >>> total = losses.marginal_log_likelihood(scores, ops.log(likelihood))
        >>> round(float(ops.exp(total)), 4)
        0.7
    """
    wide = wide_dtype(log_likelihood.dtype)
    scores = ops.cast(scores, wide)
    joint = ops.cast(log_likelihood, wide)
    readable = scores > 0
    # The inner choice keeps the logarithm's gradient from 0 * infinity.
    log_scores = ops.log(ops.where(readable, scores, 1.0))
    joint = ops.where(readable, log_scores + joint, -1e30)
    total = ops.logsumexp(joint, axis=-1)
    return ops.where(ops.any(readable, axis=-1), total, -np.inf)
