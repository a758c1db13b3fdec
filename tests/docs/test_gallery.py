"""The gallery's scripts are whole, short and told, and pages link to them."""

import ast
import re
import runpy

import pytest

from docs.extensions import gallery, used_in

ALLOWED = {"keras", "keras_attention", "matplotlib", "numpy"}
TITLE = re.compile(r'"""\n(?P<title>.+)\n(?P<line>=+)\n\n\S')


def each(marks=()):
    return [
        pytest.param(script, id=script.stem, marks=marks)
        for script in gallery.scripts()
    ]


def test_every_script_has_its_place():
    names = [script.name for script in gallery.scripts()]
    assert sorted(names, key=gallery.by_hand) == list(gallery.ORDER)
    with pytest.raises(ValueError):
        gallery.by_hand("plot_unlisted.py")


@pytest.mark.parametrize("script", each())
def test_a_script_is_short_and_stands_alone(script):
    text = script.read_text("utf-8")
    title = TITLE.match(text)
    assert title and len(title["title"]) == len(title["line"])
    tree = ast.parse(text)
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in [getattr(node, "module", None) or node.names[0].name]
    }
    assert imported <= ALLOWED
    assert "keras.utils.set_random_seed(" in text
    # What has not learned is not published.
    assert any(isinstance(x, (ast.Assert, ast.Raise)) for x in ast.walk(tree))
    lines = text.split('"""', 2)[2].splitlines()
    code = [x for x in lines if x.strip() and not x.startswith("#")]
    assert len(code) <= 80


@pytest.mark.parametrize("script", each())
def test_each_figure_is_told_to_those_who_do_not_see_it(script):
    told = gallery.told(script)
    assert told and min(map(len, told)) > 40
    assert 1 <= gallery.on_card(script) <= len(told)


def test_a_figure_is_told_by_the_comment_right_above_it():
    cell = "# Prose.\n\nfigure = 1\n# Two\n# lines.\nfigure\n"
    assert gallery.described(cell) == "Two lines."
    with pytest.raises(ValueError, match="what a figure shows"):
        gallery.described("# Prose.\n\nfigure\n")


@pytest.mark.one_backend
@pytest.mark.parametrize("script", each(marks=[pytest.mark.slow]))
def test_a_script_learns_and_draws(script, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script))
    assert not list(tmp_path.iterdir())


def reference(name):
    return f"# Page\n\n.. autoclass:: keras_attention.{name}\n"


def test_a_page_ends_with_where_its_name_is_used():
    page = reference("models.RNNSearch")
    added = used_in.used_in(page, {"keras_attention.models.RNNSearch"})
    assert added.startswith("\n## Used in\n")
    assert ".. minigallery:: keras_attention.models.RNNSearch\n" in added
    assert "- {doc}`/guides/train_translation`" in added
    assert "minigallery" not in used_in.used_in(page, set())


def test_a_page_of_an_unused_name_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(used_in, "read", lambda: {"guides/one": "RNNSearch"})
    assert used_in.used_in(reference("models.RNNSearch"), set()) == ""
    assert used_in.used_in("# A page of no name\n", set()) == ""


@pytest.mark.parametrize(
    "text",
    [
        "layers.MultiHeadAttention(4, 8)",
        "keras_attention.layers.MultiHeadAttention",
        "x = MultiHeadAttention(4, 8)(x)",
        "takes `MultiHeadAttention`",
        "see {doc}`../api/layers/multi_head_attention`",
        "[it](../api/layers/multi_head_attention.md)",
    ],
)
def test_a_text_names_what_is_ours(text):
    ours = ["keras_attention.layers.MultiHeadAttention"]
    assert used_in.names_any(text, ours)


@pytest.mark.parametrize(
    "text",
    [
        "keras.layers.MultiHeadAttention(4, 8)",
        "the multi-head attention of the paper",
        "MultiHeadAttentions(",
    ],
)
def test_a_text_does_not_name_what_is_not(text):
    ours = ["keras_attention.layers.MultiHeadAttention"]
    assert not used_in.names_any(text, ours)
