from typing import Any

import keras
from keras import ops

from keras_attention.layers.attention import Attention
from keras_attention.layers.channel_attention import ChannelAttention
from keras_attention.layers.spatial_attention import SpatialAttention
from keras_attention.layers.spatial_channel_attention import (
    SpatialChannelAttention,
)
from keras_attention.models.tapped_backbone import pool
from keras_attention.ops import checks

ATTENTIONS = ("channel", "spatial", "channel_spatial", "spatial_channel")


class BackboneAttention(Attention):
    """Reads an image by running the top of a network, its maps weighed.

    A memory of the image is what crosses the cut of a `TappedBackbone`, laid
    end to end. Each query weighs the maps at all taps, and reads the output
    that follows: the mean of its places, of length 1.

    Args:
        tapped: The `TappedBackbone`.
        attention: How maps are weighed, one of `ATTENTIONS`.
        units: Size of the space of scores.
        rescale: Whether weights are multiplied by their number.
        **kwargs: Passed to the layer.

    Call arguments:
        query: `(B, T, D)`.
        value: `(B, 1, N)`, as `Packed` makes it.

    Returns:
        `(B, T, C)`, the output's channels; with scores, those of the places
        at the last tap `(B, T, S)`, all alike where only channels are weighed.
    """

    convolves = True

    def __init__(self, tapped, attention, units, rescale, **kwargs):
        super().__init__(**kwargs)
        self.tapped = tapped
        self.kind = checks.one_of(attention, "attention", ATTENTIONS)
        # Tracked here: their weights are this layer's.
        self.top = tapped.layers
        self.tap_layers: list[Any] = [
            attention_layer(
                attention,
                units,
                rescale,
                dtype=self.dtype_policy,
                name=f"tap_{index}",
            )
            for index in range(len(tapped.maps))
        ]

    def build_query(self, query_shape):
        for layer, x in zip(self.tap_layers, self.tapped.maps, strict=True):
            layer.build(tuple(x.shape), (None, query_shape[-1]))

    def project(self, value, key):
        """As value the map at the first tap, as keys what else is read.

        Taken apart here, and not in each step: a loop would keep the parts
        of all its steps for the gradient.
        """
        first, *others = self.tapped.unpack(value)
        return others, first

    def read(self, query, key, value, mask, return_scores, dropout_rate):
        if mask is not None:
            raise ValueError(
                "An image is read as a whole, so that there can be no mask. "
                f"Received: a mask of shape {tuple(mask.shape)}. Leave it out."
            )
        context, scores, _ = self.look(query, key, value)
        return context, scores if return_scores else None

    def step(self, query, memory, state, return_attention_scores=False):
        query, single = self._step_query(query, memory)
        context, scores, channels = self.look(
            query, memory["key"], memory["value"]
        )
        extras = {} if channels is None else {"channel_scores": channels}
        if return_attention_scores:
            extras["scores"] = scores
        return self._step_result(context, extras, single, state)

    def look(self, query, others, first):
        """What queries `(B, K, D)` see, and the scores at the last tap.

        Returns:
            A tuple of context `(B, K, C)`, scores of places `(B, K, S)`, and
            of channels, or None.
        """
        count, size = ops.shape(query)[1:]
        rows = ops.reshape(query, (-1, size))  # (B x K, D)
        scores = {}

        def weigh(index, x):
            x, found = self.tap_layers[index](
                x, rows, return_attention_scores=True
            )
            scores.update(
                found if isinstance(found, dict) else {self.kind: found}
            )
            return x

        tensors = [first, *others]
        if not (checks.known(count) and count == 1):
            tensors = [ops.repeat(x, count, axis=0) for x in tensors]
        context = ops.cast(
            pool(self.tapped.run(tensors, weigh)), self.compute_dtype
        )
        _, height, width, _ = self.tapped.maps[-1].shape
        if "spatial" not in scores:
            places = height * width
            scores["spatial"] = ops.full(
                (ops.shape(rows)[0], places), 1 / places, self.compute_dtype
            )

        def unfold(x, features):
            return ops.reshape(x, (-1, count, features))

        return (
            unfold(context, context.shape[-1]),
            unfold(scores["spatial"], height * width),
            unfold(scores["channel"], scores["channel"].shape[-1])
            if "channel" in scores
            else None,
        )

    def step_spec(self, batch, length):
        if self.kind == "spatial":
            return {}, {}
        shape = (batch, self.tapped.maps[-1].shape[-1])
        spec = keras.KerasTensor(shape, self.compute_dtype)
        return {"channel_scores": spec}, {}

    def compute_output_shape(self, query_shape, value_shape, key_shape=None):
        self.check_shapes(query_shape, value_shape, key_shape)
        return (*query_shape[:-1], self.tapped.output.shape[-1])

    def compute_output_spec(
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
    ):
        output = super().compute_output_spec(query, value, key)
        if not return_attention_scores:
            return output
        _, height, width, _ = self.tapped.maps[-1].shape
        shape = (*query.shape[:2], height * width)
        return output, keras.KerasTensor(shape, self.compute_dtype)


def attention_layer(attention, units, rescale, **kwargs):
    """The layer that weighs a map."""
    if attention == "channel":
        return ChannelAttention(units, rescale, **kwargs)
    if attention == "spatial":
        return SpatialAttention(units, rescale, **kwargs)
    return SpatialChannelAttention(units, attention, rescale, **kwargs)
