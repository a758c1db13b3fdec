import keras
import numpy as np
from keras import ops

from keras_attention.models.coordinates import Coordinates


class Places(keras.layers.Layer):
    """Lays out a grid of features as a sequence of places.

    Args:
        coordinates: Whether each is told where it is, see `Coordinates`.
        **kwargs: Passed to the layer.

    Call arguments:
        features: `(B, height, width, D)` or `(B, S, D)`.

    Returns:
        `(B, S, D)`, row by row; two or one feature more with coordinates.
    """

    def __init__(self, coordinates=False, **kwargs):
        super().__init__(**kwargs)
        self.coordinates = None
        if coordinates:
            self.coordinates = Coordinates(dtype=self.dtype_policy)
        self.built = True

    def call(self, features):
        if self.coordinates is not None:
            features = self.coordinates(features)
        *grid, depth = features.shape[1:]
        return ops.reshape(features, (-1, int(np.prod(grid)), depth))

    def compute_output_shape(self, features_shape):
        if self.coordinates is not None:
            features_shape = self.coordinates.compute_output_shape(
                features_shape
            )
        batch, *grid, depth = features_shape
        return (batch, int(np.prod(grid)), depth)
