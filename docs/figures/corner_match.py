"""Pictures of CornerMatch, and whether their marks match."""

from matplotlib.figure import Figure

from keras_attention.data import synthetic


def draw():
    return rows(*synthetic.corner_match(10, seed=3), ("differ", "match"))


def rows(images, labels, names):
    """Ten pictures in two rows, each under its label."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    for axis, image, label in zip(
        figure.subplots(2, 5).flat, images, labels, strict=True
    ):
        axis.imshow(image)
        axis.set(title=names[label], xlabel="column", ylabel="row")
        axis.label_outer()
    return figure
