import keras
from keras import ops

from keras_attention.layers.attention import Attention, cloned, on_rows
from keras_attention.ops import checks
from keras_attention.ops.additive import additive_attention
from keras_attention.ops.luong import dot_attention, dot_logits
from keras_attention.ops.masks import agree
from keras_attention.ops.softmax import masked_softmax, wide_dtype


class LuongScores(Attention):
    """What the layers that score as Luong et al. (2015) do share.

    Luong et al., 2015, section 3.1, in which `W_a [h_t; h_s]` is written as
    the sum of two projections:

        "dot":      score[t, s] = query[t] . key[s]
        "general":  score[t, s] = query[t] . W key[s]
        "concat":   score[t, s] = v . tanh(W query[t] + U key[s])

    `project_query` and `project` are the projections of either side, `meet`
    is what follows them.

    Args:
        score: How a query and a key are compared.
        units: Size of `v`; for "concat" only, where it has to be given
            unless `project_key` is False.
        project_key: For "concat", whether keys are projected. If not, `U` is
            the identity and `v` has the size of a key.
        dropout: Share of the scores dropped in training, in [0, 1).
        kernel_initializer: Initializer of the projections.
        score_initializer: Initializer of the vectors.
        kernel_regularizer: Regularizer of the projections.
        kernel_constraint: Constraint on the projections.
        seed: Seed of the dropout.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.
    """

    # What `score` may be; a class, so that a subclass can add its own.
    choices = ("dot", "general", "concat")

    def __init__(
        self,
        score: str = "dot",
        units: int | None = None,
        project_key: bool = True,
        dropout: float = 0.0,
        kernel_initializer="glorot_uniform",
        score_initializer="glorot_uniform",
        kernel_regularizer=None,
        kernel_constraint=None,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        self.score = checks.one_of(score, "score", self.choices)
        self.project_key = project_key
        self.units = units
        if score == "concat" and project_key:
            self.units = checks.positive_int(units, "units")
        elif units is not None:
            raise ValueError(
                '`units` is the size of the projections of score="concat", '
                "and nothing else has such a size. Received: "
                f"units={units!r}, score={score!r}, "
                f"project_key={project_key!r}. Leave `units` out."
            )
        if score != "concat" and not project_key:
            raise ValueError(
                '`project_key=False` is a choice of score="concat" only. '
                f"Received: project_key={project_key!r}, score={score!r}. "
                "Leave `project_key` out."
            )
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.score_initializer = keras.initializers.get(score_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.query_dense = None
        self.key_dense = None
        self.score_vector = None
        if score == "concat" and project_key:
            self.key_dense = self._dense(self.units, "key")

    def _dense(self, units, name, dtype=None):
        return keras.layers.Dense(
            units,
            use_bias=False,
            # Cloned, or all kernels would start equal under a seed.
            kernel_initializer=cloned(self.kernel_initializer),
            kernel_regularizer=self.kernel_regularizer,
            kernel_constraint=self.kernel_constraint,
            dtype=dtype or self.dtype_policy,
            name=name,
        )

    def build_memory(self, value_shape, key_shape):
        if self.score != "concat":
            return
        if self.key_dense is not None:
            self.key_dense.build(key_shape)
        self.score_vector = self.add_weight(
            shape=(self.units or key_shape[-1],),
            initializer=self.score_initializer,
            name="score_vector",
        )

    def build_query(self, query_shape):
        if self.score in ("general", "concat"):
            key_shape = self._memory_shapes[1]
            units = self.units or key_shape[-1]
            self.query_dense = self._dense(units, "query")
            self.query_dense.build(query_shape)

    def project(self, value, key):
        return key if self.key_dense is None else self.key_dense(key), value

    def project_query(self, query):
        """The query as it meets the projected keys."""
        # W of "general" is applied from the side of the query: a step then
        # multiplies one state, and the memory stays as it is.
        if self.query_dense is None:
            return query
        return on_rows(self.query_dense, query)

    def meet(self, query, key, value, mask, return_scores, dropout_rate):
        """Reads with projected queries and keys."""
        if self.score == "concat":
            return additive_attention(
                query,  # (B, T, U)
                key,  # (B, S, U)
                value,
                ops.convert_to_tensor(self.score_vector),
                mask,
                return_scores,
                dropout_rate,
                self.seed_generator,
            )
        return dot_attention(
            query,
            key,
            value,
            mask,
            return_scores,
            dropout_rate,
            self.seed_generator,
        )

    def scores(self, query, key, mask):
        """The scores of projected queries and keys, float32 or wider."""
        if self.score == "concat":
            # One column of values: only the scores are wanted.
            _, scores = self.meet(query, key, key[..., :1], mask, True, 0.0)
            return ops.cast(scores, wide_dtype(scores.dtype))
        return masked_softmax(dot_logits(query, key), mask)

    def read(self, query, key, value, mask, return_scores, dropout_rate):
        query = self.project_query(query)
        return self.meet(query, key, value, mask, return_scores, dropout_rate)

    def check_shapes(self, query_shape, value_shape, key_shape=None):
        super().check_shapes(query_shape, value_shape, key_shape)
        self._check_sizes(query_shape[-1], (key_shape or value_shape)[-1])

    def _step_query(self, query, memory):
        query, single = super()._step_query(query, memory)
        self._check_sizes(query.shape[-1], memory["key"].shape[-1])
        return query, single

    def _check_sizes(self, query_size, key_size):
        built = self._memory_shapes and self._memory_shapes[1][-1]
        if self.units is None and built and not agree(key_size, built):
            raise ValueError(
                "Keys must have the size that the layer was built for. "
                f"Received: key size {key_size}, built for {built}."
            )
        if self.score == "dot" and not agree(query_size, key_size):
            raise ValueError(
                'score="dot" needs queries and keys of the same size. '
                f"Received: query size {query_size}, key size {key_size}. "
                'Project one of them first, or use score="general".'
            )

    def get_config(self):
        return {
            **super().get_config(),
            "score": self.score,
            "units": self.units,
            "project_key": self.project_key,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "score_initializer": keras.initializers.serialize(
                self.score_initializer
            ),
            "kernel_regularizer": keras.regularizers.serialize(
                self.kernel_regularizer
            ),
            "kernel_constraint": keras.constraints.serialize(
                self.kernel_constraint
            ),
        }
