"""The command that scores a run again."""

import argparse
from pathlib import Path

from applications.common import command
from applications.vision import runs
from applications.vision.train import report


def make_parser(application):
    """The arguments of the command.

    Args:
        application: Its `Application`.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m applications.{application.name}.evaluate",
        description="Scores the model of a run folder.",
    )
    parser.add_argument("run_folder", type=Path)
    parser.add_argument(
        "--data",
        help=f"{application.examples}, as for training, to score instead of "
        "the run's: their test part, or all of a folder that has no parts",
    )
    parser.add_argument(
        "--image-size",
        type=command.positive,
        nargs="+",
        metavar="PIXELS",
        help="another height and width, or one number for both: positions "
        "are resampled",
    )
    command.add_threads(parser)
    return parser


def main(application, parser, arguments, changed):
    """Runs the command.

    Args:
        application: Its `Application`.
        parser: What `make_parser` returns.
        arguments: Those of the command.
        changed: Takes the options, a recipe and a model, returns both as they
            are scored.
    """
    options = parser.parse_args(arguments)
    with command.clean_errors(parser):
        command.limit_threads(options.threads)
        command.require("PIL")
        experiment, sources = map(application.module, ("experiment", "sources"))
        model, recipe, about, names = application.module("runs").read_run(
            options.run_folder
        )
        if len(options.image_size or ()) > 2:
            raise ValueError(
                "The size of pictures is one number, or height and width. "
                f"Received: --image-size {options.image_size}."
            )
        recipe, model = changed(options, recipe, model)
        if options.data is None:
            runs.check_unchanged(application, about)
            splits = sources.read_splits(
                recipe, about["data"], about["seed"], about["skip_bad_files"]
            )
            pairs = splits.test
        else:
            pairs = sources.read_test(recipe, options.data, names)
        batches = experiment.make_test(recipe, model, pairs, len(names))
        results = experiment.evaluate(model, batches)
    print(report(results, names))
