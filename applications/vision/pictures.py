"""Pictures of what runs have learned."""

import numpy as np
from matplotlib.figure import Figure

LABELS = {
    "greedy_reward": "reward of greedy captions",
    "cider_d": "CIDEr-D of what is written",
    "attention_change": "change of attention from word to word",
}


def draw_curves(runs, path):
    """The loss and the score of classes or masks over CPU-minutes.

    Args:
        runs: From a name to the logs of its epochs.
        path: Where to save it.
    """
    (first, *_), *_ = runs.values()
    score = "mean_iou" if "mean_iou" in first else "accuracy"
    draw_logs(runs, path, ("loss", score))


def draw_logs(runs, path, names):
    """Logs of training and validation over CPU-minutes.

    Args:
        runs: From a name to the logs of its epochs.
        path: Where to save it.
        names: Of the logs; the first is of both.
    """
    figure = Figure(figsize=(4.5 * len(names), 3.6), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for axis, name in zip(axes, names, strict=True):
        for number, (label, history) in enumerate(runs.items()):
            for start, style, part in (
                ("val_", ".-", "validation"),
                ("", ":", "training"),
            ):
                # Not all are measured in all epochs, or in both parts.
                logs = [log for log in history if start + name in log]
                if logs:
                    axis.plot(
                        [log["cpu_seconds"] / 60 for log in logs],
                        [log[start + name] for log in logs],
                        style,
                        color=f"C{number}",
                        label=f"{label}, {part}",
                    )
        label = LABELS.get(name, name.replace("_", " "))
        axis.set(xlabel="CPU-minutes", ylabel=label)
        axis.grid(alpha=0.3)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    figure.savefig(path, dpi=150)


def shown(image):
    """A picture stretched to [0, 1], however it is scaled."""
    image = np.asarray(image, "float32")
    low, high = image.min(), image.max()
    return (image - low) / max(high - low, 1e-12)
