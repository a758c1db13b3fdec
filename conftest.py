"""What all tests share."""

import gc

import pytest

# Traces are made of many objects that stay: to look for garbage among each 700
# new ones takes a twentieth of the time.
gc.set_threshold(50_000)


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
