"""The pages of papers: each equation has lines, and the lines are there."""

import re

import pytest

from docs import names
from docs.extensions.source import ROOT, source_of

PAPERS = sorted((names.DOCS / "papers").glob("*_*.md"))
LINES = re.compile(
    r"^```\{lines\} (\S+)\n(?::from: (.+)\n)?(?::to: (.+)\n)?```$", re.MULTILINE
)
STEP = "keras_attention.layers.attention_rnn.AttentionRNN._step"
DOT = "keras_attention.ops.luong.dot_logits"


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


def test_a_function_is_shown_without_its_docstring():
    path, number, text = source_of("keras_attention.ops.windows.gaussian")
    assert text == (
        "def gaussian(distance, window):\n"
        "    return ops.exp(-2.0 * ops.square(distance / window))"
    )
    assert path == ROOT / "keras_attention" / "ops" / "windows.py"
    assert path.read_text("utf-8").splitlines()[number - 1] == text[:31]


def test_statements_are_whole_and_begin_at_the_margin():
    name = "keras_attention.layers.attention_rnn.AttentionRNN.__init__"
    text = source_of(name, "self.attentional_dense = keras").text
    assert text.startswith("self.attentional_dense = keras.layers.Dense(\n")
    assert text.endswith("\n)")
    text = source_of(STEP, "read = []", "run_cell = ").text
    assert text.startswith("read = []\nif self.query_from")
    assert '\n    read.append(state["feed"])\nrun_cell = run_cell or' in text


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["keras_attention.ops.luong.gone"], "'gone' 0 times"),
        (["keras_attention.gone.dot_logits"], "must begin with a module"),
        ([DOT, "gone"], "Received: 0"),
        ([STEP, "if self.input_feeding"], "Received: 2"),
        ([DOT, "return", "logits"], "Received: 0"),  # it comes before
    ],
)
def test_what_is_gone_or_not_told_apart_is_an_error(arguments, message):
    with pytest.raises(LookupError, match=message):
        source_of(*arguments)
