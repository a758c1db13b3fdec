"""How alike the colours of patches are to that of one patch."""

import numpy as np

from keras_attention import visualization
from keras_attention.data import synthetic

PATCH = 4


def draw():
    images, masks = synthetic.shapes(3, seed=9)
    grid = images.shape[1] // PATCH
    patches = images.reshape(3, grid, PATCH, grid, PATCH, 3).mean((2, 4))
    covered = (masks > 0).reshape(3, grid, PATCH, grid, PATCH).mean((2, 4))
    maps = []
    for image, shape in zip(patches, covered, strict=True):
        most = np.unravel_index(shape.argmax(), shape.shape)
        chosen = image[most], image[0, 0]
        maps.append(
            [np.exp(-(((image - x) / 40) ** 2).mean(-1)) for x in chosen]
        )
    return visualization.plot_attention_over_images(
        images, np.array(maps), titles=["like a shape", "like the corner"]
    )
