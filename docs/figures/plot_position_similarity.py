"""How alike the positions are that a trained ViT has learned."""

from docs.figures._trained import corner_model
from keras_attention import visualization


def draw():
    model, _ = corner_model()
    return visualization.plot_position_similarity(
        model.get_layer("position_embedding").embeddings, model.grid_shape
    )
