"""What all tests share."""

import gc
import os

import keras
import pytest

# Traces are made of many objects that stay: to look for garbage among each 700
# new ones takes a twentieth of the time.
gc.set_threshold(50_000)

# A graph that runs once or twice is compiled in less time than it takes to make
# it faster: as the flags of `make test` tell XLA, so here TensorFlow is told.
if (
    keras.backend.backend() == "tensorflow"
    and "--xla_backend_optimization_level=0" in os.environ.get("XLA_FLAGS", "")
):
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options(
        {"disable_meta_optimizer": True}
    )


@pytest.fixture(autouse=True)
def collector_passes_over_what_stays():
    """Keeps the garbage collector from reading the caches of a backend.

    What JAX has compiled stays, millions of objects after an hour of tests,
    and Keras collects garbage for each layer that it quantizes: seconds each
    time, by then.
    """
    yield
    gc.collect()
    gc.freeze()
