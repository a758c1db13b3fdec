"""A caption word by word, with the cells that hard attention reads."""

from docs.figures._caption import WORDS, box, view
from keras_attention import visualization


def draw():
    shown = view()
    return visualization.plot_caption(
        shown.image,
        shown.words,
        shown.scores,
        samples=shown.samples,
        gates=shown.gates,
        boxes=[None if name is None else box(name) for _, name, _ in WORDS],
        num_columns=6,
    )
