import keras
import numpy as np
from keras import ops


class Places(keras.layers.Layer):
    """Lays out a grid of features as a sequence of places.

    Args:
        coordinates: Whether each is told its row and column, from -1 to 1 (a
            sequence its position).
        **kwargs: Passed to the layer.

    Call arguments:
        features: `(B, height, width, D)` or `(B, S, D)`.

    Returns:
        `(B, S, D)`, row by row; two or one feature more with coordinates.
    """

    def __init__(self, coordinates=False, **kwargs):
        super().__init__(**kwargs)
        self.coordinates = coordinates
        self.built = True

    def call(self, features):
        *grid, depth = features.shape[1:]
        places = ops.reshape(features, (-1, int(np.prod(grid)), depth))
        if not self.coordinates:
            return places
        where = coordinates_of(grid)[None]  # (1, S, 1 or 2)
        where = ops.cast(where, self.compute_dtype)
        shape = (ops.shape(places)[0], *where.shape[1:])
        return ops.concatenate(
            [places, ops.broadcast_to(where, shape)], axis=-1
        )

    def compute_output_shape(self, features_shape):
        *grid, depth = features_shape[1:]
        more = len(grid) if self.coordinates else 0
        return (features_shape[0], int(np.prod(grid)), depth + more)


def coordinates_of(grid):
    """Each cell's place along each axis of a grid, from -1 to 1: `(S, .)`."""
    axes = [np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in grid]
    places = np.meshgrid(*axes, indexing="ij")
    return np.stack(places, axis=-1).reshape(-1, len(grid)).astype("float32")
