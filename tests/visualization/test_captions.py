"""Numbers behind the pictures of what each word was read from."""

import itertools

import keras
import numpy as np
import pytest

from keras_attention.visualization import plot_caption
from keras_attention.visualization.captions import enlarged

WORDS = ["a", "$x_1$", "<b>&"]
T, ROWS, COLUMNS, HEIGHT, WIDTH = 3, 5, 7, 53, 81


def example(seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(10, 200, (HEIGHT, WIDTH, 3)).astype("uint8")
    scores = rng.dirichlet(np.ones(ROWS * COLUMNS), T)
    return image, scores.reshape(T, ROWS, COLUMNS)


def test_the_image_comes_first_then_each_word_over_it(tmp_path):
    image, scores = example()
    path = tmp_path / "caption.png"
    figure = plot_caption(image, WORDS, scores, gates=[0.5, 0, 1], path=path)
    assert path.stat().st_size > 1000
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["image", "a (0.50)", "$x_1$ (0.00)", "<b>& (1.00)"]
    assert not any(axis.title.get_parse_math() for axis in figure.axes)
    expected = (image - image.min()) / np.ptp(image)
    assert len(figure.axes[0].images) == 1
    maps = enlarged(scores, (HEIGHT, WIDTH), "gaussian")
    for axis in figure.axes:
        np.testing.assert_allclose(axis.images[0].get_array(), expected)
    for axis, found in zip(figure.axes[1:], maps, strict=True):
        shown = axis.images[1]
        np.testing.assert_allclose(shown.get_array(), found)
        # From black, which is nothing, to white; Xu et al.'s opacity.
        assert shown.get_clim() == (0, found.max())
        assert shown.get_cmap().name == "gray" and shown.get_alpha() == 0.8
    assert not figure.legends


def test_panels_go_on_in_the_next_line():
    image, scores = example()
    figure = plot_caption(image, WORDS, scores, num_columns=3)
    places = [axis.get_subplotspec() for axis in figure.axes]
    assert [(x.rowspan.start, x.colspan.start) for x in places] == [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
    ]
    assert len(figure.axes) == 4


@pytest.mark.parametrize(
    "cells, pixels", [((5, 7), (53, 81)), ((2, 3), (8, 9))]
)
def test_maps_are_enlarged_as_scipy_does(cells, pixels):
    ndimage = pytest.importorskip("scipy.ndimage")
    maps = np.random.default_rng(1).dirichlet(np.ones(np.prod(cells)), 2)
    maps = maps.reshape(2, *cells)
    # Where the centres of pixels lie, in cells from the centre of the first.
    places = np.meshgrid(
        *map(lambda c, p: (np.arange(p) + 0.5) * c / p - 0.5, cells, pixels),
        indexing="ij",
    )
    # 20 pixels where 14 x 14 cells are enlarged to 224 x 224.
    sigmas = [20 / 16 * p / c for c, p in zip(cells, pixels, strict=True)]
    for order, smoothing in enumerate(["nearest", "bilinear"]):
        expected = [
            ndimage.map_coordinates(x, places, order=order, mode="nearest")
            for x in maps
        ]
        found = enlarged(maps, pixels, smoothing)
        np.testing.assert_allclose(found, expected, atol=1e-12)
    blurred = [ndimage.gaussian_filter(x, sigmas) for x in expected]
    found = enlarged(maps, pixels, "gaussian")
    np.testing.assert_allclose(found, blurred, atol=1e-6)


@pytest.mark.parametrize("smoothing", ["gaussian", "bilinear", "nearest"])
def test_the_most_of_a_map_lies_in_the_cell_that_was_read(smoothing):
    for rows, columns in itertools.product([1, 2, 3, 4, 7], repeat=2):
        cells = rows * columns
        size = 9 * rows, 11 * columns
        maps = np.eye(cells).reshape(cells, rows, columns)
        for cell, found in enumerate(enlarged(maps, size, smoothing)):
            y, x = np.unravel_index(found.argmax(), size)
            assert (y // 9) * columns + x // 11 == cell
            # Nothing of it is lost, at the edges and in the corners either.
            np.testing.assert_allclose(found.mean(), 1 / cells)


@pytest.mark.parametrize("smoothing", ["gaussian", "bilinear", "nearest"])
def test_an_even_map_stays_even_and_white(smoothing):
    image, _ = example()
    even = np.full((1, 35), 1 / 35)
    figure = plot_caption(
        image, ["a"], even, smoothing=smoothing, grid_shape=(5, 7)
    )
    shown = figure.axes[1].images[1]
    np.testing.assert_allclose(shown.get_array(), 1 / 35)
    np.testing.assert_allclose(shown.get_clim(), (0, 1 / 35))


def test_a_word_that_read_nothing_is_dark():
    image, _ = example()
    shown = plot_caption(image, ["a"], np.zeros((1, 4, 4))).axes[1].images[1]
    assert not shown.get_array().any() and shown.norm(0) == 0


def frames(axis):
    """Left, top, right and bottom of the frames of a panel."""
    return [
        (
            frame.get_x(),
            frame.get_y(),
            frame.get_x() + frame.get_width(),
            frame.get_y() + frame.get_height(),
        )
        for frame in axis.patches
    ]


def test_the_cell_that_was_read_is_framed():
    image = example()[0][:40, :63, :1]  # cells of 8 x 9
    scores = example()[1]
    figure = plot_caption(image, WORDS, scores, samples=[0, -1, 2 * 7 + 6])
    _, first, soft, last = map(frames, figure.axes)
    # Pixel 0 is drawn from -0.5 to 0.5.
    assert first == [(-0.5, -0.5, 8.5, 7.5)]
    assert soft == []
    assert last == [(53.5, 15.5, 62.5, 23.5)]
    (legend,) = figure.legends
    assert [x.get_text() for x in legend.get_texts()] == ["cell read"]
    assert len(figure.axes[2].images) == len(figure.axes[3].images) == 2


def test_what_a_word_names_is_outlined():
    image, scores = example()
    boxes = [None, (10, 20, 30, 53), None]
    figure = plot_caption(image, WORDS, scores, [3, 3, 3], boxes=boxes)
    assert [len(axis.patches) for axis in figure.axes] == [0, 1, 2, 1]
    assert frames(figure.axes[2])[1] == (9.5, 19.5, 29.5, 52.5)
    (legend,) = figure.legends
    named = [x.get_text() for x in legend.get_texts()]
    assert named == ["cell read", "what the word names"]


def test_scores_of_any_backend_and_flat_ones_draw_the_same():
    image, scores = example()
    half = keras.ops.cast(scores.reshape(T, -1), "bfloat16")
    figure = plot_caption(image, WORDS, half, grid_shape=(ROWS, COLUMNS))
    plain = plot_caption(image / 255, WORDS, scores)
    for axis, expected in zip(figure.axes[1:], plain.axes[1:], strict=True):
        found, expected = (x.images[1].get_array() for x in (axis, expected))
        np.testing.assert_allclose(found, expected, rtol=0.01)


def with_nan(values):
    values = np.array(values, "float64")
    values.flat[4] = np.nan
    return values


IMAGE, SCORES = example()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(image=IMAGE[None]), r"\(1, 53, 81, 3\).*images\[0\]"),
        (dict(image=IMAGE[..., :2]), r"1 or 3\).*\(53, 81, 2\)"),
        (dict(image=IMAGE[:0]), r"\(0, 81, 3\)"),
        (dict(image=with_nan(IMAGE)), r"`image` must be finite.*\[0, 1, 1\]"),
        (dict(image=IMAGE[:4]), r"\(4, 81\) pixels for \(5, 7\) cells"),
        (dict(words=[], scores=SCORES[:0]), "at least one word"),
        (dict(words="abc"), "list of strings. Received: 'abc'"),
        (dict(words=[1, 2, 3]), r"list of strings. Received: \[1, 2, 3\]"),
        (dict(words=WORDS[:2]), r"\(3, 5, 7\) for 2 words. Cut the padding"),
        (dict(scores=SCORES[None]), r"\(1, 3, 5, 7\) for 3 words.*heads"),
        (dict(scores=with_nan(SCORES)), r"`scores` must be.*\[0, 0, 4\]"),
        (dict(scores=-SCORES), "after the softmax. Received: -0"),
        (dict(scores=SCORES.reshape(3, 35)), r"\(6, 6\).*\(rows, columns\)"),
        (dict(grid_shape=(7, 5)), r"\(7, 5\) for scores of shape \(3, 5, 7\)"),
        (dict(grid_shape=(5, 0)), "grid_shape=.5, 0"),
        (dict(samples=[0, 1]), r"\[0, 1\] for 3 words"),
        (dict(samples=[0, 1, 35]), "less than 35, or -1.*35"),
        (dict(samples=[0, 1, -2]), "-2"),
        (dict(samples=[0.0, 1.0, 2.0]), "an integer for each word"),
        (dict(gates=[0.5, 0.5]), r"`gates` must.*\(3,\).*shape \(2,\)"),
        (dict(gates=[0.5, np.inf, 0]), r"`gates` must be finite.*\[1\]"),
        (dict(boxes=[None]), "3 words. Received: 1 boxes"),
        (dict(boxes=[None, None, (0, 0, 82, 5)]), "of 81 by 53.*82, 5"),
        (dict(boxes=[None, None, (5, 0, 5, 5)]), "left before right"),
        (dict(boxes=[None, None, (0, 0, 5)]), r"Received: \(0, 0, 5\)"),
        (dict(smoothing="cubic"), "smoothing='cubic'"),
        (dict(num_columns=0), "num_columns=0"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    given = dict(image=IMAGE, words=WORDS, scores=SCORES)
    with pytest.raises(ValueError, match=message):
        plot_caption(**{**given, **change})
