"""Time and memory, ours and a peer's, each in a process of its own, in turn.

python -m benchmarks
python -m benchmarks --only additive-2048 --backend jax --repeats 5
python -m benchmarks --gpu --backend jax --backend torch --write
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks import scaling
from benchmarks.rows import EVERYWHERE, ROWS, SCALING

ALL = {**ROWS, **SCALING}
RESULTS = Path(__file__).with_name("RESULTS.md")
GPU_RESULTS = RESULTS.with_name("RESULTS-GPU.md")
PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "av")

# One thread each, so that CPU-seconds are not those of threads that wait.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
# Memory is taken as it is needed, so that a peak can be read.
ON_GPU = {
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures time and memory against peers.",
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help=f"a row or the beginning of its name: {', '.join(ROWS)}, or "
        "scaling/<layer>, one row per length",
    )
    parser.add_argument("--backend", action="append", choices=EVERYWHERE)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write all numbers")
    parser.add_argument(
        "--read",
        type=Path,
        action="append",
        default=[],
        help="numbers of an earlier --json, not measured again",
    )
    parser.add_argument(
        "--gpu",
        action="store_true",
        help="measure on a GPU: seconds of the wall clock, its memory",
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help=f"replace the lines of {RESULTS.name} that were measured, with "
        f"--gpu those of {GPU_RESULTS.name}",
    )
    return parser


def stay_on_one_core():
    """XLA of JAX starts a thread per core, whatever its flags say."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def run(name, side, backend, gpu=False):
    """Seconds and megabytes of one side, measured in a new process."""
    device = ON_GPU if gpu else ONE_THREAD
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.measure",
            name,
            side,
            "gpu" if gpu else "cpu",
        ],
        env={**os.environ, **device, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        preexec_fn=None if gpu else stay_on_one_core,
    )
    if done.returncode:
        raise RuntimeError(
            f"{name}, {side} on {backend} failed:\n{done.stderr[-2000:]}"
        )
    numbers = json.loads(done.stdout.splitlines()[-1])
    if gpu:
        numbers["on"] = f"{graphics()}, {backend} {version(backend)}"
    return numbers


def measure(name, backend, repeats, gpu=False):
    """All runs of a row on a backend, the two sides in turn."""
    row = ALL[name]
    sides = ["ours"] if row.peer is None else ["ours", "peer"]
    runs = {side: [] for side in sides}
    for _ in range(repeats):
        for side in sides:
            other = row.peer_backend if side == "peer" else None
            runs[side].append(run(name, side, other or backend, gpu))
    return runs


def spread(values, form="{:.3g}"):
    """The median, and the least and the most where they differ."""
    middle, *ends = map(
        form.format, (statistics.median(values), min(values), max(values))
    )
    return middle if len(set(ends)) == 1 else f"{middle} ({' to '.join(ends)})"


def line(name, backend, numbers):
    """The cells of a row of the table, from the runs of all rows so far."""
    runs = numbers[f"{name}/{backend}"]
    cells = [name, backend]
    for what in ("seconds", "megabytes"):
        ours = [r[what] for r in runs["ours"]]
        cells.append(spread(ours))
        if "peer" not in runs:
            cells += ["", ""]
            continue
        peer = [r[what] for r in runs["peer"]]
        cells.append(spread(peer))
        # Run by run, so that the spread is that of neighbors in time.
        ratios = [p / o for o, p in zip(ours, peer, strict=True)]
        cells.append(spread(ratios))
    row = ALL[name]
    per_second = row.amount / middle(runs, "ours", "seconds")
    cells.append(f"{per_second:.3g} {row.unit}{shares(row, runs)}")
    if "on" in runs["ours"][0]:  # a GPU: the bars are those of one core
        cells.append(runs["ours"][0]["on"])
    else:
        cells.append(verdict(row.bars.get(backend), backend, runs, numbers))
    return cells


def shares(row, runs):
    """What part each side does of the FLOP/s of a large product."""
    if not row.flop or "product" not in runs["ours"][0]:
        return ""
    parts = []
    for side, each in runs.items():
        rates = [row.flop / run["seconds"] / run["product"] for run in each]
        parts.append(f"{side} {spread(rates, '{:.1%}')}")
    return f"; of a product's FLOP/s {', '.join(parts)}"


def middle(runs, side, what):
    return statistics.median(run[what] for run in runs[side])


def verdict(bar, backend, runs, numbers):
    """Each part of a bar, and whether the medians reach it."""
    if bar is None:
        return ""
    parts = []
    for what, least in (("faster", bar.faster), ("lighter", bar.lighter)):
        if least:
            key = {"faster": "seconds", "lighter": "megabytes"}[what]
            got = middle(runs, "peer", key) / middle(runs, "ours", key)
            parts.append((f"{least:g} times {what}", got >= least))
    if bar.seconds:
        got = middle(runs, "ours", "seconds")
        parts.append((f"at most {bar.seconds:g} s", got <= bar.seconds))
    if bar.slower_than:
        other, most = bar.slower_than
        if f"{other}/{backend}" in numbers:
            got = middle(runs, "ours", "seconds") / middle(
                numbers[f"{other}/{backend}"], "ours", "seconds"
            )
            text = f"{most:g} times {other} ({got:.3g})"
            parts.append((text, got <= most))
    return ", ".join(
        f"{text}: {'met' if reached else 'MISSED'}" for text, reached in parts
    )


HEAD = [
    "row",
    "backend",
    "CPU s, ours",
    "CPU s, peer",
    "times faster",
    "MB, ours",
    "MB, peer",
    "times lighter",
    "ours per second",
    "bar",
]


def table(rows, head):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def processor():
    """The processor's name, where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2] for line in lines if "model name" in line]
    return names[0].strip() if names else platform.processor()


def versions():
    for name in PACKAGES:
        # Not every backend has to be there.
        with contextlib.suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"


def graphics():
    """The GPU's name, as its driver tells it."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.check_output(command, text=True).splitlines()[0]


def machine():
    return (
        f"{processor()}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{', '.join(versions())}."
    )


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, not {options.repeats}.")
    names = [
        name
        for name in ALL
        if not options.only or name.startswith(tuple(options.only))
        if options.gpu or not ALL[name].gpu_only
    ]
    if not names:
        parser.error(f"no row begins with {options.only}; see --help.")
    rows, numbers, known = [], {}, {}
    for path in options.read:
        known.update(json.loads(path.read_text()))
    head = HEAD
    if options.gpu:
        head = [name.removeprefix("CPU ") for name in HEAD[:-1]] + ["on"]
    print(" | ".join(head))
    for name in names:
        for backend in ALL[name].backends:
            if options.backend and backend not in options.backend:
                continue
            key = f"{name}/{backend}"
            repeats = 1 if name in SCALING else options.repeats
            runs = known.get(key) or measure(
                name, backend, repeats, options.gpu
            )
            numbers[key] = runs
            cells = line(name, backend, numbers)
            print(" | ".join(cells), flush=True)
            if name in ROWS:
                rows.append(cells)
            if options.json:  # row by row, so that a stop loses nothing
                options.json.write_text(json.dumps(numbers, indent=2) + "\n")
    if options.write:
        growth = list(scaling.lines(numbers, EVERYWHERE))
        write_results(rows, growth, head, options.gpu)


CPU_ABOUT = (
    "Each run is a process of its own on one thread; ours and the peer's take "
    "turns. CPU-seconds of one step once compiled (TensorFlow with XLA, JAX "
    "with `jit`, torch eager); memory is the peak beyond what the inputs took, "
    "compilation included."
)
GPU_ABOUT = (
    "Each run is a process of its own; ours and the peer's take turns. Seconds "
    "of one step on the wall clock, once compiled (TensorFlow with XLA, JAX "
    "with `jit`, torch eager); memory is the GPU's, the peak beyond what the "
    "inputs took."
)


def write_results(rows, growth, head, gpu=False):
    """Replaces the lines of what was measured; the others stay."""
    path = GPU_RESULTS if gpu else RESULTS
    lines = lines_of(path) if path.exists() else {}
    lines.update({tuple(cells[:2]): cells for cells in [*rows, *growth]})
    tables = [
        [
            lines[name, backend]
            for name in names
            for backend in EVERYWHERE
            if (name, backend) in lines
        ]
        for names in (ROWS, scaling.LAYERS)
    ]
    about = "\n".join(
        f"- `{name}`: {row.about}."
        for name, row in ROWS.items()
        if any((name, backend) in lines for backend in EVERYWHERE)
    )
    about_runs = GPU_ABOUT if gpu else f"{CPU_ABOUT}\n\n{machine()}"
    command = f"python -m benchmarks {'--gpu ' if gpu else ''}--write"
    text = (
        f"# Benchmarks{' on a GPU' if gpu else ''}\n\nMade by `{command}`: the "
        "median of several runs, and the least to the most; a line without "
        "such a range was run once. "
        f"{about_runs}\n\n"
        f"{table(tables[0], head)}\n\n{about}\n"
    )
    if tables[1]:
        text += (
            f"\n## How cost grows with length\n\n{scaling.ABOUT}\n\n"
            f"{table(tables[1], scaling.HEAD)}\n"
        )
    path.write_text(text)


def lines_of(path):
    """The cells of the tables of a file, by their first two."""
    texts = [
        text[1:-1].split("|")
        for text in path.read_text().splitlines()
        if text.startswith("|")
    ]
    cells = [[cell.strip() for cell in text] for text in texts]
    return {tuple(line[:2]): line for line in cells}


if __name__ == "__main__":
    main()
