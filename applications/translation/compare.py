"""Trains with and without attention over some seeds, and shows both.

python -m applications.translation.compare --recipe demo --seeds 0 1 2
python -m applications.translation.compare --recipe lengths --seeds 0

Runs that are finished are read, those that were stopped go on.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from applications.translation import command
from applications.translation.recipes import make_recipe
from applications.translation.run_folder import (
    METRICS_FILE,
    RECIPE_FILE,
    check_folder,
    description,
)

SYSTEMS = {"additive": "attention", "mean": "mean annotation"}
COLORS = {"additive": "tab:blue", "mean": "tab:orange"}


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.translation.compare",
        description="Trains with and without attention and shows both.",
    )
    command.add_recipe(parser)
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
            command.data_of(options),
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
    command_line += command.data_arguments(command.data_of(options))
    if options.skip_bad_rows:
        command_line += ["--skip-bad-rows"]
    if options.threads is not None:
        command_line += ["--threads", str(options.threads)]
    if (folder / RECIPE_FILE).exists():
        command_line += ["--resume"]
    subprocess.run(command_line, check=True)


def read_scores(folder):
    """What is shown of a finished run.

    Its cells of the table before and behind the ranges of lengths, and the
    ranges by their shortest length: all runs share it, while the last range
    ends where a run's test does, and one without sentences is left out.
    """
    path = folder / METRICS_FILE
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        results = metrics["results"]
        words = results.get("alignment")
        before = [
            f"{results[x]['score']:.1f} ± {results[x]['confidence']:.1f}"
            for x in ("bleu", "chrf")
        ]
        behind = [
            f"{100 * words[x]:.1f}" if words else ""
            for x in ("overall", "sure", "crossing")
        ]
        behind.append(f"{metrics['cost']['training_cpu_seconds']:.0f}")
        ranges = {
            part["shortest"]: {
                x: part[x] for x in ("longest", "bleu", "bleu_confidence")
            }
            for part in results["by_length"]
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "A finished run must hold the metrics.json that training writes "
            f"now. Received: {path} ({error!r}). Delete {folder} to train it "
            "again, or name another --output."
        ) from None
    return before, ranges, behind


def range_names(runs):
    """Names of all ranges of lengths by their shortest length."""
    longest = {}
    for _, ranges, _ in runs.values():
        for shortest, part in ranges.items():
            longest[shortest] = max(longest.get(shortest, 0), part["longest"])
    return {n: f"{n}–{longest[n]}" for n in sorted(longest)}


def table(runs):
    """One Markdown row per run: `runs[attention, seed]` are its scores."""
    names = range_names(runs)
    heads = ["context", "seed", "BLEU", "chrF2", *names.values()]
    heads += ["aligned", "surely", "crossing", "CPU s"]
    rows = [heads, ["---"] * len(heads)]
    for (attention, seed), (before, ranges, behind) in runs.items():
        by_length = [
            f"{ranges[n]['bleu']:.1f}" if n in ranges else "" for n in names
        ]
        first = [SYSTEMS[attention], str(seed)]
        rows.append([*first, *before, *by_length, *behind])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def draw(runs, path):
    """BLEU over source length: the seeds' mean, and their range.

    Of a single seed, the confidence interval.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    names = range_names(runs)
    for attention in SYSTEMS:
        scores = [
            ranges for (x, _), (_, ranges, _) in runs.items() if x == attention
        ]
        means, low, high = [], [], []
        for n in names:
            parts = [ranges[n] for ranges in scores if n in ranges]
            bleu = [part["bleu"] for part in parts]
            margin = parts[0]["bleu_confidence"] if len(scores) == 1 else 0
            means.append(statistics.mean(bleu))
            low.append(min(bleu) - margin)
            high.append(max(bleu) + margin)
        style = dict(color=COLORS[attention])
        label = SYSTEMS[attention]
        axes.plot(names.values(), means, marker="o", label=label, **style)
        axes.fill_between(
            names.values(), low, high, alpha=0.2, linewidth=0, **style
        )
    axes.set(xlabel="source words", ylabel="BLEU", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


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
        draw(runs, figure)
    print(f"\n{table(runs)}\n\nThe curve is in {figure}.")


if __name__ == "__main__":
    sys.exit(main())
