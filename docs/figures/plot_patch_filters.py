"""The main components of patches of generated pictures."""

from keras_attention import visualization
from keras_attention.data import synthetic

PATCH = 8


def draw():
    images, _ = synthetic.glyphs(500, seed=0)
    grid = images.shape[1] // PATCH
    patches = images.reshape(500, grid, PATCH, grid, PATCH, 3)
    patches = patches.swapaxes(2, 3).reshape(-1, PATCH * PATCH * 3)
    return visualization.plot_patch_filters(
        patches.T / 255.0, (PATCH, PATCH), number=14
    )
