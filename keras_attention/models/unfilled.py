"""Models whose weights are about to be read."""

import contextlib
import threading

import keras

_lock = threading.RLock()


@contextlib.contextmanager
def unfilled_weights():
    """Weights that this thread makes in here are zeros.

    Drawing those of a ViT-B/16 takes seconds on JAX, which compiles a program
    for every shape, and a checkpoint replaces them all. Keras has no switch
    for it. What other threads make is as ever.
    """
    thread = threading.get_ident()
    layer = keras.layers.Layer
    with _lock:
        add_weight = layer.add_weight

        def add_zeros(self, shape=None, initializer=None, *args, **kwargs):
            if threading.get_ident() == thread:
                initializer = "zeros"
            return add_weight(self, shape, initializer, *args, **kwargs)

        layer.add_weight = add_zeros
        try:
            yield
        finally:
            layer.add_weight = add_weight
