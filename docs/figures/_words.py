"""A tiny translation task, on which a layer learns what to read."""

import keras
import numpy as np

SOURCE = ["the", "small", "black", "cats", "quietly", "sleep"]
TARGET = ["les", "petits", "chats", "noirs", "dorment", "paisiblement"]
LINKS = [0, 1, 3, 2, 5, 4]  # the source word of each target word
SIZE = 16


def word_vectors():
    """One random vector per English and per French word."""
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(2, len(SOURCE), SIZE)) / SIZE**0.25
    return vectors.astype("float32")


def learned_scores(attention, steps=300):
    """Scores `(T, S)` of the sentence above, once the layer has learned.

    Each query is a French word behind a Dense layer, the memory is an English
    sentence in any order, and what is read must be the vector of the word's
    translation. The layer is never told where that word stands.
    """
    english, french = word_vectors()
    rng = np.random.default_rng(5)
    order = np.stack([rng.permutation(6) for _ in range(32 * steps)])
    queries = np.broadcast_to(french, (len(order), 6, SIZE))
    wanted = np.broadcast_to(english[LINKS], (len(order), 6, SIZE))

    query, value = keras.Input((6, SIZE)), keras.Input((6, SIZE))
    dense = keras.layers.Dense(SIZE, use_bias=False)
    model = keras.Model([query, value], attention(dense(query), value))
    model.compile(keras.optimizers.Adam(0.02), "mse", jit_compile=False)
    inputs = [queries, english[order]]
    model.fit(inputs, wanted, batch_size=32, epochs=1, verbose=0)
    _, scores = attention(
        dense(french[None]), english[None], return_attention_scores=True
    )
    return keras.ops.convert_to_numpy(scores)[0]


def draw_words(axes, scores, title):
    """The scores as a map with the words on its axes."""
    image = axes.imshow(scores, vmin=0, vmax=1, cmap="Blues")
    axes.set_xticks(range(6), SOURCE, rotation=45, ha="right")
    axes.set_yticks(range(6), TARGET)
    axes.set(xlabel="memory", ylabel="query", title=title)
    return image
