"""A captioned picture with what each word was read from, checked."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from keras_attention.ops import checks
from keras_attention.visualization.attention_view import (
    all_finite,
    at_least_zero,
    enough_pixels,
    strings,
)
from keras_attention.visualization.vision import as_array


class CaptionView(NamedTuple):
    """A picture, its caption, and what each word was read from.

    T is the number of words, and cells are counted along the rows of the
    grid, from 0.

    Attributes:
        image: `(height, width, channels)` with one or three channels, of any
            range: it is stretched to its own. It has at least a pixel for
            each cell of the grid.
        words: The T words, without padding.
        scores: `(T, rows, columns)`, how much was read of each cell as each
            word was chosen; or `(T, rows * columns)`.
        samples: `(T,)` ints, the cell that hard attention read; -1 where it
            read the expectation instead.
        gates: `(T,)`, how much of what was read was let through, Xu et al.'s
            beta.
        references: Captions by people, whole sentences.
        log_probability: `(T,)`, the log probability of each word.
        grid_shape: Rows and columns of scores `(T, rows * columns)`. None for
            as many rows as columns.
    """

    image: Any
    words: Sequence[str]
    scores: Any
    samples: Any = None
    gates: Any = None
    references: Sequence[str] = ()
    log_probability: Any = None
    grid_shape: tuple[int, int] | None = None


def checked(view):
    """A `CaptionView` of arrays that fit: scores `(T, rows, columns)`."""
    image = as_array(view.image)
    if image.ndim != 3 or image.shape[-1] not in (1, 3) or not image.size:
        raise ValueError(
            "`image` must be one picture, (height, width, 1 or 3). Received: "
            f"shape {image.shape}. Take one of a batch, such as `images[0]`."
        )
    all_finite(image, "image")
    words = strings(view.words, "words")
    if not words:
        raise ValueError(
            "There must be at least one word. Received: words=[]. Leave "
            "captions without words out."
        )
    scores = _on_grid(view.scores, len(words), view.grid_shape)
    enough_pixels(image.shape[:2], scores.shape[1:])
    return view._replace(
        image=image,
        words=words,
        scores=scores,
        samples=_cells(view.samples, scores),
        gates=_per_word(view.gates, "gates", len(words)),
        references=strings(view.references, "references"),
        log_probability=_per_word(
            view.log_probability, "log_probability", len(words)
        ),
    )


def _on_grid(scores, number, grid_shape):
    """Scores of as many words as `(T, rows, columns)`, or an error."""
    scores = as_array(scores).astype("float64")
    if scores.ndim not in (2, 3) or len(scores) != number or not scores.size:
        raise ValueError(
            "`scores` must be (T, rows, columns) or (T, rows * columns), of as "
            f"many words as `words`. Received: shape {scores.shape} for "
            f"{number} words. Cut the padding off, and take the mean of heads."
        )
    at_least_zero(scores, "scores")
    cells = scores[0].size
    if grid_shape is None:
        side = round(cells**0.5)
        grid_shape = scores.shape[1:] if scores.ndim == 3 else (side, side)
    grid_shape = checks.sizes(grid_shape, "grid_shape", ("rows", "columns"))
    fits = scores.ndim == 2 or scores.shape[1:] == grid_shape
    if not fits or grid_shape[0] * grid_shape[1] != cells:
        raise ValueError(
            "`grid_shape` must be the rows and columns of the grid that was "
            f"read. Received: {grid_shape=} for scores of shape "
            f"{scores.shape}. Pass `grid_shape=(rows, columns)` where a grid "
            "is no square."
        )
    return scores.reshape(number, *grid_shape)


def _cells(samples, scores):
    """Indices `(T,)` of cells or -1, or an error."""
    if samples is None:
        return None
    samples, cells = as_array(samples), scores[0].size
    whole = samples.shape == (len(scores),) and samples.dtype.kind in "iu"
    if not whole or samples.min() < -1 or samples.max() >= cells:
        raise ValueError(
            "`samples` must be an integer for each word: the index of the "
            f"cell that was read, less than {cells}, or -1 for none. Received: "
            f"{samples.tolist()} for {len(scores)} words."
        )
    return samples


def _per_word(values, name, number):
    """A finite number `(T,)` for each word, or an error; None stays."""
    if values is None:
        return None
    values = as_array(values).astype("float64")
    if values.shape != (number,):
        raise ValueError(
            f"`{name}` must be a number for each word, ({number},). Received: "
            f"shape {values.shape}. Cut the padding off."
        )
    all_finite(values, name)
    return values
