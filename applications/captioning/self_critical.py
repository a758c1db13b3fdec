"""Trains the captioner of a finished run on, by CIDEr-D of its own captions.

python -m applications.captioning.self_critical runs/demo --rounds 50 \
    --output runs/demo_cider

Self-critical sequence training (Rennie et al., 2017): see
`data.SelfCriticalBatches`. A round draws captions of some training pictures,
and takes one step by their rewards.
"""

import argparse
import importlib
import shutil
import sys
import time
from pathlib import Path

from applications.captioning import runs
from applications.captioning.train import finish, seconds_per_step
from applications.common import command, folders


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.captioning.self_critical",
        description="Trains the captioner of a finished run on, by CIDEr-D.",
    )
    parser.add_argument("run_folder", type=Path)
    for name, default, about in (
        ("rounds", 200, "how often captions are drawn, and trained on once"),
        ("images", 64, "training pictures of a round"),
        ("num-samples", 5, "captions drawn of each"),
    ):
        parser.add_argument(
            f"--{name}", type=command.positive, default=default, help=about
        )
    parser.add_argument(
        "--learning-rate", type=float, default=5e-4, help="of Adam"
    )
    command.add_run(parser)
    return parser


def description(options):
    """What the run is: that which it begins with, and what is added."""
    about, recipe = runs.read_finished(options.run_folder)
    if not options.learning_rate > 0:
        raise ValueError(
            "`--learning-rate` must be positive. Received: "
            f"{options.learning_rate}."
        )
    runs.check_unchanged(about)
    added = {
        "begins_with": str(options.run_folder.resolve()),
        **{
            name: getattr(options, name)
            for name in ("rounds", "images", "num_samples", "learning_rate")
        },
        "draws_seed": options.seed,
    }
    # The model of a run folder sees pictures, whatever it was trained on.
    return {**about, "features": None, "self_critical": added}, recipe


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    folder = options.output or Path(f"{options.run_folder}_self_critical")
    with command.clean_errors(parser):
        about, recipe = description(options)
        folders.check_folder(folder, options.resume, options.overwrite)
        if options.resume:
            runs.check_same(folder, about)
        if options.resume and (folder / folders.METRICS_FILE).exists():
            print(f"The run in {folder} is finished: nothing to resume.")
            return
        command.limit_threads(options.threads)
        # Not before: a backend reads how many threads it may use only once.
        training = importlib.import_module("applications.captioning.rewards")
        model, splits, resume = training.prepare(
            recipe, about, folder, options.resume
        )
        if options.overwrite and folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        folders.write_json(folder / folders.RECIPE_FILE, about)
    begin, cpu = time.monotonic(), time.process_time()
    history = training.fit(
        recipe, about, model, splits, resume, options.verbose
    )
    cost = {
        "training_seconds": round(time.monotonic() - begin, 1),
        "training_cpu_seconds": round(time.process_time() - cpu, 1),
        "training_cpu_seconds_per_step": seconds_per_step(history, 1),
    }
    finish(folder, recipe, about, splits, model, history, cost)


if __name__ == "__main__":
    sys.exit(main())
