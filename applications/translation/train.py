"""Trains a translator by a recipe, tests it and leaves a run folder.

python -m applications.translation.train --recipe demo
python -m applications.translation.train --recipe rnn_search_small \
    --data pairs.tsv --output runs/mine --threads 1
"""

import argparse
import importlib
import json
import shutil
import sys
import time
from pathlib import Path

from applications.translation import command
from applications.translation.recipes import RECIPES, make_recipe


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.translation.train",
        description="Trains a translator by a recipe and tests it.",
    )
    parser.add_argument(
        "--recipe", default="demo", help=f"one of {', '.join(RECIPES)}"
    )
    parser.add_argument(
        "--set",
        dest="changes",
        action="append",
        nargs="+",
        default=[],
        metavar="FIELD=VALUE",
        help="change choices of the recipe",
    )
    parser.add_argument(
        "--data", help="UTF-8 file with one `source TAB target` per line"
    )
    parser.add_argument(
        "--output", type=Path, help="run folder; runs/RECIPE if left out"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with a run that was stopped, given the same arguments",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a run in the folder"
    )
    parser.add_argument(
        "--threads", type=int, help="threads to use; all cores if left out"
    )
    parser.add_argument(
        "--verbose",
        type=int,
        choices=(0, 1, 2),
        default=1,
        help="0: no progress, 1: a bar, 2: a line per epoch",
    )
    return parser


def check_folder(folder, about, resume, overwrite):
    """Makes sure that the run may be written to the folder."""
    if resume and overwrite:
        raise ValueError(
            "A run is resumed or overwritten. Received: both --resume and "
            "--overwrite. Leave one out."
        )
    if folder.exists() and not folder.is_dir():
        raise ValueError(
            f"The run folder must be a folder. Received: {folder}, a file."
        )
    recipe_file = folder / "recipe.json"
    if resume:
        try:
            before = json.loads(recipe_file.read_text(encoding="utf-8"))
            before = {**before.pop("choices"), **before}
        except (OSError, ValueError, KeyError, TypeError):
            raise ValueError(
                "`--resume` needs the folder of a run that was begun. "
                f"Received: {folder}, which has no readable recipe.json. "
                "Begin one without --resume."
            ) from None
        now = json.loads(json.dumps(about))
        now = {**now.pop("choices"), **now}
        changed = [
            f"{name}={now.get(name)} instead of {before.get(name)}"
            for name in {**before, **now}
            if before.get(name) != now.get(name)
        ]
        if changed:
            raise ValueError(
                "A run is resumed with the arguments it was begun with. "
                f"Received for {folder}: {', '.join(changed)}."
            )
    elif recipe_file.exists() and not overwrite:
        raise ValueError(
            f"The run folder must be new. Received: {folder}, which holds a "
            "run. Add --resume to go on with it, --overwrite to replace it, "
            "or name another --output."
        )
    elif not recipe_file.exists() and folder.is_dir() and any(folder.iterdir()):
        raise ValueError(
            f"The run folder must be new or empty. Received: {folder}, which "
            "holds files of something else. Name another --output."
        )


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    folder = options.output or Path("runs") / options.recipe
    with command.clean_errors(parser):
        changes = [change for group in options.changes for change in group]
        recipe = make_recipe(options.recipe, changes)
        command.limit_threads(options.threads)
        # Not before: a backend reads how many threads it may use only once.
        run = importlib.import_module("applications.translation.experiment")
        run.keras.utils.set_random_seed(options.seed)
        about = run.description(
            options.recipe, recipe, options.data, options.seed
        )
        check_folder(folder, about, options.resume, options.overwrite)
        if options.resume and (folder / run.METRICS_FILE).exists():
            print(f"The run in {folder} is finished: nothing to resume.")
            return
        splits, left_out = run.read_splits(recipe, options.data, options.seed)
        model = run.make_model(recipe, splits[0])
        if options.overwrite and folder.exists():
            shutil.rmtree(folder)
        callbacks = run.make_callbacks(recipe, splits[1], folder)
        callbacks[-1].restore(model)
    folder.mkdir(parents=True, exist_ok=True)
    run.write_json(folder / run.RECIPE_FILE, about)
    print(
        "{} training, {} validation and {} test pairs; {} weights".format(
            *map(len, splits), model.count_params()
        ),
        flush=True,
    )
    if left_out:
        print(
            "pairs left out of training and validation, for more than "
            f"max_words={recipe.max_words} words on a side: {left_out}",
            flush=True,
        )
    begin, cpu = time.time(), time.process_time()
    history = run.fit(
        recipe, model, splits, callbacks, options.seed, options.verbose
    )
    cost = {
        "training_seconds": round(time.time() - begin, 1),
        "training_cpu_seconds": round(time.process_time() - cpu, 1),
    }
    finish(run, folder, recipe, model, splits[-1], history, cost)


def finish(run, folder, recipe, model, test_pairs, history, cost):
    """Tests the model, and writes and prints what came of it."""
    scoring = importlib.import_module("applications.translation.scoring")
    begin = time.time()
    model.save_to_preset(folder / run.MODEL_FOLDER)
    results, test_cost, translations = scoring.score(recipe, model, test_pairs)
    cost = {**cost, **test_cost, "test_seconds": round(time.time() - begin, 1)}
    samples = scoring.samples(test_pairs, translations)
    (folder / "translations.txt").write_text(samples, encoding="utf-8")
    scoring.draw_alignments(test_pairs, translations, folder / "alignment.png")
    sources, _ = run.two_sides(test_pairs)
    run.check_reload(folder, model, sources[:10])
    run.write_json(
        folder / run.METRICS_FILE,
        {"history": history, "results": results, "cost": cost},
    )
    (folder / run.STATE_FILE).unlink(missing_ok=True)

    print(f"\n{samples}\n{scoring.report(results)}")
    for name, value in cost.items():
        print(f"{name.replace('_', ' ')}: {value}")
    sentence = sources[0]
    if recipe.dataset == "english_french":
        sentence = "the small black cats sleep"
    print(
        f"\nThe run is in {folder}, with {folder / 'alignment.png'}. Try:\n"
        f"python -m applications.translation.translate {folder} "
        f'"{sentence}"'
    )


if __name__ == "__main__":
    sys.exit(main())
