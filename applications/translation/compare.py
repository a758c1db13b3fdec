"""Trains with and without attention over some seeds, and shows both.

python -m applications.translation.compare --recipe demo --seeds 0 1 2
python -m applications.translation.compare --recipe lengths --seeds 0

Runs that are finished are read, those that were stopped go on.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from applications.common import command
from applications.common.folders import METRICS_FILE, RECIPE_FILE
from applications.translation import pair_arguments
from applications.translation.recipes import RECIPES, make_recipe
from applications.translation.run_folder import check_folder, description
from applications.translation.table import (
    draw,
    finished,
    ranges_of,
    score,
    table,
)

SYSTEMS = {"additive": "attention", "mean": "mean annotation"}


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.translation.compare",
        description="Trains with and without attention and shows both.",
    )
    command.add_recipe(parser, RECIPES)
    pair_arguments.add_data(parser, "to train and test on")
    command.add_threads(parser)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--output",
        type=Path,
        help="folder of the runs; runs/compare_RECIPE if left out",
    )
    parser.add_argument(
        "--figure", type=Path, help="curve of BLEU over source length"
    )
    return parser


def check_runs(options, folders):
    """Makes sure that what is in the folders are runs of what is asked for.

    All of them, and of those that are finished all that is shown, before the
    first one trains.
    """
    if any(change.startswith("attention=") for change in options.changes):
        raise ValueError(
            "The runs that are compared differ by their attention. Received: "
            "--set attention=... Leave it out."
        )
    for (attention, seed), folder in folders.items():
        recipe = make_recipe(
            options.recipe, [*options.changes, f"attention={attention}"]
        )
        about = description(
            options.recipe,
            recipe,
            pair_arguments.data_of(options),
            seed,
            options.skip_bad_rows,
        )
        check_folder(folder, about, resume=(folder / RECIPE_FILE).exists())
        if (folder / METRICS_FILE).exists():
            read_scores(folder)


def train(options, attention, seed, folder):
    """Trains one run, if it is not finished."""
    if (folder / METRICS_FILE).exists():
        return
    command_line = [
        *(sys.executable, "-m", "applications.translation.train"),
        *("--recipe", options.recipe, "--seed", str(seed)),
        *("--output", str(folder), "--verbose", "2"),
        *("--set", *options.changes, f"attention={attention}"),
    ]
    command_line += pair_arguments.data_arguments(
        pair_arguments.data_of(options)
    )
    if options.skip_bad_rows:
        command_line += ["--skip-bad-rows"]
    if options.threads is not None:
        command_line += ["--threads", str(options.threads)]
    if (folder / RECIPE_FILE).exists():
        command_line += ["--resume"]
    subprocess.run(command_line, check=True)


def read_scores(folder):
    """The first and the last cells of a finished run, and its ranges."""
    with finished(folder) as metrics:
        results = metrics["results"]
        words = results.get("alignment")
        behind = [
            f"{100 * words[x]:.1f}" if words else ""
            for x in ("overall", "sure", "crossing")
        ]
        behind.append(f"{metrics['cost']['training_cpu_seconds']:.0f}")
        before = [score(results, name) for name in ("bleu", "chrf")]
        return before, ranges_of(results), behind


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    output = options.output or Path("runs") / f"compare_{options.recipe}"
    folders = {
        (attention, seed): output / f"{attention}_{seed}"
        for attention in SYSTEMS
        for seed in options.seeds
    }
    with command.clean_errors(parser):
        check_runs(options, folders)
        # Seed by seed, so that one that is stopped has compared some.
        for attention, seed in sorted(folders, key=lambda run: run[1]):
            try:
                train(options, attention, seed, folders[attention, seed])
            except subprocess.CalledProcessError as error:
                sys.exit(error.returncode)
        runs = {run: read_scores(folder) for run, folder in folders.items()}
        figure = options.figure or output / "bleu_by_length.png"
        curves: dict = {label: [] for label in SYSTEMS.values()}
        for (attention, _), (_, ranges, _) in runs.items():
            curves[SYSTEMS[attention]].append(ranges)
        draw(curves.items(), figure)
    rows = [
        ([SYSTEMS[attention], str(seed), *before], ranges, behind)
        for (attention, seed), (before, ranges, behind) in runs.items()
    ]
    text = table(
        ["context", "seed", "BLEU", "chrF2"],
        ["aligned", "surely", "crossing", "CPU s"],
        rows,
    )
    print(f"\n{text}\n\nThe curve is in {figure}.")


if __name__ == "__main__":
    sys.exit(main())
