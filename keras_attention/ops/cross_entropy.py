from keras import ops

from keras_attention.ops.blocks import with_gradient
from keras_attention.ops.softmax import wide_dtype


def sparse_cross_entropy(labels, logits, label_smoothing=0.0):
    """Minus the log probability of labels, holding one tensor of logits.

        loss        = log sum_v exp(logits[v]) - sum_v target[v] logits[v]
        d loss / dv = softmax(logits)[v] - target[v]
        target[v]   = (1 - e) (v == label) + e / V

    Written out, automatic gradients keep three or four tensors of the size of
    the logits, which are the largest there are in training a language model.

    Args:
        labels: Integers `(...)`, from 0 to V - 1.
        logits: `(..., V)`.
        label_smoothing: e, the share of each target that goes to all V alike.

    Returns:
        `(...)`, float32 or wider.
    """
    wide = wide_dtype(logits.dtype)
    labels = ops.expand_dims(ops.cast(labels, "int32"), -1)  # (..., 1)

    def forward(logits):
        numbers = ops.cast(logits, wide)
        highest = ops.max(numbers, axis=-1, keepdims=True)
        total = ops.sum(ops.exp(numbers - highest), axis=-1, keepdims=True)
        normalizer = highest + ops.log(total)  # (..., 1)
        chosen = ops.cast(ops.take_along_axis(logits, labels, -1), wide)
        loss = normalizer - chosen
        if label_smoothing:
            # A mean of distances, since large logits would drown them.
            missed = ops.mean(normalizer - numbers, axis=-1, keepdims=True)
            loss = (1 - label_smoothing) * loss + label_smoothing * missed
        return loss[..., 0], normalizer

    def backward(inputs, normalizer, upstream):
        (logits,) = inputs
        upstream = ops.expand_dims(upstream, -1)
        scores = ops.exp(ops.cast(logits, wide) - normalizer)
        words = ops.arange(0, logits.shape[-1], dtype="int32")
        rest = scores - label_smoothing / logits.shape[-1]
        right = rest - (1 - label_smoothing)
        gradient = ops.where(words == labels, right, rest) * upstream
        return (ops.cast(gradient, logits.dtype),)

    return with_gradient(forward, backward)(logits)
