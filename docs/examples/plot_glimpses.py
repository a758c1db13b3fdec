"""
Hard glimpses: one place at a time
==================================

Hard attention reads a single place for each word, drawn at random while it
learns. With a straight-through estimator plain ``fit`` is enough.
"""

import keras
import numpy as np

from keras_attention import data, layers, losses, models, visualization

keras.utils.set_random_seed(0)

# %%
# Scenes of two things on a grid of 4 x 4 cells, told by features of each cell.


def scenes_of_two(number, seed):
    scenes = data.synthetic.grid_scenes(number, seed)
    two = [i for i in range(number) if len(scenes.objects[i]) == 2]
    grids = scenes.inputs[two].reshape(-1, 4, 4, 32)
    return two, grids, [scenes.captions[i] for i in two]


# %%
# The captioner takes any attention layer. This one draws a place by Gumbel
# noise, and its gradient is that of a softmax (Jang et al., 2017). After
# training it reads the likeliest.

STEPS = 250
_, grids, captions = scenes_of_two(8000, seed=0)
words = data.WordTokenizer.train(captions)
model = models.ShowAttendTell.from_preset(
    "show_attend_tell_small",
    feature_shape=(4, 4, 32),
    tokenizer=words,
    attention=layers.HardAttention(
        64, "gumbel_straight_through", inference="argmax", seed=0
    ),
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
# Of the words that name a thing in a scene that the model has not seen, this
# share reads the one cell where it is; a place drawn blindly is right one time
# in sixteen.

scenes = data.synthetic.grid_scenes(400, seed=1)
two, grids, captions = scenes_of_two(400, seed=1)
found = model.caption(grids)
right = [i for i, x in enumerate(found) if x.text == captions[i]]
hits = [
    scenes.objects[two[i]][thing].cell == cell
    for i in right
    for thing, cell in zip(
        scenes.word_objects[two[i]], found[i].samples, strict=False
    )
    if thing >= 0
]
print(
    f"{len(right)} of {len(two)} captions, {np.mean(hits):.0%} of their words"
)
assert len(right) > 0.8 * len(two) and np.mean(hits) > 0.9

# %%
# All that each word was read from, in the picture of a scene, which the same
# seed draws. Look at how the glimpse jumps as the caption goes on to the second
# thing.

pictures = data.synthetic.shape_scenes(400, seed=1, size=128)
chosen = next(i for i in right if captions[i] == pictures.captions[two[i]])
picture, caption = pictures.inputs[two[chosen]], found[chosen]
# A picture of two shapes, and once more for each word, dark but for a framed
# square: the first shape while it is named, then the second.
visualization.plot_caption(
    picture,
    caption.tokens,
    np.eye(16)[caption.samples],
    samples=caption.samples,
    smoothing="nearest",
    num_columns=6,
)
