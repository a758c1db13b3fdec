"""Pictures of what a run has learned."""

import keras
import numpy as np
from matplotlib.figure import Figure

from applications.vision.pictures import shown
from keras_attention import visualization


def draw(folder, recipe, model, batches, class_names):
    """Draws what there is to draw of a model into its run folder.

    Returns:
        The names of the files.
    """
    images, targets = batches[-1].make_batch(0)
    images = images[:6]
    if recipe.task == "segmentation":
        found = model.predict_on_batch(images).argmax(-1)
        draw_masks(
            [shown(x) for x in images],
            {"true": targets[:6], "found": found},
            class_names,
            folder / "masks.png",
        )
        return ["masks.png"]
    if recipe.system != "vit":
        return []
    visualization.plot_rollout(model, images, folder / "rollout.png")
    visualization.plot_heads(model, images[:3], -1, folder / "heads.png")
    visualization.plot_position_similarity(
        model.get_layer("position_embedding").embeddings,
        model.grid_shape,
        folder / "positions.png",
        model.num_prefix_tokens if model.prefix_positions else 0,
    )
    visualization.plot_patch_filters(
        model.get_layer("patch_embedding").embedding_dense.kernel,
        model.patch_size,
        folder / "filters.png",
    )
    draw_answers(folder, model, images, targets[:6].argmax(-1), class_names)
    return [
        f"{x}.png"
        for x in ("answers", "rollout", "heads", "positions", "filters")
    ]


def draw_answers(folder, model, images, labels, class_names):
    """Pictures with the class found, and the true one where it is another."""
    logits = model.predict_on_batch(images)
    shares = keras.ops.convert_to_numpy(keras.ops.softmax(logits, -1))
    figure = Figure(figsize=(2.1 * len(images), 2.7), layout="constrained")
    axes = figure.subplots(1, len(images), squeeze=False)[0]
    for axis, image, share, label in zip(
        axes, images, shares, labels, strict=True
    ):
        found = share.argmax()
        title = f"{class_names[found]} ({100 * share[found]:.0f} %)"
        if found != label:
            title += f"\nis {class_names[label]}"
        axis.imshow(shown(image))
        axis.set(xticks=[], yticks=[])
        axis.set_title(title, fontsize=9)
    figure.savefig(folder / "answers.png", dpi=150)


def draw_masks(images, masks, class_names, path):
    """Pictures with masks beside them.

    Args:
        images: Pictures, in [0, 1].
        masks: From a title to a mask for each picture.
        class_names: Names of the classes, in the legend.
        path: Where to save it.
    """
    figure = Figure(
        figsize=(2.1 * (1 + len(masks)) + 1.6, 2.1 * len(images)),
        layout="constrained",
    )
    axes = figure.subplots(len(images), 1 + len(masks), squeeze=False)
    number = max(2, len(class_names))
    colours = figure_colours(number)
    for index, (row, image) in enumerate(zip(axes, images, strict=True)):
        row[0].imshow(image)
        row[0].set_title(f"picture {index}", fontsize=9)
        for axis, (title, found) in zip(row[1:], masks.items(), strict=True):
            # What counts for none, in grey.
            painted = np.full((*found[index].shape, 3), 0.5)
            known = found[index] < number
            painted[known] = colours[found[index][known]]
            axis.imshow(painted, interpolation="nearest")
            axis.set_title(title, fontsize=9)
        for axis in row:
            axis.set(xticks=[], yticks=[])
    for name, colour in zip(class_names, colours, strict=False):
        axes[0, 0].plot([], [], "s", color=colour, label=name)
    figure.legend(loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=150)


def figure_colours(number):
    """A colour for each class, `(number, 3)`."""
    import matplotlib

    palette = matplotlib.colormaps["tab10" if number <= 10 else "tab20"]
    return np.array([palette(i % palette.N)[:3] for i in range(number)])
