"""Scores the model of a run folder again, or on other sentences.

python -m applications.translation.evaluate runs/demo --num-beams 5
"""

import argparse
import dataclasses
import importlib
import sys
from pathlib import Path

from applications.common import command
from applications.translation import pair_arguments, run_folder


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.translation.evaluate",
        description="Scores the model of a run folder.",
    )
    parser.add_argument("run_folder", type=Path)
    pair_arguments.add_data(parser, "to score instead of the run's test pairs")
    parser.add_argument(
        "--num-beams", type=command.positive, help="instead of the recipe's"
    )
    command.add_threads(parser)
    return parser


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    with command.clean_errors(parser):
        data = pair_arguments.data_of(options)
        if options.skip_bad_rows and data is None:
            raise ValueError(
                "A run's own pairs are read as they were for training. "
                "Received: --skip-bad-rows without --data. Leave it out."
            )
        command.limit_threads(options.threads)
        command.require("sacrebleu")
        run = importlib.import_module("applications.translation.experiment")
        scoring = importlib.import_module("applications.translation.scoring")
        model, recipe, about = run.read_run(options.run_folder)
        if options.num_beams is not None:
            recipe = dataclasses.replace(recipe, num_beams=options.num_beams)
        if data is not None:
            recipe = dataclasses.replace(recipe, dataset="pairs")
            pairs = run.read_test_pairs(data, options.skip_bad_rows)
        else:
            run_folder.check_unchanged(about)
            splits, _ = run.read_splits(
                recipe, about["data"], about["seed"], about["skip_bad_rows"]
            )
            pairs = splits[-1]
        results, cost, translations = scoring.score(recipe, model, pairs)
    print(f"{scoring.samples(pairs, translations)}\n{scoring.report(results)}")
    print(cost)


if __name__ == "__main__":
    sys.exit(main())
