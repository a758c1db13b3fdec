"""Three heads of one layer, each with a habit of its own."""

import keras
import numpy as np
from matplotlib.figure import Figure

from keras_attention import layers

SENTENCE = "the cat saw the dog and the dog saw the cat"
WORDS = SENTENCE.split()
T = len(WORDS)
HEADS = ("the word before", "the same word so far", "all words so far")


def inputs():
    """Words and positions as one-hot vectors `(1, T, T + number of words)`."""
    vocabulary = sorted(set(WORDS))
    words = np.eye(len(vocabulary))[[vocabulary.index(w) for w in WORDS]]
    return np.concatenate([np.eye(T), words], axis=1)[None].astype("float32")


def kernels(features):
    """Query and key kernels `(D, 3, T)` that give the heads their habits."""
    query, key = np.zeros((2, features, 3, T), "float32")
    query[:T, 0] = 30 * np.eye(T, k=-1)  # position t asks for t - 1
    key[:T, 0] = np.eye(T)
    words = np.eye(features - T, T)
    query[T:, 1], key[T:, 1] = 30 * words, words
    return query, key


def draw():
    x = inputs()
    layer = layers.MultiHeadAttention(3, key_dim=T, use_bias=False)
    layer(x, x)
    query, key = kernels(x.shape[-1])
    layer.query_dense.set_weights([query])
    layer.key_dense.set_weights([key])
    _, scores = layer(x, x, use_causal_mask=True, return_attention_scores=True)
    scores = keras.ops.convert_to_numpy(scores)[0]  # (N, T, S)
    figure = Figure(figsize=(8.4, 3.5), layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, head, title in zip(panels, scores, HEADS, strict=True):
        image = axes.imshow(head, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(T), WORDS, rotation=90)
        axes.set_yticks(range(T), WORDS if axes is panels[0] else [""] * T)
        axes.set(title=title, xlabel="memory")
    panels[0].set_ylabel("query")
    figure.colorbar(image, ax=panels, label="score", shrink=0.7)
    return figure
