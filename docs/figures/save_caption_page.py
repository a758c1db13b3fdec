"""What a page holds, read back: a picture, and the scores of its words."""

import base64
import io
import re
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from docs.figures._caption import GRID, view
from keras_attention import visualization

WORD = re.compile(r'data-scores="([^"]+)">([^<]+)</button>')


def draw():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "captions.html"
        visualization.save_caption_page(path, [view()])
        text = path.read_text("utf-8")
    picture = re.search(r'src="data:image/png;base64,([^"]+)"', text)[1]
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    first, *axes = figure.subplots(1, 5)
    first.imshow(Image.open(io.BytesIO(base64.b64decode(picture))))
    first.set_title("the picture")
    words = WORD.findall(text)
    for axis, word in zip(axes, (0, 2, 6, 10), strict=True):
        scores, name = words[word]
        steps = np.frombuffer(base64.b64decode(scores), "uint8")
        shown = axis.imshow(steps.reshape(GRID, GRID), cmap="gray", vmin=0)
        axis.set_title(name)
    for axis in (first, *axes):
        axis.set(xticks=[], yticks=[])
    figure.colorbar(shown, ax=axes, label="score, 255 the highest", shrink=0.8)
    return figure
