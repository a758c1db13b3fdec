"""The main components of the filters that a trained ViT has learned."""

from docs.figures._trained import corner_model
from keras_attention import visualization


def draw():
    model, _ = corner_model()
    return visualization.plot_patch_filters(
        model.get_layer("patch_embedding").embedding_dense.kernel,
        model.patch_size,
        number=7,
    )
