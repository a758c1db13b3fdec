"""LSTMs and what reads with them, one word at a time, in NumPy."""

import numpy as np
from keras import ops


def value(x):
    return ops.convert_to_numpy(x)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


def lstm(cell, x, state):
    """Hochreiter and Schmidhuber, 1997, with a forget gate; Keras's order."""
    h, c = state
    z = x @ value(cell.kernel) + h @ value(cell.recurrent_kernel)
    i, f, g, o = np.split(z + value(cell.bias), 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def stacked(cells, x, states):
    """The top state, and all states, of a step of LSTMs."""
    after = []
    for cell, state in zip(cells, states, strict=True):
        x, c = lstm(cell, x, state)
        after.append((x, c))
    return x, after


def read_source(model, source):
    """Top states in the order of the source, and the last of all states."""
    words = value(model.encoder_embedding.embeddings)[source]
    cells = [layer.cell for layer in model.encoder]
    states = [(np.zeros(model.hidden_dim),) * 2] * len(cells)
    annotations = np.zeros((len(source), model.hidden_dim))
    order = range(len(source))
    for s in reversed(order) if model.reverse_source else order:
        annotations[s], states = stacked(cells, words[s], states)
    return annotations, states


def with_random_weights(model):
    """Biases that start at zero would hide a bias left out."""
    rng = np.random.default_rng(1)
    model.set_weights(
        [w + rng.normal(size=w.shape, scale=0.3) for w in model.get_weights()]
    )
    return model


def token_ids():
    """Sources of 7 and 4 tokens and targets of 5, of 17 and 19 words."""
    rng = np.random.default_rng(2)
    source = rng.integers(4, 17, (2, 7))
    source[1, 4:] = 0
    target = rng.integers(4, 19, (2, 5))
    return {"encoder_token_ids": source, "decoder_token_ids": target}


SIZES = dict(
    source_vocabulary_size=17,
    target_vocabulary_size=19,
    embedding_dim=13,
    hidden_dim=11,
    num_layers=2,
)
