"""Reads `benchmarks/RESULTS.md`, for pages and for figures."""

import re
from pathlib import Path

RESULTS = Path(__file__).parents[2] / "benchmarks" / "RESULTS.md"
GROWTH = "## How cost grows"
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "torch"}


def read_results():
    """Measurements by row, what each row is, and the machine."""
    lines = RESULTS.read_text("utf-8").splitlines()
    measured, about, head = {}, {}, None
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| row |"):
            head = cells
        elif not line.startswith("|"):
            head = None
        elif line.startswith("| ") and head:
            row = dict(zip(head, cells, strict=True))
            measured.setdefault(row["row"], []).append(row)
        found = re.fullmatch(r"- `([\w-]+)`: (.*)", line)
        if found:
            about[found[1]] = found[2]
    machine = next(line for line in lines if "cores" in line)
    return measured, about, machine


def read_growth():
    """The rows of the table of exponents, and what is said of it."""
    section = RESULTS.read_text("utf-8").partition(GROWTH)[2]
    _, about, *lines = (line for line in section.splitlines() if line)
    head, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines
    )
    return about, [dict(zip(head, row, strict=True)) for row in rows]
