"""A sentence, a picture and a clip, with made-up scores: a page, no figure."""

import numpy as np

from docs.figures._caption import box, picture, view
from docs.figures._words import LINKS, SOURCE, TARGET
from keras_attention.visualization import AttentionView, Cells, Explorer

GRID, TIMES, SIZE = 7, 6, 48


def draw():
    return Explorer([sentence(), view(), patches(), clip()], "What was read")


def sentence():
    """One head that finds the translation, and one that reads what is next."""
    near = np.exp(-abs(np.subtract.outer(range(6), range(1, 7))))
    heads = np.stack([0.02 + 0.88 * np.eye(6)[LINKS], near])
    return AttentionView(
        TARGET,
        SOURCE,
        heads / heads.sum(-1, keepdims=True),
        title="Words",
        labels=("French", "English"),
    )


def patches():
    """Patches that read those of their own shape."""
    image = picture()
    centres = 32 * np.stack(np.divmod(np.arange(GRID**2), GRID), 1) + 16
    shape = np.zeros(len(centres), int)
    for number, name in enumerate(("disc", "square", "triangle"), start=1):
        left, top, right, bottom = np.add(box(name), (-8, -8, 8, 8))
        inside = (centres > (top, left)) & (centres < (bottom, right))
        shape[inside.all(1)] = number
    away = np.linalg.norm(centres[:, None] - centres, axis=-1)
    logits = 3.0 * (shape[:, None] == shape) - away / 100
    scores = np.exp(logits)
    scores = np.pad(scores, ((1, 0), (1, 0)), constant_values=1)
    scores[0, 1:] = np.where(shape, 20, 1)
    cells = Cells(image, (GRID, GRID), ["class"])
    return AttentionView(
        cells,
        cells,
        scores / scores.sum(-1, keepdims=True),
        title="Patches of a picture",
    )


def clip():
    """A disc that crosses a clip, whose tubelets read where it was before."""
    rows, columns = np.indices((SIZE, SIZE))
    centres = np.linspace(8, SIZE - 8, 2 * TIMES)
    frames = np.stack([np.hypot(rows - 24, columns - x) < 8 for x in centres])
    disc = frames.reshape(TIMES, 2, 3, 16, 3, 16).mean((1, 3, 5)).ravel()
    time = np.arange(TIMES).repeat(9)
    earlier = np.exp(-0.5 * abs(np.subtract.outer(time, time + 1)))
    scores = 0.002 + disc * earlier
    cells = Cells(frames[..., None].astype("float32"), (TIMES, 3, 3))
    return AttentionView(
        cells,
        cells,
        scores / scores.sum(-1, keepdims=True),
        title="Tubelets of a video",
    )
