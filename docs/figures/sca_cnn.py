"""Where each word of a caption looks in a network, and for what."""

import keras
import numpy as np
from matplotlib.figure import Figure

from docs.figures._trained import as_grids, scene_captioner
from docs.figures.show_attend_tell import draw_places, first_right
from keras_attention.models import SCACNN

SHOWN = 32  # channels


def backbone():
    """Two layers over the cells of a scene; each sees its own cell only."""
    cells = x = keras.Input((4, 4, 32))
    for i in range(2):
        x = keras.layers.Conv2D(64, 1, activation="relu", name=f"layer_{i}")(x)
    return keras.Model(cells, x)


def draw():
    model, scenes = scene_captioner(
        SCACNN,
        "sca_cnn_small",
        decay=True,
        backbone=backbone,
        taps=("layer_1",),
    )
    index, caption = first_right(model, scenes)
    figure = Figure(figsize=(8, 6.4), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(3.4, 3))
    draw_places(top, caption, scenes.objects[index])
    draw_channels(bottom, caption.tokens, channels_of(model, scenes, index))
    return figure


def channels_of(model, scenes, index):
    """The scores `(T, C)` of channels at each word of a right caption."""
    tokenizer = model.tokenizer
    words = tokenizer.tokenize([scenes.captions[index]])[0]
    ids = np.array([[tokenizer.start_id, *words]], "int32")
    grid = as_grids(scenes)[index : index + 1]
    reads = model.forced(grid, ids)
    return keras.ops.convert_to_numpy(reads["channel_scores"])[0]


def draw_channels(figure, tokens, scores):
    """A row for each word, of the channels that vary most among words."""
    chosen = np.sort(np.argsort(scores.std(0))[-SHOWN:])
    scores = scores * scores.shape[1]  # the mean is 1
    axis = figure.subplots()
    image = axis.imshow(scores[:, chosen], cmap="Blues", vmin=0, aspect="auto")
    axis.set_yticks(range(len(tokens)), tokens)
    axis.set_xlabel(f"the {SHOWN} channels whose weight varies most")
    axis.set_xticks([])
    figure.colorbar(image, ax=axis, label="weight of the channel")
