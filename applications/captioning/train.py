"""Trains a captioner by a recipe, tests it and leaves a run folder.

python -m applications.captioning.train --recipe demo
python -m applications.captioning.train --recipe named_soft \
    --karpathy dataset_flickr8k.json --images Flicker8k_Dataset \
    --features features/vgg19 --output runs/flickr8k
"""

import argparse
import importlib
import shutil
import statistics
import sys
import time
from pathlib import Path

from applications.captioning import data_arguments, runs
from applications.captioning.recipes import RECIPES, make_recipe
from applications.common import command, folders


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.captioning.train",
        description="Trains a captioner by a recipe and tests it.",
    )
    command.add_recipe(parser, RECIPES)
    data_arguments.add_data(parser, "to train and test on")
    parser.add_argument(
        "--features",
        type=Path,
        metavar="FOLDER",
        help="keep what an encoder that is not trained makes of the pictures "
        "there, so that they are encoded once",
    )
    command.add_run(parser)
    return parser


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    folder = options.output or Path("runs") / options.recipe
    with command.clean_errors(parser):
        recipe = make_recipe(options.recipe, options.changes)
        data = data_arguments.data_of(options)
        about = runs.description(
            options.recipe, recipe, data, options.seed, options.features
        )
        folders.check_folder(folder, options.resume, options.overwrite)
        if options.resume:
            runs.check_same(folder, about)
        if options.resume and (folder / folders.METRICS_FILE).exists():
            print(f"The run in {folder} is finished: nothing to resume.")
            return
        command.limit_threads(options.threads)
        # Not before: a backend reads how many threads it may use only once.
        run = importlib.import_module("applications.captioning.experiment")
        splits, *parts = prepare(run, recipe, about, options.resume, folder)
        if options.overwrite and folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        folders.write_json(folder / folders.RECIPE_FILE, about)
    begin, cpu = time.monotonic(), time.process_time()
    history = run.fit(recipe, *parts, options.verbose)
    cost = {
        "training_seconds": round(time.monotonic() - begin, 1),
        "training_cpu_seconds": round(time.process_time() - cpu, 1),
        "training_cpu_seconds_per_step": seconds_per_step(
            history, recipe.steps_per_epoch
        ),
    }
    finish(folder, recipe, about, splits, parts[0], history, cost)


def prepare(run, recipe, about, resume, folder):
    """All that can fail before the hours of training: captions, model."""
    for module in ("matplotlib", "PIL"):
        command.require(module)
    sources = importlib.import_module("applications.captioning.sources")
    vision = importlib.import_module("applications.vision.experiment")
    run.keras.utils.set_random_seed(about["seed"])
    splits = sources.read_splits(recipe, about["data"], about["seed"])
    training, validation = splits.train, splits.validation
    tokenizer = run.make_tokenizer(recipe, training)
    shape = None
    if about["features"] is not None:
        training, validation, shape = run.keep_features(
            recipe, splits, about["features"]
        )
    elif recipe.encoder is None:
        shape = training[0].image.shape
    model = run.make_model(recipe, tokenizer, shape)
    callbacks = run.make_callbacks(recipe, validation, folder)
    last = callbacks[-1]
    first_epoch = last.restore(model) if resume else 0
    callbacks.insert(0, vision.Clock(last.history))
    batches = run.make_batches(
        recipe, model, training, validation, about["seed"], first_epoch
    )
    # What cannot be a batch is refused here.
    for part in batches:
        part.make_batch(0)
    tests = [f"{len(x.examples)} {n}" for n, x in splits.tests.items()]
    print(
        f"{len(training)} training and {len(validation)} validation pictures, "
        f"{', '.join(tests)} to test; {tokenizer.vocabulary_size} tokens; "
        f"{model.count_params()} weights",
        flush=True,
    )
    for file in splits.skipped:
        print(f"left out: {file}", flush=True)
    return splits, model, batches, callbacks


def finish(folder, recipe, about, splits, model, history, cost):
    """Tests the model, and writes and prints what came of it."""
    run = importlib.import_module("applications.captioning.experiment")
    scoring = importlib.import_module("applications.captioning.scoring")
    pictures = importlib.import_module("applications.captioning.pictures")
    begin = time.monotonic()
    if about["features"] is not None:
        model = run.with_encoder(recipe, model)
    model.save_to_preset(folder / folders.MODEL_FOLDER)
    results, written = scoring.score(recipe, model, splits.tests)
    cost = {**cost, "test_seconds": round(time.monotonic() - begin, 1)}
    name, part = next(iter(splits.tests.items()))
    samples = scoring.samples(part, written[name])
    (folder / "captions.txt").write_text(samples, encoding="utf-8")
    run.check_reload(recipe, folder, model, part.images[:10])
    folders.write_json(
        folder / folders.METRICS_FILE,
        {
            "weights": model.count_params(),
            "history": history,
            "results": results,
            "cost": cost,
        },
    )
    (folder / folders.STATE_FILE).unlink(missing_ok=True)
    print(f"\n{samples}\n{scoring.report(results)}")
    for what, value in cost.items():
        print(f"{what.replace('_', ' ')}: {value}")
    # Last, so that what cannot be drawn costs nothing else.
    drawn = pictures.draw(folder, model, part, written[name], history)
    print(f"The run is in {folder}, with {', '.join(drawn)}.")


def seconds_per_step(history, steps):
    """CPU-seconds of a step, as in most epochs: not in that which compiles.

    Validation counts too, and what is written in half of the epochs or more.

    Args:
        history: The logs of all epochs.
        steps: Of an epoch.
    """
    times = [0.0, *(log["cpu_seconds"] for log in history)]
    epochs = [b - a for a, b in zip(times, times[1:], strict=False)]
    return round(statistics.median(epochs) / steps, 5)


if __name__ == "__main__":
    sys.exit(main())
