import keras
from keras import ops

from keras_attention.layers.attention import cloned
from keras_attention.layers.channel_attention import ChannelAttention
from keras_attention.layers.feature_attention import FeatureAttention
from keras_attention.layers.spatial_attention import SpatialAttention
from keras_attention.ops import checks


@keras.saving.register_keras_serializable(package="keras_attention")
class SpatialChannelAttention(FeatureAttention):
    """Weighs a feature map by channels and places, one after the other.

    The attention of SCA-CNN (Chen et al., 2017, section 3). The second
    looks at what the first has weighed:

        "channel_spatial", C-S:  V_c = Channel(V, h),  X = Spatial(V_c, h)
        "spatial_channel", S-C:  V_s = Spatial(V, h),  X = Channel(V_s, h)

    `channel_attention` and `spatial_attention` are the two layers, which
    have the equations. For attention in several layers of a network, put one
    of these behind each, and run the layers between them at every step.

    Args:
        units: Size of the space of scores of either, the paper's k; 512 in
            its code.
        order: "channel_spatial", as in the published code, or
            "spatial_channel".
        rescale: Whether the weights of either are multiplied by their number,
            so that their mean is 1: see `SpatialAttention`.
        kernel_initializer: Initializer of the projections.
        score_initializer: Initializer of the score vectors.
        bias_initializer: Initializer of the biases.
        kernel_regularizer: Regularizer of the projections.
        kernel_constraint: Constraint on the projections.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        features: `(B, height, width, C)`.
        query: `(B, D)`, or `(B, T, D)` for T queries or hypotheses that each
            weigh the map for themselves.
        features_mask: Booleans `(B, height, width)`; a place at False is
            never read, and zero in the output.
        query_mask: Booleans `(B, T)`; a query at False gets zeros.
        return_attention_scores: Whether to return both scores too.

    Returns:
        `(B, height, width, C)`, or `(B, T, height, width, C)`; with
        `return_attention_scores` also a dict of `channel`, `(B, C)` or `(B,
        T, C)`, and `spatial`, `(B, height, width)` or `(B, T, height,
        width)`. A query with nothing to read gets zeros for all.

    Raises:
        ValueError: `units` is not a positive integer, `order` is not known, a
            rank is wrong, sizes do not fit each other, or a mask holds other
            than 0 and 1.

    Examples:
        >>> import numpy as np
        >>> import keras_attention
        >>> features = np.random.normal(size=(2, 7, 7, 32))
        >>> state = np.random.normal(size=(2, 11))
        >>> layer = keras_attention.layers.SpatialChannelAttention(units=13)
        >>> weighed, scores = layer(
        ...     features, state, return_attention_scores=True
        ... )
        >>> tuple(weighed.shape)
        (2, 7, 7, 32)
        >>> tuple(scores["channel"].shape), tuple(scores["spatial"].shape)
        ((2, 32), (2, 7, 7))

    Reference:
        [Chen et al., 2017](https://arxiv.org/abs/1611.05594), section 3.
    """

    def __init__(
        self,
        units: int,
        order: str = "channel_spatial",
        rescale: bool = True,
        kernel_initializer="glorot_uniform",
        score_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        kernel_constraint=None,
        **kwargs,
    ):
        super().__init__(
            units,
            rescale,
            kernel_initializer,
            score_initializer,
            bias_initializer,
            kernel_regularizer,
            kernel_constraint,
            **kwargs,
        )
        self.order = checks.one_of(
            order, "order", ("channel_spatial", "spatial_channel")
        )
        self.channel_attention = self._part(ChannelAttention, "channel")
        self.spatial_attention = self._part(SpatialAttention, "spatial")

    def _part(self, layer, name):
        return layer(
            self.units,
            self.rescale,
            # Cloned, or both parts would start equal under a seed.
            cloned(self.kernel_initializer),
            cloned(self.score_initializer),
            cloned(self.bias_initializer),
            self.kernel_regularizer,
            self.kernel_constraint,
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, features_shape, query_shape):
        self.check_shapes(features_shape, query_shape)
        self.channel_attention.build(features_shape, query_shape)
        self.spatial_attention.build(features_shape, query_shape)

    def weigh(self, features, query, features_mask, query_mask, return_scores):
        parts = (self.channel_attention, self.spatial_attention)
        first, second = parts if self._channel_first() else reversed(parts)

        def read(layer, features, query, features_mask, query_mask):
            result = layer(
                features,
                query,
                features_mask=features_mask,
                query_mask=query_mask,
                return_attention_scores=return_scores,
            )
            return result if return_scores else (result, None)

        weighed, first_scores = read(
            first, features, query, features_mask, query_mask
        )
        # Each query goes on with a map of its own: fold T into the batch.
        shape = ops.shape(weighed)  # B, T, height, width, C
        batch, length = shape[:2]
        if features_mask is not None:
            features_mask = ops.broadcast_to(features_mask[:, None], shape[:4])
            features_mask = ops.reshape(features_mask, (-1, *shape[2:4]))
        if query_mask is not None:
            query_mask = ops.reshape(query_mask, (-1, 1))
        weighed, second_scores = read(
            second,
            ops.reshape(weighed, (batch * length, *shape[2:])),
            ops.reshape(query, (batch * length, 1, query.shape[-1])),
            features_mask,
            query_mask,
        )
        weighed = ops.reshape(weighed, shape)
        if not return_scores:
            return weighed, None
        sizes = ops.shape(second_scores)[2:]
        second_scores = ops.reshape(second_scores, (batch, length, *sizes))
        scores = (first_scores, second_scores)
        scores = scores if self._channel_first() else reversed(scores)
        return weighed, dict(zip(("channel", "spatial"), scores, strict=True))

    def _channel_first(self):
        return self.order == "channel_spatial"

    def compute_scores_spec(self, features, query):
        return {
            "channel": self.channel_attention.compute_scores_spec(
                features, query
            ),
            "spatial": self.spatial_attention.compute_scores_spec(
                features, query
            ),
        }

    def get_config(self):
        return {**super().get_config(), "order": self.order}
