"""One location instead of all: samples of a softmax and their gradients.

Xu et al., 2015, section 4.1, and the estimators that followed it. Everything
random is an argument, drawn before a loop begins: a draw within one breaks on
JAX, and a test can say what was drawn.
"""

import keras
from keras import ops

from keras_attention.ops.softmax import masked_softmax

ESTIMATORS = (
    "reinforce",
    "straight_through",
    "gumbel_softmax",
    "gumbel_straight_through",
)


def gumbel_noise(shape, seed):
    """Draws from the standard Gumbel distribution, float32.

    Args:
        shape: Shape of the result.
        seed: A `keras.random.SeedGenerator`.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # What Keras takes, and XLA picks by itself on a CPU, is a hundred
        # times slower: a third of a decoder's step.
        uniform = tf.random.stateless_uniform(
            shape, ops.cast(seed.next() % (2**31 - 1), "int32"), alg="philox"
        )
    else:
        uniform = keras.random.uniform(shape, dtype="float32", seed=seed)
    # The logarithms of 0 and of 1 are of no use.
    uniform = ops.clip(uniform, 1e-30, 1 - 2.0**-24)
    return -ops.log(-ops.log(uniform))


def most_likely(logits, mask=None):
    """The readable position of the largest logit: int32 `(...)`.

    Of logits plus Gumbel noise it is an exact sample of their softmax (Maddison
    et al., 2014). Where nothing may be read the result means nothing.
    """
    if mask is not None:
        logits = ops.where(mask, logits, -1e30)
    return ops.cast(ops.argmax(logits, axis=-1), "int32")


def one_hot(sample, length, dtype, mask=None):
    """1 at a sample `(B, T)` and 0 elsewhere; 0 all over if it is negative."""
    positions = ops.arange(0, length, dtype="int32")
    chosen = positions == sample[..., None]
    if mask is not None:
        chosen = ops.logical_and(chosen, mask)
    return ops.cast(chosen, dtype)


def weights_of(sample, logits, scores, noise, mask, estimator, temperature):
    """The weights to read with in training, whose gradient is the estimator's.

    With alpha for the scores, e for the logits and g for the noise:

        reinforce                one_hot(sample), no gradient
        straight_through         one_hot(sample), the gradient of alpha
        gumbel_softmax           softmax((e + g) / temperature)
        gumbel_straight_through  one_hot(sample), the gradient of the former

    The Gumbel estimators are those of Jang et al., 2017, equation 2 and
    section 2.2, and the first two of Xu et al., 2015, equation 11 and Bengio
    et al., 2013.

    Args:
        sample: `(B, T)` int32, what `most_likely(logits + noise)` gave.
        logits: `(B, T, S)`.
        scores: `(B, T, S)`, alpha.
        noise: `(B, T, S)` Gumbel noise, for the estimators named after it.
        mask: Booleans that broadcast to `(B, T, S)`, True = may be read.
        estimator: One of `ESTIMATORS`.
        temperature: A scalar.
    """
    chosen = one_hot(sample, ops.shape(logits)[-1], logits.dtype, mask)
    if estimator == "reinforce":
        return chosen
    soft = scores
    if estimator != "straight_through":
        soft = masked_softmax((logits + noise) / temperature, mask)
    if estimator == "gumbel_softmax":
        return soft
    return chosen + (soft - ops.stop_gradient(soft))


def log_probability_and_entropy(chosen, scores, log_scores):
    """Of a one-hot choice `(B, T, S)` and of all scores: `(B, T)` each.

    log_probability = log alpha[s],  0 where nothing was chosen
    entropy         = - sum_s alpha[s] log alpha[s]
    """
    log_probability = ops.sum(chosen * log_scores, axis=-1)
    return log_probability, -ops.sum(scores * log_scores, axis=-1)
