"""Pictures of which source word each target word was read from."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_attention.extras import require

_INCHES_PER_TOKEN = 0.32
_INCHES_PER_LETTER = 0.095  # of a label in the font size below
_FONT_SIZE = 10


def plot_alignment(
    scores: Any,
    source_tokens: Sequence[str],
    target_tokens: Sequence[str],
    path: str | Path | None = None,
    title: str | None = None,
    links: Iterable[tuple[int, int]] = (),
) -> Any:
    """Draws attention scores between two sentences as a map.

    The source runs along the top, the target down the left side; the lighter
    a square, the more the target word of its row read the source word of its
    column, from 0 (black) to 1 (white), as in Bahdanau et al., 2015, figure
    3. Needs the extra `applications`, and no display.

    Args:
        scores: `(T, S)` attention scores of one sentence.
        source_tokens: The S source tokens.
        target_tokens: The T target tokens.
        path: If given, where to save the picture; the ending decides the
            format.
        title: A line above the picture.
        links: `(source, target)` positions to outline, such as the known
            links of a generated sentence.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: If the scores do not have the shape of the tokens, or a
            link lies outside.

    Examples:
        >>> scores = np.eye(3)[[0, 2, 1]]
        >>> figure = plot_alignment(
        ...     scores, ["the", "black", "cat"], ["le", "chat", "noir"]
        ... )
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['le', 'chat', 'noir']

    Reference:
        [Bahdanau et al., 2015](https://arxiv.org/abs/1409.0473), figure 3
    """
    return plot_alignments(
        [(scores, source_tokens, target_tokens)],
        path,
        titles=None if title is None else [title],
        links=[links],
        num_columns=1,
    )


def plot_alignments(
    examples: Sequence[tuple[Any, Sequence[str], Sequence[str]]],
    path: str | Path | None = None,
    titles: Sequence[str] | None = None,
    links: Sequence[Iterable[tuple[int, int]]] | None = None,
    num_columns: int = 2,
) -> Any:
    """Draws the alignments of several sentences in a grid.

    Args:
        examples: `(scores, source_tokens, target_tokens)` of each sentence,
            as for `plot_alignment`.
        path: If given, where to save the picture.
        titles: One line per sentence.
        links: Positions to outline, one collection per sentence.
        num_columns: Pictures side by side.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there are no examples, or titles or links are not as
            many; or for what `plot_alignment` refuses.

    Examples:
        >>> example = np.eye(2), ["the", "cat"], ["le", "chat"]
        >>> figure = plot_alignments([example] * 3, titles=["a", "b", "c"])
        >>> len(figure.axes)
        3
    """
    examples = [(_check_scores(*example), *example[1:]) for example in examples]
    titles = [""] * len(examples) if titles is None else titles
    links = [()] * len(examples) if links is None else links
    if not examples or not len(titles) == len(links) == len(examples):
        raise ValueError(
            "There must be at least one example, and a title and links for "
            f"each. Received: {len(examples)} examples, {len(titles)} titles, "
            f"{len(links)} collections of links."
        )
    if num_columns < 1:
        raise ValueError(
            f"`num_columns` must be at least 1. Received: {num_columns}."
        )
    figures = require("matplotlib.figure", extra="applications")
    num_columns = min(num_columns, len(examples))
    num_rows = -(-len(examples) // num_columns)
    sizes = [
        _size(*example, title)
        for example, title in zip(examples, titles, strict=True)
    ]
    widths = [
        max(w for w, _ in sizes[i::num_columns]) for i in range(num_columns)
    ]
    heights = [
        max(h for _, h in sizes[i : i + num_columns])
        for i in range(0, len(sizes), num_columns)
    ]
    figure = figures.Figure(
        figsize=(sum(widths), sum(heights)), layout="constrained"
    )
    grid = figure.add_gridspec(
        num_rows, num_columns, width_ratios=widths, height_ratios=heights
    )
    for i, example in enumerate(examples):
        axes = figure.add_subplot(grid[divmod(i, num_columns)])
        _draw(axes, *example, titles[i], links[i])
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _draw(axes, scores, source_tokens, target_tokens, title, links):
    axes.imshow(scores, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    style = {"fontsize": _FONT_SIZE, "parse_math": False}
    axes.set_xticks(
        range(len(source_tokens)), source_tokens, rotation=90, **style
    )
    axes.set_yticks(range(len(target_tokens)), target_tokens, **style)
    axes.tick_params(
        length=0, top=True, labeltop=True, bottom=False, labelbottom=False
    )
    # Lines between the squares, so that the eye finds row and column.
    axes.set_xticks(np.arange(0.5, len(source_tokens) - 1), minor=True)
    axes.set_yticks(np.arange(0.5, len(target_tokens) - 1), minor=True)
    axes.grid(which="minor", color="0.35", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    for s, t in links:
        if not (0 <= s < len(source_tokens) and 0 <= t < len(target_tokens)):
            raise ValueError(
                "Links must be (source, target) positions of tokens. "
                f"Received: link {(s, t)} with {len(source_tokens)} source "
                f"and {len(target_tokens)} target tokens."
            )
        patches = require("matplotlib.patches", extra="applications")
        axes.add_patch(
            patches.Rectangle(
                (s - 0.42, t - 0.42),
                0.84,
                0.84,
                fill=False,
                edgecolor="tab:orange",
                linewidth=1.5,
            )
        )
    if title:
        axes.set_title(title, fontsize=_FONT_SIZE + 1, parse_math=False)


def _size(scores, source_tokens, target_tokens, title):
    """Width and height of one picture with its labels, in inches."""
    num_targets, num_sources = scores.shape
    longest_source = max(map(len, source_tokens))
    longest_target = max(map(len, target_tokens))
    width = (
        num_sources * _INCHES_PER_TOKEN + longest_target * _INCHES_PER_LETTER
    )
    height = (
        num_targets * _INCHES_PER_TOKEN + longest_source * _INCHES_PER_LETTER
    )
    # A title is centered over the map, labels stand to the left of it.
    title_width = 2 * len(title) * _INCHES_PER_LETTER
    return max(width, title_width) + 0.4, height + 0.6


def _check_scores(scores, source_tokens, target_tokens):
    scores = np.asarray(scores, "float32")
    expected = len(target_tokens), len(source_tokens)
    if scores.shape != expected or not scores.size:
        raise ValueError(
            "Scores must be of shape (T, S), one row per target token and one "
            f"column per source token. Received: shape {scores.shape} with "
            f"{expected[0]} target and {expected[1]} source tokens. Cut the "
            "padding off."
        )
    return scores
