"""
Windows that go where the words are
===================================

Local attention reads a window of the source. A window that moves on by a word
cannot write digits backwards; one that predicts its place learns to walk the
other way.
"""

import keras
import numpy as np
from keras import ops
from matplotlib.figure import Figure

from keras_attention import models

LENGTH, START, FIRST, SIZE, STEPS = 8, 1, 2, 12, 150

# %%
# A sentence is eight digits, its translation the same from the last to the
# first.


def digits(number, seed):
    rng = np.random.default_rng(seed)
    source = rng.integers(FIRST, SIZE, (number, LENGTH))
    target = source[:, ::-1]
    before = np.pad(target[:, :-1], ((0, 0), (1, 0)), constant_values=START)
    return {"encoder_token_ids": source, "decoder_token_ids": before}, target


# %%
# Three translators of Luong et al. (2015) differ in what they may read. A
# window reaches one digit to either side of its middle, :math:`p_t`, which a
# step of the decoder tells.


def trained(alignment):
    keras.utils.set_random_seed(0)
    model = models.LuongNMT.from_preset(
        "luong_nmt_tiny",
        source_vocabulary_size=SIZE,
        target_vocabulary_size=SIZE,
        embedding_dim=24,
        hidden_dim=48,
        num_layers=1,
        alignment=alignment,
        window=1,
        input_feeding=False,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # To compile would take longer than to train.
    model.compile(
        keras.optimizers.Adam(0.01),
        loss,
        metrics=["accuracy"],
        jit_compile=False,
    )
    model.fit(*digits(64 * STEPS, seed=2), batch_size=64, verbose=0)
    return model, model.evaluate(*digits(200, seed=1), verbose=0)[1]


def read(model, source):
    """What each step reads, `(T, S)`, and the middles of its windows."""
    memory, state = model.start(source)
    rows, middles, last = [], [], START
    for _ in range(LENGTH):
        logits, state, extras = model.step(
            ops.full((1, 1), last), memory, state
        )
        last = int(ops.argmax(logits))
        rows.append(ops.convert_to_numpy(extras["scores"]).ravel())
        if "position" in extras:
            middles.append(
                float(ops.convert_to_numpy(extras["position"]).item())
            )
    return np.array(rows), middles


# %%
# Look at where the darkest squares are: whoever may reads the last digit first.
# The window in the middle has to move on, and what it should write at first is
# not in it.

source = digits(1, seed=5)[0]["encoder_token_ids"]
names = [str(digit - FIRST) for digit in source[0]]
figure = Figure(figsize=(10, 3.9), layout="constrained")
accuracy = {}
for axes, name in zip(
    figure.subplots(1, 3),
    ("global", "local_monotonic", "local_predictive"),
    strict=True,
):
    model, accuracy[name] = trained(name)
    scores, middles = read(model, source)
    image = axes.imshow(scores, cmap="Blues", vmin=0, vmax=1)
    axes.plot(
        middles,
        range(len(middles)),
        "o-",
        color="tab:orange",
        label="middle of the window, $p_t$",
    )
    axes.set_xticks(range(LENGTH), names)
    axes.set_yticks(range(LENGTH), names[::-1])
    axes.set(xlabel="source", ylabel="digit to write")
    axes.set_title(f"{name}: {accuracy[name]:.0%} right")
figure.colorbar(image, ax=figure.axes, label="score")
figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center")
assert accuracy["local_monotonic"] + 0.1 < accuracy["local_predictive"] > 0.9
# Three maps of digits to write by digits read: dark squares along the rising
# diagonal where all may be read; along the falling one, with the middles of the
# windows, where these move on; along the rising one where they are predicted.
figure
