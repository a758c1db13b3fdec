"""A page on which a word, a patch or a frame shows what it reads."""

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_attention.extras import require
from keras_attention.ops import checks
from keras_attention.visualization import attention_view, caption_view
from keras_attention.visualization.attention_view import (
    AttentionView,
    Side,
)
from keras_attention.visualization.caption_view import CaptionView
from keras_attention.visualization.captions import (
    OPACITY,
    SAMPLE_COLOUR,
    SMOOTHINGS,
    enlarging,
)
from keras_attention.visualization.explorer_page import (
    FIGURE,
    FRAME,
    PAGE,
    PICTURE,
    SIDE,
    STRIP,
)
from keras_attention.visualization.pages import as_base64, png_url
from keras_attention.visualization.vision import TINY, stretched

SMALL = 160  # pixels; what is smaller is enlarged pixel by pixel
BLANK = "\N{OPEN BOX}"  # for a token that is a space
PER_CELL = 4  # pixels of a smooth map; the browser enlarges it further


class Explorer:
    """A page on which a word, a patch or a frame shows what it reads.

    Pointing at it, touching it, or moving to it with Tab and the arrow keys
    lights up what it reads, on pictures as `plot_caption` draws it, and tells
    in words what it read most of. What is read shows in the same way by what
    it is read. Heads and layers are chosen from a list, their mean first.

    A notebook shows an explorer in its place; `save` writes a file of its
    own. Either asks for no other file, and without JavaScript shows pictures
    and words. Scores are held in steps of 1/255 of a query's highest, a byte
    for each, 4/3 of it in the file: 8 MB for all heads of a ViT-B/16 (12 x 12
    x 197 x 197), of which `ViT.attention([-1])` takes the last block.

    Args:
        views: An `AttentionView` or a `CaptionView` each.
        title: What stands above them.
        smoothing: How maps over pictures are enlarged, as of `plot_caption`;
            "nearest" shows the cells.

    Raises:
        ValueError: There are no views, one is not as its class says, or
            `smoothing` is unknown.

    Examples:
        >>> import tempfile
        >>> view = AttentionView(
        ...     queries=["le", "chat", "noir"],
        ...     keys=["the", "black", "cat"],
        ...     scores=np.eye(3)[[0, 2, 1]],
        ... )
        >>> explorer = Explorer([view], title="A black cat")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     page = Path(folder) / "cat.html"
        ...     explorer.save(page)
        ...     "<h1>A black cat</h1>" in page.read_text("utf-8")
        True

    Reference:
        [Bahdanau et al., 2015](https://arxiv.org/abs/1409.0473), figure 3;
        [Xu et al., 2015](https://arxiv.org/abs/1502.03044), figures 2 and 3
    """

    def __init__(
        self,
        views: Sequence[AttentionView | CaptionView],
        title: str = "What was read",
        smoothing: str = "nearest",
    ):
        checks.one_of(smoothing, "smoothing", SMOOTHINGS)
        kinds = AttentionView, CaptionView
        # A view is a tuple itself.
        listed = [] if isinstance(views, kinds) else list(views)
        if not listed or not all(isinstance(x, kinds) for x in listed):
            received = [type(x).__name__ for x in listed or [views]]
            raise ValueError(
                "`views` must be a list of at least one `AttentionView` or "
                f"`CaptionView`. Received: {received}. Wrap a single view, as "
                "in `[view]`."
            )
        figures = []
        for index, view in enumerate(listed):
            try:
                figures.append(_prepared(view, index))
            except ValueError as error:
                raise ValueError(f"View {index}: {error}") from error
        sides = [x for figure in figures for x in (figure.queries, figure.keys)]
        items = ["a word"] * any(x.words for x in sides)
        pictures = any(x.pictures is not None for x in sides)
        items += ["a place in a picture"] * pictures
        self._page = PAGE.substitute(
            title=html.escape(title),
            items=" or ".join(items),
            pictures=" A picture turns white there and dark elsewhere."
            if pictures
            else "",
            colour=SAMPLE_COLOUR,
            opacity=OPACITY,
            figures="\n".join(_figure(x, smoothing) for x in figures),
        )
        self._title = title

    def save(self, path: str | Path) -> None:
        """Writes the page; `page.html#query-0-3` opens it with query 3 shown.

        That is of view 0, and `key-0-3` is a key: all count from 0.

        Args:
            path: A file that ends in `.html`.

        Raises:
            ValueError: The path ends otherwise.
        """
        path = Path(path)
        if path.suffix.lower() != ".html":
            raise ValueError(
                f"`path` must end in .html. Received: {str(path)!r}. Pictures "
                "are what functions such as `plot_caption` write."
            )
        path.write_text(self._page, encoding="utf-8")

    def _repr_html_(self):
        """What notebooks show: the page in a frame, as it has styles."""
        return FRAME.substitute(
            title=html.escape(self._title), page=html.escape(self._page)
        )


class _Figure(NamedTuple):
    """A view of any kind, checked."""

    queries: Side
    keys: Side
    maps: dict[str, np.ndarray]  # (Q, K)
    title: str
    labels: tuple[str, str]
    names: tuple[str, str]  # for those who do not see
    notes: list[str]
    marked: list[int]  # a key for each query, or -1
    references: Sequence[str]


def _prepared(view, index):
    """The figure of a view, or an error."""
    if isinstance(view, CaptionView):
        return _of_caption(caption_view.checked(view), index)
    queries = attention_view.checked_side(view.queries, "queries")
    keys = attention_view.checked_side(view.keys, "keys")
    maps = attention_view.checked_maps(view.scores, queries, keys)
    notes = attention_view.strings(view.notes, "notes")
    if len(notes) not in (0, queries.number):
        raise ValueError(
            f"There must be a note for each of {queries.number} queries, or "
            f"none. Received: {len(notes)} notes."
        )
    labels = attention_view.strings(view.labels, "labels")
    if len(labels) != 2:
        raise ValueError(
            "`labels` must be one for the queries and one for the keys. "
            f"Received: labels={view.labels!r}."
        )
    first, second = labels
    names = f"{first}, view {index}", f"{second}, view {index}"
    return _Figure(
        queries, keys, maps, view.title, (first, second), names, notes, [], []
    )


def _of_caption(view, index):
    """The figure of a checked caption."""
    number, *grid = view.scores.shape
    notes = [
        ", ".join(
            f"{name} {values[word]:.2f}"
            for name, values in (
                ("gate", view.gates),
                ("log probability", view.log_probability),
            )
            if values is not None
        )
        for word in range(number)
    ]
    return _Figure(
        Side(view.words),
        Side([], view.image[None], (1, *grid)),
        {"": view.scores.reshape(number, -1)},
        title="",
        labels=("", ""),
        names=(f"caption {index}", f"picture {index}"),
        notes=notes,
        marked=[] if view.samples is None else view.samples.tolist(),
        references=view.references,
    )


def _figure(figure, smoothing):
    """The HTML of a view."""
    given = figure.queries, figure.keys
    sides = [
        _side(given[i], kind, figure.labels[i], figure.names[i], smoothing)
        for i, kind in enumerate(("query", "key"))
    ]
    drawn = [0 if x.pictures is None else len(x.pictures) for x in given]
    if not drawn[0]:
        sides.reverse()  # a source before its translation
    options = "".join(f"<option>{html.escape(x)}</option>" for x in figure.maps)
    references = "".join(
        f"<li>{html.escape(x)}</li>" for x in figure.references
    )
    data = {
        "maps": [_packed(scores) for scores in figure.maps.values()],
        "notes": figure.notes,
        "marked": figure.marked,
    }
    return FIGURE.substitute(
        size="narrow" if sorted(drawn) == [0, 1] else "wide",
        layout="abreast" if drawn == [1, 1] else "stacked",
        title=f"<h2>{html.escape(figure.title)}</h2>\n" if figure.title else "",
        sides="\n".join(sides),
        choice=f"<label>Scores of <select>{options}</select></label>"
        if len(figure.maps) > 1
        else "",
        references=f"References:<ul>{references}</ul>" if references else "",
        data=json.dumps(data).replace("<", "\\u003c"),
    )


def _side(side, kind, label, name, smoothing):
    """The HTML of queries or keys."""
    label, name = html.escape(label), html.escape(name)
    words = "\n".join(
        f'<button type="button">{html.escape(x if x.strip() else BLANK)}'
        "</button>"
        for x in side.words
    )
    return SIDE.substitute(
        kind=kind,
        label=f'<p class="label">{label}</p>\n' if label else "",
        words=f'<p class="words" role="group" aria-label="{name}" '
        f'dir="auto">\n{words}\n'
        "</p>\n"
        if words
        else "",
        strip="" if side.pictures is None else _strip(side, name, smoothing),
    )


def _strip(side, name, smoothing):
    """The HTML of a picture, or of the frames of a video."""
    images = require("PIL.Image", extra="applications")
    pixels = (255 * stretched(side.pictures)).round().astype("uint8")
    sharp = ' class="sharp"'
    nearest = smoothing == "nearest"
    per_cell = 1 if nearest else PER_CELL
    times, rows, columns = side.grid
    number = [f"{times} times"] * (times > 1)
    number += [f"{rows} by {columns} cells"] * (rows * columns > 1)
    return STRIP.substitute(
        one="one" if len(pixels) == 1 else "",
        name=name,
        number=" of ".join(number) or "one cell",
        grid=list(side.grid),
        down=_steps(enlarging(rows, per_cell * rows, smoothing), "<u2"),
        across=_steps(enlarging(columns, per_cell * columns, smoothing), "<u2"),
        pictures="\n".join(
            PICTURE.substitute(
                name=name if len(pixels) == 1 else f"frame {frame}",
                small=sharp if max(pixels.shape[1:3]) < SMALL else "",
                nearest=sharp if nearest else "",
                source=png_url(images.fromarray(picture)),
                width=per_cell * columns,
                height=per_cell * rows,
            )
            for frame, picture in enumerate(pixels)
        ),
    )


def _packed(scores):
    """Steps of each query's highest, and these, as base64."""
    highest = scores.max(-1, keepdims=True)
    whole = (scores * (255 / np.maximum(highest, TINY))).round()
    return [
        as_base64(whole.astype("u1").tobytes()),
        as_base64(highest.astype("<f4").tobytes()),
    ]


def _steps(values, dtype):
    """Values from 0 on as base64 of whole numbers, the highest at its end."""
    top = np.iinfo(dtype).max
    whole = (values * (top / max(values.max(), TINY))).round()
    return as_base64(whole.astype(dtype).tobytes())
