import numpy as np
import pytest

from keras_attention.metrics import pointing

GRID, IMAGE = (3, 5), (21, 35)  # cells of 7 pixels


def test_the_cells_that_a_box_overlaps_are_right():
    # Columns 1 and 2 of rows 0 and 1: from the middle of a cell to the edge
    # of another, whose neighbour is not touched.
    box = (10, 3, 21, 14)
    right = np.zeros(GRID, bool)
    right[:2, 1:3] = True
    for cell in np.ndindex(GRID):
        scores = np.zeros((1, *GRID))
        scores[0][cell] = 1
        score = pointing([scores], [[box]], GRID, IMAGE)
        assert score.accuracy == score.mass == right[cell]
        assert score.chance == 4 / 15


def test_a_word_is_a_hit_by_its_most_attended_cell():
    scores = np.full((3, 15), 0.05)
    scores[0, 0] = scores[1, 7] = scores[2, 14] = 0.3
    boxes = [(0, 0, 7, 7), (0, 0, 7, 7), (0, 0, 35, 21)]
    score = pointing([scores], [boxes], GRID, IMAGE)
    assert score.accuracy == pytest.approx(2 / 3)
    assert score.mass == pytest.approx((0.3 + 0.05 + 1) / 3)
    assert score.chance == pytest.approx((1 / 15 + 1 / 15 + 1) / 3)
    assert score.num_words == 3


@pytest.mark.parametrize(
    "tolerance, cells", [(0, 1), (1, 6), (2, 12), (3, 15), (9, 15)]
)
def test_tolerance_grows_a_box_to_all_sides(tolerance, cells):
    # In the second column of the first row: (rows) x (columns) are 2 x 3,
    # 3 x 4 and 3 x 5.
    scores = np.full((1, 15), 1 / 15)
    score = pointing([scores], [[(8, 1, 9, 2)]], GRID, IMAGE, tolerance)
    assert score.chance == pytest.approx(cells / 15)
    assert score.mass == pytest.approx(cells / 15)


def test_uneven_cells_have_the_edges_of_the_grid():
    # Cells of 10 / 3 pixels: a box from 3.4 on misses the first one.
    scores = np.eye(3)[:1].reshape(1, 1, 3)
    for left, accuracy in ((3.3, 1), (3.4, 0)):
        boxes = [[(left, 0, 10, 10)]]
        assert pointing([scores], boxes, (1, 3), (10, 10)).accuracy == accuracy


def test_cells_that_tie_share_the_word():
    uniform = np.full((1, 15), 1 / 15, "float32")
    score = pointing([uniform], [[(0, 0, 14, 7)]], GRID, IMAGE)
    assert score.accuracy == score.chance == pytest.approx(2 / 15)


def test_words_without_a_box_and_the_end_do_not_count():
    scores = np.zeros((3, 15))  # zeros are no shares: of a word they are bad
    scores[1, 2] = 1
    boxes = [None, (14, 0, 21, 7)]
    score = pointing([scores, scores[:2]], [boxes, boxes], GRID, IMAGE)
    assert (score.accuracy, score.mass, score.num_words) == (1, 1, 2)


def random_words(rng, num_captions):
    scores, word_boxes = [], []
    for _ in range(num_captions):
        logits = rng.normal(size=(7, 15))
        scores.append(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))
        boxes = []
        for _ in range(7):
            left, right = np.sort(rng.choice(36, 2, replace=False))
            top, bottom = np.sort(rng.choice(22, 2, replace=False))
            boxes.append((left, top, right, bottom))
        word_boxes.append(boxes)
    return scores, word_boxes


def test_attention_that_knows_nothing_has_the_score_of_chance():
    words = random_words(np.random.default_rng(2), 300)
    score = pointing(*words, GRID, IMAGE)
    # A standard deviation of the accuracy is below 0.5 / sqrt(2100) = 0.011.
    assert score.accuracy == pytest.approx(score.chance, abs=0.04)
    assert score.mass == pytest.approx(score.chance, abs=0.01)
    assert 0.2 < score.chance < 0.6


@pytest.mark.parametrize("tolerance", [0, 1])
def test_pointing_equals_a_loop_over_pixels(tolerance):
    scores, word_boxes = random_words(np.random.default_rng(3), 20)
    hits, masses, shares = [], [], []
    for maps, boxes in zip(scores, word_boxes, strict=True):
        for row, (left, top, right, bottom) in zip(maps, boxes, strict=True):
            cells = {
                (y // 7 + dy, x // 7 + dx)
                for y in range(top, bottom)
                for x in range(left, right)
                for dy in range(-tolerance, tolerance + 1)
                for dx in range(-tolerance, tolerance + 1)
            }
            inside = [(s // 5, s % 5) in cells for s in range(15)]
            hits.append(inside[row.argmax()])
            masses.append(row[inside].sum())
            shares.append(np.mean(inside))
    score = pointing(scores, word_boxes, GRID, IMAGE, tolerance)
    assert (score.accuracy, score.mass, score.chance) == pytest.approx(
        (np.mean(hits), np.mean(masses), np.mean(shares))
    )
    assert score.num_words == 140


def test_a_grid_and_its_rows_in_one_line_are_the_same():
    scores, boxes = random_words(np.random.default_rng(4), 11)
    as_grids = [maps.reshape(7, *GRID) for maps in scores]
    assert pointing(as_grids, boxes, GRID, IMAGE) == pointing(
        scores, boxes, GRID, IMAGE
    )


ONE = np.eye(15)[:1]
BOX = (0, 0, 7, 7)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([ONE], []), "1 scores, 0 lists of boxes"),
        (([ONE], [[None]]), "1 captions without boxes"),
        (([], []), "0 captions without boxes"),
        (([np.eye(14)[:1]], [[BOX]]), r"shape \(1, 14\) for caption 0.*\(3, 5"),
        (([ONE.reshape(1, 5, 3)], [[BOX]]), r"shape \(1, 5, 3\) for caption 0"),
        (([ONE, ONE[None]], [[BOX]] * 2), r"\(1, 1, 15\) for caption 1.*heads"),
        (([ONE], [[BOX, BOX]]), "1 rows of scores and 2 boxes for caption 0"),
        (([np.eye(15)], [[BOX]]), "15 rows of scores and 1 boxes.*Cut padding"),
        (
            ([ONE], [[(0, 0, 36, 7)]]),
            r"\(0, 0, 36, 7\) for word 0 of caption 0",
        ),
        (([ONE], [[(0, -1, 7, 7)]]), r"\(0, -1, 7, 7\)"),
        (([ONE], [[(0, 0, 7, 22)]]), "height 21 and width 35"),
        (([ONE], [[(7, 0, 7, 7)]]), r"with an area.*\(7, 0, 7, 7\)"),
        (([ONE], [[(0, 0, 7)]]), r"\(0, 0, 7\)"),
        (([ONE], [[(0, 0, 7, np.nan)]]), "nan"),
        (([3 * ONE], [[BOX]]), "from 0 to 3 with the sum 3 for word 0"),
        (([ONE - 1 / 15], [[BOX]]), "-0.0667"),
        (([np.nan * ONE], [[BOX]]), "Pass what comes after the softmax"),
    ],
)
def test_bad_words_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        pointing(*arguments, GRID, IMAGE)


@pytest.mark.parametrize(
    "grid, image, tolerance, message",
    [
        ((3, 0), IMAGE, 0, r"grid_shape=\(3, 0\)"),
        (GRID, (21, 35, 3), 0, r"\(height, width\).*\(21, 35, 3\)"),
        (GRID, IMAGE, -1, "tolerance=-1"),
    ],
)
def test_bad_shapes_are_refused(grid, image, tolerance, message):
    with pytest.raises(ValueError, match=message):
        pointing([ONE], [[BOX]], grid, image, tolerance)
