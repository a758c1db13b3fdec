import keras

from keras_attention.layers.attention import on_rows
from keras_attention.layers.luong_scores import LuongScores
from keras_attention.ops import checks
from keras_attention.ops.luong import location_attention, too_long


@keras.saving.register_keras_serializable(package="keras_attention")
class LuongAttention(LuongScores):
    """Lets each query read a whole sequence by products or positions.

    Luong's global attention (Luong et al., 2015, section 3.1): the query
    `h_t` is a decoder's state, the keys `h_s` are an encoder's states, and

        score[t, s] = h_t . h_s                    "dot"
                      h_t . W h_s                  "general"
                      v . tanh(W h_t + U h_s)      "concat"
                      (W h_t)[s]                   "location"
        output[t]   = sum_s softmax(score[t])[s] * value[s]

    "dot" has no weights and needs query and key of one size. "general" lets
    them differ; `W` is `query_dense` and is applied to the query, so that a
    memory needs no projection. "concat" is the paper's `v . tanh(W_a [h_t;
    h_s])`, with `W_a` as `query_dense` and `key_dense` side by side; it is
    computed in blocks of queries, and `AdditiveAttention` adds a bias and a
    normalized `v` to it. "location" scores each of `max_length` positions
    from the query alone (`location_dense`) and reads the keys' mask, not the
    keys; a shorter source uses the first positions. Products are not scaled
    by the square root of their size, unlike those of `MultiHeadAttention`.

    Args:
        score: "dot", "general", "concat" or "location".
        units: Size of `v`. "concat" needs it, and nothing else takes it.
        project_key: For "concat": False is the form of the authors' released
            code, `v . tanh(W h_t + h_s)`, with `v` of the size of a key and
            no `units`.
        max_length: Length of the longest source. "location" needs it, and
            nothing else takes it.
        dropout: Share of the scores dropped in training, in [0, 1).
        kernel_initializer: Initializer of `W` and `U`.
        score_initializer: Initializer of `v`.
        kernel_regularizer: Regularizer of `W` and `U`.
        kernel_constraint: Constraint on `W` and `U`.
        seed: Seed of the dropout.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        query: `(B, T, D)`.
        value: `(B, S, V)`.
        key: `(B, S, E)`; `value` if None. E = D for "dot".
        query_mask: Booleans `(B, T)`; a query at False gets zeros.
        value_mask: Booleans `(B, S)`; a position at False is never read.
        key_mask: Booleans `(B, S)`, joined with `value_mask`.
        attention_mask: Booleans `(B, T, S)` or `(T, S)`.
        return_attention_scores: Whether to return the scores too.
        training: Whether dropout is active.
        use_causal_mask: Whether query t reads positions 0 to t only.

    Returns:
        `(B, T, V)`; with `return_attention_scores` also the scores
        `(B, T, S)`. A query with nothing to read gets zeros for both.

    Raises:
        ValueError: An argument is missing for the score, or belongs to
            another one; sizes do not fit each other; a source is longer than
            `max_length`; or a mask holds other than 0 and 1.

    Examples:
        >>> import numpy as np
        >>> import keras_attention
        >>> states = np.random.normal(size=(2, 3, 7))
        >>> annotations = np.random.normal(size=(2, 5, 11))
        >>> layer = keras_attention.layers.LuongAttention(score="general")
        >>> context, scores = layer(
        ...     states, annotations, return_attention_scores=True
        ... )
        >>> tuple(context.shape), tuple(scores.shape)
        ((2, 3, 11), (2, 3, 5))

    Reference:
        [Luong et al., 2015](https://arxiv.org/abs/1508.04025), section 3.1,
        equations 7 and 8.
    """

    choices = (*LuongScores.choices, "location")

    def __init__(
        self,
        score: str = "dot",
        units: int | None = None,
        project_key: bool = True,
        max_length: int | None = None,
        dropout: float = 0.0,
        kernel_initializer="glorot_uniform",
        score_initializer="glorot_uniform",
        kernel_regularizer=None,
        kernel_constraint=None,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(
            score=score,
            units=units,
            project_key=project_key,
            dropout=dropout,
            kernel_initializer=kernel_initializer,
            score_initializer=score_initializer,
            kernel_regularizer=kernel_regularizer,
            kernel_constraint=kernel_constraint,
            seed=seed,
            **kwargs,
        )
        self.max_length = max_length
        self.location_dense = None
        if score == "location":
            self.max_length = checks.positive_int(max_length, "max_length")
            self.location_dense = self._dense(self.max_length, "location")
        elif max_length is not None:
            raise ValueError(
                '`max_length` is the number of positions of score="location" '
                "only; the other scores read a source of any length. "
                f"Received: max_length={max_length!r}, score={score!r}. "
                "Leave `max_length` out."
            )

    def build_query(self, query_shape):
        super().build_query(query_shape)
        if self.location_dense is not None:
            self.location_dense.build(query_shape)

    def read(self, query, key, value, mask, return_scores, dropout_rate):
        if self.location_dense is None:
            return super().read(
                query, key, value, mask, return_scores, dropout_rate
            )
        return location_attention(
            on_rows(self.location_dense, query),  # (B, T, max_length)
            value,
            mask,
            return_scores,
            dropout_rate,
            self.seed_generator,
        )

    def check_shapes(self, query_shape, value_shape, key_shape=None):
        super().check_shapes(query_shape, value_shape, key_shape)
        length, longest = value_shape[1], self.max_length
        if longest is not None and checks.known(length) and length > longest:
            raise ValueError(too_long(length, longest))

    def get_config(self):
        return {**super().get_config(), "max_length": self.max_length}
