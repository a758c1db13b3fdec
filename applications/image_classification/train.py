"""Trains on pictures by a recipe, tests and leaves a run folder.

python -m applications.image_classification.train --recipe demo
python -m applications.image_classification.train --recipe fine_tune \
    --data flowers --weights hf://google/vit-base-patch16-224 \
    --output runs/flowers
"""

import argparse
import importlib
import shutil
import sys
import time
from pathlib import Path

from applications.common import command, folders
from applications.image_classification import runs
from applications.image_classification.recipes import RECIPES, make_recipe


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.image_classification.train",
        description="Trains on pictures by a recipe and tests.",
    )
    command.add_recipe(parser, RECIPES)
    parser.add_argument(
        "--data",
        help="a folder with a folder for each class, or with train/, "
        "validation/ and test/ that have such; for segmentation with images/ "
        "and masks/; or a .npz file with x_train, y_train, x_test, y_test; or "
        "tfds:NAME for a set of tensorflow-datasets",
    )
    parser.add_argument(
        "--skip-bad-files",
        action="store_true",
        help="leave out files that cannot be read, and tell which",
    )
    parser.add_argument(
        "--weights",
        help="trained weights: a folder of `save_to_preset`, of Hugging "
        "Face's or of timm's, hf://user/repo, or a .npz file of Google's",
    )
    command.add_run(parser)
    return parser


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    folder = options.output or Path("runs") / options.recipe
    with command.clean_errors(parser):
        recipe = make_recipe(options.recipe, options.changes)
        about = runs.description(options.recipe, recipe, options)
        folders.check_folder(folder, options.resume, options.overwrite)
        if options.resume:
            runs.check_same(folder, about)
        if options.resume and (folder / folders.METRICS_FILE).exists():
            print(f"The run in {folder} is finished: nothing to resume.")
            return
        command.limit_threads(options.threads)
        # Not before: a backend reads how many threads it may use only once.
        run = importlib.import_module(
            "applications.image_classification.experiment"
        )
        prepared = prepare(run, recipe, options, folder)
        if options.overwrite and folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        folders.write_json(folder / folders.RECIPE_FILE, about)
    splits, model, batches, callbacks = prepared
    training = importlib.import_module("applications.common.training")
    begin, cpu = time.monotonic(), time.process_time()
    history = training.fit(
        recipe, model, batches[:2], recipe.epochs, callbacks, options.verbose
    )
    cost = {
        "training_seconds": round(time.monotonic() - begin, 1),
        "training_cpu_seconds": round(time.process_time() - cpu, 1),
    }
    finish(run, folder, recipe, splits, model, batches[2], history, cost)


def prepare(run, recipe, options, folder):
    """All that can fail before the hours of training: pictures, model."""
    command.require("matplotlib")
    sources = importlib.import_module(
        "applications.image_classification.sources"
    )
    run.keras.utils.set_random_seed(options.seed)
    splits = sources.read_splits(
        recipe, options.data, options.seed, options.skip_bad_files
    )
    steps = recipe.epochs * -(-len(splits.train) // recipe.batch_size)
    model = run.make_model(
        recipe, len(splits.class_names), options.weights, steps
    )
    callbacks = run.make_callbacks(recipe, folder)
    resume = callbacks[-1]
    first_epoch = resume.restore(model) if options.resume else 0
    callbacks.insert(0, run.Clock(resume.history))
    classes = len(splits.class_names)
    batches = [
        run.make_batches(
            recipe,
            model,
            splits.train,
            classes,
            augmentation=run.make_augmentation(recipe),
            seed=options.seed,
            initial_epoch=first_epoch,
        ),
        run.make_batches(
            recipe, model, splits.validation, classes, shuffle=False
        ),
        run.make_batches(recipe, model, splits.test, classes, shuffle=False),
    ]
    for part in batches:
        # What cannot be a batch is refused here.
        part.make_batch(0)
    print(
        f"{len(splits.train)} training, {len(splits.validation)} validation "
        f"and {len(splits.test)} test pictures of {len(splits.class_names)} "
        f"classes; {model.count_params()} weights",
        flush=True,
    )
    for file in splits.skipped:
        print(f"left out: {file.path}: {file.reason}", flush=True)
    return splits, model, batches, callbacks


def finish(run, folder, recipe, splits, model, batches, history, cost):
    """Tests the model, and writes and prints what came of it."""
    pictures = importlib.import_module(
        "applications.image_classification.pictures"
    )
    begin = time.monotonic()
    results = run.evaluate(model, batches)
    cost["test_seconds"] = round(time.monotonic() - begin, 1)
    metrics = {
        "class_names": splits.class_names,
        "weights": model.count_params(),
        "history": history,
        "results": results,
        "cost": cost,
    }
    if recipe.system == "vit":
        model.save_to_preset(folder / folders.MODEL_FOLDER)
    folders.write_json(folder / folders.METRICS_FILE, metrics)
    if recipe.system == "vit":
        check_reload(folder, model, batches)
    (folder / folders.STATE_FILE).unlink(missing_ok=True)
    print(report(results, splits.class_names))
    for name, value in cost.items():
        print(f"{name.replace('_', ' ')}: {value}")
    # Last, so that what cannot be drawn costs nothing else.
    drawn = pictures.draw(folder, recipe, model, batches, splits.class_names)
    pictures.draw_curves({folder.name: history}, folder / "curves.png")
    names = ", ".join([*drawn, "curves.png"])
    print(f"The run is in {folder}, with {names}.")


def check_reload(folder, model, batches):
    """Makes sure that the model read back from disk answers alike."""
    images, _ = batches[0]
    again, *_ = runs.read_run(folder)
    one, other = (
        x.predict_on_batch(images).astype("float64") for x in (model, again)
    )
    # Low-rank updates are merged when they are written, and rounded so.
    apart = abs(one - other).max() / abs(one).max()
    if apart > 0.05:
        raise RuntimeError(
            "The model read back from its folder must answer as the one that "
            f"was saved. Received: logits that are {apart:.0%} apart."
        )


def report(results, class_names):
    """The scores as lines of text."""
    lines = []
    for name, value in results.items():
        label = name.replace("_", " ")
        if isinstance(value, dict):
            value = {class_names[int(i)]: x for i, x in value.items()}
        elif isinstance(value, list):
            value = dict(zip(class_names, value, strict=True))
        if isinstance(value, dict):
            # The hardest ones.
            parts = sorted(value.items(), key=lambda part: part[1])[:10]
            value = ", ".join(f"{key} {100 * x:.1f} %" for key, x in parts)
        elif isinstance(value, float) and "nats" not in name:
            value = f"{100 * value:.2f} %"
        elif isinstance(value, float):
            value = f"{value:.4f}"
        lines.append(f"{label}: {value}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
