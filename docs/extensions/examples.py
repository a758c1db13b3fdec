"""Runs the examples of the pages, as a reader would, and compares.

A block of `python` is run; a block of text right below it is what it prints.
The blocks of a page share their names. A block of `py` is shown; a test runs
those of some pages, where there is the other library that they need.
"""

import contextlib
import doctest
import io
import re
import tempfile
from pathlib import Path

DOCS = Path(__file__).parents[1]
BLOCKS = re.compile(
    r"^```(?P<kind>python|py)\n(?P<code>.*?)^```\n"
    r"(?:\s*^```text\n(?P<output>.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def setup(app):
    app.connect("builder-inited", run_all)
    return {"parallel_read_safe": True}


def pages():
    """The pages with examples."""
    paths = sorted(DOCS.rglob("*.md"))
    return [path for path in paths if blocks(path.read_text("utf-8"))]


def blocks(text, kinds=("python",)):
    return [x for x in BLOCKS.finditer(text) if x["kind"] in kinds]


def run_all(app):
    from sphinx.util import logging

    for path in pages():
        for mistake in mistakes(path):
            logging.getLogger(__name__).warning(mistake)


def mistakes(path, kinds=("python",)):
    """What the examples of a page print that is not what it says."""
    import keras

    keras.utils.set_random_seed(0)
    text, names, found = path.read_text("utf-8"), {}, []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for block in blocks(text, kinds):
            line = text[: block.start("code")].count("\n")
            # Empty lines before it, so that an error tells the page's line.
            code = compile("\n" * line + block["code"], str(path), "exec")
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(code, names)
            expected, got = block["output"] or "", printed.getvalue()
            if not doctest.OutputChecker().check_output(expected, got, FLAGS):
                found.append(
                    f"{path.relative_to(DOCS.parent)}:{line} must print what "
                    f"the text block below it says:\n{expected}"
                    f"Received:\n{got}"
                )
    return found
