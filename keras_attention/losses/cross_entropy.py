import keras
from keras import ops

from keras_attention.ops import checks
from keras_attention.ops.cross_entropy import sparse_cross_entropy


@keras.saving.register_keras_serializable(package="keras_attention")
class SparseCategoricalCrossentropy(keras.losses.Loss):
    """Cross-entropy of integer labels and logits, light on memory.

    The numbers of `keras.losses.SparseCategoricalCrossentropy` with
    `from_logits=True`. Its gradient is written by hand, so that one tensor of
    the size of the logits is kept where automatic gradients keep three or
    four: with a vocabulary, those are the largest tensors of a training step.

    Padding counts by its sample weight: give it 0, and the loss is the mean
    over real words, where Keras's own default divides by the padding too.

    With `label_smoothing` = e the target of a label is 1 - e + e / V, that of
    every other number e / V (Szegedy et al., 2016, section 7; Vaswani et al.,
    2017, section 5.4, take 0.1): the numbers of
    `keras.losses.CategoricalCrossentropy(label_smoothing=e)`, without one-hot
    labels. The loss then no longer falls to 0, and its exponential is no
    perplexity: validate with a loss without smoothing, or with BLEU.

    Args:
        label_smoothing: e, from 0 to less than 1.
        reduction: How losses are summed up, one of Keras's reductions.
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
        reduction: str | None = "mean_with_sample_weight",
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
