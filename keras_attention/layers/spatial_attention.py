import keras
from keras import ops

from keras_attention.layers.attention import on_rows
from keras_attention.layers.feature_attention import FeatureAttention
from keras_attention.ops.additive import additive_logits


@keras.saving.register_keras_serializable(package="keras_attention")
class SpatialAttention(FeatureAttention):
    """Weighs the places of a feature map by what a query looks for.

    The map stays a map, so that convolutions can go on from it, as in a
    captioner whose decoder looks into its network at each word. For the sum
    of a map's places use `AdditiveAttention`. Chen et al., 2017, section
    3, with V of m = height x width places:

        a      = tanh(W_s V + b_s + W_hs h)
        alpha  = softmax(W_i a + b_i), over the places
        X[:,p] = alpha[p] V[:,p],   times m if `rescale`

    `h` is the query, `W_s` is `key_dense`, `W_hs` and `b_s` are
    `query_dense`, `W_i` is `score_vector`. There is no `b_i`: it moves all
    places alike, which a softmax does not see.

    Args:
        units: Size of the space of scores, the paper's k; 512 in its code.
        rescale: Whether weights are multiplied by their number, m, so that
            their mean is 1. The paper's formulas leave it out, its published
            code has it: without it the map is m times smaller, and a
            pretrained layer that follows has never seen such a map.
        kernel_initializer: Initializer of `W_s` and `W_hs`.
        score_initializer: Initializer of `W_i`.
        bias_initializer: Initializer of `b_s`.
        kernel_regularizer: Regularizer of `W_s` and `W_hs`.
        kernel_constraint: Constraint on `W_s` and `W_hs`.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        features: `(B, height, width, C)`.
        query: `(B, D)`, or `(B, T, D)` for T queries or hypotheses that each
            weigh the map for themselves.
        features_mask: Booleans `(B, height, width)`; a place at False is
            never read, and zero in the output. `rescale` counts the others.
        query_mask: Booleans `(B, T)`; a query at False gets zeros.
        return_attention_scores: Whether to return `alpha` too.

    Returns:
        `(B, height, width, C)`, or `(B, T, height, width, C)`; with
        `return_attention_scores` also `alpha`, `(B, height, width)` or
        `(B, T, height, width)`, which sums to 1. A query with nothing to read
        gets zeros for both.

    Raises:
        ValueError: `units` is not a positive integer, a rank is wrong, sizes
            do not fit each other, or a mask holds other than 0 and 1.

    Examples:
        >>> import numpy as np
        >>> import keras_attention
        >>> features = np.random.normal(size=(2, 7, 7, 32))
        >>> state = np.random.normal(size=(2, 11))
        >>> layer = keras_attention.layers.SpatialAttention(units=13)
        >>> weighed, scores = layer(
        ...     features, state, return_attention_scores=True
        ... )
        >>> tuple(weighed.shape), tuple(scores.shape)
        ((2, 7, 7, 32), (2, 7, 7))

    Reference:
        [Chen et al., 2017](https://arxiv.org/abs/1611.05594), section 3.
    """

    def build_features(self, features_shape):
        self.key_dense = self._dense("key", use_bias=False)
        self.key_dense.build((None, features_shape[-1]))

    def logits(self, features, query, mask):
        batch, height, width, channels = ops.shape(features)
        places = ops.reshape(features, (batch, height * width, channels))
        key = on_rows(self.key_dense, places)  # (B, m, U)
        vector = ops.convert_to_tensor(self.score_vector)
        if mask is not None:
            mask = ops.reshape(mask, (batch, 1, height * width))
        return additive_logits(query, key, vector), mask

    def scores_shape(self, features_shape):
        return tuple(features_shape[1:3])

    def weights_shape(self, features_shape):
        return (*features_shape[1:3], 1)
