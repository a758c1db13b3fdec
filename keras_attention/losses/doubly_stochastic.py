from keras import ops

from keras_attention.ops import checks
from keras_attention.ops.masks import agree, as_mask

TARGETS = ("one", "length")


def doubly_stochastic_loss(scores, mask=None, target: str = "one"):
    """Asks that a caption looks at every place about as much.

    The doubly stochastic regularization of Xu et al., 2015, section 4.2.1:

        loss = sum_i (tau - sum_t alpha_ti)^2

    With the paper's tau = 1 a caption of T words over S > T places cannot
    reach 0; `target="length"` takes tau = T / S, which it can.

    The paper's term is a sum over the places of one caption. Its authors'
    code averages over places and sums over the examples of a batch, so that
    its coefficient c means lambda = c B / S here.

    Args:
        scores: `(B, T, S)`, alpha.
        mask: Booleans `(B, T)`; steps at False count nowhere.
        target: "one" or "length".

    Returns:
        `(B,)`, the loss of each caption.

    Raises:
        ValueError: Shapes do not fit, or the target is not known.

    Examples:
        >>> from keras import ops
        >>> from keras_attention import losses
        >>> scores = ops.array([[[1.0, 0.0], [0.5, 0.5]]])
        >>> float(losses.doubly_stochastic_loss(scores)[0])
        0.5

    Reference:
        [Xu et al., 2015](https://arxiv.org/abs/1502.03044), section 4.2.1.
    """
    checks.one_of(target, "target", TARGETS)
    if mask is not None:
        mask = as_mask(mask, "mask")
        shapes = tuple(scores.shape[:2]), tuple(mask.shape)
        if len(shapes[1]) != 2 or not all(map(agree, *shapes)):
            raise ValueError(
                "`mask` must have shape (B, T). Received: shape "
                f"{shapes[1]}, scores of shape {tuple(scores.shape)}."
            )
        scores = ops.where(mask[..., None], scores, 0.0)
    read = ops.sum(scores, axis=1)  # (B, S)
    wanted = 1.0
    if target == "length":
        # Each step spends 1.
        wanted = ops.mean(read, axis=1, keepdims=True)
    return ops.sum(ops.square(wanted - read), axis=1)
