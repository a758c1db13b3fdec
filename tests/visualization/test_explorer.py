"""The page on which a word or a cell shows what it reads, read back."""

import base64
import html.parser
import io
import json

import numpy as np
import pytest

from keras_attention.visualization import (
    AttentionView,
    CaptionView,
    Cells,
    Explorer,
)

NASTY = ['<b>&"', "</script>", "$title", "naïve", "'a'"]
T, ROWS, COLUMNS = 5, 3, 4
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (31, 47, 3)).astype("uint8")


def caption(seed=0, **changes):
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(ROWS * COLUMNS), T)
    made = CaptionView(
        image=IMAGE,
        words=NASTY,
        scores=scores.reshape(T, ROWS, COLUMNS),
        samples=[7, -1, 0, 11, 4],
        gates=[0.25, 0.5, 0.75, 1, 0],
        references=['<i>"x"</i> & y', "a cat"],
        log_probability=[-0.5, -1, -1.25, -2, -7],
    )
    return made._replace(**changes)


def words(**changes):
    scores = np.random.default_rng(1).dirichlet(np.ones(3), 2)
    return AttentionView(["a", "b"], ["x", "y", "z"], scores)._replace(
        **changes
    )


def cells(**changes):
    return Cells(IMAGE, (ROWS, COLUMNS))._replace(**changes)


class Page(html.parser.HTMLParser):
    """What a browser finds: texts and attributes of the elements of a page."""

    EMPTY = "meta", "img"

    def __init__(self, text):
        super().__init__()
        self.open, self.found = [], []
        self.feed(text)
        self.close()
        assert not self.open  # all that is opened is closed

    def handle_starttag(self, tag, attributes):
        element = dict(attributes, tag=tag, text="")
        self.found.append(element)
        if tag not in self.EMPTY:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag):
        return [x for x in self.found if x["tag"] == tag]

    def data(self):
        """What the script reads of each figure."""
        *data, script = self.all("script")
        assert "type" not in script
        return [json.loads(x["text"]) for x in data]


@pytest.fixture
def saved(tmp_path):
    """Saves an explorer and reads its page."""

    def read(views, **options):
        path = tmp_path / "explorer.html"
        Explorer(views, **options).save(path)
        return Page(path.read_text("utf-8"))

    return read


def unpacked(packed, number):
    """Scores `(number, K)` of steps and each query's highest."""
    steps, highest = map(base64.b64decode, packed)
    highest = np.frombuffer(highest, "<f4")
    return np.frombuffer(steps, "u1").reshape(number, -1) * (
        highest[:, None] / 255
    )


def close(found, scores):
    scores = np.asarray(scores)
    error = abs(found - scores) / scores.max(-1, keepdims=True)
    assert error.max() < 0.5 / 255 + 1e-6


def test_every_word_is_there_once_and_markup_in_it_is_text(saved):
    plain = caption(1, words=list("abcde"), references=())
    page = saved([caption(), plain], title="<Cats> & $dogs")
    assert [x["text"] for x in page.all("button")] == [*NASTY, *"abcde"]
    figures = page.all("figure")
    assert len(figures) == 2
    assert [x["text"] for x in page.all("li")] == ['<i>"x"</i> & y', "a cat"]
    assert "References" not in figures[1]["text"]
    for tag in "title", "h1":
        assert page.all(tag)[0]["text"] == "<Cats> & $dogs"
    assert not page.all("b") and not page.all("i")
    assert len(page.all("script")) == 3


def test_a_token_that_is_a_space_can_be_seen(saved):
    page = saved([words(queries=[" ", ""])])
    assert [x["text"] for x in page.all("button")] == [*"xyz", *"␣␣"]


def test_markup_in_titles_labels_notes_and_layers_is_text(saved):
    nasty = "</script><b>&\"'$x"
    page = saved(
        [
            words(
                title=nasty,
                labels=(nasty, nasty),
                notes=[nasty, ""],
                scores={nasty: np.ones((2, 3)), "b": np.ones((2, 3))},
            )
        ]
    )
    assert not page.all("b")
    assert page.all("h2")[0]["text"] == nasty
    assert page.all("option")[0]["text"] == nasty
    assert [x["text"] for x in page.all("p") if x.get("class") == "label"] == [
        nasty,
        nasty,
    ]
    assert page.data()[0]["notes"] == [nasty, ""]


def test_the_page_asks_for_no_other_file(saved):
    page = saved([caption(), words()])
    text = "".join(str(x) for x in page.found)
    assert "http" not in text and "url(" not in text and "import" not in text
    assert not page.all("link")
    assert all("src" not in x for x in page.all("script"))
    assert not any(x.get("href") for x in page.found)
    assert page.all("img")[0]["src"].startswith("data:image/png;base64,")
    assert "This takes JavaScript" in page.all("noscript")[0]["text"]


def test_scores_are_those_that_were_given(saved):
    heads = np.random.default_rng(2).dirichlet(np.ones(3), (4, 2))
    heads[1] *= 1e-3  # each row has steps of its own
    given = words(scores={"one": heads, "two": heads[:1], "three": heads[2]})
    page = saved([given, caption()])
    names = [x["text"] for x in page.all("option")]
    assert names == [
        "one, mean of heads",
        *(f"one, head {i}" for i in range(4)),
        "two",
        "three",
    ]
    expected = [heads.mean(0), *heads, heads[0], heads[2]]
    first, second = page.data()
    for packed, scores in zip(first["maps"], expected, strict=True):
        close(unpacked(packed, 2), scores)
    (packed,) = second["maps"]
    close(unpacked(packed, T), caption().scores.reshape(T, -1))
    assert second["marked"] == [7, -1, 0, 11, 4]
    assert second["notes"][:2] == [
        "gate 0.25, log probability -0.50",
        "gate 0.50, log probability -1.00",
    ]


def test_a_row_of_zeros_stays_one(saved):
    scores = np.array([[0, 0, 0], [0.5, 0.25, 0]])
    (data,) = saved([words(scores=scores)]).data()
    found = unpacked(data["maps"][0], 2)
    np.testing.assert_allclose(found, scores, atol=1e-3)


def test_one_map_has_no_list_to_choose_from(saved):
    assert not saved([words()]).all("select")
    assert not saved([words(scores=words().scores[None])]).all("select")


def test_pictures_are_those_that_were_given(saved):
    images = pytest.importorskip("PIL.Image")
    video = np.random.default_rng(3).uniform(size=(4, 8, 10, 1))
    clip = Cells(video, (2, 2, 5), tokens=["class"])
    page = saved([caption(), AttentionView(["answer"], clip, np.ones((1, 21)))])
    first, *frames = page.all("img")
    assert [x["alt"] for x in frames] == [f"frame {i}" for i in range(4)]
    for img, given in (
        (first, (IMAGE - IMAGE.min()) / np.ptp(IMAGE.astype(int))),
        *zip(frames, (video - video.min()) / np.ptp(video), strict=True),
    ):
        data = base64.b64decode(img["src"].partition(",")[2])
        pixels = np.asarray(images.open(io.BytesIO(data))).astype(float)
        given = np.broadcast_to(given, pixels.shape)
        np.testing.assert_allclose(pixels, 255 * given, atol=0.5 + 1e-9)
    grids = [x["data-grid"] for x in page.all("div") if "data-grid" in x]
    assert grids == ["[1, 3, 4]", "[2, 2, 5]"]
    labels = [x["aria-label"] for x in page.all("div") if "aria-label" in x]
    assert [x.split(": ")[1].split(";")[0] for x in labels] == [
        "3 by 4 cells",
        "2 times of 2 by 5 cells",
    ]
    assert [x["text"] for x in page.all("button")] == [
        *NASTY,
        "class",
        "answer",
    ]


def test_a_page_of_twenty_small_pictures_stays_below_a_megabyte(tmp_path):
    path = tmp_path / "captions.html"
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (20, 64, 64, 3)).astype("uint8")
    scores = rng.dirichlet(np.ones(64), (20, 12))
    views = [
        CaptionView(image, ["word"] * 12, found)
        for image, found in zip(noise, scores, strict=True)
    ]
    Explorer(views).save(path)
    assert path.stat().st_size < 1_000_000


def test_a_score_is_a_byte(tmp_path):
    """4/3 of one as base64, and so for all heads of a large model."""
    patches = Cells(np.zeros((28, 28, 1)), (14, 14), tokens=["class"])
    scores = np.random.default_rng(0).dirichlet(np.ones(197), (12, 197))
    sizes = [
        len(Explorer([AttentionView(patches, patches, x)])._repr_html_())
        for x in (scores[0], scores)
    ]
    per_score = (sizes[1] - sizes[0]) / (12 * 197 * 197)
    assert 4 / 3 < per_score < 1.4


def test_a_notebook_shows_the_page_itself(tmp_path):
    explorer = Explorer([caption()], title='"Cats" & dogs')
    explorer.save(tmp_path / "page.html")
    (frame,) = Page(explorer._repr_html_()).all("iframe")
    assert frame["srcdoc"] == (tmp_path / "page.html").read_text("utf-8")
    assert frame["title"] == '"Cats" & dogs'


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ([], r"at least one `AttentionView` or .*Received: \['list'\]"),
        (words(), r"Received: \['AttentionView'\]. Wrap a single view"),
        ([caption()[:3]], r"Received: \['tuple'\]"),
        (
            [caption(), caption(words=NASTY[:2])],
            "View 1: `scores` must be .* for 2 words",
        ),
        (
            [caption(log_probability=[-1.0])],
            r"View 0: `log_probability` must be .*\(5,\).*shape \(1,\)",
        ),
        ([caption(references="a cat")], "`references` must be a list"),
        ([words(queries=[])], "at least one of `queries`"),
        ([words(keys="xyz")], "`keys` must be a list of strings"),
        (
            [words(scores=np.ones((3, 2)))],
            r"for 2 queries and 3 keys. Received: shape \(3, 2\)",
        ),
        ([words(scores=np.ones((1, 4, 2, 3)))], "Take one of a batch"),
        ([words(scores={})], "at least one layer"),
        ([words(scores=np.full((2, 3), np.nan))], r"NaN .* \[0, 0\]"),
        ([words(scores=-np.ones((2, 3)))], "at least 0, .* Received: -1"),
        ([words(notes=["one"])], "for each of 2 queries.*1 notes"),
        ([words(labels=("one",))], r"Received: labels=\('one',\)"),
        (
            [words(keys=cells(pictures=IMAGE[..., 0]))],
            r"`pictures` must be one picture.*\(31, 47\)",
        ),
        (
            [words(keys=cells(pictures=IMAGE + np.inf))],
            "`pictures` must be finite",
        ),
        (
            [words(keys=cells(grid_shape=(1, 3, 4)))],
            r"each of \(rows, columns\)",
        ),
        (
            [words(keys=cells(pictures=IMAGE[None], grid_shape=(3, 4)))],
            r"each of \(times, rows, columns\)",
        ),
        (
            [words(keys=Cells(np.zeros((5, 8, 8, 3)), (2, 2, 2)))],
            r"divide the frames.*Received: grid_shape=\(2, 2, 2\) for 5",
        ),
        (
            [words(keys=cells(grid_shape=(32, 4)))],
            r"a pixel for each cell.*\(31, 47\) pixels for \(32, 4\)",
        ),
        ([words(keys=cells())], "for 2 queries and 12 keys"),
        ([words(keys=cells(tokens=["a"]))], "for 2 queries and 13 keys"),
    ],
)
def test_what_does_not_fit_is_refused(views, message):
    with pytest.raises(ValueError, match=message):
        Explorer(views)


def test_an_unknown_smoothing_is_refused():
    with pytest.raises(ValueError, match="smoothing='cubic'"):
        Explorer([words()], smoothing="cubic")


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ValueError, match="end in .html. Received: .*page.png"):
        Explorer([words()]).save(tmp_path / "page.png")
    assert not list(tmp_path.iterdir())


def test_no_style_shows_what_the_script_hides(saved):
    """A `display` of the page's own is stronger than `hidden`."""
    (style,) = saved([caption()]).all("style")
    for rule in style["text"].split("}"):
        selector, _, body = rule.partition("{")
        if "canvas" in selector or ".cell" in selector:
            assert body.strip() and "display" not in body
