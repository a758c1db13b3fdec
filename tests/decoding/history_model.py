"""A model whose every prediction depends on the whole history.

A row of a table per source is chosen by a hash of all tokens so far and of
the position. A hypothesis that is continued with another's state, or shown
with another's attention, therefore gives itself away.
"""

import keras
import numpy as np
import pytest
from keras import ops

ROWS = 101
END, START = 0, 1


def compilers():
    """Ways to run a search on the backend in use."""
    return {
        "tensorflow": ("graph", "xla"),
        "jax": ("jit",),
        "torch": ("eager",),
    }[keras.backend.backend()]


def compiled(function, how):
    """Compiles a function of tensors; gives back NumPy arrays."""
    if how in ("graph", "xla"):
        import tensorflow as tf

        function = tf.function(function, jit_compile=how == "xla")
    elif how == "jit":
        import jax

        function = jax.jit(function)

    def run(*inputs):
        inputs = keras.tree.map_structure(ops.convert_to_tensor, inputs)
        return keras.tree.map_structure(ops.convert_to_numpy, function(*inputs))

    return run


def note_call(calls):
    """Counts a step when it runs, in a search outside `compiled`.

    JAX compiles loops even there, and would count a step when it is traced.
    """
    if keras.backend.backend() == "jax":
        import jax

        jax.debug.callback(lambda: calls.append(None))
    else:
        calls.append(None)


each_compiler = pytest.mark.parametrize("how", compilers())


def random_memory(batch, vocabulary_size, source_length, seed=0):
    """Tables of logits, sharp enough that beams disagree, and of scores."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=1.5, size=(batch, ROWS, vocabulary_size))
    scores = rng.dirichlet(0.3 * np.ones(source_length), size=(batch, ROWS))
    return {
        "logits": logits.astype("float32"),
        "scores": scores.astype("float32"),
    }


def initial_state(batch):
    return {
        "hash": np.zeros((batch,), "int32"),
        "position": np.zeros((batch,), "int32"),
    }


def next_hash(old, token_ids, position):
    return (old * 7 + token_ids * 3 + position * 13 + 5) % ROWS


def step(token_ids, memory, state):
    batch, num_beams = ops.shape(token_ids)
    old = ops.reshape(state["hash"], (batch, num_beams))
    position = ops.reshape(state["position"], (batch, num_beams))
    row = next_hash(old, token_ids, position)  # (B, K)

    def look_up(table):
        sources = ops.expand_dims(ops.arange(batch, dtype="int32"), 1)
        flat = ops.reshape(table, (-1, table.shape[-1]))
        return ops.take(flat, sources * ROWS + row, axis=0)

    state = {
        "hash": ops.reshape(row, (-1,)),
        "position": state["position"] + 1,
    }
    scores = look_up(memory["scores"])
    return look_up(memory["logits"]), state, {"scores": scores}


class Hypothesis:
    """One hypothesis for all sources at once, or for one; never changed."""

    def __init__(self, memory, tokens=(), hashed=0, total=0.0, scores=()):
        self.memory = memory
        self.tokens, self.hash = tokens, hashed
        self.total, self.scores = total, scores

    def look(self):
        """Hash, log softmax `(B, V)` and scores `(B, S)` of the next step."""
        position = len(self.tokens)
        last = self.tokens[-1] if self.tokens else START
        row = next_hash(np.asarray(self.hash), last, position)
        logits = self.memory["logits"].astype("float64")
        sources = np.arange(len(logits))
        logits = logits[sources, row]
        largest = logits.max(-1, keepdims=True)
        normalizer = np.log(np.exp(logits - largest).sum(-1, keepdims=True))
        log_softmax = logits - largest - normalizer
        return row, log_softmax, self.memory["scores"][sources, row]

    def extensions(self):
        row, log_softmax, scores = self.look()
        return [
            Hypothesis(
                self.memory,
                (*self.tokens, token),
                row,
                self.total + log_softmax[:, token],
                (*self.scores, scores),
            )
            for token in range(log_softmax.shape[-1])
        ]

    @property
    def ended(self):
        return self.tokens[-1:] == (END,)


def score(hypothesis, penalty):
    """The definition, for log probabilities `(B,)`."""
    length = len(hypothesis.tokens)
    alpha = penalty.get("length_alpha", 0.6)
    kind = penalty.get("length_penalty", "gnmt")
    divisor = {
        None: 1.0,
        "gnmt": ((5 + length) / 6) ** alpha,
        "average": length**alpha,
    }[kind]
    result = hypothesis.total / divisor
    result = result - penalty.get("word_penalty", 0.0) * length
    beta = penalty.get("coverage_beta", 0.0)
    if beta:
        read = np.sum(hypothesis.scores, axis=0)  # (B, S)
        logs = np.log(np.clip(read, 1e-10, 1.0))
        mask = penalty.get("coverage_mask")
        mask = np.ones(logs.shape, bool) if mask is None else mask
        result = result + beta * np.where(mask, logs, 0.0).sum(-1)
    return result


# Each with a bound of its own to stop by.
PENALTIES = {
    "none": {"length_penalty": None},
    "gnmt 0.6": {},
    "gnmt 2": {"length_alpha": 2.0},
    "average 0.5": {"length_penalty": "average", "length_alpha": 0.5},
    "average 1": {"length_penalty": "average", "length_alpha": 1.0},
    "average 3": {"length_penalty": "average", "length_alpha": 3.0},
    "average -1": {"length_penalty": "average", "length_alpha": -1.0},
    "word 0.7": {"length_penalty": None, "word_penalty": 0.7},
    "word -0.7": {"length_alpha": 1.0, "word_penalty": -0.7},
    "coverage 0.5": {"length_penalty": None, "coverage_beta": 0.5},
    "gnmt 1, coverage 0.2": {"length_alpha": 1.0, "coverage_beta": 0.2},
}
