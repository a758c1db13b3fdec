"""The explorer under a real mouse, a keyboard and a finger."""

import numpy as np
import pytest

from keras_attention.visualization import (
    AttentionView,
    CaptionView,
    Cells,
    Explorer,
)
from keras_attention.visualization.captions import enlarged
from keras_attention.visualization.explorer import PER_CELL
from tests.browser.mouse import point

pytestmark = pytest.mark.one_backend
pytest.importorskip("PIL")

FRENCH, ENGLISH = ["les", "chats", "noirs"], ["the", "black", "cats", "sleep"]
RNG = np.random.default_rng(0)
HEADS = RNG.dirichlet(np.ones(4), (2, 3))
WORDS = AttentionView(FRENCH, ENGLISH, HEADS, labels=("French", "English"))

IMAGE = RNG.uniform(size=(60, 80, 3))
GRID = 3, 4
SAID = RNG.dirichlet(np.ones(12), 2)
CAPTION = CaptionView(
    IMAGE, ["a", "cat"], SAID, [-1, 7], [0.25, 0.9], grid_shape=GRID
)

PATCHES = RNG.dirichlet(np.ones(13), (1, 13))
PLACES = Cells(IMAGE, GRID, ["class"])
PICTURE = AttentionView(PLACES, PLACES, {"block_0": PATCHES})

TIMES = 3, 2, 2  # of six frames
TUBELETS = RNG.dirichlet(np.ones(12), 12)
CLIP = Cells(RNG.uniform(size=(6, 32, 48, 3)), TIMES)
VIDEO = AttentionView(CLIP, CLIP, TUBELETS)

FRAMES = RNG.dirichlet(np.ones(6), 1)
WHOLE = AttentionView(["answer"], CLIP._replace(grid_shape=(6, 1, 1)), FRAMES)


@pytest.fixture
def explore(visit, tmp_path):
    """Opens a page of one view: its page."""

    def opened(view, anchor="", smoothing="nearest", **options):
        path = tmp_path / "explorer.html"
        Explorer([view], smoothing=smoothing).save(path)
        return visit(path.as_uri() + anchor, **options)

    return opened


def centre(row, column, grid):
    return (column + 0.5) / grid[1], (row + 0.5) / grid[0]


def lit(page, side):
    """How bright each word of a side is, from 0 to 100."""
    return page.locator(f".{side} button").evaluate_all(
        "all => all.map("
        "x => parseFloat(x.style.getPropertyValue('--lit') || 0))"
    )


def drawn(page, side):
    """The maps over the pictures of a side: `(pictures, rows, columns)`."""
    found = page.locator(f".{side} canvas").evaluate_all(
        """all => all.map((x) => x.hidden ? null : [
          x.height, x.width, [...x.getContext("2d").getImageData(
            0, 0, x.width, x.height).data]])"""
    )
    if None in found:
        assert found == [None] * len(found)
        return None
    maps = [np.reshape(data, (h, w, 4)) for h, w, data in found]
    assert all((x[..., 3] == 204).all() for x in maps)  # 0.8 of 255
    return np.stack(maps)[..., 0] / 255


def same(found, scores, atol=0.02):
    """Whether maps are scores in shares of their highest.

    A step of a score and one of a colour, which is held times its opacity.
    """
    scores = np.asarray(scores)
    np.testing.assert_allclose(found, scores / scores.max(), atol=atol)


def said(page):
    return page.locator("output").inner_text()


def test_a_word_shows_what_it_reads_and_what_reads_it(explore, tmp_path):
    page = explore(WORDS)
    mean = HEADS.mean(0)
    assert said(page) == "" and lit(page, "key") == [0] * 4
    for query, word in enumerate(FRENCH):
        point(page, page.locator(".query button").nth(query))
        same(np.divide(lit(page, "key"), 100), mean[query])
        first = ENGLISH[mean[query].argmax()]
        assert said(page).startswith(
            f"{word} reads {first} ({mean[query].max():.2f}), "
        )
        assert lit(page, "query") == [0] * 3
    page.screenshot(path=tmp_path / "words.png")
    for key, word in enumerate(ENGLISH):
        point(page, page.locator(".key button").nth(key))
        # Each step is of a query's highest, not of what reads this key.
        same(np.divide(lit(page, "query"), 100), mean[:, key], atol=0.05)
        assert said(page).startswith(f"{word} is read by ")
        assert page.locator(".shown").inner_text() == word
    page.mouse.move(0, 0)
    assert said(page) == "" and lit(page, "query") == [0] * 3
    assert page.locator(".shown").count() == 0


def test_heads_are_chosen_from_a_list(explore):
    page = explore(WORDS)
    page.locator(".query button").nth(1).click()
    page.get_by_label("Scores of").select_option("head 1")
    page.mouse.move(0, 0)
    same(np.divide(lit(page, "key"), 100), HEADS[1, 1])  # what was clicked
    assert f"({HEADS[1, 1].max():.2f})" in said(page)


@pytest.mark.parametrize("smoothing", ["nearest", "bilinear", "gaussian"])
def test_a_word_shows_the_place_it_was_read_from(explore, smoothing, tmp_path):
    page = explore(CAPTION, smoothing=smoothing)
    maps = SAID.reshape(2, *GRID)
    size = np.multiply(GRID, 1 if smoothing == "nearest" else PER_CELL)
    for query, expected in enumerate(enlarged(maps, size, smoothing)):
        point(page, page.locator("button").nth(query))
        same(drawn(page, "key")[0], expected)
    assert said(page).endswith("; gate 0.90; drawn: row 1 column 3")
    cell = page.locator(".cell").bounding_box()
    picture = page.locator(".picture").bounding_box()
    share = (cell["x"] - picture["x"]) / picture["width"]
    assert share == pytest.approx(0.75, abs=0.01)
    page.screenshot(path=tmp_path / "caption.png")


def test_a_place_shows_the_words_that_read_it(explore):
    page = explore(CAPTION)
    for key in range(12):
        at = divmod(key, 4)
        point(page, page.locator(".picture"), centre(*at, GRID))
        same(np.divide(lit(page, "query"), 100), SAID[:, key], atol=0.05)
        assert said(page).startswith(f"row {at[0]} column {at[1]} is read by")


@pytest.mark.parametrize("width", [390, 1200])
def test_a_patch_shows_the_patches_it_reads(explore, width, tmp_path):
    page = explore(PICTURE, viewport={"width": width, "height": 800})
    reads, read = (page.locator(f".{x} .picture") for x in ("query", "key"))
    (scores,) = PATCHES
    for cell in range(12):
        at = divmod(cell, 4)
        point(page, reads, centre(*at, GRID))
        expected = scores[1 + cell, 1:].reshape(GRID)
        same(drawn(page, "key")[0], expected)
        share = scores[1 + cell, 0] / scores[1 + cell].max()  # of the class
        assert lit(page, "key") == [pytest.approx(100 * share, abs=1)]
        assert drawn(page, "query") is None
    page.screenshot(path=tmp_path / f"patches_{width}.png")
    point(page, read, centre(1, 2, GRID))
    same(drawn(page, "query")[0], scores[1:, 7].reshape(GRID), atol=0.05)
    point(page, page.locator(".query button"))
    same(drawn(page, "key")[0], scores[0, 1:].reshape(GRID))
    assert said(page).startswith("class reads ")
    assert page.evaluate("document.body.scrollWidth") <= width


def test_a_tubelet_shows_what_it_reads_of_all_frames(explore, tmp_path):
    page = explore(VIDEO)
    for frame in range(6):
        row, column = frame % 2, frame // 3
        picture = page.locator(".query .picture").nth(frame)
        point(page, picture, centre(row, column, TIMES[1:]))
        query = 4 * (frame // 2) + 2 * row + column
        expected = TUBELETS[query].reshape(TIMES).repeat(2, axis=0)
        same(drawn(page, "key"), expected)
        # Both frames of the tubelet are marked.
        assert page.locator(".query .cell:visible").count() == 2
    page.screenshot(path=tmp_path / "tubelets.png")
    assert said(page).startswith("frames 4 to 5 row 1 column 1 reads frames ")


def test_an_answer_shows_the_frames_it_reads(explore):
    page = explore(WHOLE)
    point(page, page.get_by_text("answer"))
    same(drawn(page, "key")[:, 0, 0], FRAMES[0])
    assert said(page).startswith(f"answer reads frame {FRAMES.argmax()} (")
    point(page, page.locator(".picture").nth(2))
    assert said(page) == f"frame 2 is read by answer ({FRAMES[0, 2]:.2f})"


def test_keys_move_over_words_and_escape_ends_it(explore):
    page = explore(WORDS)
    page.keyboard.press("Tab")  # the source stands first
    assert said(page).startswith("the is read by")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert said(page).startswith("black is read by")
    page.keyboard.press("Escape")
    assert said(page) == ""


def test_keys_move_over_cells_and_on_to_the_next_frame(explore):
    page = explore(VIDEO)
    page.keyboard.press("Tab")
    seen = [said(page)]
    for key in "Right", "Right", "Down", "Down", "Left", "Left", "Up":
        page.keyboard.press(f"Arrow{key}")
        seen.append(said(page))
    assert [x.partition(" reads")[0].removeprefix("frames ") for x in seen] == [
        "0 to 1 row 0 column 0",
        "0 to 1 row 0 column 1",
        "2 to 3 row 0 column 0",
        "2 to 3 row 1 column 0",
        "2 to 3 row 1 column 0",
        "0 to 1 row 1 column 1",
        "0 to 1 row 1 column 0",
        "0 to 1 row 0 column 0",
    ]


def test_a_finger_shows_it_too(explore):
    page = explore(
        PICTURE, has_touch=True, viewport={"width": 390, "height": 800}
    )
    page.locator(".query button").tap()
    assert said(page).startswith("class reads ")
    picture = page.locator(".query .picture")
    box = picture.bounding_box()
    across, down = centre(2, 1, GRID)
    picture.tap(
        position={"x": across * box["width"], "y": down * box["height"]}
    )
    assert said(page).startswith("row 2 column 1 reads ")


@pytest.mark.parametrize(
    ("view", "anchor", "start"),
    [
        (WORDS, "#query-0-2", "noirs reads "),
        (WORDS, "#key-0-0", "the is read by "),
        (PICTURE, "#query-0-8", "row 1 column 3 reads "),
        (PICTURE, "#query-0-99", ""),
        (WORDS, "#query-1-0", ""),
    ],
)
def test_an_address_shows_a_word_or_a_cell(explore, view, anchor, start):
    found = said(explore(view, anchor))
    assert found.startswith(start) and bool(found) == bool(start)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_accessibility_checker_finds_nothing(visit, scheme, tmp_path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    path = tmp_path / "explorer.html"
    Explorer([WORDS, CAPTION, PICTURE, VIDEO, WHOLE]).save(path)
    page = visit(path, color_scheme=scheme)
    page.locator("figure").first.locator(".query button").first.click()
    page.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
    found = axe.Axe().run(page)
    assert not found.response["violations"], found.generate_report()
    assert found.response["passes"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_page_it_is_as_high_as_it_needs_and_as_dark(
    visit, scheme, tmp_path
):
    path = tmp_path / "notebook.html"
    path.write_text(
        f"<!doctype html><html style='color-scheme: {scheme}'>"
        + Explorer([PICTURE])._repr_html_(),
        encoding="utf-8",
    )
    page = visit(path)
    frame = page.frame_locator("iframe")
    frame.locator(".query button").hover()
    assert frame.locator("output").inner_text().startswith("class reads ")
    inner = page.frames[1]
    page.wait_for_function(
        "document.querySelector('iframe').style.height !== '30rem'"
    )
    assert inner.evaluate(
        "innerHeight >= document.documentElement.scrollHeight"
    )
    colour = "getComputedStyle(document.querySelector('h1')).color"
    dark = inner.evaluate(colour) == "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    # A reader who changes the page's theme sees the explorer follow.
    page.evaluate("document.documentElement.style.colorScheme = 'dark'")
    inner.wait_for_function(f"{colour} === 'rgb(255, 255, 255)'")


def test_without_scripts_pictures_and_words_are_there(explore):
    page = explore(CAPTION, java_script_enabled=False)
    assert page.locator("img").is_visible()
    assert page.get_by_text("cat", exact=True).is_visible()
    assert not page.locator("canvas").is_visible()
