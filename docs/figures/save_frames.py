"""A GIF of the rollout of a trained ViViT, read back."""

import tempfile
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from docs.figures._trained import roll_model
from keras_attention import visualization


def draw():
    model, video = roll_model()
    maps = visualization.video_rollout(model, video)
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.gif"
        visualization.save_frames(video[2], path, maps[2])
        with Image.open(path) as file:
            for axis, frame in zip(
                figure.subplots(1, 4), range(0, 8, 2), strict=True
            ):
                file.seek(frame)
                axis.imshow(file.convert("RGB"))
                axis.set(xticks=[], yticks=[], title=f"frame {frame}")
    return figure
