"""A page on which a word shows what it was read from."""

import html
from collections.abc import Sequence
from pathlib import Path
from string import Template

import numpy as np

from keras_attention.extras import require
from keras_attention.ops import checks
from keras_attention.visualization.caption_view import CaptionView, checked
from keras_attention.visualization.captions import (
    OPACITY,
    SAMPLE_COLOUR,
    SMOOTHINGS,
    cell_edges,
    enlarging,
)
from keras_attention.visualization.pages import as_base64, png_url
from keras_attention.visualization.vision import TINY, stretched

SMALL = 160  # pixels; what is smaller is enlarged pixel by pixel
PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
  :root { color-scheme: light dark; }
  body { font-family: sans-serif; margin: 2rem; line-height: 1.5; }
  main {
    display: grid; gap: 2rem;
    grid-template-columns: repeat(auto-fill, minmax(min(18rem, 100%), 1fr));
  }
  figure { margin: 0; }
  .picture { position: relative; }
  .picture img { display: block; width: 100%; }
  .small { image-rendering: pixelated; }
  canvas { position: absolute; inset: 0; width: 100%; height: 100%; }
  .cell {
    position: absolute; box-sizing: border-box;
    border: 3px solid $colour; outline: 1px solid white;
  }
  .words { margin: 0.5rem 0 0; }
  button {
    font: inherit; color: inherit; background: none; cursor: pointer;
    border: 0; border-radius: 0.25rem; padding: 0.1rem 0.25rem;
  }
  .shown { background: #ffd54a; color: black; }
  output { display: block; min-height: 3em; font-size: 0.9rem; }
  ul { margin: 0.25rem 0 0; padding-left: 1.25rem; }
</style>
<h1>$title</h1>
<p>Point at a word, touch it, or move to it with Tab and the arrow keys: the
picture turns white where it was read and dark elsewhere. A frame is the one
cell that was read. Escape shows the picture alone.</p>
<noscript><p>This takes JavaScript, which is off: the pictures and captions
are shown without it.</p></noscript>
<main>
$figures
</main>
<script>
  function decoded(text, Numbers) {
    const bytes = Uint8Array.from(atob(text), (x) => x.charCodeAt(0));
    return new Numbers(bytes.buffer);
  }
  // down (height, rows) times scores (rows, columns) times across, which is
  // (width, columns), transposed.
  function enlarged(down, scores, across, rows, columns) {
    const height = down.length / rows, width = across.length / columns;
    const map = new Float64Array(height * width);
    const line = new Float64Array(columns);
    for (let y = 0; y < height; y++) {
      for (let c = 0; c < columns; c++) {
        line[c] = 0;
        for (let r = 0; r < rows; r++) {
          line[c] += down[y * rows + r] * scores[r * columns + c];
        }
      }
      for (let x = 0; x < width; x++) {
        for (let c = 0; c < columns; c++) {
          map[y * width + x] += line[c] * across[x * columns + c];
        }
      }
    }
    return map;
  }
  function draw(canvas, word) {
    const {down, across, rows, columns} = canvas.dataset;
    const map = enlarged(
      decoded(down, Uint16Array), decoded(word.dataset.scores, Uint8Array),
      decoded(across, Uint16Array), Number(rows), Number(columns));
    const most = map.reduce((a, b) => Math.max(a, b), 1e-9);
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, canvas.height);
    map.forEach((value, i) => {
      image.data.fill(255 * value / most, 4 * i, 4 * i + 3);
      image.data[4 * i + 3] = 255 * $opacity;
    });
    context.putImageData(image, 0, 0);
  }
  for (const figure of document.querySelectorAll("figure")) {
    const canvas = figure.querySelector("canvas");
    const cell = figure.querySelector(".cell");
    const words = [...figure.querySelectorAll("button")];
    function show(word) {
      words.forEach((x) => x.classList.toggle("shown", x === word));
      canvas.hidden = !word;
      cell.hidden = !word?.dataset.cell;
      cell.style.cssText = word?.dataset.cell ?? "";
      figure.querySelector("output").value = word?.dataset.says ?? "";
      if (word) draw(canvas, word);
    }
    words.forEach((word, i) => {
      word.onfocus = word.onmouseenter = () => show(word);
      word.onblur = () => show();
      word.onmouseleave = () => show(words.find((x) => x.matches(":focus")));
      word.onclick = () => word.focus();  // a touch alone does not, in Safari
      word.onkeydown = ({key}) => {
        if (key === "Escape") word.blur();
        if (key === "ArrowLeft") words[i - 1]?.focus();
        if (key === "ArrowRight") words[i + 1]?.focus();
      };
    });
  }
  if (location.hash) document.getElementById(location.hash.slice(1))?.focus();
</script>
</html>
""")
FIGURE = Template("""<figure>
<div class="picture">
<img alt="picture $index"$small src="$source">
<canvas hidden width="$width" height="$height" data-rows="$rows"
 data-columns="$columns" data-down="$down" data-across="$across"></canvas>
<div class="cell" hidden></div>
</div>
<figcaption>
<p class="words" role="group" aria-label="caption $index">
$words
</p>
<output></output>
$references
</figcaption>
</figure>""")


def save_caption_page(
    path: str | Path,
    examples: Sequence[CaptionView],
    title: str = "What each word was read from",
    smoothing: str = "gaussian",
) -> None:
    """Writes a page on which a word shows what of its picture was read.

    Pointing at a word, touching it, or moving to it with Tab and the arrow
    keys lays its map over the picture, as `plot_caption` draws it, and tells
    its gate, its log probability, the cell that was read and the highest
    score. The page is a single file that asks for no other; without
    JavaScript it shows pictures, captions and references. Scores are held in
    steps of 1/255 of a word's highest. `page.html#word-0-3` opens with word 3
    of picture 0 shown; both count from 0, as rows and columns do.

    Args:
        path: A file that ends in `.html`.
        examples: Pictures with their captions and scores.
        title: What stands above them.
        smoothing: How maps are enlarged, as of `plot_caption`.

    Raises:
        ValueError: The path ends otherwise, there are no examples, or one is
            not as `CaptionView` says.

    Examples:
        >>> import tempfile
        >>> image = np.random.default_rng(0).uniform(size=(32, 32, 3))
        >>> view = CaptionView(image, ["a", "cat"], np.eye(16)[[5, 0]])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     page = Path(folder) / "captions.html"
        ...     save_caption_page(page, [view], title="A cat")
        ...     "<h1>A cat</h1>" in page.read_text("utf-8")
        True

    Reference:
        [Xu et al., 2015](https://arxiv.org/abs/1502.03044), figures 2 and 3
    """
    path = Path(path)
    if path.suffix.lower() != ".html":
        raise ValueError(
            f"`path` must end in .html. Received: {str(path)!r}. Pictures are "
            "what `plot_caption` writes."
        )
    checks.one_of(smoothing, "smoothing", SMOOTHINGS)
    examples = list(examples)
    if not all(isinstance(x, CaptionView) for x in examples) or not examples:
        raise ValueError(
            "`examples` must be a list of at least one `CaptionView`. "
            f"Received: {[type(x).__name__ for x in examples]}. Wrap a single "
            "view, as in `[view]`."
        )
    figures = []
    for index, view in enumerate(examples):
        try:
            view = checked(view)
        except ValueError as error:
            raise ValueError(f"Example {index}: {error}") from error
        figures.append(_figure(view, index, smoothing))
    page = PAGE.substitute(
        title=html.escape(title),
        colour=SAMPLE_COLOUR,
        opacity=OPACITY,
        figures="\n".join(figures),
    )
    path.write_text(page, encoding="utf-8")


def _figure(view, index, smoothing):
    """The HTML of one picture with its caption."""
    images = require("PIL.Image", extra="applications")
    pixels = (255 * stretched(view.image)).round().astype("uint8")
    height, width = pixels.shape[:2]
    rows, columns = view.scores.shape[1:]
    references = "".join(f"<li>{html.escape(x)}</li>" for x in view.references)
    return FIGURE.substitute(
        index=index,
        small=' class="small"' if max(height, width) < SMALL else "",
        source=png_url(images.fromarray(pixels)),
        width=width,
        height=height,
        rows=rows,
        columns=columns,
        down=_steps(enlarging(rows, height, smoothing), "<u2"),
        across=_steps(enlarging(columns, width, smoothing), "<u2"),
        words="\n".join(
            _word(view, word, f"word-{index}-{word}")
            for word in range(len(view.words))
        ),
        references=f"References:<ul>{references}</ul>" if references else "",
    )


def _word(view, index, name):
    """The HTML of a word: a button that holds its scores."""
    scores = view.scores[index]
    says = []
    if view.gates is not None:
        says.append(f"gate {view.gates[index]:.2f}")
    if view.log_probability is not None:
        says.append(f"log probability {view.log_probability[index]:.2f}")
    cell = ""
    if view.samples is not None and view.samples[index] >= 0:
        cell = _place(view.samples[index], scores.shape)
        row, column = divmod(int(view.samples[index]), scores.shape[1])
        says.append(f"read of row {row}, column {column}")
    says.append(f"highest score {scores.max():.3g}")
    return (
        f'<button type="button" id="{name}" data-says="{", ".join(says)}" '
        f'data-cell="{cell}" data-scores="{_steps(scores, "u1")}">'
        f"{html.escape(view.words[index])}</button>"
    )


def _place(cell, grid):
    """The style that places a cell over a picture of any size."""
    left, top, right, bottom = cell_edges(cell, grid, (100, 100))
    return (
        f"left: {left:.4g}%; top: {top:.4g}%; "
        f"width: {right - left:.4g}%; height: {bottom - top:.4g}%"
    )


def _steps(values, dtype):
    """Values from 0 on as base64 of whole numbers, the highest at its end."""
    top = np.iinfo(dtype).max
    whole = (values * (top / max(values.max(), TINY))).round()
    return as_base64(whole.astype(dtype).tobytes())
