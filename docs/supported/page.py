"""The table of `support.md`, from what the checks found."""

import importlib.metadata
import inspect
import platform

from docs.supported.checks import CHECKS, DONE, FAILED

BACKENDS = {"tensorflow": "TF", "jax": "JAX", "torch": "torch"}
HEAD = """# Support

Which layer does what, on which backend. Each cell was run, with the options of
each row of `tests/layer_checks.py`, by

```
make support
```

{versions}

✓ stands for all three backends; otherwise the cell names those that it ran on
(TF is TensorFlow). A number says why a cell, or a backend, is empty.

{checks}

"""


def page_of(results):
    """The text of the page from results by backend, case and check."""
    reasons = {}
    rows = []
    for case in next(iter(results.values())):
        layer = results["tensorflow"][case]["layer"]
        cells = [
            cell([results[b][case][check] for b in BACKENDS], reasons)
            for check in CHECKS
        ]
        link = f"{{py:obj}}`~keras_attention.layers.{layer}`"
        rows.append("| " + " | ".join([case, link, *cells]) + " |")
    head = ["options", "layer", *CHECKS]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *rows]
    notes = [f"{i}. {reason}" for reason, i in reasons.items()]
    versions = "Run with " + ", ".join(versions_of()) + "."
    checks = ["| column | what was run |", "|---|---|"]
    for name, check in CHECKS.items():
        about = " ".join(inspect.getdoc(check).split())
        checks.append(f"| {name} | {about} |")
    body = [":::{div} support-table", *lines, ":::", "", *notes, ""]
    head = HEAD.format(versions=versions, checks="\n".join(checks))
    return head + "\n".join(body)


def cell(outcomes, reasons):
    """The text of a cell, given the outcome of each backend."""
    names = list(BACKENDS.values())
    done = [n for n, x in zip(names, outcomes, strict=True) if x[0] == DONE]
    notes = {}
    for name, outcome in zip(names, outcomes, strict=True):
        if outcome[0] != DONE:
            reason = outcome[1]
            if outcome[0] == FAILED:
                reason = f"fails on {name}: {reason}"
            notes[reasons.setdefault(reason, len(reasons) + 1)] = None
    text = "✓" if len(done) == len(names) else ", ".join(done) or "–"
    marks = ", ".join(map(str, notes))
    return f"{text} ({marks})" if marks else text


def versions_of():
    packages = ("keras", "tensorflow", "jax", "torch", "numpy")
    versions = [f"{x} {importlib.metadata.version(x)}" for x in packages]
    return [f"Python {platform.python_version()}", *versions]
