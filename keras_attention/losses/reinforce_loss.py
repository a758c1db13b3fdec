from keras import ops

from keras_attention.ops.masks import agree, as_mask


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
    2015, section 4.1):

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
