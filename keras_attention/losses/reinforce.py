import keras
from keras import ops

from keras_attention.losses.baselines import (
    MovingAverageBaseline,
    leave_one_out_baseline,
)
from keras_attention.losses.reinforce_loss import reinforce_loss
from keras_attention.ops import checks
from keras_attention.ops.cross_entropy import sparse_cross_entropy

BASELINES = ("moving_average", "leave_one_out", "self_critical", None)


@keras.saving.register_keras_serializable(package="keras_attention")
class Reinforce(keras.layers.Layer):
    """How a model learns where its hard attention should look.

    The choices around `reinforce_loss`, and the baseline that it compares the
    likelihood of a caption with:

    - "moving_average": a running mean (Xu et al., 2015, section 4.1), kept per
      word and multiplied by the number of words that the reward counts.
    - "leave_one_out": the mean of the other samples of the same caption (Mnih
      and Rezende, 2016, section 2.5). It needs `num_samples` of 2 or more, and
      nothing is kept.
    - "self_critical": the likelihood of the caption when the model reads as
      it does at inference (Rennie et al., 2017, section 3); a second pass
      through the decoder.
    - None: 0, for comparison.

    Args:
        baseline: One of these.
        num_samples: Samples of each caption in a step, K.
        reward_to_go: Whether a place is rewarded for the words from its own on
            only, rather than for the whole caption as in the paper. What was
            written before does not depend on it: the same mean, with less
            variance.
        score_weight: lambda_r; the authors' code takes 0.1.
        entropy_weight: lambda_e; the authors' code takes 0.002.
        momentum: Of the moving average; the paper's 0.9.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        y: `(B x K, T)`, the words.
        result: A dict of what a step of training made, `(B x K, T, ...)`:
            `logits`, `scores`, `sample`, `log_probability` and `entropy`, and
            `inference_logits` `(B, T, V)` for "self_critical".
        words: Booleans `(B x K, T)`, False on padding.
        training: Whether to update the moving average.

    Returns:
        What to add to the negative log likelihood, `(B x K,)`, and a dict of
        numbers to watch: `reward` and `baseline`, per word; and
        `score_variance`, the variance among the captions of a batch of what
        the score term asks of attention's logits, summed over them.

    Raises:
        ValueError: An argument is not one of those above, or the number of
            samples does not fit the baseline.

    Examples:
        >>> from keras_attention import losses
        >>> from keras_attention.models import ShowAttendTell
        >>> model = ShowAttendTell.from_preset(
        ...     "show_attend_tell_small",
        ...     feature_shape=(4, 4, 32),
        ...     vocabulary_size=29,
        ...     attention="hard",
        ...     reinforce=losses.Reinforce("leave_one_out", num_samples=4),
        ... )
        >>> model.reinforce.num_samples
        4

    Reference:
        [Xu et al., 2015](https://arxiv.org/abs/1502.03044), section 4.1.
    """

    def __init__(
        self,
        baseline: str | None = "moving_average",
        num_samples: int = 1,
        reward_to_go: bool = True,
        score_weight: float = 1.0,
        entropy_weight: float = 0.0,
        momentum: float = 0.9,
        **kwargs,
    ):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.baseline = checks.one_of(baseline, "baseline", BASELINES)
        self.num_samples = checks.positive_int(num_samples, "num_samples")
        if baseline == "leave_one_out" and num_samples < 2:
            raise ValueError(
                "A sample is compared with others of its caption, so that "
                "there must be some. Received: "
                f'baseline="leave_one_out", num_samples={num_samples}. Take 2 '
                "or more."
            )
        self.reward_to_go = reward_to_go
        self.score_weight = checks.number(score_weight, "score_weight", 0.0)
        self.entropy_weight = checks.number(entropy_weight, "entropy_weight")
        self.momentum = momentum
        self.average = None
        if baseline == "moving_average":
            self.average = MovingAverageBaseline(momentum, name="average")
        self.built = True

    def call(self, y, result, words, training=None):
        likelihood = log_likelihood(y, result["logits"])  # (B, T)
        count = ops.cast(words, likelihood.dtype)
        baseline, per_word = self._baseline(
            y, result, likelihood, words, training
        )
        entropy = result["entropy"] if self.entropy_weight else None
        loss = reinforce_loss(
            ops.zeros_like(likelihood),
            result["log_probability"],
            entropy,
            rewards=likelihood,
            baseline=baseline,
            mask=words,
            reward_to_go=self.reward_to_go,
            score_weight=self.score_weight,
            entropy_weight=self.entropy_weight,
        )
        advantage = self._summed(likelihood, words) - baseline
        number = ops.maximum(ops.sum(count), 1.0)
        return loss, {
            "reward": ops.sum(likelihood * count) / number,
            "baseline": per_word,
            "score_variance": self._score_variance(result, advantage, count),
        }

    def _baseline(self, y, result, likelihood, words, training):
        """Of each step `(B, T)`, and per word."""
        count = ops.cast(words, likelihood.dtype)
        number = ops.maximum(ops.sum(count), 1.0)
        if self.average is not None:
            mean = ops.sum(likelihood * count) / number
            per_word = self.average(mean, training=training)
            return per_word * self._summed(count, words), per_word
        if self.baseline is None:
            return ops.zeros_like(likelihood), ops.zeros(())
        if self.baseline == "leave_one_out":
            rewards = self._summed(likelihood, words)
            baseline = leave_one_out_baseline(rewards, self.num_samples)
        else:
            first = y[:: self.num_samples]
            likelihood = log_likelihood(first, result["inference_logits"])
            if self.num_samples > 1:
                likelihood = ops.repeat(likelihood, self.num_samples, axis=0)
            baseline = self._summed(likelihood, words)
        # Where a caption begins, it is that of all its words.
        return baseline, ops.sum(baseline[:, 0]) / number

    def _summed(self, values, words):
        """What a step is rewarded for, `(B, T)`."""
        values = ops.where(words, values, 0.0)
        if self.reward_to_go:
            return ops.flip(ops.cumsum(ops.flip(values, 1), axis=1), 1)
        total = ops.sum(values, axis=1, keepdims=True)
        return ops.broadcast_to(total, ops.shape(values))

    def _score_variance(self, result, advantage, count):
        scores = ops.cast(result["scores"], "float32")
        sample = result["sample"]
        drawn = ops.cast(sample >= 0, "float32") * count
        places = ops.arange(0, ops.shape(scores)[-1], dtype=sample.dtype)
        chosen = ops.cast(places == sample[..., None], "float32")
        # The gradient of log alpha[s] with respect to the logits.
        slope = (chosen - scores) * (drawn * advantage)[..., None]
        return self.score_weight**2 * ops.sum(ops.var(slope, axis=0))

    def compute_output_spec(self, y, result, words, training=None):
        names = ("reward", "baseline", "score_variance")
        each = keras.KerasTensor((y.shape[0],), "float32")
        return each, {n: keras.KerasTensor((), "float32") for n in names}

    def get_config(self):
        return {
            **super().get_config(),
            "baseline": self.baseline,
            "num_samples": self.num_samples,
            "reward_to_go": self.reward_to_go,
            "score_weight": self.score_weight,
            "entropy_weight": self.entropy_weight,
            "momentum": self.momentum,
        }


def log_likelihood(y, logits):
    """log p of each word, `(B, T)` float32; a baseline, so no gradient."""
    found = -sparse_cross_entropy(y, ops.cast(logits, "float32"), 0.0)
    return ops.stop_gradient(found)
