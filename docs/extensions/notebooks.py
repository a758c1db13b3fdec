"""Offers each guide with examples as a notebook.

Its code cells are the page's blocks of `python`, which share their names as
cells do; what stands between them becomes Markdown that a notebook shows.
"""

import json
import re
from pathlib import Path

from docs.extensions.examples import BLOCKS, DOCS

FOLDER = DOCS.parent / "build" / "notebooks"
# {doc}`Title <page>`, {py:obj}`~module.Name`
ROLE = re.compile(r"\{[\w:]+\}`(?:([^`<]+?) <[^`>]+>|~?([^`]+))`")
SHOWN = re.compile(r"^```\{code-block\} ", re.MULTILINE)
# A toctree, a table of measurements: what only the site can show.
DIRECTIVE = re.compile(r"^```\{.*?^```\n", re.DOTALL | re.MULTILINE)
TITLE = re.compile(r"\A# .+\n")


def setup(app):
    app.connect("builder-inited", lambda app: write_all())
    app.connect("source-read", offer)
    return {"parallel_read_safe": True}


def guides():
    pages = sorted((DOCS / "guides").glob("*.md"))
    return [x for x in pages if BLOCKS.search(x.read_text("utf-8"))]


def write_all():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for page in guides():
        content = json.dumps(notebook(page.read_text("utf-8")), indent=1)
        (FOLDER / f"{page.stem}.ipynb").write_text(content, "utf-8")


def offer(app, docname, source):
    """A link to the notebook below the page's title."""
    page = DOCS / f"{docname}.md"
    if page in guides():
        link = (
            "{download}`Download as a notebook "
            f"<../../build/notebooks/{page.stem}.ipynb>`"
        )
        source[0] = TITLE.sub(lambda x: f"{x[0]}\n{link}\n", source[0])


def notebook(text):
    """A page's text as a notebook of format 4.5."""
    cells, end = [], 0
    for block in BLOCKS.finditer(text):
        if block["kind"] != "python":
            continue
        cells.append(cell("markdown", plain(text[end : block.start()])))
        cells.append(cell("code", block["code"]))
        end = block.end()
    cells.append(cell("markdown", plain(text[end:])))
    cells = [x for x in cells if x["source"]]
    for index, x in enumerate(cells):
        x["id"] = f"cell-{index}"
    kernel = {"display_name": "Python 3", "language": "python"}
    return {
        "cells": cells,
        "metadata": {"kernelspec": {**kernel, "name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def cell(kind, text):
    result = {"cell_type": kind, "metadata": {}, "source": text.strip()}
    if kind == "code":
        result |= {"execution_count": None, "outputs": []}
    return result


def plain(text):
    """MyST as the Markdown of a notebook."""
    text = DIRECTIVE.sub("", SHOWN.sub("```", text))

    def name(role):
        return role[1] or f"`{Path(role[2]).name.rpartition('.')[2]}`"

    return ROLE.sub(name, text)
