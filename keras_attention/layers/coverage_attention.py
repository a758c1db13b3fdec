import keras
from keras import ops

from keras_attention.layers.recurrent_attention import (
    RecurrentAttention,
    matrix_of,
)
from keras_attention.ops import checks
from keras_attention.ops.additive_features import featured_logits
from keras_attention.ops.softmax import masked_softmax


@keras.saving.register_keras_serializable(package="keras_attention")
class CoverageAttention(RecurrentAttention):
    """Scores by what is at a position and by how much of it was read.

    Against reading some of a source twice and some not at all, as decoders
    do in translation and summaries. The sum of a position's scores so far,
    its coverage, joins an additive score (Tu et al.,
    2016, section 3.1, linguistic coverage; See et al., 2017, equation 11):

        coverage[t, s] = sum_{i < t} scores[i, s]
        score[t, s]    = v . tanh(W query[t] + U key[s]
                                  + C coverage[t, s] / fertility[s] + b)
        scores[t]      = softmax(score[t])
        output[t]      = sum_s scores[t, s] value[s]

    The fertility of a position is how often it should be read. It is 1, or,
    with the argument `fertility`, predicted, as Tu et al. do:

        fertility[s] = N sigmoid(w . key[s])

    `W` is `query_dense`, `U` is `key_dense`, `C` is `feature_dense`, `v` is
    `score_vector` and `w` is `fertility_dense`. Tu et al. have no `b`.

    Each step reports `coverage_loss`, what See et al. (equation 12) add to
    the loss of a model so that it does not read twice:

        coverage_loss[t] = sum_s min(scores[t, s], coverage[t, s])

    Args:
        units: Size of the shared space, the length of `v`.
        fertility: N, how often a position may be read at most; 2 in Tu et
            al. None for none: every position counts as read after once.
        use_bias: Whether there is a `b`.
        normalize: See `AdditiveAttention`.
        dropout: Share of the scores dropped in training, in [0, 1). It acts
            on what is read, not on the coverage.
        kernel_initializer: Initializer of `W`, `U`, `C` and `w`.
        score_initializer: Initializer of `v`.
        bias_initializer: Initializer of `b`.
        kernel_regularizer: Regularizer of `W`, `U`, `C` and `w`.
        kernel_constraint: Constraint on `W`, `U`, `C` and `w`.
        seed: Seed of the dropout.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        query: `(B, T, D)`.
        value: `(B, S, V)`.
        key: `(B, S, E)`; `value` if None.
        query_mask: Booleans `(B, T)`; a query at False gets zeros and adds
            nothing to the coverage.
        value_mask: Booleans `(B, S)`; a position at False is never read.
        key_mask: Booleans `(B, S)`, joined with `value_mask`.
        attention_mask: Booleans `(B, T, S)` or `(T, S)`.
        return_attention_scores: Whether to return the scores too.
        training: Whether dropout is active.
        use_causal_mask: Whether query t reads positions 0 to t only.
        return_extras: Whether to return what a step reports too.

    Returns:
        `(B, T, V)`; with `return_attention_scores` also the scores
        `(B, T, S)`; with `return_extras` then a dict of `coverage_loss`
        `(B, T)`. A query with nothing to read gets zeros for all.

        The state of a step is `{"coverage": (B, S)}`.

    Raises:
        ValueError: `units` is not a positive integer, `fertility` is not
            positive, sizes do not fit each other, or a mask holds other than
            0 and 1.

    Examples:
        >>> import numpy as np
        >>> import keras_attention
        >>> states = np.random.normal(size=(2, 3, 7))
        >>> annotations = np.random.normal(size=(2, 5, 11))
        >>> layer = keras_attention.layers.CoverageAttention(units=13)
        >>> context, extras = layer(states, annotations, return_extras=True)
        >>> tuple(context.shape), tuple(extras["coverage_loss"].shape)
        ((2, 3, 11), (2, 3))

        In an AttentionRNN the loss is in what it returns, over time:

        >>> decoder = keras_attention.layers.AttentionRNN(
        ...     keras.layers.GRUCell(7), layer
        ... )
        >>> result = decoder(states, annotations)
        >>> tuple(result["coverage_loss"].shape)
        (2, 3)

    Reference:
        [Tu et al., 2016](https://arxiv.org/abs/1601.04811), section 3.1;
        [See et al., 2017](https://arxiv.org/abs/1704.04368), section 2.3.
    """

    remembers = "coverage"

    def __init__(
        self,
        units: int,
        fertility: float | None = None,
        use_bias: bool = False,
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
        self.fertility = fertility
        self.fertility_dense = None
        if fertility is not None:
            self.fertility = checks.positive(fertility, "fertility")
            self.fertility_dense = self._dense("fertility", False, units=1)
        self.feature_dense = self._dense("feature", use_bias=False)

    def build_memory(self, value_shape, key_shape):
        super().build_memory(value_shape, key_shape)
        self.feature_dense.build((None, 1))
        if self.fertility_dense is not None:
            self.fertility_dense.build(key_shape)

    def memory(self, value, key=None, mask=None):
        """Projects a source once, and predicts its fertilities if asked to.

        Args and returns as of every attention layer; with `fertility` the
        dict also holds `fertility` `(B, S)`.
        """
        memory = super().memory(value, key, mask)
        if self.fertility_dense is None:
            return memory
        key = self._float(value if key is None else key)
        share = ops.sigmoid(
            ops.cast(self.fertility_dense(key)[..., 0], self._state_dtype())
        )
        return {**memory, "fertility": self.fertility * share}

    def first(self, memory):
        """`(B, S)` zeros: nothing was read."""
        shape = ops.shape(memory["key"])[:2]
        return ops.zeros(shape, dtype=self._state_dtype())

    def align(self, x, memory, before, mask):
        covered = before
        if self.fertility is not None:
            covered = before / memory["fertility"][:, None]
        logits = featured_logits(
            x["query"],
            memory["key"],
            covered[..., None],
            matrix_of(self.feature_dense),
            self.read_vector(),
        )
        return masked_softmax(logits, mask)

    def after(self, before, scores):
        return before + scores

    def report(self, before, scores):
        return {"coverage_loss": ops.sum(ops.minimum(before, scores), axis=-1)}

    def step_spec(self, batch, length):
        loss = keras.KerasTensor((batch,), self._state_dtype())
        _, state = super().step_spec(batch, length)
        return {"coverage_loss": loss}, state

    def call(
        self,
        query,
        value,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        use_causal_mask=False,
        return_extras=False,
    ):
        output, scores, extras = self.run(
            query,
            value,
            key,
            (query_mask, value_mask, key_mask, attention_mask, use_causal_mask),
            training,
        )
        result = [output]
        result += [scores] if return_attention_scores else []
        result += [extras] if return_extras else []
        return tuple(result) if len(result) > 1 else output

    def compute_output_spec(
        self, query, value, *args, return_extras=False, **kwargs
    ):
        spec = super().compute_output_spec(query, value, *args, **kwargs)
        if not return_extras:
            return spec
        loss = keras.KerasTensor(query.shape[:2], self._state_dtype())
        spec = spec if isinstance(spec, tuple) else (spec,)
        return (*spec, {"coverage_loss": loss})

    def get_config(self):
        return {**super().get_config(), "fertility": self.fertility}
