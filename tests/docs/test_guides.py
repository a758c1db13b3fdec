"""What is asked of the guides, beside that their examples run."""

import ast
import re
import tomllib

import pytest

from docs.extensions.examples import blocks
from docs.names import DOCS

GUIDES = DOCS / "guides"
APPLICATIONS = (
    "train_translation",
    "caption_images",
    "fine_tune_images",
    "fine_tune_videos",
)
INCLUDE = re.compile(
    r"^```\{include\} (?P<path>\S+)\n"
    r'(?::start-after: "(?P<after>[^"\n]+)"\n)?'
    r'(?::end-before: "(?P<before>[^"\n]+)"\n)?'
    r"(?::relative-images:\n)?```$",
    re.MULTILINE,
)


@pytest.fixture(params=APPLICATIONS)
def guide(request):
    """The text of a guide to an application."""
    return (GUIDES / f"{request.param}.md").read_text("utf-8")


def code_of(text):
    """All that the guide runs, parsed."""
    return ast.parse("\n".join(block["code"] for block in blocks(text)))


def test_it_begins_with_what_to_install(guide):
    before = guide[: guide.index("```python")]
    extras = re.search(r'"keras-attention-layers\[([a-z,]+)\]"', before)[1]
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text("utf-8"))
    known = project["project"]["optional-dependencies"]
    assert set(extras.split(",")) <= set(known)


def test_it_starts_in_five_lines(guide):
    (first, *_) = re.findall(r"^## (.*)", guide, re.MULTILINE)
    start = ast.parse(blocks(guide)[0]["code"])
    _imports, *statements = start.body
    lines = statements[-1].end_lineno - statements[0].lineno + 1
    assert first == f"In five {'lines' if lines == 5 else 'statements'}"
    nested = [node for node in ast.walk(start) if isinstance(node, ast.stmt)]
    assert len(nested) == 1 + 5
    assert lines <= 10
    called = calls(start)
    assert {"from_preset", "fit"} <= called or {
        "from_preset",
        "predict",
    } <= called


def test_it_needs_no_clone(guide):
    imported = set()
    for node in ast.walk(code_of(guide)):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    tops = {name.partition(".")[0] for name in imported}
    assert "keras_attention" in tops
    assert not tops & {"applications", "benchmarks", "docs", "tests", "tools"}
    # The command line of the clone comes last.
    assert "-m applications." not in guide[: guide.rindex("\n## ")]


def test_it_trains_shows_saves_and_exports(guide):
    called = calls(code_of(guide))
    assert {"fit", "save_to_preset", "from_preset"} <= called
    assert called & {"export", "export_translator"}
    assert any(name.startswith("plot_") for name in called)


def calls(tree):
    """The names of the methods and functions of modules that are called."""
    return {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }


def test_results_are_cut_from_where_they_stand():
    """A docutils error would say as much, but minutes later."""
    page = GUIDES / "recipes.md"
    text = page.read_text("utf-8")
    found = list(INCLUDE.finditer(text))
    assert len(found) == text.count("{include}") > 10
    for include in found:
        path = (page.parent / include["path"]).resolve()
        source = path.read_text("utf-8")
        if include["after"]:
            assert source.count(f"{include['after']}\n") == 1, include[0]
            source = source.partition(f"{include['after']}\n")[2]
        if include["before"]:
            assert include["before"] in source, include[0]
            source = source.partition(include["before"])[0]
        # A heading would not fit into the page's, nor a link of the README's.
        prose = re.sub(r"^```.*?^```", "", source, flags=re.S | re.M)
        assert not re.search(r"^#", prose, re.MULTILINE), include[0]
        assert not re.search(r"(?<!!)\[[^\]]*\]\((?!https)[^)]*\)", prose)
