"""What all tests share."""

import gc

import pytest


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
