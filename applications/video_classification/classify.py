"""Tells what videos show, by the model of a run folder.

python -m applications.video_classification.classify runs/sports a.mp4 \
    --rollout seen.gif
"""

import argparse
import importlib
import sys
from pathlib import Path

from applications.common import command
from applications.video_classification import runs
from applications.vision.answers import tell


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.video_classification.classify",
        description="Tells what videos show.",
    )
    parser.add_argument("run_folder", type=Path)
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument(
        "--top", type=command.positive, default=3, help="classes told of each"
    )
    parser.add_argument(
        "--rollout",
        type=Path,
        metavar="FILE",
        help="show what was read of the first: a picture (.png), a film "
        "(.gif) or a page with a slider (.html)",
    )
    command.add_threads(parser)
    return parser


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    with command.clean_errors(parser):
        command.limit_threads(options.threads)
        command.require("PIL")
        model, recipe, _, class_names = runs.read_run(options.run_folder)
        experiment = importlib.import_module(
            "applications.video_classification.experiment"
        )
        # No label is asked for: any will do.
        pairs = [(path, 0) for path in options.videos]
        batches = experiment.make_test(recipe, model, pairs, len(class_names))
        logits = [
            row
            for rows, _ in experiment.predictions(model, batches)
            for row in rows
        ]
        tell(options.videos, logits, class_names, options.top)
        if options.rollout is not None:
            show_rollout(model, batches[0][0][:1], options.rollout)


def show_rollout(model, clips, path):
    """Draws what was read of a clip, in the way that a file's name asks for."""
    visualization = importlib.import_module("keras_attention.visualization")
    if path.suffix in (".gif", ".html"):
        maps = visualization.video_rollout(model, clips)
        visualization.save_frames(clips[0], path, maps[0])
    else:
        visualization.plot_video_rollout(model, clips, path)


if __name__ == "__main__":
    sys.exit(main())
