"""The tables of `support.md`, from what the checks found."""

import importlib.metadata
import inspect
import platform

from docs.supported.checks import CHECKS, DONE, FAILED, OF_MODELS

BACKENDS = {"tensorflow": "TF", "jax": "JAX", "torch": "torch"}
SECTIONS = {
    "layers": [name for name in CHECKS if name not in OF_MODELS],
    "models": list(CHECKS),
}
HEAD = """# Support

Which layer and which model does what, on which backend. Each cell was run by
`make support`: small ones of each kind, with the options of each row of
`tests/layer_checks.py` and `tests/model_checks.py`.

{versions}

Which [model](#models) runs where: all of them, as far as a column applies,

{summary}

✓ stands for all three backends; otherwise the cell names those that it ran on
(TF is TensorFlow). A number says why a cell, or a backend, is empty: see
[reasons](#reasons).

{checks}
"""


def page_of(results, versions):
    """The text of the page.

    Args:
        results: What was found, by backend, kind of table, row and check.
        versions: Of what it was run with.
    """
    reasons = {}
    lines = []
    for kind, checks in SECTIONS.items():
        lines += [f"## {kind.title()}", ""]
        for group, rows in groups_of(results, kind).items():
            lines += [f"### {group}", "", *table(rows, checks, reasons), ""]
    notes = [f"{i}. {reason}" for reason, i in reasons.items()]
    lines += ["## Reasons", "", *notes, ""]
    about = ["| column | what was run |", "|---|---|"]
    for name, check in CHECKS.items():
        said = " ".join(inspect.getdoc(check).split())
        about.append(f"| {name} | {said} |")
    head = HEAD.format(
        versions="Run with " + ", ".join(versions) + ".",
        summary="\n".join(summary(results)),
        checks="\n".join(about),
    )
    return head + "\n" + "\n".join(lines)


def groups_of(results, kind):
    """By group and row, what each backend found."""
    groups = {}
    for name, row in results["tensorflow"][kind].items():
        each = [results[backend][kind][name] for backend in BACKENDS]
        groups.setdefault(row["group"], {})[name] = each
    return groups


def table(rows, checks, reasons):
    """The lines of a table; `reasons` gets its reasons and their numbers."""
    head = ["", *checks]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, each in rows.items():
        link = f"{{py:obj}}`{name} <keras_attention.{each[0]['class']}>`"
        cells = [cell([found[x] for found in each], reasons) for x in checks]
        lines.append("| " + " | ".join([link, *cells]) + " |")
    return [":::{div} support-table", *lines, ":::"]


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
    return f"{text} {{sup}}`{marks}`" if marks else text


def summary(results):
    """On which backends all models pass a check that one backend passes."""
    rows = [
        each
        for group in groups_of(results, "models").values()
        for each in group.values()
    ]
    found = {}
    for check in SECTIONS["models"]:
        done = [[x[check][0] == DONE for x in each] for each in rows]
        done = [each for each in done if any(each)]
        everywhere = map(all, zip(*done, strict=True))
        names = zip(BACKENDS.values(), everywhere, strict=False)
        found.setdefault(
            ", ".join(name for name, passed in names if passed), []
        ).append(check)
    where = sorted(found, key=lambda names: -names.count(","))
    return [
        f"- {'on ' + names if names else 'on none'}: {', '.join(found[names])}"
        for names in where
    ]


def versions_of():
    packages = ("keras", "tensorflow", "jax", "torch", "numpy")
    packages += ("onnxruntime", "tf2onnx", "jax2onnx", "onnxscript")
    versions = [f"{x} {importlib.metadata.version(x)}" for x in packages]
    return [f"Python {platform.python_version()}", *versions]
