"""Scores the model of a run folder again, or on other pictures.

python -m applications.captioning.evaluate runs/demo --num-beams 5
"""

import argparse
import dataclasses
import importlib
import sys
from pathlib import Path

from applications.captioning import data_arguments, runs
from applications.common import command


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.captioning.evaluate",
        description="Scores the model of a run folder.",
    )
    parser.add_argument("run_folder", type=Path)
    data_arguments.add_data(parser, "to score instead of the run's own")
    parser.add_argument(
        "--num-beams", type=command.positive, help="instead of the recipe's"
    )
    command.add_threads(parser)
    return parser


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    with command.clean_errors(parser):
        named = data_arguments.data_of(options)
        about, recipe = runs.read_finished(options.run_folder)
        if named is None:
            runs.check_unchanged(about)
        else:
            data_arguments.digest(named)  # before a backend is imported
            check_pictures(recipe, options.run_folder)
        command.limit_threads(options.threads)
        command.require("PIL")
        run, scoring, sources = (
            importlib.import_module(f"applications.captioning.{name}")
            for name in ("experiment", "scoring", "sources")
        )
        model, *_ = run.read_run(options.run_folder)
        if options.num_beams is not None:
            recipe = dataclasses.replace(recipe, num_beams=options.num_beams)
        if named is None:
            splits = sources.read_splits(recipe, about["data"], about["seed"])
            tests = splits.tests
        else:
            part, skipped = sources.read_test(named)
            tests = {"named": part}
            for file in skipped:
                print(f"left out: {file}")
        results, written = scoring.score(recipe, model, tests)
    name, part = next(iter(tests.items()))
    print(scoring.samples(part, written[name]))
    print(scoring.report(results))


def check_pictures(recipe, folder):
    """Makes sure that a run's model looks at pictures.

    Args:
        recipe: Of the run.
        folder: Of the run.
    """
    if recipe.encoder is None:
        raise ValueError(
            "A run must have an encoder to look at pictures. Received: "
            f"{folder}, of {recipe.dataset}. Train one of shape_scenes or of "
            "your own pictures."
        )


if __name__ == "__main__":
    sys.exit(main())
