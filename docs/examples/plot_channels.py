"""
What and where: channels and places
===================================

SCA-CNN weighs the places of a network, which say where, and its channels, which
say what, anew for each word.
"""

import keras
import numpy as np
from keras import ops
from matplotlib.figure import Figure

from keras_attention import data, models

keras.utils.set_random_seed(0)

# %%
# Scenes of two things on a grid of 4 x 4 cells. The network that is looked into
# is a single layer that sees a cell at a time.


def scenes_of_two(number, seed):
    scenes = data.synthetic.grid_scenes(number, seed)
    two = [i for i in range(number) if len(scenes.objects[i]) == 2]
    grids = scenes.inputs[two].reshape(-1, 4, 4, 32)
    return grids, [scenes.captions[i] for i in two]


cells = keras.Input((4, 4, 32))
layer = keras.layers.Conv2D(32, 1, activation="relu", name="layer")
grids, captions = scenes_of_two(8000, seed=0)
words = data.WordTokenizer.train(captions)
model = models.SCACNN.from_preset(
    "sca_cnn_small",
    backbone=keras.Model(cells, layer(cells)),
    taps=("layer",),
    attention="spatial_channel",
    attention_dim=32,
    tokenizer=words,
)

# %%
# All captions have as many words, so that arrays of ids will do.


def ids_of(captions):
    ids = words.tokenize(captions)
    return np.array([[words.start_id, *x, words.end_id] for x in ids])


ids = ids_of(captions)
model.compile(
    keras.optimizers.Adam(5e-3),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    jit_compile=False,  # to compile would take longer than to train
)
inputs = {model.source_name: grids, "decoder_token_ids": ids[:, :-1]}
model.fit(inputs, ids[:, 1:], batch_size=32, epochs=2, verbose=0)

grids, captions = scenes_of_two(200, seed=1)
found = model.caption(grids)
right = [i for i, x in enumerate(found) if x.text == captions[i]]
print(f"{len(right)} of {len(captions)}")
assert len(right) > 0.5 * len(captions)

# %%
# Look at how both change at "and": the weight moves to the cell of the second
# thing, and the channels to those of its features. While it speaks of one
# thing, both stay much as they are.

chosen = right[0]
tokens = found[chosen].tokens
read = model.forced(grids[[chosen]], ids_of([captions[chosen]])[:, :-1])
channels = ops.convert_to_numpy(read["channel_scores"])[0] * 32  # mean 1

figure = Figure(figsize=(10, 5.4), layout="constrained")
above, below = figure.subfigures(2, 1, height_ratios=(1, 2.6))
panels = above.subplots(1, len(tokens))
for axes, token, scores in zip(
    panels, tokens, found[chosen].scores, strict=True
):
    places = axes.imshow(scores, cmap="Blues", vmin=0, vmax=1)
    axes.set(title=token, xticks=[], yticks=[])
above.colorbar(places, ax=panels, label="weight of a place")
axes = below.subplots()
image = axes.imshow(channels, cmap="RdBu", vmin=0, vmax=2, aspect="auto")
axes.set_yticks(range(len(tokens)), tokens)
axes.set(xlabel="channel", ylabel="word to write")
below.colorbar(image, ax=axes, label="weight of a channel (mean 1)")
# Above, a map of 4 x 4 cells for each word of a caption, dark at the thing that
# is told of; below, a row of channel weights for each word, alike within a
# thing.
figure
