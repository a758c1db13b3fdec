"""What a Transformer reads before and after it learns to write backwards."""

import keras
from matplotlib.figure import Figure

from docs.figures.luong_nmt import FIRST, LENGTH, WORDS, digits
from keras_attention import models

BATCH, STEPS = 64, 300


def draw():
    model = models.Transformer(
        WORDS,
        WORDS,
        num_layers=2,
        hidden_dim=48,
        num_heads=2,
        intermediate_dim=96,
        dropout=0.0,
        normalize_first=True,
    )
    shown, _ = digits(1, seed=5)

    def scores():
        found = model.forced_scores(
            *(keras.ops.array(ids) for ids in shown.values())
        )
        return keras.ops.convert_to_numpy(found)[0]

    maps = {"before training": scores()}
    model.compile(
        keras.optimizers.Adam(3e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    model.fit(
        *digits(BATCH * STEPS, seed=2), batch_size=BATCH, epochs=1, verbose=0
    )
    maps[f"after {STEPS} steps"] = scores()
    names = [str(i - FIRST) for i in shown["encoder_token_ids"][0]]
    figure = Figure(figsize=(7.6, 3.6), layout="constrained")
    for axes, (title, found) in zip(
        figure.subplots(1, 2), maps.items(), strict=True
    ):
        image = axes.imshow(found, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(LENGTH), names)
        axes.set_yticks(range(LENGTH), names[::-1])
        axes.set(title=title, xlabel="source", ylabel="digit to write")
    figure.colorbar(image, ax=figure.axes, label="score")
    return figure
