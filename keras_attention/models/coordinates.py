import keras
import numpy as np
from keras import ops


class Coordinates(keras.layers.Layer):
    """Tells each cell of a grid where it is.

    Call arguments:
        features: `(B, height, width, D)` or `(B, S, D)`.

    Returns:
        The same with row and column, from -1 to 1, as two more features (of a
        sequence the position, as one).
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    def call(self, features):
        *grid, _ = features.shape[1:]
        where = ops.cast(coordinates_of(grid)[None], self.compute_dtype)
        shape = (ops.shape(features)[0], *where.shape[1:])
        where = ops.broadcast_to(where, shape)
        return ops.concatenate([features, where], axis=-1)

    def compute_output_shape(self, features_shape):
        *axes, depth = features_shape
        return (*axes, depth + len(axes) - 1)


def coordinates_of(grid):
    """Each cell's place along each axis of a grid, from -1 to 1."""
    axes = [np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in grid]
    places = np.meshgrid(*axes, indexing="ij")
    return np.stack(places, axis=-1).astype("float32")  # (*grid, axes)
