"""What each word of a caption reads, over the cells of a scene."""

from docs.figures._trained import scene_captioner
from docs.figures.show_attend_tell import draw_words
from keras_attention.models import TransformerCaptioner


def draw():
    model, scenes = scene_captioner(
        TransformerCaptioner,
        "transformer_captioner_small",
        decay=True,
        num_buckets=1,
    )
    return draw_words(model, scenes)
