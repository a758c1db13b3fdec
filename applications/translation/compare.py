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
from applications.translation.recipes import RECIPES

SYSTEMS = {"additive": "attention", "mean": "mean annotation"}
COLORS = {"additive": "tab:blue", "mean": "tab:orange"}


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.translation.compare",
        description="Trains with and without attention and shows both.",
    )
    parser.add_argument("--recipe", default="demo", choices=RECIPES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data", help="as for training")
    parser.add_argument(
        "--set", dest="changes", nargs="+", default=[], metavar="FIELD=VALUE"
    )
    parser.add_argument("--threads", type=int, help="as for training")
    parser.add_argument(
        "--output",
        type=Path,
        help="folder of the runs; runs/compare_RECIPE if left out",
    )
    parser.add_argument(
        "--figure", type=Path, help="curve of BLEU over source length"
    )
    return parser


def train(options, folder, attention, seed):
    """The metrics of one run, which is trained if it is not there."""
    run = folder / f"{attention}_{seed}"
    if not (run / "metrics.json").exists():
        subprocess.run(
            [
                *(sys.executable, "-m", "applications.translation.train"),
                *("--recipe", options.recipe, "--seed", str(seed)),
                *("--output", str(run), "--verbose", "2"),
                *("--set", *options.changes, f"attention={attention}"),
                *(("--data", options.data) if options.data else ()),
                *(
                    ("--threads", str(options.threads))
                    if options.threads
                    else ()
                ),
                *(("--resume",) if (run / "recipe.json").exists() else ()),
            ],
            check=True,
        )
    return json.loads((run / "metrics.json").read_text(encoding="utf-8"))


def table(runs):
    """One Markdown row per run: `runs[attention][seed]` are its metrics."""
    parts = next(iter(next(iter(runs.values())).values()))["results"][
        "by_length"
    ]
    ranges = [f"{part['shortest']}–{part['longest']}" for part in parts]
    heads = ["context", "seed", "BLEU", "chrF2", *ranges]
    heads += ["aligned", "surely", "crossing", "CPU s"]
    rows = [heads, ["---"] * len(heads)]
    for attention, by_seed in runs.items():
        for seed, metrics in by_seed.items():
            results = metrics["results"]
            words = results.get("alignment")
            rows.append(
                [
                    SYSTEMS[attention],
                    str(seed),
                    *(
                        f"{results[x]['score']:.1f} "
                        f"± {results[x]['confidence']:.1f}"
                        for x in ("bleu", "chrf")
                    ),
                    *(f"{part['bleu']:.1f}" for part in results["by_length"]),
                    *(
                        f"{100 * words[x]:.1f}" if words else ""
                        for x in ("overall", "sure", "crossing")
                    ),
                    f"{metrics['cost']['training_cpu_seconds']:.0f}",
                ]
            )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def draw(runs, path):
    """BLEU over source length: the seeds' mean, and their range."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for attention, by_seed in runs.items():
        parts = [
            metrics["results"]["by_length"] for metrics in by_seed.values()
        ]
        names = [f"{p['shortest']}–{p['longest']}" for p in parts[0]]
        # Test sets of several seeds may end at different lengths.
        scores = [[part["bleu"] for part in run] for run in parts]
        means = [statistics.mean(x) for x in zip(*scores, strict=True)]
        if len(scores) > 1:
            low, high = (
                [end(x) for x in zip(*scores, strict=True)]
                for end in (min, max)
            )
        else:
            low, high = (
                [p["bleu"] + sign * p["bleu_confidence"] for p in parts[0]]
                for sign in (-1, 1)
            )
        axes.plot(
            names,
            means,
            marker="o",
            color=COLORS[attention],
            label=SYSTEMS[attention],
        )
        axes.fill_between(
            names, low, high, color=COLORS[attention], alpha=0.2, linewidth=0
        )
    axes.set(xlabel="source words", ylabel="BLEU", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    folder = options.output or Path("runs") / f"compare_{options.recipe}"
    runs = {attention: {} for attention in SYSTEMS}
    for seed in options.seeds:
        for attention in SYSTEMS:
            try:
                runs[attention][seed] = train(options, folder, attention, seed)
            except subprocess.CalledProcessError as error:
                sys.exit(error.returncode)
    with command.clean_errors(parser):
        figure = options.figure or folder / "bleu_by_length.png"
        draw(runs, figure)
    print(f"\n{table(runs)}\n\nThe curve is in {figure}.")


if __name__ == "__main__":
    sys.exit(main())
