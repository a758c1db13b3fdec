import numpy as np
from keras import ops

from keras_attention.ops.softmax import wide_dtype


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
