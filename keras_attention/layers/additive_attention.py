import keras
from keras import ops

from keras_attention.layers.attention import Attention, cloned, on_rows
from keras_attention.ops import checks
from keras_attention.ops.additive import additive_attention


@keras.saving.register_keras_serializable(package="keras_attention")
class AdditiveAttention(Attention):
    """Lets each query read from a sequence through a small score network.

    Query and key are projected into a shared space, added, squashed and
    reduced to one number per pair (Bahdanau et al., 2015, appendix A.1.2):

        score[t, s] = v . tanh(W query[t] + U key[s])
        output[t]   = sum_s softmax(score[t])[s] * value[s]

    `W` is `query_dense`, `U` is `key_dense`, `v` is `score_vector`. Use it
    where queries and keys live in different spaces, as a decoder's state and
    an encoder's annotations do. Unlike `keras.layers.AdditiveAttention`, `W`
    and `U` are learned here, so query and key may have different feature
    sizes, and the `(B, T, S, units)` tensor of all pairs is never held:
    pairs are computed in blocks of queries, forward and backward.

    Args:
        units: Size of the shared space, the paper's n'.
        use_bias: Whether a bias is added before the tanh.
        normalize: Whether the score is `g * v/||v|| . tanh(...)` with a
            learned scalar `g` that starts at `sqrt(1 / units)`, so that the
            scale of the scores is learned apart from their direction.
        dropout: Share of the scores dropped in training, in [0, 1). With
            dropout, or if scores are asked for, a `(B, T, S)` tensor is held.
        kernel_initializer: Initializer of `W` and `U`.
        score_initializer: Initializer of `v`.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Regularizer of `W` and `U`.
        kernel_constraint: Constraint on `W` and `U`.
        seed: Seed of the dropout.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        query: `(B, T, D)`.
        value: `(B, S, V)`.
        key: `(B, S, E)`; `value` if None.
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
        ValueError: `units` is not a positive integer, a rank is not 3,
            sizes do not fit each other, or a mask holds other than 0 and 1.

    Examples:
        >>> import numpy as np
        >>> import keras_attention
        >>> states = np.random.normal(size=(2, 3, 7))
        >>> annotations = np.random.normal(size=(2, 5, 11))
        >>> layer = keras_attention.layers.AdditiveAttention(units=13)
        >>> context, scores = layer(
        ...     states, annotations, return_attention_scores=True
        ... )
        >>> tuple(context.shape), tuple(scores.shape)
        ((2, 3, 11), (2, 3, 5))

        One query at a time, as a decoder asks, projecting the source once:

        >>> memory = layer.memory(annotations)
        >>> state = layer.initial_state(memory)
        >>> context, state, extras = layer.step(states[:, 0], memory, state)
        >>> tuple(context.shape)
        (2, 11)

    Reference:
        [Bahdanau et al., 2015](https://arxiv.org/abs/1409.0473), A.1.2;
        [Salimans and Kingma, 2016](https://arxiv.org/abs/1602.07868) for
        `normalize`.
    """

    def __init__(
        self,
        units: int,
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
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        self.units = checks.positive_int(units, "units")
        self.use_bias = use_bias
        self.normalize = normalize
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.score_initializer = keras.initializers.get(score_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.query_dense = self._dense("query", use_bias)
        self.key_dense = self._dense("key", use_bias=False)
        self.score_vector = None
        self.score_scale = None

    def _dense(self, name, use_bias, units=None):
        return keras.layers.Dense(
            units or self.units,
            use_bias=use_bias,
            # Cloned: one initializer draws the same numbers each time.
            kernel_initializer=cloned(self.kernel_initializer),
            bias_initializer=self.bias_initializer,
            kernel_regularizer=self.kernel_regularizer,
            kernel_constraint=self.kernel_constraint,
            dtype=self.dtype_policy,
            name=name,
        )

    def build_query(self, query_shape):
        self.query_dense.build(query_shape)

    def build_memory(self, value_shape, key_shape):
        self.key_dense.build(key_shape)
        self.score_vector = self.add_weight(
            shape=(self.units,),
            initializer=self.score_initializer,
            name="score_vector",
        )
        if self.normalize:
            self.score_scale = self._add_score_scale()

    def _add_score_scale(self):
        """`g` of normalized scores."""
        return self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(self.units**-0.5),
            name="score_scale",
        )

    def project(self, value, key):
        return self.key_dense(key), value

    def read(self, query, key, value, mask, return_scores, dropout_rate):
        return additive_attention(
            on_rows(self.query_dense, query),  # (B, T, U)
            key,  # (B, S, U)
            value,
            self.read_vector(),
            mask,
            return_scores,
            dropout_rate,
            self.seed_generator,
        )

    def read_vector(self):
        """`v`, or `g * v/||v||` if normalized: `(U,)`, float32 or wider."""
        vector = ops.convert_to_tensor(self.score_vector)
        if not self.normalize:
            return vector
        scale = ops.convert_to_tensor(self.score_scale)
        return scale * vector / ops.norm(vector)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "use_bias": self.use_bias,
            "normalize": self.normalize,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "score_initializer": keras.initializers.serialize(
                self.score_initializer
            ),
            "bias_initializer": keras.initializers.serialize(
                self.bias_initializer
            ),
            "kernel_regularizer": keras.regularizers.serialize(
                self.kernel_regularizer
            ),
            "kernel_constraint": keras.constraints.serialize(
                self.kernel_constraint
            ),
        }
