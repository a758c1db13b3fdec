"""A translator's search as a SavedModel, to be run by TensorFlow alone."""

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_attention.models.folders import written_at_once


class SpecialIds(NamedTuple):
    """The ids of a target that a search has to know."""

    pad_id: int
    start_id: int
    end_id: int


def check_backend() -> None:
    """Raises unless the backend can write a SavedModel of a search."""
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise RuntimeError(
            "`export_translator` writes a graph of TensorFlow's, so that the "
            f"backend must be TensorFlow. Received: the backend {backend}. "
            "Call `save_to_preset(folder)`; then, in a process started with "
            "KERAS_BACKEND=tensorflow, read the model with "
            "`from_preset(folder)` and export that."
        )


def check_vacant(path: Path) -> None:
    """Raises if something is at the path, an empty folder apart."""
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise ValueError(
            "`path` must not hold anything, since files of another export "
            f"would mix with these. Received: path={str(path)!r}, which "
            "does. Choose another folder, or remove that one."
        )


def write_saved_model(
    serve, input_name: str, layers, path: Path, write_parts
) -> None:
    """Writes a SavedModel with one function, of `(B, S)` ids.

    Args:
        serve: `serve(token_ids)` returns a dict of tensors.
        input_name: Of its argument, in the signature.
        layers: The layers that it runs.
        path: The folder.
        write_parts: `write_parts(folder)` adds what else belongs into it.
    """
    import tensorflow as tf

    ids = tf.TensorSpec((None, None), tf.int32, name=input_name)
    function = tf.function(serve, input_signature=[ids], autograph=False)
    # `keras.export.ExportArchive` would trace twice, what takes most of the
    # time; and most mistakes show here, before anything is written.
    with without_cudnn(layers):
        trace = function.get_concrete_function()
    module: Any = tf.Module()
    module.serve, module.weights = trace, list(trace.variables)
    with written_at_once(path) as folder:
        tf.saved_model.save(module, str(folder), signatures=trace)
        write_parts(folder)


@contextlib.contextmanager
def without_cudnn(layers):
    """Recurrent layers that make a graph for any device, for the time being.

    On a machine with a GPU Keras would choose a kernel of that GPU's, and
    the graph could not be run without one.
    """
    chosen = [
        (layer, layer.use_cudnn)
        for layer in layers
        if hasattr(layer, "use_cudnn")
    ]
    try:
        for layer, _ in chosen:
            layer.use_cudnn = False
        yield
    finally:
        for layer, use_cudnn in chosen:
            layer.use_cudnn = use_cudnn


def as_outputs(decoded) -> dict:
    """The tensors of a `Decoded` under their names, none of them in 16 bits."""
    outputs = {**decoded._asdict(), **decoded.extras}
    del outputs["extras"]
    return {
        name: value
        if name in ("token_ids", "lengths")
        else ops.cast(value, "float32")
        for name, value in outputs.items()
    }
