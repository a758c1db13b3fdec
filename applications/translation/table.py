"""Shows finished runs beside each other.

python -m applications.translation.table runs/rnn_search runs/transformer \
    --figure bleu.png
"""

import argparse
import contextlib
import json
import statistics
import sys
from pathlib import Path

from applications.common import command
from applications.common.folders import METRICS_FILE

# How a run's metrics name a clock's seconds, and how the table does.
UNITS = {"cpu": ("cpu_second", "CPU s"), "wall": ("second", "s")}


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.translation.table",
        description="Shows finished runs beside each other.",
    )
    parser.add_argument("run_folders", type=Path, nargs="+")
    parser.add_argument(
        "--figure", type=Path, help="curve of BLEU over source length"
    )
    parser.add_argument(
        "--clock",
        choices=UNITS,
        default="cpu",
        help="the seconds that are shown: of the CPU, or of the wall clock, "
        "for an accelerator",
    )
    return parser


@contextlib.contextmanager
def finished(folder):
    """The metrics of a run; what they lack is told as a sentence."""
    path = folder / METRICS_FILE
    try:
        yield json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "A finished run must hold the metrics.json that training writes "
            f"now. Received: {path} ({error!r}). Delete {folder}, or name "
            "another, and train again."
        ) from None


def score(results, name):
    return f"{results[name]['score']:.1f} ± {results[name]['confidence']:.1f}"


def ranges_of(results):
    """The ranges of lengths by their shortest length.

    All runs share it, while the last range ends where a run's test does, and
    one without sentences is left out.
    """
    return {
        part["shortest"]: {
            x: part[x] for x in ("longest", "bleu", "bleu_confidence")
        }
        for part in results["by_length"]
    }


def read_run(folder, clock="cpu"):
    """The first and the last cells of a run's line, and its ranges."""
    second, _ = UNITS[clock]
    with finished(folder) as metrics:
        results, cost = metrics["results"], metrics["cost"]
        first = [
            folder.name,
            f"{results['weights']:,}",
            f"{cost[f'training_tokens_per_{second}']:,.0f}",
            f"{results['validation_nats_per_word']:.2f}",
            *(score(results, name) for name in ("bleu", "chrf")),
        ]
        exact = 100 * results["exact_matches"]
        words = results.get("alignment")
        last = [
            f"{exact:.1f}",
            f"{100 * words['overall']:.1f}" if words else "",
            f"{cost[f'test_{second}s_per_100']:.1f}",
        ]
        return first, ranges_of(results), last


def range_names(ranges):
    """Names of the ranges that any run has, by their shortest length."""
    longest = {}
    for parts in ranges:
        for shortest, part in parts.items():
            longest[shortest] = max(longest.get(shortest, 0), part["longest"])
    return {n: f"{n}–{longest[n]}" for n in sorted(longest)}


def table(first, last, runs):
    """Markdown of runs: `first` cells, BLEU by length, `last` cells."""
    names = range_names([ranges for _, ranges, _ in runs])
    rows = [[*first, *names.values(), *last]]
    rows.append(["---"] * len(rows[0]))
    for before, ranges, behind in runs:
        by_length = [
            f"{ranges[n]['bleu']:.1f}" if n in ranges else "" for n in names
        ]
        rows.append([*before, *by_length, *behind])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def draw(curves, path):
    """BLEU over source length, a curve for each `(label, ranges of runs)`.

    The runs' mean, and their range; of a single run, its confidence interval.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    names = range_names([ranges for _, runs in curves for ranges in runs])
    for label, runs in curves:
        means, low, high = [], [], []
        for n in names:
            parts = [ranges[n] for ranges in runs if n in ranges]
            bleu = [part["bleu"] for part in parts]
            margin = parts[0]["bleu_confidence"] if len(runs) == 1 else 0
            means.append(statistics.mean(bleu))
            low.append(min(bleu) - margin)
            high.append(max(bleu) + margin)
        (line,) = axes.plot(names.values(), means, marker="o", label=label)
        axes.fill_between(
            names.values(),
            low,
            high,
            alpha=0.2,
            linewidth=0,
            color=line.get_color(),
        )
    axes.set(xlabel="source words", ylabel="BLEU", ylim=(0, None))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    with command.clean_errors(parser):
        runs = [read_run(x, options.clock) for x in options.run_folders]
        if options.figure is not None:
            command.require("matplotlib")
            curves = [(first[0], [ranges]) for first, ranges, _ in runs]
            draw(curves, options.figure)
    _, unit = UNITS[options.clock]
    first = ["run", "weights", f"tokens per {unit}", "nats per word"]
    first += ["BLEU", "chrF2"]
    print(table(first, ["exact", "aligned", f"{unit} per 100"], runs))


if __name__ == "__main__":
    sys.exit(main())
