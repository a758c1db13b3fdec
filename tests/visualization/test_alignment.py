import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from keras_attention.visualization import plot_alignment, plot_alignments

SOURCE = ["the", "small", "black", "cat", "sleeps"]
TARGET = ["le", "petit", "chat", "noir", "dort", "maintenant", "[end]"]


def made_up_scores(num_targets=7, num_sources=5, seed=0):
    scores = np.random.default_rng(seed).random((num_targets, num_sources))
    return scores / scores.sum(-1, keepdims=True)


def labels(tick_labels):
    return [label.get_text() for label in tick_labels]


def test_source_runs_along_the_top_and_target_down_the_left():
    scores = made_up_scores()
    (axes,) = plot_alignment(scores, SOURCE, TARGET, title="$100").axes
    assert labels(axes.get_xticklabels()) == SOURCE
    assert labels(axes.get_yticklabels()) == TARGET
    assert axes.get_title() == "$100"
    (image,) = axes.images
    np.testing.assert_allclose(image.get_array(), scores, rtol=1e-6)
    # Row 0 is drawn on top, and the scale is that of a share.
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert image.get_clim() == (0, 1)
    ticks = axes.xaxis.get_major_ticks()
    assert all(tick.label2.get_visible() for tick in ticks)
    assert not any(tick.label1.get_visible() for tick in ticks)


def test_a_picture_is_written_where_asked(tmp_path):
    for name in ("alignment.png", "alignment.svg"):
        plot_alignment(made_up_scores(), SOURCE, TARGET, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000


def test_the_squares_of_a_score_are_bright_where_it_is_high(tmp_path):
    from PIL import Image

    scores = np.zeros((7, 5))
    scores[1, 3] = 1
    figure = plot_alignment(scores, SOURCE, TARGET, tmp_path / "a.png")
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("L"))
    (axes,) = figure.axes
    for t, s in np.ndindex(7, 5):
        x, y = axes.transData.transform((s, t)) * 150 / figure.dpi
        value = pixels[pixels.shape[0] - 1 - int(y), int(x)]
        assert (value > 250) if (t, s) == (1, 3) else (value < 5)


def test_no_label_is_cut_off_and_no_title():
    figure = plot_alignment(
        made_up_scores(1, 2),
        ["internationalization", "b"],
        ["Donaudampfschifffahrt"],
        title="a title that is longer than the picture is wide",
    )
    (axes,) = figure.axes
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    for text in [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.title]:
        if text.get_visible():
            box = text.get_window_extent(renderer)
            assert box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1
            assert box.y0 >= -1 and box.y1 <= figure.bbox.y1 + 1


def test_known_links_are_outlined():
    links = [(0, 0), (3, 2)]
    figure = plot_alignment(made_up_scores(), SOURCE, TARGET, links=links)
    (axes,) = figure.axes
    centers = [
        (patch.get_x() + patch.get_width() / 2, patch.get_y() + 0.42)
        for patch in axes.patches
    ]
    np.testing.assert_allclose(centers, links)


def test_several_sentences_are_drawn_in_a_grid(tmp_path):
    examples = [
        (made_up_scores(7, 5, seed), SOURCE, TARGET) for seed in range(3)
    ]
    figure = plot_alignments(
        examples, tmp_path / "grid.png", titles=["one", "two", "three"]
    )
    assert [axes.get_title() for axes in figure.axes] == ["one", "two", "three"]
    positions = [axes.get_position() for axes in figure.axes]
    assert positions[0].x1 < positions[1].x0  # side by side
    assert positions[2].y1 < positions[0].y0  # below
    column = plot_alignments(examples, num_columns=1)
    assert column.get_figheight() > column.get_figwidth()


def test_drawing_leaves_pyplot_alone():
    before = "matplotlib.pyplot" in sys.modules
    plot_alignment(made_up_scores(), SOURCE, TARGET)
    assert ("matplotlib.pyplot" in sys.modules) == before


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((made_up_scores(5, 7), SOURCE, TARGET), r"\(5, 7\) with 7 target"),
        ((np.zeros((0, 0)), [], []), "0 target and 0 source"),
    ],
)
def test_scores_must_fit_the_tokens(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_alignment(*arguments)


def test_bad_grids_are_refused():
    example = made_up_scores(), SOURCE, TARGET
    with pytest.raises(ValueError, match="0 examples"):
        plot_alignments([])
    with pytest.raises(ValueError, match="1 examples, 2 titles"):
        plot_alignments([example], titles=["a", "b"])
    with pytest.raises(ValueError, match="at least 1. Received: 0"):
        plot_alignments([example], num_columns=0)
    with pytest.raises(ValueError, match=r"link \(5, 0\) with 5 source"):
        plot_alignment(*example, links=[(5, 0)])
