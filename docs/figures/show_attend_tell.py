"""What each word of a caption reads, over the cells of a scene."""

import numpy as np
from matplotlib.figure import Figure

from docs.figures._trained import as_grids, scene_captioner

COLUMNS = 6


def draw():
    return draw_words(*scene_captioner())


def draw_words(model, scenes):
    """The words of the first caption of two objects that is right."""
    index, caption = first_right(model, scenes)
    rows = -(-len(caption.tokens) // COLUMNS)
    figure = Figure(figsize=(8, 1.6 * rows + 0.4), layout="constrained")
    draw_places(figure, caption, scenes.objects[index])
    return figure


def first_right(model, scenes):
    """The index and the caption of a scene of two objects."""
    captions = model.caption(as_grids(scenes))
    # Two objects fit into two rows.
    index = next(
        i
        for i, caption in enumerate(captions)
        if caption.text == scenes.captions[i] and len(scenes.objects[i]) == 2
    )
    return index, captions[index]


def draw_places(figure, caption, objects):
    """What each word reads, in a figure or a part of one."""
    rows = -(-len(caption.tokens) // COLUMNS)
    axes = figure.subplots(rows, COLUMNS)
    for axis in axes.flat:
        axis.set_axis_off()
    drawn = zip(axes.flat, caption.tokens, caption.scores, strict=False)
    for axis, token, scores in drawn:
        image = axis.imshow(scores, cmap="Blues", vmin=0, vmax=1)
        axis.set_title(token, fontsize=10)
        for letter, thing in zip("12", objects, strict=True):
            row, column = np.divmod(thing.cell, 4)
            dark = scores[row, column] > 0.5
            axis.text(
                column,
                row,
                letter,
                ha="center",
                va="center",
                color="white" if dark else "black",
            )
    names = (
        f"{n}: {x.size} {x.colour} {x.shape}"
        for n, x in enumerate(objects, start=1)
    )
    figure.suptitle(", ".join(names), fontsize=10)
    figure.colorbar(image, ax=axes, label="share of the attention", shrink=0.8)
