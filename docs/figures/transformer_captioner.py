"""What each word of a caption reads, over the cells of a scene."""

from docs.figures._trained import scene_captioner
from docs.figures.show_attend_tell import draw_words
from keras_attention.models import TransformerCaptioner


def draw():
    return draw_words(
        *scene_captioner(TransformerCaptioner, "transformer_captioner_small")
    )
