"""
What a ViT compares: heads, rollout, filters
============================================

Two corners of a picture hold marks, which are alike or not. A small ViT learns
to compare them, and what it reads shows where they are.
"""

import keras

from keras_attention import data, models, visualization

# sphinx_gallery_thumbnail_number = 2
keras.utils.set_random_seed(0)

# %%
# The rest of each picture is noise, and no patch alone tells the answer:
# patches must read each other.

processor = data.ImageProcessor((32, 32))
images, labels = data.synthetic.corner_match(16000, seed=0)
model = models.ViT(
    image_shape=(32, 32, 3),
    patch_size=8,
    num_layers=2,
    hidden_dim=96,
    num_heads=4,
    intermediate_dim=384,
    num_classes=2,
    pooling="average",
    image_processor=processor,
)
model.compile(
    keras.optimizers.Adam(1e-3),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.fit(
    processor.normalize(images), labels, batch_size=128, epochs=2, verbose=0
)

images, labels = data.synthetic.corner_match(300, seed=1)
pixels = processor.normalize(images)
_, accuracy = model.evaluate(pixels, labels, verbose=0)
print(f"{accuracy:.0%}")
assert accuracy > 0.9

# %%
# What is read of each patch in the last block, head by head. Look for the heads
# that read one of the two corners and little else.

# Three noisy squares with marks in two corners; beside each four maps, one for
# each head, some of them bright in one corner alone.
visualization.plot_heads(model, pixels[:3])

# %%
# The rollout follows what is read through all blocks (Abnar and Zuidema, 2020):
# what the answer is made of.

# Three noisy squares with a small mark in two opposite corners; beside each, a
# map that is bright in these two corners.
visualization.plot_rollout(model, pixels[:3])

# %%
# How alike the positions are that it has learned. The corners, which hold the
# marks, are told from all other places.

# Sixteen maps of four by four: those of inner patches are bright but for the
# corners, those of corners dark but for the corners.
visualization.plot_position_similarity(
    model.get_layer("position_embedding").embeddings, model.grid_shape
)

# %%
# And what it looks for in a patch: the main components of its filters. The
# first resemble strokes of marks, the last are still the noise that they began
# as.

# Seven small squares: some with dark and light strokes, then coloured noise.
visualization.plot_patch_filters(
    model.get_layer("patch_embedding").embedding_dense.kernel,
    model.patch_size,
    number=7,
)

# %%
# Point at a patch to see what it reads, head by head, and who reads it.

patches = visualization.Cells(images[0], model.grid_shape)
scores = {name: x[0] for name, x in model.attention()(pixels[:1]).items()}
visualization.Explorer(
    [visualization.AttentionView(patches, patches, scores)],
    title="Point at a patch",
)
