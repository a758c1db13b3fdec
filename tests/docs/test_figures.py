"""The figures of the pages can be drawn and read."""

import pytest

from docs.extensions import figures

pytest.importorskip("matplotlib")


@pytest.mark.one_backend
@pytest.mark.parametrize("script", figures.scripts(), ids=lambda x: x.stem)
def test_a_figure_says_what_its_axes_are(script):
    figure = figures.draw(script)
    assert figure.axes
    for axes in figure.axes:
        if not axes.axison or axes.get_label() == "<colorbar>":
            continue  # a picture, or the scale of a map whose title says it
        has_label = axes.get_xlabel() or axes.get_ylabel()
        assert has_label or axes.get_title(), script.name
    figure.canvas.draw()
