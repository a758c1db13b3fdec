"""What two alignments read as they learn to write digits backwards."""

import keras
import numpy as np
from matplotlib.figure import Figure

from keras_attention import models

LENGTH, START, FIRST, WORDS = 6, 1, 2, 12


def digits(count, seed):
    """Ids of digits, the same backwards, and those shifted right."""
    rng = np.random.default_rng(seed)
    source = rng.integers(FIRST, WORDS, (count, LENGTH))
    target = source[:, ::-1]
    shifted = np.pad(target[:, :-1], ((0, 0), (1, 0)), constant_values=START)
    return {"encoder_token_ids": source, "decoder_token_ids": shifted}, target


def learned_scores(alignment, steps=150):
    model = models.LuongNMT(
        WORDS,
        WORDS,
        embedding_dim=24,
        hidden_dim=48,
        num_layers=1,
        alignment=alignment,
        window=1,
        input_feeding=False,
        initializer_range=None,
    )
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    model.fit(*digits(64 * steps, seed=2), batch_size=64, epochs=1, verbose=0)
    shown, _ = digits(1, seed=5)
    scores = model.forced_scores(
        *(keras.ops.array(ids) for ids in shown.values())
    )
    names = [str(i - FIRST) for i in shown["encoder_token_ids"][0]]
    return keras.ops.convert_to_numpy(scores)[0], names


def draw():
    figure = Figure(figsize=(7.6, 3.6), layout="constrained")
    for axes, alignment in zip(
        figure.subplots(1, 2), ("global", "local_monotonic"), strict=True
    ):
        scores, names = learned_scores(alignment)
        image = axes.imshow(scores, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(LENGTH), names)
        axes.set_yticks(range(LENGTH), names[::-1])
        axes.set(
            title=f'alignment="{alignment}"',
            xlabel="source",
            ylabel="digit to write",
        )
    figure.colorbar(image, ax=figure.axes, label="score")
    return figure
