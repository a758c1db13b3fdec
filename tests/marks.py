"""Marks that depend on the backend."""

import keras
import pytest


def slow_on_jax(test):
    """Leaves a test, or a class of them, to `make test-all` on JAX.

    JAX compiles each operation anew for each shape.
    """
    on_jax = keras.backend.backend() == "jax"
    return pytest.mark.slow(test) if on_jax else test
