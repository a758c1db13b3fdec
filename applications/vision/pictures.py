"""Pictures of what runs have learned."""

import numpy as np
from matplotlib.figure import Figure


def draw_curves(runs, path):
    """Training's scores over its CPU-minutes.

    Args:
        runs: From a name to the logs of its epochs.
        path: Where to save it.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    (first, *_), *_ = runs.values()
    score = "mean_iou" if "mean_iou" in first else "accuracy"
    for axis, name in zip(figure.subplots(1, 2), ("loss", score), strict=True):
        for label, history in runs.items():
            minutes = [log["cpu_seconds"] / 60 for log in history]
            (line,) = axis.plot(
                minutes,
                [log[f"val_{name}"] for log in history],
                marker=".",
                label=f"{label}, validation",
            )
            axis.plot(
                minutes,
                [log[name] for log in history],
                linestyle=":",
                color=line.get_color(),
                label=f"{label}, training",
            )
        axis.set(xlabel="CPU-minutes", ylabel=name.replace("_", " "))
        axis.grid(alpha=0.3)
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    figure.savefig(path, dpi=150)


def shown(image):
    """A picture stretched to [0, 1], however it is scaled."""
    image = np.asarray(image, "float32")
    low, high = image.min(), image.max()
    return (image - low) / max(high - low, 1e-12)
