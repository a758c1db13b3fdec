"""Draws the learning curves of runs in one picture, and prints a table.

python -m applications.vision.curves runs/one runs/other \
    --figure curves.png
"""

import argparse
import importlib
import json
import sys
from pathlib import Path

from applications.common import command, folders


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.vision.curves",
        description="Draws the learning curves of runs.",
    )
    parser.add_argument("run_folders", type=Path, nargs="+")
    parser.add_argument("--figure", type=Path, help="where to save the picture")
    return parser


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    with command.clean_errors(parser):
        paths = dict.fromkeys(options.run_folders)
        names = {path: path.name for path in paths}
        if len(set(names.values())) < len(names):
            names = {path: str(path) for path in paths}
        metrics = {names[path]: read(path) for path in paths}
        if len({"mean_iou" in run["results"] for run in metrics.values()}) > 1:
            raise ValueError(
                "Runs beside each other must be of one task. Received: "
                "classifications and segmentations."
            )
        lines = table(metrics)
        if options.figure is not None:
            command.require("matplotlib")
            pictures = importlib.import_module("applications.vision.pictures")
            histories = {x: run["history"] for x, run in metrics.items()}
            pictures.draw_curves(histories, options.figure)
    print(lines)


def read(folder):
    """The metrics of a finished run."""
    path = folder / folders.METRICS_FILE
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        metrics["history"][-1]["cpu_seconds"], score(metrics)
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(
            "A finished run must hold the metrics.json that training writes. "
            f"Received: {path} ({error!r}). Train it, or name another folder."
        ) from None
    return metrics


def score(metrics):
    """The score of the test as text."""
    results = metrics["results"]
    if "mean_iou" in results:
        return f"mIoU {100 * results['mean_iou']:.1f} %"
    accuracy, margin = results["accuracy"], results["accuracy_confidence"]
    return f"{100 * accuracy:.1f} ± {100 * margin:.1f} %"


def table(metrics):
    """Markdown of runs: weights, epochs, time, the test's score."""
    rows = [["run", "weights", "epochs", "CPU-minutes", "test"]]
    rows.append(["---"] * len(rows[0]))
    for name, run in metrics.items():
        seconds = run["history"][-1]["cpu_seconds"]
        rows.append(
            [
                name,
                f"{run['weights']:,}",
                str(len(run["history"])),
                f"{seconds / 60:.1f}",
                score(run),
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    sys.exit(main())
