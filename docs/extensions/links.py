"""Inventories, so that names of other projects link to their sites.

keras.io has none, and the build asks no other host for theirs. The names are
those that the pages and docstrings mention; each must exist, so that a
misspelt one stays without a link and fails the strict build.
"""

import builtins
import importlib
import re
import zlib
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"\bkeras(?:\.\w+)+")

# Pages of keras.io that hold one name; other names link to their section.
KERAS_PAGES = {
    "keras.Layer": "layers/base_layer/",
    "keras.Model": "models/model/",
    "keras.Sequential": "models/sequential/",
    "keras.applications": "applications/",
    "keras.callbacks.Callback": "callbacks/base_callback/",
    "keras.callbacks.BackupAndRestore": "callbacks/backup_and_restore/",
    "keras.callbacks.EarlyStopping": "callbacks/early_stopping/",
    "keras.layers.AdditiveAttention": (
        "layers/attention_layers/additive_attention/"
    ),
    "keras.layers.Bidirectional": "layers/recurrent_layers/bidirectional/",
    "keras.layers.Dense": "layers/core_layers/dense/",
    "keras.layers.Dropout": "layers/regularization_layers/dropout/",
    "keras.layers.EinsumDense": "layers/core_layers/einsum_dense/",
    "keras.layers.GRU": "layers/recurrent_layers/gru/",
    "keras.layers.GRUCell": "layers/recurrent_layers/gru_cell/",
    "keras.layers.LSTMCell": "layers/recurrent_layers/lstm_cell/",
    "keras.layers.Layer": "layers/base_layer/",
    "keras.layers.MultiHeadAttention": (
        "layers/attention_layers/multi_head_attention/"
    ),
    "keras.layers.RNN": "layers/recurrent_layers/rnn/",
}
KERAS_SECTIONS = {
    "keras.callbacks": "callbacks/",
    "keras.config": "utils/config_utils/",
    "keras.initializers": "layers/initializers/",
    "keras.layers": "layers/",
    "keras.losses": "losses/",
    "keras.metrics": "metrics/",
    "keras.ops": "ops/",
    "keras.optimizers": "optimizers/",
    "keras.random": "random/",
    "keras.saving": "models/model_saving_apis/",
    "keras.utils": "utils/",
}
PYTHON_PAGES = {
    "collections.abc": "library/collections.abc.html#collections.abc.",
    "pathlib": "library/pathlib.html#pathlib.",
    "typing": "library/typing.html#typing.",
}
PYTHON_NAMES = {
    "collections.abc": (
        "Callable",
        "Iterable",
        "Iterator",
        "Mapping",
        "Sequence",
    ),
    "pathlib": ("Path",),
    "typing": ("Any", "NamedTuple"),
}


def write_inventories(folder):
    """Writes an inventory per project; returns Sphinx's mapping to them."""
    folder.mkdir(parents=True, exist_ok=True)
    sites = {
        "keras": ("https://keras.io/api/", keras_names()),
        "python": ("https://docs.python.org/3/", python_names()),
        "numpy": (
            "https://numpy.org/doc/stable/",
            {
                "numpy.ndarray": (
                    "reference/generated/numpy.ndarray.html",
                    "class",
                )
            },
        ),
    }
    mapping = {}
    for project, (site, names) in sites.items():
        path = folder / f"{project}.inv"
        path.write_bytes(inventory(project, names))
        mapping[project] = (site, str(path))
    return mapping


def keras_names():
    """Names of Keras in our pages and docstrings, with page and kind."""
    mentioned = set(KERAS_PAGES)  # annotations name a class by another path
    for pattern in ("keras_attention/**/*.py", "docs/**/*.md"):
        for path in ROOT.glob(pattern):
            mentioned.update(NAME.findall(path.read_text(encoding="utf-8")))
    names = {}
    for name in sorted(mentioned):
        section = name.rpartition(".")[0]
        page = KERAS_PAGES.get(name, KERAS_SECTIONS.get(section))
        thing = resolve(name)
        if page is not None and thing is not None:
            kind = "class" if isinstance(thing, type) else "function"
            names[name] = (page, kind)
    return names


def resolve(name):
    """What a dotted name of Keras names, or None."""
    thing = importlib.import_module("keras")
    for part in name.split(".")[1:]:
        thing = getattr(thing, part, None)
    return thing


def python_names():
    """Built-in types and exceptions, and what annotations use beside them."""
    names = {"None": ("library/constants.html#None", "data")}
    for name in dir(builtins):
        thing = getattr(builtins, name)
        if not isinstance(thing, type):
            continue
        if issubclass(thing, BaseException):
            names[name] = (f"library/exceptions.html#{name}", "exception")
        else:
            names[name] = (f"library/stdtypes.html#{name}", "class")
    for module, members in PYTHON_NAMES.items():
        for name in members:
            names[f"{module}.{name}"] = (PYTHON_PAGES[module] + name, "class")
    return names


def inventory(project, names):
    """The bytes of an `objects.inv`, version 2."""
    lines = [
        f"{name} py:{kind} 1 {page} -\n" for name, (page, kind) in names.items()
    ]
    header = (
        "# Sphinx inventory version 2\n"
        f"# Project: {project}\n"
        "# Version: \n"
        "# The remainder of this file is compressed using zlib.\n"
    )
    return header.encode() + zlib.compress("".join(lines).encode())
