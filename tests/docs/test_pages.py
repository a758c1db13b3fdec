"""The site's pages: their examples run, and every public name has one."""

import importlib
import re

import pytest

from docs import names
from docs.extensions import examples, figures
from tests import layer_checks, model_checks
from tests.marks import slow_on_jax

# A layer that reads nothing says what else it does: "What it tells apart".
SECTIONS = ["Equation", "Shapes and masks", "Cost", "Example", "What it"]
IMAGE = re.compile(r"!\[[^\]]+\]\(\.\./\.\./images/api/(\w+)\.png\)")


def label(path):
    return str(path.relative_to(names.DOCS))


# Keras's MeanIoU counts in int64, which JAX has not; int32 will do.
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64")
# Keras's `export` on JAX.
@pytest.mark.filterwarnings("ignore:The .native_serialization. parameter")
@slow_on_jax
@pytest.mark.parametrize("path", examples.pages(), ids=label)
def test_a_page_prints_what_it_says(path):
    found = examples.mistakes(path)
    assert not found, "\n".join(found)


def test_a_wrong_output_is_a_mistake(tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "DOCS", tmp_path / "docs")
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nx = 2\nprint(x)\n```\n\n```text\n2\n```\n"
        "and then\n```python\nprint(x + 1)\n```\n```text\n4\n```\n"
        "```python\nprint('unsaid')\n```\n"
        "```python\nimport keras\n"
        "bar = keras.utils.Progbar(2)\nbar.update(1)\nbar.update(2)\n```\n"
    )
    wrong, unsaid = examples.mistakes(page)
    assert "page.md:10" in wrong and "4\nReceived:\n3" in wrong
    assert unsaid.endswith("Received:\nunsaid\n")


def test_old_code_is_run_where_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "DOCS", tmp_path / "docs")
    page = tmp_path / "page.md"
    page.write_text(
        "```py\nx = 1\nprint(x)\n```\n```text\n1\n```\n"
        "```python\ny = 2\n```\n"
        "```py\nprint(x + y)\n```\n```text\n4\n```\n"
    )
    assert not examples.mistakes(page)
    (wrong,) = examples.mistakes(page, ("python", "py"))
    assert "4\nReceived:\n3" in wrong


def test_an_example_that_fails_tells_the_line_of_the_page(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(examples, "DOCS", tmp_path / "docs")
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```python\nx = 1\nraise KeyError(x)\n```\n")
    with pytest.raises(KeyError) as error:
        examples.mistakes(page)
    assert error.traceback[-1].lineno + 1 == 5


def test_every_public_name_has_a_page():
    assert set(names.documented_names()) >= names.public_names()


def test_every_module_with_public_names_is_listed():
    package = importlib.import_module("keras_attention")
    listed = {path.partition(".")[0] for path in names.MODULES}
    assert listed == set(package.__all__) - {"converters"}


def test_pages_document_what_there_is():
    for name in names.documented_names():
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def test_every_page_of_a_name_has_an_example():
    with_examples = examples.pages()
    for name, path in names.documented_names().items():
        assert path in with_examples, name


@pytest.mark.parametrize(
    "path",
    sorted((names.DOCS / "api" / "layers").glob("*_*.md")),
    ids=label,
)
def test_a_layer_page_has_its_parts_in_order(path):
    text = path.read_text("utf-8")
    headings = re.findall(r"^## (What it|.*)", text, re.MULTILINE)
    in_order = [*SECTIONS, "Reference"]
    assert [x for x in headings if x in in_order] == in_order
    # The file is named after the class.
    title = re.match(r"# (\w+)\n", text)[1]
    assert path.stem.replace("_", "") == title.lower()
    drawn = IMAGE.findall(text)
    assert path.stem in drawn
    assert set(drawn) <= {script.stem for script in figures.scripts()}


def test_the_support_page_has_every_layer_and_model():
    text = (names.DOCS / "support.md").read_text("utf-8")
    missing = [
        name
        for name in (*layer_checks.CASES, *model_checks.CASES)
        if f"\n| {{py:obj}}`{name} <" not in text
    ]
    assert not missing, f"run `make support` for {missing}"


def test_the_support_page_tells_each_reason():
    text = (names.DOCS / "support.md").read_text("utf-8")
    numbers = re.findall(r"{sup}`([\d, ]+)`", text)
    used = {int(x) for found in numbers for x in found.split(", ")}
    reasons = text.partition("\n## Reasons\n")[2]
    told = [int(x) for x in re.findall(r"^(\d+)\. \S", reasons, re.MULTILINE)]
    assert told == list(range(1, len(told) + 1)) == sorted(used)
    assert "fails on" not in text
