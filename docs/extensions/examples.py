"""Runs the examples of the pages, as a reader would, and compares.

A block of `python` is run; a block of text right below it is what it prints,
progress bars left out.
The blocks of a page share their names. A block of `py` is shown; a test runs
those of some pages, where there is the other library that they need.

A build runs them in a process of their own, `python -m
docs.extensions.examples`, while its own draws figures and reads pages.
"""

import contextlib
import doctest
import io
import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

DOCS = Path(__file__).parents[1]
BLOCKS = re.compile(
    r"^```(?P<kind>python|py)\n(?P<code>.*?)^```\n"
    r"(?:\s*^```text\n(?P<output>.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)
# What `fit` prints of its epochs.
PROGRESS = re.compile(r"^Epoch \d+/\d+\n|^.*━.*\n?", re.MULTILINE)
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def setup(app):
    app.connect("builder-inited", start)
    app.connect("env-check-consistency", report)
    return {"parallel_read_safe": True}


def start(app):
    """Runs all examples, beside the build."""
    app.examples = ThreadPoolExecutor(1).submit(
        subprocess.run,
        [sys.executable, "-m", __spec__.name],
        cwd=DOCS.parent,
        capture_output=True,
        text=True,
    )


def report(app, env):
    """Waits for the examples; a warning for each that is wrong."""
    from sphinx.util import logging

    done = app.examples.result()
    if done.returncode:
        raise RuntimeError(f"An example failed:\n{done.stderr}")
    for mistake in json.loads(done.stdout.splitlines()[-1]):
        logging.getLogger(__name__).warning(mistake)


def pages():
    """The pages with examples."""
    paths = sorted(DOCS.rglob("*.md"))
    return [path for path in paths if blocks(path.read_text("utf-8"))]


def blocks(text, kinds=("python",)):
    return [x for x in BLOCKS.finditer(text) if x["kind"] in kinds]


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
            expected = block["output"] or ""
            got = PROGRESS.sub("", printed.getvalue())
            if not doctest.OutputChecker().check_output(expected, got, FLAGS):
                found.append(
                    f"{path.relative_to(DOCS.parent)}:{line} must print what "
                    f"the text block below it says:\n{expected}"
                    f"Received:\n{got}"
                )
    return found


if __name__ == "__main__":
    print(json.dumps([x for path in pages() for x in mistakes(path)]))
