"""Attention layers and models from the literature for Keras 3."""

import importlib.metadata
import warnings

__version__ = "0.1.0.dev0"

try:
    import keras as _keras  # noqa: F401
except ModuleNotFoundError as error:
    if error.name not in ("tensorflow", "jax", "jaxlib", "torch", "openvino"):
        raise
    raise ImportError(
        "Keras needs a backend, and the one it chose cannot be imported. "
        f"Received: no module named {error.name!r}. Install one with "
        '`pip install "keras-attention-layers[tensorflow]"`, `[jax]` or '
        "`[torch]`, and choose it with the environment variable KERAS_BACKEND "
        '("tensorflow" if unset).'
    ) from error

# All of them, so that loading a saved model finds its classes: together they
# import nothing beyond keras, numpy and the standard library.
from keras_attention import (
    callbacks,
    converters,
    data,
    decoding,
    layers,
    losses,
    metrics,
    models,
    ops,
    optimizers,
    schedules,
    visualization,
)

__all__ = [
    "callbacks",
    "converters",
    "data",
    "decoding",
    "layers",
    "losses",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "schedules",
    "visualization",
]


def _warn_of_namesake():
    try:
        importlib.metadata.distribution("keras-attention")
    except importlib.metadata.PackageNotFoundError:
        return
    warnings.warn(
        "The distribution `keras-attention` (2019) is installed and has the "
        "same import name as `keras-attention-layers`, so that each can hide "
        "the other's files. Remove it with `pip uninstall keras-attention`, "
        "then run "
        "`pip install --force-reinstall --no-deps keras-attention-layers`.",
        stacklevel=3,
    )


_warn_of_namesake()
