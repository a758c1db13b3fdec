"""Scores the model of a run folder again, on other pictures or at another size.

python -m applications.image_classification.evaluate runs/flowers \
    --image-size 384
"""

import argparse
import importlib
import sys
from pathlib import Path

from applications.common import command
from applications.image_classification import runs
from applications.image_classification.train import report


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.image_classification.evaluate",
        description="Scores the model of a run folder.",
    )
    parser.add_argument("run_folder", type=Path)
    parser.add_argument(
        "--data",
        help="pictures, as for training, to score instead of the run's: their "
        "test part, or all of a folder that has no parts",
    )
    parser.add_argument(
        "--image-size",
        type=command.positive,
        nargs="+",
        metavar="PIXELS",
        help="size of the pictures, or height and width: positions are "
        "resampled",
    )
    command.add_threads(parser)
    return parser


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    with command.clean_errors(parser):
        command.limit_threads(options.threads)
        command.require("PIL")
        experiment, sources = (
            importlib.import_module(f"applications.image_classification.{x}")
            for x in ("experiment", "sources")
        )
        model, recipe, about, class_names = runs.read_run(options.run_folder)
        if len(options.image_size or ()) > 2:
            raise ValueError(
                "The size of pictures is one number, or height and width. "
                f"Received: --image-size {options.image_size}."
            )
        if options.image_size is not None:
            height, width = (2 * options.image_size)[:2]
            model = model.resize((height, width, model.image_shape[-1]))
        if options.data is None:
            runs.check_unchanged(about)
            splits = sources.read_splits(
                recipe, about["data"], about["seed"], about["skip_bad_files"]
            )
            pairs = splits.test
        else:
            pairs = sources.read_test(recipe, options.data, class_names)
        batches = experiment.make_batches(
            recipe, model, pairs, len(class_names), shuffle=False
        )
        results = experiment.evaluate(model, batches)
    print(report(results, class_names))


if __name__ == "__main__":
    sys.exit(main())
