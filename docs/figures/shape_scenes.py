"""Six pictures of ShapeScenes with their boxes and captions."""

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from keras_attention.data import synthetic


def draw():
    scenes = synthetic.shape_scenes(6, seed=1)
    figure = Figure(figsize=(9, 7), layout="constrained")
    for axes, image, caption, objects in zip(
        figure.subplots(2, 3).flat,
        scenes.inputs,
        scenes.captions,
        scenes.objects,
        strict=True,
    ):
        # Pixels reach from whole number to whole number, as boxes count them.
        axes.imshow(image, extent=(0, 64, 64, 0), interpolation="nearest")
        for left, top, right, bottom in (thing.box for thing in objects):
            width, height = right - left, bottom - top
            axes.add_patch(
                Rectangle((left, top), width, height, fill=False, color="white")
            )
        axes.set(xticks=range(0, 65, 16), yticks=range(0, 65, 16))
        axes.set_xlabel(caption.replace(" and ", "\nand "), fontsize=9)
    return figure
