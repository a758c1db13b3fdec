"""Scores the model of a run folder again, on other pictures or at another size.

python -m applications.image_classification.evaluate runs/flowers \
    --image-size 384
"""

import argparse
import dataclasses
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
        help="pictures, as for training, whose test part is scored instead of "
        "the run's",
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
        if options.image_size is not None:
            height, width = (2 * options.image_size)[:2]
            model = model.resize((height, width, model.image_shape[-1]))
        data = options.data or about["data"]
        if options.data is None:
            runs.check_unchanged(about)
        else:
            recipe = dataclasses.replace(recipe, dataset="named")
        splits = sources.read_splits(
            recipe, data, about["seed"], about["skip_bad_files"]
        )
        if tuple(splits.class_names) != tuple(class_names):
            raise ValueError(
                "The pictures must be of the classes of the run, "
                f"{', '.join(class_names)}. Received: {data} with "
                f"{', '.join(splits.class_names)}."
            )
        *_, batches = experiment.make_batches(
            recipe, model.image_processor, splits
        )
        results, _ = experiment.evaluate(recipe, model, batches)
    print(report(results, class_names))


if __name__ == "__main__":
    sys.exit(main())
