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


def open_folder(folder, about, resume, overwrite):
    """Makes the run folder, or makes sure that it is the one to go on with."""
    recipe_file = folder / "recipe.json"
    if resume and overwrite:
        raise ValueError(
            "A run is resumed or overwritten. Received: both --resume and "
            "--overwrite. Leave one out."
        )
    if resume:
        try:
            before = json.loads(recipe_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise ValueError(
                "`--resume` needs the folder of a run that was begun. "
                f"Received: {folder}, which has no readable recipe.json. "
                "Begin one without --resume."
            ) from None
        now = json.loads(json.dumps(about))
        if before != now:
            different = {**before, **before.get("choices", {})}
            current = {**now, **now["choices"]}
            names = [
                f"{name} (was {different.get(name)}, is {current.get(name)})"
                for name in {**different, **current}
                if name != "choices"
                and different.get(name) != current.get(name)
            ]
            raise ValueError(
                "A run is resumed with the arguments it was begun with. "
                f"Received for {folder}: other {', '.join(names)}."
            )
        return
    if folder.exists() and not folder.is_dir():
        raise ValueError(
            f"The run folder must be a folder. Received: {folder}, a file."
        )
    if recipe_file.exists() and overwrite:
        shutil.rmtree(folder)
    elif recipe_file.exists():
        raise ValueError(
            f"The run folder must be new. Received: {folder}, which holds a "
            "run. Add --resume to go on with it, --overwrite to replace it, "
            "or name another --output."
        )
    elif folder.is_dir() and any(folder.iterdir()):
        raise ValueError(
            f"The run folder must be new or empty. Received: {folder}, which "
            "holds files of something else. Name another --output."
        )
    folder.mkdir(parents=True, exist_ok=True)


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    changes = [change for group in options.changes for change in group]
    folder = options.output or Path("runs") / options.recipe
    with command.clean_errors(parser):
        recipe = make_recipe(options.recipe, changes)
        command.limit_threads(options.threads)
        # Not before: a backend reads how many threads it may use only once.
        run = importlib.import_module("applications.translation.experiment")
        scoring = importlib.import_module("applications.translation.scoring")
        run.keras.utils.set_random_seed(options.seed)
        splits = run.read_splits(recipe, options.data, options.seed)
        about = run.description(
            options.recipe, recipe, options.data, options.seed
        )
        model = run.make_model(recipe, splits[0])
        open_folder(folder, about, options.resume, options.overwrite)
        if (folder / run.METRICS_FILE).exists():
            print(f"{folder} is finished; nothing to resume.")
            return
    run.write_json(folder / run.RECIPE_FILE, about)
    train_pairs, validation_pairs, test_pairs = splits
    print(
        f"{len(train_pairs)} training, {len(validation_pairs)} validation and "
        f"{len(test_pairs)} test pairs; {model.count_params()} weights",
        flush=True,
    )

    begin, cpu = time.time(), time.process_time()
    history = run.fit(
        recipe,
        model,
        train_pairs,
        validation_pairs,
        folder,
        options.seed,
        options.verbose,
    )
    cost = {
        "training_seconds": round(time.time() - begin, 1),
        "training_cpu_seconds": round(time.process_time() - cpu, 1),
    }
    begin = time.time()
    model.save_to_preset(folder / run.MODEL_FOLDER)
    results, test_cost, translations = scoring.score(recipe, model, test_pairs)
    cost.update(test_cost, test_seconds=round(time.time() - begin, 1))

    samples = scoring.samples(test_pairs, translations)
    (folder / "translations.txt").write_text(samples, encoding="utf-8")
    scoring.draw_alignments(test_pairs, translations, folder / "alignment.png")
    sources, _ = run.two_sides(test_pairs)
    run.check_reload(folder, model, sources[:10])
    print(f"\n{samples}\n{scoring.report(results)}\n{cost}\n")
    run.write_json(
        folder / run.METRICS_FILE,
        {"history": history, "results": results, "cost": cost},
    )
    (folder / run.STATE_FILE).unlink(missing_ok=True)
    sentence = sources[0]
    if recipe.dataset == "english_french":
        sentence = "the small black cats sleep"
    print(
        f"The run is in {folder}, with {folder / 'alignment.png'}. Try:\n"
        f"python -m applications.translation.translate {folder} "
        f'"{sentence}"'
    )


if __name__ == "__main__":
    sys.exit(main())
