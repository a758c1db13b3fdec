"""The public names, and where the pages document them."""

import importlib
import re
from pathlib import Path

DOCS = Path(__file__).parent
MODULES = (
    "layers",
    "decoding",
    "losses",
    "ops",
    "callbacks",
    "optimizers",
    "schedules",
    "models",
    "data",
    "data.synthetic",
    "metrics",
    "visualization",
)
AUTODOC = re.compile(r"^\.\. auto(?:class|function):: (\S+)$", re.MULTILINE)


def public_names():
    """The dotted names that the public modules offer."""
    names = set()
    for path in MODULES:
        module = importlib.import_module(f"keras_attention.{path}")
        names |= {f"{module.__name__}.{name}" for name in module.__all__}
    return names - {f"keras_attention.{path}" for path in MODULES}


def documented_names():
    """From each name that a page documents to that page."""
    return {
        name: path
        for path in sorted((DOCS / "api").rglob("*.md"))
        for name in AUTODOC.findall(path.read_text("utf-8"))
    }
