"""Shows finished runs beside each other, the seeds of a recipe as one line.

python -m applications.captioning.compare runs/grid_soft_* runs/grid_mean_* \
    --splits swap --metrics swap_pairs pointing
"""

import argparse
import statistics
import sys
from pathlib import Path

from applications.captioning import runs
from applications.captioning.recipes import RECIPES
from applications.common import command

METRICS = ("exact", "swap_pairs", "pointing", "bleu_4", "cider_d")


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.captioning.compare",
        description="Shows finished runs beside each other: of each score the "
        "mean over seeds and the standard deviation.",
    )
    parser.add_argument("run_folders", type=Path, nargs="+")
    parser.add_argument(
        "--splits",
        nargs="+",
        help="parts of the test; those that all runs have if left out",
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        default=METRICS,
        help=f"scores to show; {', '.join(METRICS)} if left out",
    )
    parser.add_argument(
        "--reach",
        type=float,
        action="append",
        default=[],
        metavar="VAL_LOSS",
        help="show the steps until the loss of validation was this low, too; "
        "nothing if one of the seeds was not",
    )
    return parser


def label_of(about, recipe):
    """A recipe's name, and what was changed of it."""
    name = about["recipe"]
    original = RECIPES.get(name)
    if original is None:
        return name
    changes = [
        f"{field}={value}"
        for field, value in vars(recipe).items()
        if value != getattr(original, field)
    ]
    more = about.get("self_critical")
    if more is not None:
        changes.append(f"+ {more['rounds']} rounds of CIDEr-D")
    return " ".join([name, *changes])


def group(folders):
    """Metrics of runs, by what they differ in beside the seed.

    Args:
        folders: Run folders.

    Returns:
        From a label to `{seed: metrics}`.
    """
    groups = {}
    for folder in folders:
        about, recipe = runs.read_about(folder)
        seeds = groups.setdefault(label_of(about, recipe), {})
        if about["seed"] in seeds:
            raise ValueError(
                "Runs of one recipe must differ in their seed. Received: "
                f"{folder}, a second one with seed {about['seed']}. Leave one "
                "out."
            )
        steps = recipe.steps_per_epoch
        seeds[about["seed"]] = {**runs.read_metrics(folder), "epoch": steps}
    return groups


def shared_splits(groups, asked):
    """The parts of the test to show, which all runs must have."""
    have = [
        set(metrics["results"])
        for seeds in groups.values()
        for metrics in seeds.values()
    ]
    shared = set.intersection(*have)
    if asked is None:
        first = next(iter(next(iter(groups.values())).values()))
        asked = [x for x in first["results"] if x in shared]
    missing = [x for x in asked if x not in shared]
    if missing or not asked:
        raise ValueError(
            "Runs beside each other must have been tested on the same parts. "
            f"Received: {', '.join(missing) or 'none'}, where all have "
            f"{', '.join(sorted(shared)) or 'none'}."
        )
    return asked


def spread(values, digits=3):
    """Mean ± standard deviation of numbers, or "" if one is missing."""
    if None in values:
        return ""
    mean = f"{statistics.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values):.{digits}f}"


def steps_until(run, loss):
    """Steps of a run until its `val_loss` was so low, or None."""
    for epoch, log in enumerate(run["history"], start=1):
        if log["val_loss"] <= loss:
            return epoch * run["epoch"]
    return None


def table(groups, splits, metrics, losses=()):
    """Markdown of groups of runs, a line for each way of reading.

    Args:
        groups: As `group` returns them.
        splits: Parts of the test.
        metrics: Names of scores.
        losses: Of validation, to count the steps to.
    """
    columns = [
        (split, name)
        for split in splits
        for name in metrics
        if any(
            read.get(name) is not None
            for seeds in groups.values()
            for run in seeds.values()
            for read in run["results"][split].values()
        )
    ]
    heads = [f"{split} {name.replace('_', ' ')}" for split, name in columns]
    reached = [f"steps to val_loss {loss:g}" for loss in losses]
    rows = [["recipe", "reads", "seeds", *heads, *reached, "CPU-ms per step"]]
    rows.append(["---"] * len(rows[0]))
    for label, seeds in groups.items():
        found = list(seeds.values())
        for read in found[0]["results"][splits[0]]:
            cells = [
                spread([x["results"][s][read].get(name) for x in found])
                for s, name in columns
            ]
            for loss in losses:
                cells.append(spread([steps_until(x, loss) for x in found], 0))
            steps = [
                1000 * x["cost"]["training_cpu_seconds_per_step"] for x in found
            ]
            rows.append(
                [f"`{label}`", read, str(len(found)), *cells, spread(steps, 1)]
            )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    with command.clean_errors(parser):
        groups = group(dict.fromkeys(options.run_folders))
        splits = shared_splits(groups, options.splits)
        text = table(groups, splits, options.metrics, options.reach)
    print(text)


if __name__ == "__main__":
    sys.exit(main())
