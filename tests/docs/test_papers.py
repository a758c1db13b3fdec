"""The pages of papers: each equation has lines, and the lines are there."""

import re

import pytest

from docs import names
from docs.extensions import source
from docs.extensions.source import ROOT, source_of

PAPERS = sorted((names.DOCS / "papers").glob("*_*.md"))
LINES = re.compile(
    r"^```\{lines\} (\S+)\n(?::from: (.+)\n)?(?::to: (.+)\n)?```$", re.MULTILINE
)
LIBRARY = "".join(
    path.read_text("utf-8") for path in (ROOT / "keras_attention").rglob("*.py")
)
MODULE = '''class Layer:
    def call(self, x):
        """What it does."""
        # Why.
        def add(y):
            return x + y

        if x:
            x = add(
                x
            )
            x = 2 * x
        return x
'''


def shown(text):
    """The sources that a page shows."""
    return [
        source_of(name, first or None, last or None)
        for name, first, last in LINES.findall(text)
    ]


def test_papers_are_listed():
    index = (names.DOCS / "papers" / "index.md").read_text("utf-8")
    listed = re.search(r"```\{toctree\}\n(?::.*\n)*\n((?:\w+\n)+)```", index)
    assert sorted(listed[1].split()) == [path.stem for path in PAPERS]


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_each_equation_stands_beside_lines(path):
    text = path.read_text("utf-8")
    head, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    assert "https://arxiv.org/abs/" in head and "{doc}`../api/" in head
    assert sections
    for section in sections:
        equation, _, rest = section.partition("\n$$\n")[2].partition("\n$$\n")
        assert equation, section
        assert shown(rest), section
    assert len(shown(text)) == text.count("{lines}")


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_what_is_said_of_lines_is_in_them(path):
    """A `name` is one in the lines of its section, a `name=value` a choice."""
    for section in path.read_text("utf-8").split("\n## ")[1:]:
        code = " ".join(found.text for found in shown(section))
        code += " ".join(name for name, *_ in LINES.findall(section))
        for said in re.findall(r"(?<!\})`([^`\n]+)`", section):
            name, _, value = said.partition("=")
            word = rf"(?<![^\W_]){re.escape(said)}(?!\w)"
            there = re.search(word, code)
            there = there or value and f"    {name}: " in LIBRARY
            assert there, f"{path.name} says `{said}` in:\n{section}"


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "ROOT", tmp_path)
    (tmp_path / "package").mkdir()
    path = tmp_path / "package" / "module.py"
    path.write_text(MODULE)
    return path


def test_a_function_is_shown_without_its_docstring(module):
    assert source_of("package.module.Layer.call") == (
        module,
        2,
        "def call(self, x):\n"
        "    # Why.\n"
        "    def add(y):\n"
        "        return x + y\n\n"
        "    if x:\n"
        "        x = add(\n"
        "            x\n"
        "        )\n"
        "        x = 2 * x\n"
        "    return x",
    )
    text = source_of("package.module.Layer.call.add").text
    assert text == "def add(y):\n    return x + y"


def test_statements_are_whole_and_begin_at_the_margin(module):
    name = "package.module.Layer.call"
    assert source_of(name, "x = add") == (module, 9, "x = add(\n    x\n)")
    text = source_of(name, "x = add", "x = 2").text
    assert text == "x = add(\n    x\n)\nx = 2 * x"
    text = source_of(name, "if x", "return").text
    assert text.startswith("if x:\n    x = add") and text.endswith("\nreturn x")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["package.module.gone"], "'gone' 0 times"),
        (["package.gone.call"], "must begin with a module"),
        (["package.module.Layer.call", "gone"], "Received: 0"),
        (["package.module.Layer.call", "x = "], "Received: 2"),
        (["package.module.Layer.call", "x = 2", "x = add"], "Received: 0"),
        (["package.module.Layer.call", "x = 2", "return x"], "Received: 0"),
    ],
)
def test_what_is_gone_or_not_told_apart_is_an_error(module, arguments, message):
    with pytest.raises(LookupError, match=message):
        source_of(*arguments)
