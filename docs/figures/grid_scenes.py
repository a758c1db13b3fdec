"""A pair of GridScenes, their annotations, and the mean that they share."""

from matplotlib.figure import Figure

from keras_attention.data import synthetic

MARKERS = {
    "circle": dict(marker="o"),
    "square": dict(marker="s"),
    "triangle": dict(marker="^"),
    "diamond": dict(marker="D"),
    "cross": dict(marker="P"),
    "ring": dict(marker="o", fillstyle="none", markeredgewidth=4),
}
POINTS = {"small": 10, "large": 19}


def draw():
    scenes = synthetic.grid_scenes(2, seed=11, split="swap")
    figure = Figure(figsize=(9, 8), layout="constrained")
    axes = figure.subplot_mosaic(
        [["A", "B"], ["a", "b"], ["mean", "mean"]], height_ratios=[4, 4, 2]
    )
    for i, name in enumerate("AB"):
        draw_scene(axes[name], scenes.objects[i])
        caption = scenes.captions[i].replace(" and ", "\nand ")
        axes[name].set_title(f"scene {name}: {caption}", fontsize=9)
        image = draw_annotations(axes[name.lower()], scenes.inputs[i])
        axes[name.lower()].set_title(f"annotations of scene {name}")
    figure.colorbar(image, ax=axes["b"])
    for i, (name, style) in enumerate({"A": "C0-", "B": "C1--"}.items()):
        mean = scenes.inputs[i].mean(axis=0)
        axes["mean"].plot(mean, style, label=f"scene {name}")
    axes["mean"].set(
        xlabel="dimension",
        ylabel="mean",
        title="the mean over cells is the same",
    )
    axes["mean"].legend(ncols=2)
    return figure


def draw_scene(axes, objects):
    for thing in objects:
        left, top, right, bottom = thing.box
        axes.plot(
            (left + right) / 2,
            (top + bottom) / 2,
            color=thing.colour,
            markersize=POINTS[thing.size],
            **MARKERS[thing.shape],
        )
    for cell in range(16):
        row, column = divmod(cell, 4)
        axes.text(column + 0.06, row + 0.26, cell, color="white", fontsize=8)
    axes.set(xlim=(0, 4), ylim=(4, 0), aspect="equal", facecolor="dimgray")
    axes.set(xticks=range(5), yticks=range(5), xlabel="column", ylabel="row")
    axes.grid(color="gray")


def draw_annotations(axes, annotations):
    """One row for each cell."""
    axes.set(xlabel="dimension", ylabel="cell", yticks=range(0, 16, 3))
    return axes.imshow(annotations, cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
