"""The four scores, trained alike on words whose order changes."""

from matplotlib.figure import Figure

from docs.figures._words import draw_words, learned_scores
from keras_attention import layers

SCORES = {
    "dot": {},
    "general": {},
    "concat": {"units": 16},
    "location": {"max_length": 6},
}


def draw():
    figure = Figure(figsize=(8, 7.4), layout="constrained")
    panels = figure.subplots(2, 2)
    for axes, (score, options) in zip(panels.flat, SCORES.items(), strict=True):
        scores = learned_scores(layers.LuongAttention(score, **options))
        image = draw_words(axes, scores, f'score="{score}"')
    figure.colorbar(image, ax=panels, label="score", shrink=0.6)
    return figure
