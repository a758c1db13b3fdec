"""Pictures of shapes above their masks."""

from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from keras_attention.data import synthetic

COLOURS = ListedColormap(["white", "tab:blue", "tab:orange", "tab:green"])
NAMES = "background", "disc", "square", "triangle"


def draw():
    images, masks = synthetic.shapes(5, seed=9)
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots(2, 5)
    for column, (image, mask) in enumerate(zip(images, masks, strict=True)):
        axes[0, column].imshow(image)
        axes[0, column].set(title=f"picture {column}")
        shown = axes[1, column].imshow(
            mask, cmap=COLOURS, vmin=-0.5, vmax=3.5, interpolation="nearest"
        )
    for axis in axes.flat:
        axis.set(xlabel="column", ylabel="row")
        axis.label_outer()
    bar = figure.colorbar(shown, ax=axes, ticks=range(4))
    bar.set_ticklabels(NAMES)
    return figure
