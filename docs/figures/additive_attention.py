"""A French word finds its English word, learned from the outcome alone."""

from matplotlib.figure import Figure

from docs.figures._words import draw_words, learned_scores
from keras_attention import layers


def draw():
    scores = learned_scores(layers.AdditiveAttention(units=16, seed=0))
    figure = Figure(figsize=(4.6, 4))
    axes = figure.subplots()
    image = draw_words(axes, scores, "What each query reads")
    figure.colorbar(image, label="score", shrink=0.8)
    return figure
