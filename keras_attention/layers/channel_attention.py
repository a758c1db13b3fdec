import keras
from keras import ops

from keras_attention.layers.attention import cloned
from keras_attention.layers.feature_attention import FeatureAttention
from keras_attention.ops.channels import channel_logits
from keras_attention.ops.softmax import wide_dtype


@keras.saving.register_keras_serializable(package="keras_attention")
class ChannelAttention(FeatureAttention):
    """Weighs the channels of a feature map by what a query looks for.

    A channel is the answer of one detector, so this chooses what to look at,
    where `SpatialAttention` chooses where. Chen et al., 2017, section 3,
    with V of C channels:

        v[c]   = mean of V[c] over the places
        b      = tanh(W_c (x) v + b_c + W_hc h)
        beta   = softmax(W_i' b + b_i'), over the channels
        X[c]   = beta[c] V[c],   times C if `rescale`

    `h` is the query, `W_c` is `key_vector`, `W_hc` and `b_c` are
    `query_dense`, `W_i'` is `score_vector`; (x) is the outer product. Every
    channel is compared with the same weights, so their number does not
    depend on C, and channels of equal means get equal weights. There is no
    `b_i'`: it moves all channels alike, which a softmax does not see.

    Time grows with C x units. The `(B, C, units)` tensor of all pairs is
    never held: it is computed in blocks, forward and backward.

    Args:
        units: Size of the space of scores, the paper's k; 512 in its code.
        rescale: Whether weights are multiplied by their number, C, so that
            their mean is 1. The paper's formulas leave it out, its published
            code has it: without it the map is C times smaller, and a
            pretrained layer that follows has never seen such a map.
        kernel_initializer: Initializer of `W_c` and `W_hc`.
        score_initializer: Initializer of `W_i'`.
        bias_initializer: Initializer of `b_c`.
        kernel_regularizer: Regularizer of `W_c` and `W_hc`.
        kernel_constraint: Constraint on `W_c` and `W_hc`.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        features: `(B, height, width, C)`.
        query: `(B, D)`, or `(B, T, D)` for T queries or hypotheses that each
            weigh the map for themselves.
        features_mask: Booleans `(B, height, width)`; a place at False is
            left out of the means, and zero in the output.
        query_mask: Booleans `(B, T)`; a query at False gets zeros.
        return_attention_scores: Whether to return `beta` too.

    Returns:
        `(B, height, width, C)`, or `(B, T, height, width, C)`; with
        `return_attention_scores` also `beta`, `(B, C)` or `(B, T, C)`, which
        sums to 1. A query with nothing to read gets zeros for both.

    Raises:
        ValueError: `units` is not a positive integer, a rank is wrong, sizes
            do not fit each other, or a mask holds other than 0 and 1.

    Examples:
        >>> import numpy as np
        >>> import keras_attention
        >>> features = np.random.normal(size=(2, 7, 7, 32))
        >>> state = np.random.normal(size=(2, 11))
        >>> layer = keras_attention.layers.ChannelAttention(units=13)
        >>> weighed, scores = layer(
        ...     features, state, return_attention_scores=True
        ... )
        >>> tuple(weighed.shape), tuple(scores.shape)
        ((2, 7, 7, 32), (2, 32))

    Reference:
        [Chen et al., 2017](https://arxiv.org/abs/1611.05594), section 3.
    """

    def build_features(self, features_shape):
        # (1, U): the kernel of a projection of one feature.
        self.key_vector = self.add_weight(
            shape=(1, self.units),
            initializer=cloned(self.kernel_initializer),
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="key_vector",
        )

    def logits(self, features, query, mask):
        means, mask = self._means(features, mask)
        batch, length, units = ops.shape(query)
        channels = features.shape[-1]
        # One row per query: those of an example share its means. A decoder's
        # step has one, and XLA no gradient of a broadcast to a batch of a size
        # that TensorFlow does not know, in a loop.
        means = means[:, None]
        if query.shape[1] != 1:
            means = ops.broadcast_to(means, (batch, length, channels))
        logits = channel_logits(
            ops.reshape(means, (batch * length, channels)),
            ops.reshape(query, (batch * length, units)),
            ops.convert_to_tensor(self.key_vector)[0],
            ops.convert_to_tensor(self.score_vector),
        )
        return ops.reshape(logits, (batch, length, channels)), mask

    def _means(self, features, mask):
        """`v`, `(B, C)`, and whether there is a place to read, `(B, 1, 1)`."""
        features = ops.cast(features, wide_dtype(features.dtype))
        if mask is None:
            return ops.mean(features, axis=(1, 2)), None
        places = ops.sum(ops.cast(mask, features.dtype), axis=(1, 2))
        places = ops.maximum(places, 1.0)[:, None]
        some = ops.any(mask, axis=(1, 2))[:, None, None]
        return ops.sum(features, axis=(1, 2)) / places, some

    def scores_shape(self, features_shape):
        return (features_shape[3],)

    def weights_shape(self, features_shape):
        return (1, 1, features_shape[3])
