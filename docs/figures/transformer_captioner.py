"""What each word of a caption reads, over the cells of a scene."""

import keras
import numpy as np
from matplotlib.figure import Figure

from keras_attention import data, models

STEPS, BATCH, COLUMNS = 200, 64, 5


def scenes_of_two(number, seed):
    """Grids of features with two objects each, captions, and the objects."""
    scenes = data.synthetic.grid_scenes(number, seed)
    two = [i for i in range(number) if len(scenes.objects[i]) == 2]
    grids = scenes.inputs[two].reshape(-1, 4, 4, 32)
    return (
        grids,
        [scenes.captions[i] for i in two],
        [scenes.objects[i] for i in two],
    )


def trained():
    grids, captions, _ = scenes_of_two(8000, seed=0)
    words = data.WordTokenizer.train(captions)
    # All captions have as many words.
    ids = np.array(
        [[words.start_id, *x, words.end_id] for x in words.tokenize(captions)]
    )
    model = models.TransformerCaptioner.from_preset(
        "transformer_captioner_small",
        feature_shape=(4, 4, 32),
        tokenizer=words,
    )
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(3e-3, STEPS)
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    rows = np.arange(BATCH * STEPS) % len(ids)
    model.fit(
        {"features": grids[rows], "decoder_token_ids": ids[rows, :-1]},
        ids[rows, 1:],
        batch_size=BATCH,
        verbose=0,
    )
    return model


def draw():
    model = trained()
    grids, captions, objects = scenes_of_two(200, seed=1)
    found = model.caption(grids)
    right = [i for i, x in enumerate(found) if x.text == captions[i]]
    if len(right) < 0.7 * len(found):
        raise RuntimeError(f"{len(right)} of {len(found)} captions are right.")
    return draw_words(found[right[0]], objects[right[0]])


def draw_words(caption, objects):
    """A map for each word, with the objects as numbers."""
    rows = -(-len(caption.tokens) // COLUMNS)
    figure = Figure(figsize=(8, 1.8 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, COLUMNS)
    for axis in axes.flat:
        axis.set_axis_off()
    drawn = zip(axes.flat, caption.tokens, caption.scores, strict=False)
    for axis, token, scores in drawn:
        image = axis.imshow(scores, cmap="Blues", vmin=0, vmax=1)
        axis.set_title(token, fontsize=10)
        for number, thing in enumerate(objects, start=1):
            row, column = divmod(thing.cell, 4)
            axis.text(
                column,
                row,
                number,
                ha="center",
                va="center",
                color="white" if scores[row, column] > 0.5 else "black",
            )
    names = (
        f"{n}: {x.size} {x.colour} {x.shape}"
        for n, x in enumerate(objects, start=1)
    )
    figure.suptitle(", ".join(names), fontsize=10)
    figure.colorbar(image, ax=axes, label="share of the attention", shrink=0.8)
    return figure
