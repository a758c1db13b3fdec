"""A GIF of a clip with made-up maps that follow its glyph, read back."""

import tempfile
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from keras_attention import visualization
from keras_attention.data import synthetic


def draw():
    clip = synthetic.roll_motion(400, seed=1, frames=8, hold=2)[0][2]
    # How much brighter each square of 4 x 4 pixels is than the darkest.
    squares = clip[::2].reshape(4, 3, 4, 3, 4, 3).mean((2, 4, 5))
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.gif"
        visualization.save_frames(clip, path, squares - squares.min())
        with Image.open(path) as file:
            for axis, frame in zip(
                figure.subplots(1, 4), range(0, 8, 2), strict=True
            ):
                file.seek(frame)
                axis.imshow(file.convert("RGB"))
                axis.set(xticks=[], yticks=[], title=f"frame {frame}")
    return figure
