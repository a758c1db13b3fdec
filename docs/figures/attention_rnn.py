"""What a decoder reads as it copies symbols backwards, once it has learned."""

import keras
import numpy as np
from matplotlib.figure import Figure

from keras_attention import layers

S, SYMBOLS, UNITS = 6, 6, 24


def sequences(count, seed):
    """Symbols one-hot `(count, S, SYMBOLS)`, each with its place beside it."""
    rng = np.random.default_rng(seed)
    symbols = rng.integers(SYMBOLS, size=(count, S))
    places = np.broadcast_to(np.eye(S), (count, S, S))
    memory = np.concatenate([np.eye(SYMBOLS)[symbols], places], axis=-1)
    return symbols, memory.astype("float32")


def learned(decoder, steps=150):
    """Trains a decoder to tell the memory's symbols from the last to the
    first; its inputs are zeros, so that only its state can say where it is."""
    symbols, memory = sequences(64 * steps, seed=2)
    inputs = keras.Input((S, 1))
    value = keras.Input((S, SYMBOLS + S))
    outputs = decoder(inputs, value)["contexts"]
    outputs = keras.layers.Dense(SYMBOLS, activation="softmax")(outputs)
    model = keras.Model([inputs, value], outputs)
    model.compile(
        keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy"
    )
    nothing = np.zeros((len(memory), S, 1), "float32")
    model.fit([nothing, memory], symbols[:, ::-1], 64, epochs=1, verbose=0)


def draw():
    decoder = layers.AttentionRNN(
        keras.layers.GRUCell(UNITS), layers.AdditiveAttention(UNITS)
    )
    learned(decoder)
    symbols, memory = sequences(1, seed=5)
    names = ["ABCDEF"[symbol] for symbol in symbols[0]]
    result = decoder(np.zeros((1, S, 1)), memory, return_attention_scores=True)
    scores = keras.ops.convert_to_numpy(result["scores"])[0]
    figure = Figure(figsize=(5.2, 4.2), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(scores, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(S), names)
    axes.set_yticks(range(S), names[::-1])
    axes.set(
        title="writing the memory backwards",
        xlabel="memory",
        ylabel="symbol to write",
    )
    figure.colorbar(image, ax=axes, label="score")
    return figure
