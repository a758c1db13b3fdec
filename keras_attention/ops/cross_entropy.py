from keras import ops

from keras_attention.ops.blocks import with_gradient
from keras_attention.ops.softmax import wide_dtype


def sparse_cross_entropy(labels, logits):
    """Minus the log probability of labels, holding one tensor of logits.

        loss        = log sum_v exp(logits[v]) - logits[label]
        d loss / dv = softmax(logits)[v] - (v == label)

    Written out, automatic gradients keep three or four tensors of the size of
    the logits, which are the largest there are in training a language model.

    Args:
        labels: Integers `(...)`, from 0 to V - 1.
        logits: `(..., V)`.

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
        return (normalizer - chosen)[..., 0], normalizer

    def backward(inputs, normalizer, upstream):
        (logits,) = inputs
        upstream = ops.expand_dims(upstream, -1)
        scores = ops.exp(ops.cast(logits, wide) - normalizer)
        words = ops.arange(logits.shape[-1], dtype="int32")
        gradient = ops.where(words == labels, scores - 1, scores) * upstream
        return (ops.cast(gradient, logits.dtype),)

    return with_gradient(forward, backward)(logits)
