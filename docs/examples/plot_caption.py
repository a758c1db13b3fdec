"""
A caption, and the place behind each word
=========================================

A small Show, Attend and Tell describes scenes of two things, and looks at each
thing while it speaks of it.
"""

import keras
import numpy as np

from keras_attention import data, losses, models, visualization

keras.utils.set_random_seed(0)

# %%
# Of a scene the captioner gets the features of a grid of 4 x 4 cells, and a
# caption.


def scenes_of_two(number, seed):
    scenes = data.synthetic.grid_scenes(number, seed)
    two = [i for i in range(number) if len(scenes.objects[i]) == 2]
    grids = scenes.inputs[two].reshape(-1, 4, 4, 32)
    return two, grids, [scenes.captions[i] for i in two]


# %%
# Soft attention learns where to look from words alone, in plain ``fit``.

STEPS = 200
_, grids, captions = scenes_of_two(8000, seed=0)
words = data.WordTokenizer.train(captions)
model = models.ShowAttendTell.from_preset(
    "show_attend_tell_small", feature_shape=(4, 4, 32), tokenizer=words
)
model.compile(
    keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(5e-3, STEPS)),
    losses.SparseCategoricalCrossentropy(),
    # TensorFlow would compile for longer than it trains.
    jit_compile=keras.backend.backend() == "jax",
)
batches = data.CaptionBatches(
    [data.CaptionedImage(*x) for x in zip(grids, zip(captions), strict=True)],
    words,
    input_name="features",
    batch_size=64,
    num_buckets=1,
    steps_per_epoch=STEPS,
)
model.fit(batches, shuffle=False, verbose=0)

# %%
# Scenes that it has not seen, told word for word as they should be:

places, grids, captions = scenes_of_two(400, seed=1)
found = model.caption(grids)
right = [x.text == text for x, text in zip(found, captions, strict=True)]
print(f"{np.mean(right):.0%} of {len(right)}")
assert np.mean(right) > 0.8

# %%
# The picture of a scene is for us alone: the same seed draws it. Light lies
# where a word was read from. Look at "a" and "and": before anything is said of
# a thing, its place is already found.

pictures = data.synthetic.shape_scenes(400, seed=1, size=128)
shown = [
    (pictures.inputs[place], x)
    for place, x, text in zip(places, found, captions, strict=True)
    if x.text == text == pictures.captions[place]
][:3]
picture, caption = shown[0]
# A picture of two shapes on grey, and once more for each word of the caption:
# the words of the first shape leave its cell light, then those of the second.
visualization.plot_caption(
    picture, caption.tokens, caption.scores, num_columns=6
)

# %%
# Point at a word to see its place, or at a place to see the words read from it.

visualization.Explorer(
    [visualization.CaptionView(x, y.tokens, y.scores) for x, y in shown],
    title="Point at a word or a place",
)
