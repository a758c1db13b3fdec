import keras
from keras import ops

from keras_attention.layers.attention import cloned
from keras_attention.layers.recurrent_attention import (
    RecurrentAttention,
    matrix_of,
)
from keras_attention.ops import checks
from keras_attention.ops.additive_features import featured_logits
from keras_attention.ops.softmax import masked_softmax


@keras.saving.register_keras_serializable(package="keras_attention")
class LocationAttention(RecurrentAttention):
    """Scores by what is at a position and by where the last step read.

    For sources in which the same content occurs again and again, as sounds
    do in speech: content alone cannot tell the copies apart, but the position
    read before can. Filters over the scores of the last step give each
    position features, which join an additive score (Chorowski et al., 2015,
    equations 8 and 9):

        features[t, s] = sum_i F[i] scores[t - 1, s + i - r]
        score[t, s]    = v . tanh(W query[t] + V key[s] + U features[t, s] + b)
        scores[t]      = softmax(score[t])
        output[t]      = sum_s scores[t, s] value[s]

    with `2 r + 1 = kernel_size`. `W` is `query_dense`, `V` is `key_dense`,
    `F` is `location_conv`, `U` is `feature_dense` and `v` is `score_vector`.
    The paper's F takes the scores in the opposite order. Step 0 sees the
    scores of a reader at the first position that may be read, as in the
    authors' code.

    Args:
        units: Size of the shared space, the length of `v`.
        filters: Number of filters, the paper's k; 10 there.
        kernel_size: Width of a filter, odd; 201 in the paper, for sources of
            many hundred frames.
        sharpening: The paper's beta, with which scores are multiplied before
            the softmax (section 2.3). Above 1 they focus on fewer positions.
        smoothing: Whether a sigmoid takes the place of the exponential in
            the softmax (section 2.3), so that scores spread over more.
        use_bias: Whether there is a `b`.
        normalize: See `AdditiveAttention`.
        dropout: Share of the scores dropped in training, in [0, 1). It acts
            on what is read, not on what the next step sees.
        kernel_initializer: Initializer of `W`, `V`, `U` and `F`.
        score_initializer: Initializer of `v`.
        bias_initializer: Initializer of `b`.
        kernel_regularizer: Regularizer of `W`, `V`, `U` and `F`.
        kernel_constraint: Constraint on `W`, `V`, `U` and `F`.
        seed: Seed of the dropout.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        query: `(B, T, D)`.
        value: `(B, S, V)`.
        key: `(B, S, E)`; `value` if None.
        query_mask: Booleans `(B, T)`; a query at False gets zeros, and the
            next one sees what this one would have.
        value_mask: Booleans `(B, S)`; a position at False is never read.
        key_mask: Booleans `(B, S)`, joined with `value_mask`.
        attention_mask: Booleans `(B, T, S)` or `(T, S)`.
        return_attention_scores: Whether to return the scores too.
        training: Whether dropout is active.
        use_causal_mask: Whether query t reads positions 0 to t only.

    Returns:
        `(B, T, V)`; with `return_attention_scores` also the scores
        `(B, T, S)`. A query with nothing to read gets zeros for both.

        The state of a step is `{"alignment": (B, S)}`, the scores of the
        step before.

    Raises:
        ValueError: A size is not a positive integer, `kernel_size` is even,
            `sharpening` is not positive, sizes do not fit each other, or a
            mask holds other than 0 and 1.

    Examples:
        >>> import numpy as np
        >>> import keras_attention
        >>> states = np.random.normal(size=(2, 3, 7))
        >>> annotations = np.random.normal(size=(2, 50, 11))
        >>> layer = keras_attention.layers.LocationAttention(
        ...     units=13, filters=5, kernel_size=9
        ... )
        >>> context, scores = layer(
        ...     states, annotations, return_attention_scores=True
        ... )
        >>> tuple(context.shape), tuple(scores.shape)
        ((2, 3, 11), (2, 3, 50))

    Reference:
        [Chorowski et al., 2015](https://arxiv.org/abs/1506.07503), sections
        2.1 and 2.3.
    """

    def __init__(
        self,
        units: int,
        filters: int,
        kernel_size: int,
        sharpening: float = 1.0,
        smoothing: bool = False,
        use_bias: bool = True,
        normalize: bool = False,
        dropout: float = 0.0,
        kernel_initializer="glorot_uniform",
        score_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        kernel_constraint=None,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(
            units,
            use_bias=use_bias,
            normalize=normalize,
            dropout=dropout,
            kernel_initializer=kernel_initializer,
            score_initializer=score_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            kernel_constraint=kernel_constraint,
            seed=seed,
            **kwargs,
        )
        self.filters = checks.positive_int(filters, "filters")
        self.kernel_size = checks.positive_int(kernel_size, "kernel_size")
        if self.kernel_size % 2 == 0:
            raise ValueError(
                "`kernel_size` must be odd, so that a filter reaches as far "
                "to the left as to the right. Received: "
                f"kernel_size={kernel_size}. Pass {self.kernel_size + 1}."
            )
        self.sharpening = checks.positive(sharpening, "sharpening")
        self.smoothing = smoothing
        self.location_conv = keras.layers.Conv1D(
            self.filters,
            self.kernel_size,
            padding="same",
            use_bias=False,
            kernel_initializer=cloned(self.kernel_initializer),
            kernel_regularizer=self.kernel_regularizer,
            kernel_constraint=self.kernel_constraint,
            dtype=self.dtype_policy,
            name="location",
        )
        self.feature_dense = self._dense("feature", use_bias=False)

    def build_memory(self, value_shape, key_shape):
        super().build_memory(value_shape, key_shape)
        self.location_conv.build((None, None, 1))
        self.feature_dense.build((None, self.filters))

    def align(self, x, memory, before, mask):
        batch, hypotheses, length = ops.shape(before)
        columns = ops.reshape(before, (batch * hypotheses, length, 1))
        features = self.location_conv(columns)
        logits = featured_logits(
            x["query"],
            memory["key"],
            ops.reshape(features, (batch, hypotheses, length, self.filters)),
            matrix_of(self.feature_dense),
            self.read_vector(),
        )
        logits = self.sharpening * logits
        if self.smoothing:  # of which the softmax is sigmoid / sum(sigmoid)
            logits = ops.log_sigmoid(logits)
        return masked_softmax(logits, mask)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "sharpening": self.sharpening,
            "smoothing": self.smoothing,
        }
