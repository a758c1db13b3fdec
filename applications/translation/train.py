"""Trains a translator by a recipe, tests it and leaves a run folder.

python -m applications.translation.train --recipe demo
python -m applications.translation.train --recipe rnn_search_small \
    --data pairs.tsv --output runs/mine --threads 1
"""

import argparse
import importlib
import shutil
import sys
import time
from pathlib import Path

from applications.common import command, folders
from applications.translation import pair_arguments, run_folder
from applications.translation.recipes import RECIPES, make_recipe


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.translation.train",
        description="Trains a translator by a recipe and tests it.",
    )
    command.add_recipe(parser, RECIPES)
    pair_arguments.add_data(parser, "to train and test on")
    command.add_run(parser)
    return parser


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    folder = options.output or Path("runs") / options.recipe
    with command.clean_errors(parser):
        recipe = make_recipe(options.recipe, options.changes)
        about = run_folder.description(
            options.recipe,
            recipe,
            pair_arguments.data_of(options),
            options.seed,
            options.skip_bad_rows,
        )
        run_folder.check_folder(
            folder, about, options.resume, options.overwrite
        )
        if options.resume and (folder / folders.METRICS_FILE).exists():
            print(f"The run in {folder} is finished: nothing to resume.")
            return
        command.limit_threads(options.threads)
        # Not before: a backend reads how many threads it may use only once.
        run = importlib.import_module("applications.translation.experiment")
        splits, *parts = prepare(run, recipe, options, folder)
        if options.overwrite and folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        folders.write_json(folder / folders.RECIPE_FILE, about)
    model, batches, callbacks = parts
    steps = -int(model.optimizer.iterations)
    begin, cpu = time.time(), time.process_time()
    history = run.fit(recipe, *parts, options.verbose)
    seconds, cpu = time.time() - begin, time.process_time() - cpu
    steps += int(model.optimizer.iterations)
    tokens = steps * run.target_tokens(batches[0]) / batches[0].num_batches
    cost = {
        "training_seconds": round(seconds, 1),
        "training_cpu_seconds": round(cpu, 1),
        "training_tokens_per_second": round(tokens / seconds, 1),
        "training_tokens_per_cpu_second": round(tokens / cpu, 1),
    }
    finish(run, folder, recipe, splits, model, batches[1], history, cost)


def prepare(run, recipe, options, folder):
    """All that can fail before the hours of training: pairs, model, tools."""
    for module in ("matplotlib", "sacrebleu"):
        command.require(module)
    run.keras.utils.set_random_seed(options.seed)
    splits, left_out = run.read_splits(
        recipe,
        pair_arguments.data_of(options),
        options.seed,
        options.skip_bad_rows,
    )
    model = run.make_model(recipe, splits)
    run.check_tokens(model, splits)
    callbacks = run.make_callbacks(recipe, splits[1], folder)
    first_epoch = callbacks[-1].restore(model) if options.resume else 0
    batches = run.make_batches(recipe, model, splits, options.seed, first_epoch)
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
    return splits, model, batches, callbacks


def finish(run, folder, recipe, splits, model, validation, history, cost):
    """Tests the model, and writes and prints what came of it."""
    scoring = importlib.import_module("applications.translation.scoring")
    begin = time.time()
    _, validation_pairs, test_pairs = splits
    model.save_to_preset(folder / folders.MODEL_FOLDER)
    scores, test_cost, translations = scoring.score(recipe, model, test_pairs)
    nats = run.nats_per_word(model, validation, validation_pairs)
    results = {
        "weights": model.count_params(),
        "validation_nats_per_word": nats,
        **scores,
    }
    cost = {**cost, **test_cost, "test_seconds": round(time.time() - begin, 1)}
    samples = scoring.samples(test_pairs, translations)
    (folder / "translations.txt").write_text(samples, encoding="utf-8")
    sources, _ = run.two_sides(test_pairs)
    run.check_reload(folder, model, sources[:10])
    folders.write_json(
        folder / folders.METRICS_FILE,
        {"history": history, "results": results, "cost": cost},
    )
    (folder / folders.STATE_FILE).unlink(missing_ok=True)

    print(f"\n{samples}\n{scoring.report(results)}")
    for name, value in cost.items():
        print(f"{name.replace('_', ' ')}: {value}")
    figure = "no picture: the model does not attend"
    if model.attends:
        # Last, so that what cannot be drawn costs nothing else.
        figure = folder / "alignment.png"
        scoring.draw_alignments(test_pairs, translations, figure)
    sentence = sources[0]
    if recipe.dataset == "english_french":
        sentence = "the small black cats sleep"
    print(
        f"\nThe run is in {folder}, with {figure}. Try:\n"
        f"python -m applications.translation.translate {folder} "
        f'"{sentence}"'
    )


if __name__ == "__main__":
    sys.exit(main())
