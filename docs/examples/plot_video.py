"""
Seeing motion: strips of a ViViT
================================

A glyph rolls across a clip, and stands still within each tubelet: what compares
tubelets over time sees where it goes, and nothing else does.
"""

import keras
import numpy as np
from matplotlib.figure import Figure

from keras_attention import data, models, visualization

# sphinx_gallery_thumbnail_number = 2
keras.utils.set_random_seed(0)
DIRECTIONS = "right", "left", "down", "up"

# %%
# Eight frames of which each is held for two, in tubelets of two frames.


def clips(number, seed):
    videos, labels = data.synthetic.roll_motion(number, seed, frames=8, hold=2)
    return videos / np.float32(127.5) - 1, labels


model = models.ViViT(
    video_shape=(8, 12, 12, 3),
    tubelet_size=(2, 4, 4),
    variant="factorized_self_attention",
    num_layers=2,
    hidden_dim=32,
    num_heads=4,
    intermediate_dim=64,
    num_classes=4,
    position_stddev=0.3,
    head_initializer="glorot_uniform",
)
model.compile(
    keras.optimizers.Adam(3e-3),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.fit(*clips(2000, seed=0), batch_size=50, epochs=8, verbose=0)

videos, labels = clips(400, seed=1)
_, accuracy = model.evaluate(videos, labels, verbose=0)
print(f"{accuracy:.0%}")
assert accuracy > 0.9

# %%
# Three clips that it has not seen, its answers at their side.

videos = videos[:3]
answers = np.take(DIRECTIONS, model.predict(videos, verbose=0).argmax(-1))
# Three rows of eight noisy frames: a glyph moves left, one down, one up.
visualization.plot_frames(videos, titles=answers)

# %%
# What the answers are made of, through all blocks, over the frames. Look at the
# first and the last frames: between them the glyph moves most.

# Three rows of eight noisy frames in which a glyph moves; squares around it are
# bright in the first frames, and in the third row in the last ones too.
visualization.plot_video_rollout(model, videos, titles=answers)

# %%
# The same as a share of each time:

shares = visualization.video_rollout(model, videos).sum((2, 3))  # (B, T)
figure = Figure(figsize=(5, 3), layout="constrained")
axes = figure.subplots()
for answer, line in zip(answers, shares, strict=True):
    axes.plot(line, "o-", label=answer)
axes.set(xlabel="time of the tubelets", ylabel="share of the answer")
axes.set(xticks=range(4), ylim=(0, None))
axes.legend()
# Three lines over four times, each highest at time 0 or 3 and lowest between.
figure

# %%
# A token reads its own frame, and its own place in the others, where the tokens
# have read their frames: so it reaches the whole clip.

OVER = "space", "time", "space_time"
maps = [
    visualization.token_attention(model, videos[2:], token=(1, 1, 1), over=over)
    for over in OVER
]
# Three rows of eight frames: read is the frame of the token alone, then the
# middle of each frame alone, then most of the first and the last frames.
visualization.plot_frames(
    np.repeat(videos[2:], 3, axis=0), np.concatenate(maps), titles=OVER
)

# %%
# The same in all clips, the token framed.

# Three rows of eight frames with a square framed in the third and fourth; the
# first two are brightest.
visualization.plot_token_attention(model, videos, token=(1, 1, 1))

# %%
# Point at a tubelet to see what it reads, and what reads it.

tubelets = visualization.Cells(videos[2], model.grid_shape)
scores = [
    visualization.token_attention(model, videos[2:], token).ravel()
    for token in np.ndindex(*model.grid_shape)
]
visualization.Explorer(
    [visualization.AttentionView(tubelets, tubelets, np.array(scores))],
    title="Point at a part of a frame",
)
