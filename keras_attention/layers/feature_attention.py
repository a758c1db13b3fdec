import keras
from keras import ops

from keras_attention.layers.attention import cloned
from keras_attention.ops import checks
from keras_attention.ops.masks import agree, as_mask, check_mask_shape
from keras_attention.ops.softmax import masked_softmax, mean_one_softmax


class FeatureAttention(keras.layers.Layer):
    """What the layers that weigh a feature map by a query share.

    They return the map itself, weighed, where attention proper returns a sum.
    A subclass says what is compared, and how:

    - `build_features(features_shape)` creates the weights of that side.
    - `logits(features, query, mask)` returns logits `(B, T, S)` for queries
      `(B, T, U)`, projected, and what of them may be read: booleans that
      broadcast to them, or None.
    - `scores_shape` is the shape of S as the caller knows it, and
      `weights_shape` that with which weights multiply the map.

    Args:
        units: Size of the space in which queries are compared.
        rescale: Whether weights are multiplied by their number.
        kernel_initializer: Initializer of the projections.
        score_initializer: Initializer of the score vector.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Regularizer of the projections.
        kernel_constraint: Constraint on the projections.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.
    """

    def __init__(
        self,
        units: int,
        rescale: bool = True,
        kernel_initializer="glorot_uniform",
        score_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        kernel_constraint=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = checks.positive_int(units, "units")
        self.rescale = rescale
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.score_initializer = keras.initializers.get(score_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.supports_masking = True
        self.query_dense = None
        self.score_vector = None

    def _dense(self, name, use_bias):
        return keras.layers.Dense(
            self.units,
            use_bias=use_bias,
            # Cloned, or all kernels would start equal under a seed.
            kernel_initializer=cloned(self.kernel_initializer),
            bias_initializer=cloned(self.bias_initializer),
            kernel_regularizer=self.kernel_regularizer,
            kernel_constraint=self.kernel_constraint,
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, features_shape, query_shape):
        self.check_shapes(features_shape, query_shape)
        if features_shape[-1] is None:
            raise ValueError(
                "The channels of `features` must be known. Received: shape "
                f"{tuple(features_shape)}. Give the last axis a size."
            )
        self.query_dense = self._dense("query", use_bias=True)
        self.query_dense.build((None, query_shape[-1]))
        self.build_features(features_shape)
        self.score_vector = self.add_weight(
            shape=(self.units,),
            initializer=cloned(self.score_initializer),
            name="score_vector",
        )

    def build_features(self, features_shape):
        """Creates the weights that meet the features."""

    def logits(self, features, query, mask):
        """Logits `(B, T, S)`, and which of them may be read."""
        raise NotImplementedError(
            f"{type(self).__name__} must define what is compared: `logits`."
        )

    def scores_shape(self, features_shape):
        """What S is, a tuple of sizes."""
        raise NotImplementedError

    def weights_shape(self, features_shape):
        """The axes of `scores_shape` among height, width and channels."""
        raise NotImplementedError

    def call(
        self,
        features,
        query,
        features_mask=None,
        query_mask=None,
        return_attention_scores=False,
    ):
        features = ops.cast(features, self.compute_dtype)
        query = ops.cast(query, self.compute_dtype)
        self.check_shapes(features.shape, query.shape)
        single = len(query.shape) == 2
        features_mask, query_mask = self._masks(
            features, query, features_mask, query_mask
        )
        if features_mask is not None:
            # Not times 0: what is masked may be infinite.
            features = ops.where(features_mask[..., None], features, 0.0)
        query = query[:, None] if single else query  # (B, T, D)
        output, scores = self.weigh(
            features, query, features_mask, query_mask, return_attention_scores
        )
        if single:
            output, scores = keras.tree.map_structure(
                lambda x: None if x is None else ops.squeeze(x, axis=1),
                (output, scores),
            )
        return (output, scores) if return_attention_scores else output

    def weigh(self, features, query, features_mask, query_mask, return_scores):
        """The weighed map `(B, T, height, width, C)`, and scores or None."""
        batch, length, size = ops.shape(query)
        rows = self.query_dense(ops.reshape(query, (batch * length, size)))
        projected = ops.reshape(rows, (batch, length, self.units))
        logits, mask = self.logits(features, projected, features_mask)
        if query_mask is not None:
            rows = query_mask[:, :, None]
            mask = rows if mask is None else ops.logical_and(mask, rows)
        weights = scores = None
        if return_scores or not self.rescale:
            scores = masked_softmax(logits, mask)
        weights = mean_one_softmax(logits, mask) if self.rescale else scores
        shape = ops.shape(features)
        weights = ops.cast(weights, features.dtype)
        weights = ops.reshape(
            weights, (batch, length, *self.weights_shape(shape))
        )
        if return_scores:
            scores = ops.cast(scores, features.dtype)
            scores = ops.reshape(
                scores, (batch, length, *self.scores_shape(shape))
            )
        return features[:, None] * weights, scores

    def _masks(self, features, query, features_mask, query_mask):
        """The masks of a call as booleans, once they fit its tensors."""
        features_mask = as_mask(features_mask, "features_mask")
        if features_mask is not None:
            check_mask_shape(
                features_mask,
                "features_mask",
                {"(B, height, width)": features.shape[:3]},
            )
        query_mask = as_mask(query_mask, "query_mask")
        if query_mask is not None:
            if len(query.shape) == 2:
                raise ValueError(
                    "`query_mask` is for queries (B, T, D). Received: a query "
                    f"of shape {tuple(query.shape)}. Leave it out."
                )
            check_mask_shape(
                query_mask, "query_mask", {"(B, T)": query.shape[:2]}
            )
        return features_mask, query_mask

    def check_shapes(self, features_shape, query_shape):
        """Raises unless the static shapes fit each other."""
        features, query = tuple(features_shape), tuple(query_shape)
        received = f"features {features}, query {query}"
        if len(features) != 4:
            raise ValueError(
                "`features` must have shape (batch, height, width, channels). "
                f"Received shapes: {received}."
            )
        if len(query) not in (2, 3):
            raise ValueError(
                "`query` must have shape (batch, features), or (batch, "
                f"length, features). Received shapes: {received}."
            )
        if not agree(features[0], query[0]):
            raise ValueError(
                "`features` and `query` must have the same batch size. "
                f"Received shapes: {received}."
            )

    def compute_mask(self, inputs, previous_mask):
        return None  # What is masked is zero in the output.

    def compute_output_shape(self, features_shape, query_shape):
        self.check_shapes(features_shape, query_shape)
        return (*query_shape[:-1], *features_shape[1:])

    def compute_scores_spec(self, features, query):
        """What a call returns as scores."""
        shape = self.scores_shape(features.shape)
        return keras.KerasTensor(
            (*query.shape[:-1], *shape), dtype=self.compute_dtype
        )

    def compute_output_spec(
        self,
        features,
        query,
        features_mask=None,
        query_mask=None,
        return_attention_scores=False,
    ):
        output = keras.KerasTensor(
            self.compute_output_shape(features.shape, query.shape),
            dtype=self.compute_dtype,
        )
        if not return_attention_scores:
            return output
        return output, self.compute_scores_spec(features, query)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "rescale": self.rescale,
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
