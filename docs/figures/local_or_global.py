"""The time that local and global attention take over longer sources."""

from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator

from docs.extensions.results import BACKENDS, read_results

WORK = {"local-training": "64 queries, training", "local-step": "one query"}


def draw():
    measured, _, _ = read_results()
    figure = Figure(figsize=(8.4, 5.2), layout="constrained")
    panels = figure.subplots(len(WORK), len(BACKENDS), sharey="row")
    for axes, (row, work) in zip(panels, WORK.items(), strict=True):
        for panel, (backend, name) in zip(axes, BACKENDS.items(), strict=True):
            lines = {
                int(key.removeprefix(f"{row}-")): line
                for key, all_lines in measured.items()
                if key.startswith(f"{row}-")
                for line in all_lines
                if line["backend"] == backend
            }
            for label, column in (
                ("local, window 10", "CPU s, ours"),
                ("global", "CPU s, peer"),
            ):
                # The median stands before the least and the most.
                times = [
                    1e3 * float(lines[n][column].partition(" ")[0])
                    for n in sorted(lines)
                ]
                panel.loglog(sorted(lines), times, marker="o", label=label)
            panel.set(title=f"{name}: {work}", xlabel="source positions")
            panel.set_xticks(sorted(lines), [f"{n}" for n in sorted(lines)])
            panel.minorticks_off()
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
            panel.yaxis.set_major_formatter(FormatStrFormatter("%g"))
            panel.grid(alpha=0.3)
        axes[0].set_ylabel("CPU milliseconds")
    panels[0, 0].legend()
    return figure
