"""What a Transformer reads before and after it learns to write backwards."""

import keras
import numpy as np
from matplotlib.figure import Figure

from keras_attention import models

LENGTH, START, FIRST, WORDS = 6, 1, 2, 12
BATCH, STEPS = 64, 150


def digits(count, seed):
    """Ids of digits, the same backwards, and those shifted right."""
    rng = np.random.default_rng(seed)
    source = rng.integers(FIRST, WORDS, (count, LENGTH))
    target = source[:, ::-1]
    shifted = np.pad(target[:, :-1], ((0, 0), (1, 0)), constant_values=START)
    return {"encoder_token_ids": source, "decoder_token_ids": shifted}, target


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
    inputs, target = digits(200, seed=3)
    answers = keras.ops.convert_to_numpy(model(inputs)).argmax(-1)
    accuracy = (answers == target).mean()
    if accuracy < 0.95:
        raise RuntimeError(f"{accuracy:.0%} of the digits are right.")
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
