import keras
from keras import ops

from keras_attention.layers.position_bias import PositionBias
from keras_attention.ops import checks
from keras_attention.ops.relative import bucket_starts, offset_buckets


@keras.saving.register_keras_serializable(package="keras_attention")
class RelativePositionBias(PositionBias):
    """Lets heads of attention learn how far and which way to look.

    What is added to the logits is learned for each head and each bucket of
    offsets (Raffel et al., 2020, section 2.1, the bias of T5):

        bias[n, t, s] = E[bucket(s - t), n]

    Near positions have a bucket each, those farther away share buckets that
    widen with the distance, and beyond `max_distance` there is one. With
    `num_buckets=None` each offset has its own, up to `max_distance` either
    way, where offsets are clipped (Shaw et al., 2018, section 3.2, with one
    number for their vector).

    Pass it to `MultiHeadAttention(position_bias=...)`, which never holds the
    bias of all pairs. Called by itself it returns them, for attention that
    takes an `attention_bias`: that is how the layers of T5 share one. (Given
    to several layers, it would not come back from a file as one.)

    Args:
        num_heads: Number of heads, N.
        num_buckets: Number of buckets, or None for one per offset.
        max_distance: Distance beyond which all positions are alike.
        bidirectional: Whether earlier and later positions have buckets of
            their own. If not, as in a decoder, all positions are for earlier
            ones, and later ones count as the query's own.
        initializer: Initializer of the biases.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        query: `(B, T, ...)`, for its length.
        value: `(B, S, ...)`, for its length; `query` if None.

    Returns:
        `(1, N, T, S)`.

    Raises:
        ValueError: Sizes are not positive integers, there are too few buckets
            for two directions, or `max_distance` lies among the positions
            that have a bucket each.

    Examples:
        >>> import numpy as np
        >>> from keras_attention import layers
        >>> attention = layers.MultiHeadAttention(
        ...     num_heads=2,
        ...     key_dim=3,
        ...     position_bias=layers.RelativePositionBias(2),
        ... )
        >>> x = np.random.normal(size=(2, 5, 6)).astype("float32")
        >>> tuple(attention(x, x).shape)
        (2, 5, 6)
        >>> tuple(attention.position_bias.embeddings.shape)
        (32, 2)

    Reference:
        [Raffel et al., 2020](https://arxiv.org/abs/1910.10683), section 2.1;
        [Shaw et al., 2018](https://arxiv.org/abs/1803.02155), section 3.2.
    """

    def __init__(
        self,
        num_heads: int,
        num_buckets: int | None = 32,
        max_distance: int = 128,
        bidirectional: bool = True,
        initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(num_heads, **kwargs)
        self.max_distance = checks.positive_int(max_distance, "max_distance")
        self.bidirectional = bidirectional
        self.num_buckets = num_buckets
        self._starts = None
        if num_buckets is not None:
            side = self._buckets_of_a_side(num_buckets)
            self._starts = bucket_starts(side, self.max_distance)
        self.initializer = keras.initializers.get(initializer)
        self.embeddings = None

    def _buckets_of_a_side(self, num_buckets):
        sides = 2 if self.bidirectional else 1
        side = checks.positive_int(num_buckets, "num_buckets") // sides
        if num_buckets % sides or side < 2:
            raise ValueError(
                f"`num_buckets` must be {'even and ' * (sides - 1)}at least "
                f"{2 * sides}. Received: num_buckets={num_buckets}, "
                f"bidirectional={self.bidirectional}. Pass T5's 32, or None "
                "for one per offset."
            )
        if self.max_distance <= side // 2:
            raise ValueError(
                "`max_distance` must be beyond the distances that have a "
                f"bucket each, 0 to {side // 2 - 1} here, by more than 1. "
                f"Received: max_distance={self.max_distance}, "
                f"num_buckets={num_buckets}. Pass fewer buckets, or "
                "`num_buckets=None` for one per offset."
            )
        return side

    def build(self, query_shape, value_shape=None):
        sides = 2 if self.bidirectional else 1
        buckets = self.num_buckets or sides * self.max_distance + 1
        self.embeddings = self.add_weight(
            shape=(buckets, self.num_heads),
            initializer=self.initializer,
            name="embeddings",
            autocast=False,  # logits are added up in float32
        )

    def bias(self, offsets):
        if self._starts is None:
            last = self.max_distance if self.bidirectional else 0
            clipped = ops.clip(offsets, -self.max_distance, last)
            buckets = clipped + self.max_distance
        else:
            buckets = offset_buckets(offsets, self._starts, self.bidirectional)
        embeddings = ops.convert_to_tensor(self.embeddings)
        return ops.transpose(ops.take(embeddings, buckets, axis=0))

    def get_config(self):
        return {
            **super().get_config(),
            "num_buckets": self.num_buckets,
            "max_distance": self.max_distance,
            "bidirectional": self.bidirectional,
            "initializer": keras.initializers.serialize(self.initializer),
        }
