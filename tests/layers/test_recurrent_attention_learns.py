"""Tasks that need to know what was read before, learnt by plain `fit`.

Each is also given to an AdditiveAttention, which has no memory of earlier
steps and has to fail.
"""

import keras
import numpy as np
import pytest

from keras_attention import layers

pytestmark = pytest.mark.one_backend
EXAMPLES, T, LABELS = 512, 5, 6


def learnt(attention, inputs, labels, mask=None):
    """A model that reads and classifies, and its accuracy on the last 128."""
    names = ("query", "value", "key")
    symbolic = [
        keras.Input(x.shape[1:], name=name)
        for name, x in zip(names, inputs, strict=True)
    ]
    given = dict(zip(names, symbolic, strict=True))
    if mask is not None:
        given["value_mask"] = keras.Input(mask.shape[1:], dtype="bool")
        symbolic.append(given["value_mask"])
        inputs = [*inputs, mask]
    outputs = keras.layers.Dense(LABELS)(attention(**given))
    model = keras.Model(symbolic, outputs)
    compile_model(model)
    train = [x[:-128] for x in inputs]
    model.fit(train, labels[:-128], batch_size=64, epochs=30, verbose=0)
    return model, accuracy(model, inputs, labels)


def compile_model(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.03), loss, metrics=["accuracy"])


def accuracy(model, inputs, labels):
    held_out = [x[-128:] for x in inputs]
    return model.evaluate(held_out, labels[-128:], verbose=0)[1]


def runs(rng):
    """Symbols said one to three times each; what was said, in order."""
    labels = np.zeros((EXAMPLES, T), int)
    source = np.full((EXAMPLES, 3 * T), -1)
    for n in range(EXAMPLES):
        said = [rng.integers(LABELS)]
        while len(said) < T:  # neighbours differ
            said.append((said[-1] + rng.integers(1, LABELS)) % LABELS)
        labels[n] = said
        spread = np.repeat(said, rng.integers(1, 4, size=T))
        source[n, : len(spread)] = spread
    return source, labels


def test_monotonic_attention_learns_to_collapse_repeats():
    keras.utils.set_random_seed(0)
    source, labels = runs(np.random.default_rng(0))
    words = np.eye(LABELS + 1, dtype="float32")
    previous = np.pad(labels[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
    inputs = [words[previous], words[source], words[source]]
    mask = source >= 0
    attention = layers.MonotonicAttention(
        16, sigmoid_noise=1.0, initial_score_bias=-1.0, seed=1
    )
    model, score = learnt(attention, inputs, labels, mask)
    assert score > 0.97
    # What was learnt in expectation holds for the first positive energy.
    attention.mode = "hard"
    compile_model(model)
    assert accuracy(model, [*inputs, mask], labels) > 0.97
    _, forgetful = learnt(layers.AdditiveAttention(16), inputs, labels, mask)
    assert forgetful < 0.7


def test_location_attention_learns_to_go_on_among_equals():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    source = rng.integers(LABELS, size=(EXAMPLES, T + 3))
    inputs = [
        np.ones((EXAMPLES, T, 1), "float32"),
        np.eye(LABELS, dtype="float32")[source],
        rng.integers(2, size=(*source.shape, 1)).astype("float32"),  # no help
    ]
    labels = source[:, 1 : T + 1]  # one further to the right in each step
    _, score = learnt(layers.LocationAttention(16, 4, 3), inputs, labels)
    assert score > 0.97
    _, forgetful = learnt(layers.AdditiveAttention(16), inputs, labels)
    assert forgetful < 0.4


def test_coverage_attention_learns_to_read_each_once():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    ranks = np.argsort(rng.random((EXAMPLES, T)), axis=1)
    source = rng.integers(LABELS, size=(EXAMPLES, T))
    inputs = [
        np.ones((EXAMPLES, T, 1), "float32"),
        np.eye(LABELS, dtype="float32")[source],
        np.eye(T, dtype="float32")[ranks],
    ]
    labels = np.take_along_axis(source, np.argsort(ranks, axis=1), axis=1)
    _, score = learnt(layers.CoverageAttention(16), inputs, labels)
    assert score > 0.97
    _, forgetful = learnt(layers.AdditiveAttention(16), inputs, labels)
    assert forgetful < 0.5
