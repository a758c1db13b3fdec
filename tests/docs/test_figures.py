"""The figures of the pages can be drawn and read."""

import pytest

from docs.extensions import figures
from keras_attention.visualization import Explorer

pytest.importorskip("matplotlib")


def scripts():
    """All of them; those that train a model first are slow."""
    for script in figures.scripts():
        text = script.read_text(encoding="utf-8")
        marks = [pytest.mark.slow] if ".fit(" in text else []
        yield pytest.param(script, id=script.stem, marks=marks)


@pytest.mark.one_backend
@pytest.mark.parametrize("script", list(scripts()))
def test_a_figure_says_what_its_axes_are(script):
    figure = figures.draw(script)
    if isinstance(figure, Explorer):
        assert figure._repr_html_().startswith("<iframe title=")
        return  # it has no axes
    assert figure.axes
    for axes in figure.axes:
        if not axes.axison or axes.get_label() == "<colorbar>":
            continue  # a picture, or the scale of a map whose title says it
        has_label = axes.get_xlabel() or axes.get_ylabel()
        assert has_label or axes.get_title(), script.name
    figure.canvas.draw()
