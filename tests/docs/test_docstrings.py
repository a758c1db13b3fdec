"""Docstrings in Keras's Markdown become reStructuredText."""

from textwrap import dedent

import pytest

from docs.extensions.docstrings import to_rst


def converted(text):
    lines = to_rst(dedent(text).strip("\n").splitlines())
    return "\n".join(line for line in lines if line.strip())


@pytest.mark.parametrize(
    "markdown, rst",
    [
        ("of `(B, T)`.", "of ``(B, T)``."),
        ("as `keras.layers.GRU` is", "as :py:obj:`keras.layers.GRU` is"),
        ("`keras.layers.GRU(3)`", "``keras.layers.GRU(3)``"),
        (
            "unlike `AdditiveAttention`",
            "unlike :py:obj:`~keras_attention.layers.AdditiveAttention`",
        ),
        ("see `keras_attention.ops`", "see :py:mod:`keras_attention.ops`"),
        (
            "`keras_attention.layers.X`",
            ":py:obj:`keras_attention.layers.X`",
        ),
        ("the sum $a_i$ of", "the sum :math:`a_i` of"),
        ("[Xu, 2015](https://a.org/b)", "`Xu, 2015 <https://a.org/b>`__"),
        ("with |t - s| <= w", r"with \|t - s\| <= w"),
        ("`|s - p_t| <= D`", "``|s - p_t| <= D``"),
    ],
)
def test_inline_markup(markdown, rst):
    assert converted(markdown) == rst


def test_markup_that_goes_over_a_line_stays_whole():
    assert converted("a `[h_t;\nh_s]` b") == "a ``[h_t; h_s]`` b"


def test_an_indented_equation_is_code():
    text = """
        Read (A.1.2):

            score = v . tanh(W q)
            output = sum_s score

        `W` is learned.
    """
    assert converted(text) == (
        "Read (A.1.2):\n"
        ".. code-block:: text\n"
        "    score = v . tanh(W q)\n"
        "    output = sum_s score\n"
        "``W`` is learned."
    )


def test_arguments_with_two_paragraphs_are_no_code():
    text = """
        Args:
            units: Size.

                More of it.
    """
    assert ".. code-block" not in converted(text)


def test_doctests_stay_as_they_are():
    text = """
        Examples:
            It prints `x`:

            >>> print(f"`{x}` | [a](https://b)")
            `x` | [a](https://b)
    """
    assert converted(text) == dedent(text).strip("\n").replace(
        "prints `x`", "prints ``x``"
    ).replace("\n\n", "\n")


def test_a_returned_dict_is_no_type():
    assert converted("Returns:\n    A dict: `a`.") == (
        "Returns:\n    : A dict: ``a``."
    )


def test_a_table_becomes_a_list_table():
    assert converted("| a | b |\n|---|---|\n| `x` | 1 |") == (
        ".. list-table::\n"
        "    :header-rows: 1\n"
        "    * - a\n"
        "      - b\n"
        "    * - ``x``\n"
        "      - 1"
    )


def test_formulas_and_fences_become_directives():
    assert converted("$$\nx^2\n$$") == ".. math::\n    x^2"
    assert converted("```sh\nmake\n```") == ".. code-block:: sh\n    make"
