"""Which tubelets of a clip a token depends on, in each variant of ViViT."""

import keras
import numpy as np
import tensorflow as tf
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from keras_attention.models import ViViT

T, ROWS, COLUMNS = 4, 3, 4
TOKEN = 1, 1, 2  # time, row and column
VARIANTS = {
    "spatio_temporal": {},
    "factorized_encoder": {},
    # Attention along time begins as none.
    "factorized_self_attention,\nafter space": {},
    "factorized_self_attention,\nafter space and time": dict(
        time_initializer=None
    ),
    "factorized_dot_product": {},
}


def depends(variant, options):
    """Where the gradient of the token after a block is not zero."""
    keras.utils.set_random_seed(0)
    model = ViViT(
        video_shape=(2 * T, 4 * ROWS, 4 * COLUMNS, 3),
        tubelet_size=(2, 4, 4),
        variant=variant,
        num_layers=1,
        num_temporal_layers=1,
        hidden_dim=8,
        num_heads=2,
        intermediate_dim=16,
        num_classes=0,
        pooling="average",
        **options,
    )
    video = tf.random.stateless_normal((1, *model.video_shape), seed=(0, 1))
    states = model.features(["block_0"])
    with tf.GradientTape() as tape:
        tape.watch(video)
        state = tf.reshape(states(video)["block_0"], (T, ROWS, COLUMNS, -1))
        feature = state[TOKEN][0]
    gradient = np.abs(tape.gradient(feature, video)[0])
    tubelets = gradient.reshape(T, 2, ROWS, 4, COLUMNS, 4, 3)
    return tubelets.max((1, 3, 5, 6)) > 0


def draw():
    figure = Figure(figsize=(8.5, 7.2), layout="compressed")
    figure.suptitle("blue: what the token at the cross depends on")
    axes = figure.subplots(len(VARIANTS), T)
    for line, (name, options) in zip(axes, VARIANTS.items(), strict=True):
        mask = depends(name.partition(",")[0], options)
        for t, axis in enumerate(line):
            axis.pcolormesh(
                mask[t],
                cmap=ListedColormap(["white", "tab:blue"]),
                vmin=0,
                vmax=1,
                edgecolors="lightgray",
            )
            axis.set(xticks=[], yticks=[], aspect="equal")
            axis.invert_yaxis()
            axis.set_title(f"time {t}", fontsize=9)
            if t == TOKEN[0]:
                axis.plot(TOKEN[2] + 0.5, TOKEN[1] + 0.5, "wx")
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return figure
