"""The page on which a word shows what it was read from, read back."""

import base64
import html.parser
import io
import json
import shutil
import subprocess

import numpy as np
import pytest

from keras_attention.visualization import CaptionView, save_caption_page
from keras_attention.visualization.captions import enlarged

NASTY = ['<b>&"', "</script>", "$title", "naïve", "'a'"]
T, ROWS, COLUMNS = 5, 3, 4


def view(seed=0, **changes):
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(ROWS * COLUMNS), T)
    made = CaptionView(
        image=rng.integers(0, 256, (31, 47, 3)).astype("uint8"),
        words=NASTY,
        scores=scores.reshape(T, ROWS, COLUMNS),
        samples=[7, -1, 0, 11, 4],
        gates=[0.25, 0.5, 0.75, 1, 0],
        references=['<i>"x"</i> & y', "a cat"],
        log_probability=[-0.5, -1, -1.25, -2, -7],
    )
    return made._replace(**changes)


class Page(html.parser.HTMLParser):
    """What a browser finds: texts and attributes of the elements of a page."""

    EMPTY = "meta", "img"

    def __init__(self, text):
        super().__init__()
        self.open, self.found = [], []
        self.feed(text)
        self.close()

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


def read_back(path):
    page = Page(path.read_text("utf-8"))
    assert not page.open  # all that is opened is closed
    return page


def numbers(text, dtype):
    return np.frombuffer(base64.b64decode(text), dtype)


def test_every_word_is_there_once_and_markup_in_it_is_text(tmp_path):
    path = tmp_path / "captions.html"
    plain = view(1, words=list("abcde"), references=())
    save_caption_page(path, [view(), plain], title="<Cats> & $dogs")
    page = read_back(path)
    words = [x["text"] for x in page.all("button")]
    assert words == [*NASTY, *"abcde"]
    figures = page.all("figure")
    assert len(figures) == 2
    caption = figures[0]["text"].partition("References:")[0]
    assert caption.split() == NASTY
    assert [x["text"] for x in page.all("li")] == ['<i>"x"</i> & y', "a cat"]
    assert "References" not in figures[1]["text"]
    for tag in "title", "h1":
        assert page.all(tag)[0]["text"] == "<Cats> & $dogs"
    assert not page.all("b") and not page.all("i")
    assert len(page.all("script")) == 1
    names = [x["id"] for x in page.all("button")]
    assert names[3] == "word-0-3" and len(set(names)) == 10


def test_the_page_asks_for_no_other_file(tmp_path):
    path = tmp_path / "captions.html"
    save_caption_page(path, [view()])
    text = path.read_text("utf-8")
    assert "http" not in text and "url(" not in text and "import" not in text
    page = read_back(path)
    assert not page.all("link") and "src" not in page.all("script")[0]
    assert not any(x.get("href") for x in page.found)
    assert page.all("img")[0]["src"].startswith("data:image/png;base64,")


def test_scores_and_pictures_are_those_that_were_given(tmp_path):
    images = pytest.importorskip("PIL.Image")
    path = tmp_path / "captions.html"
    given = [view(), view(1, samples=None, gates=None, log_probability=None)]
    save_caption_page(path, given)
    page = read_back(path)
    for index, (example, img) in enumerate(
        zip(given, page.all("img"), strict=True)
    ):
        data = base64.b64decode(img["src"].partition(",")[2])
        pixels = np.asarray(images.open(io.BytesIO(data))).astype(float)
        low, high = example.image.min(), example.image.max()
        expected = 255 * ((example.image - low) / (high - low))
        np.testing.assert_allclose(pixels, expected, atol=0.5)
        for word, scores in enumerate(example.scores):
            button = page.all("button")[T * index + word]
            steps = numbers(button["data-scores"], "u1")
            highest = float(button["data-says"].rpartition(" ")[2])
            found = steps.reshape(ROWS, COLUMNS) / 255 * highest
            atol = highest * (0.5 / 255 + 0.5e-2)  # steps; three digits
            np.testing.assert_allclose(found, scores, atol=atol)
    says = [x["data-says"].split(", ") for x in page.all("button")]
    start = ["gate 0.25", "log probability -0.50", "read of row 1", "column 3"]
    assert says[0][:-1] == start
    assert says[1][:-1] == ["gate 0.50", "log probability -1.00"]
    assert len(says[5]) == 1


def test_the_cell_that_was_read_is_framed(tmp_path):
    path = tmp_path / "captions.html"
    save_caption_page(path, [view()])
    cells = [x["data-cell"] for x in read_back(path).all("button")]
    third = "width: 25%; height: 33.33%"
    assert cells[0] == f"left: 75%; top: 33.33%; {third}"
    assert cells[1] == ""
    assert cells[2] == f"left: 0%; top: 0%; {third}"


BROWSER = """
const element = (dataset = {}) => ({
  dataset, style: {}, hidden: true, classes: {},
  classList: {toggle(name, on) { this.on = on; }},
  matches() { return globalThis.focused === this; },
  focus() { globalThis.focused?.onblur(); globalThis.focused = this;
            this.onfocus(); },
  blur() { globalThis.focused = undefined; this.onblur(); },
});
const words = WORDS.map(element), cell = element(), output = element();
const canvas = Object.assign(element(CANVAS), {
  width: 47, height: 31, getContext: () => ({
    createImageData: (w, h) => ({data: new Uint8ClampedArray(4 * w * h)}),
    putImageData(image) { canvas.drawn = [...image.data]; },
  }),
});
const parts = {canvas, ".cell": cell, output};
globalThis.document = {
  querySelectorAll: () => [{
    querySelector: (name) => parts[name], querySelectorAll: () => words}],
  getElementById: (name) => name === "word-0-2" ? words[2] : null,
};
globalThis.location = {hash: "#word-0-2"};
const seen = [];
const look = () => seen.push({
  word: canvas.hidden ? -1 : words.findIndex((x) => x.classList.on),
  drawn: canvas.hidden ? [] : canvas.drawn, says: output.value,
  cell: cell.hidden ? "" : cell.style.cssText,
});
SCRIPT
look();
for (const act of [
  () => words[0].onmouseenter(), () => words[0].onmouseleave(),
  () => words[2].onkeydown({key: "ArrowRight"}),
  () => words[3].onkeydown({key: "ArrowLeft"}),
  () => words[2].onkeydown({key: "Escape"}), () => words[4].onclick(),
]) { act(); look(); }
console.log(JSON.stringify(seen));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
@pytest.mark.parametrize("smoothing", ["gaussian", "nearest"])
def test_the_script_draws_the_map_of_a_word(tmp_path, smoothing):
    """In a page of a few made-up elements, on Node.js."""
    path = tmp_path / "captions.html"
    save_caption_page(path, [view()], smoothing=smoothing)
    page = read_back(path)

    def data(element):
        names = [x for x in element if x.startswith("data-")]
        return {x.removeprefix("data-"): element[x] for x in names}

    source = BROWSER.replace("SCRIPT", page.all("script")[0]["text"])
    source = source.replace("CANVAS", json.dumps(data(page.all("canvas")[0])))
    words = [data(x) for x in page.all("button")]
    source = source.replace("WORDS", json.dumps(words))
    script = tmp_path / "page.js"
    script.write_text(source, encoding="utf-8")
    done = subprocess.run(
        ["node", script], capture_output=True, text=True, check=True
    )
    seen = json.loads(done.stdout)
    # By its address, pointing, no longer, two keys, Escape, a touch.
    assert [x["word"] for x in seen] == [2, 0, 2, 3, 2, -1, 4]
    maps = enlarged(view().scores, (31, 47), smoothing)
    for look in seen:
        if look["word"] == -1:
            assert look["says"] == "" and look["cell"] == ""
            continue
        assert look["says"] == words[look["word"]]["says"]
        assert look["cell"] == words[look["word"]]["cell"]
        drawn = np.reshape(look["drawn"], (31, 47, 4))
        expected = maps[look["word"]] / maps[look["word"]].max()
        for colour in range(3):
            np.testing.assert_allclose(
                drawn[..., colour], 255 * expected, atol=1.5
            )
        assert (drawn[..., 3] == 204).all()  # 0.8 of 255


def test_a_page_of_twenty_small_pictures_stays_below_a_megabyte(tmp_path):
    path = tmp_path / "captions.html"
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (20, 64, 64, 3)).astype("uint8")
    scores = rng.dirichlet(np.ones(64), (20, 12))
    views = [
        CaptionView(image, ["word"] * 12, found)
        for image, found in zip(noise, scores, strict=True)
    ]
    save_caption_page(path, views)
    assert path.stat().st_size < 1_000_000


@pytest.mark.parametrize(
    ("path", "examples", "message"),
    [
        ("page.png", [view()], "end in .html. Received: .*page.png"),
        ("page.html", [], r"at least one `CaptionView`. Received: \[\]"),
        ("page.html", view(), r"Wrap a single view, as in `\[view\]`"),
        ("page.html", [view()[:3]], r"Received: \['tuple'\]"),
        (
            "page.html",
            [view(), view(words=NASTY[:2])],
            "Example 1: `scores` must be .* for 2 words",
        ),
        (
            "page.html",
            [view(log_probability=[-1.0])],
            r"Example 0: `log_probability` must be .*\(5,\).*shape \(1,\)",
        ),
        (
            "page.html",
            [view(references="a cat")],
            "`references` must be a list",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, path, examples, message):
    with pytest.raises(ValueError, match=message):
        save_caption_page(tmp_path / path, examples)
    assert not list(tmp_path.iterdir())


def test_an_unknown_smoothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="smoothing='cubic'"):
        save_caption_page(tmp_path / "a.html", [view()], smoothing="cubic")


def test_no_style_shows_what_the_script_hides(tmp_path):
    """A `display` of the page's own is stronger than `hidden`."""
    path = tmp_path / "captions.html"
    save_caption_page(path, [view()])
    (style,) = read_back(path).all("style")
    for rule in style["text"].split("}"):
        selector, _, body = rule.partition("{")
        if "canvas" in selector or ".cell" in selector:
            assert body.strip() and "display" not in body
