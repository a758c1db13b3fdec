"""The command that trains by a recipe, tests and leaves a run folder."""

import argparse
import importlib
import shutil
import time
from pathlib import Path

from applications.common import command, folders
from applications.vision import runs


def make_parser(application, data, weights):
    """The arguments of the command.

    Args:
        application: Its `Application`.
        data: What `--data` may be.
        weights: What `--weights` may be.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m applications.{application.name}.train",
        description=f"Trains on {application.examples} by a recipe and tests.",
    )
    command.add_recipe(parser, application.recipes)
    parser.add_argument("--data", help=data)
    parser.add_argument(
        "--skip-bad-files",
        action="store_true",
        help="leave out files that cannot be read, and tell which",
    )
    parser.add_argument("--weights", help=f"trained weights: {weights}")
    command.add_run(parser)
    return parser


def main(application, parser, arguments, other_weights=()):
    """Runs the command.

    Args:
        application: Its `Application`.
        parser: What `make_parser` returns.
        arguments: Those of the command.
        other_weights: Names of other arguments that name weights.
    """
    options = parser.parse_args(arguments)
    folder = options.output or Path("runs") / options.recipe
    with command.clean_errors(parser):
        recipe = application.make_recipe(options.recipe, options.changes)
        others = {name: getattr(options, name) for name in other_weights}
        about = runs.description(
            application, options.recipe, recipe, options, **others
        )
        folders.check_folder(folder, options.resume, options.overwrite)
        if options.resume:
            runs.check_same(application, folder, about)
        if options.resume and (folder / folders.METRICS_FILE).exists():
            print(f"The run in {folder} is finished: nothing to resume.")
            return
        command.limit_threads(options.threads)
        # Not before: a backend reads how many threads it may use only once.
        prepared = prepare(application, recipe, options, others, folder)
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
    finish(application, folder, recipe, splits, model, batches, history, cost)


def prepare(application, recipe, options, other_weights, folder):
    """All that can fail before the hours of training: examples, model."""
    command.require("matplotlib")
    run = application.module("experiment")
    vision = importlib.import_module("applications.vision.experiment")
    run.keras.utils.set_random_seed(options.seed)
    splits = application.module("sources").read_splits(
        recipe, options.data, options.seed, options.skip_bad_files
    )
    classes = len(splits.class_names)
    steps = recipe.epochs * -(-len(splits.train) // recipe.batch_size)
    model = run.make_model(
        recipe, classes, options.weights, steps, **other_weights
    )
    callbacks = run.make_callbacks(recipe, folder)
    resume = callbacks[-1]
    first_epoch = resume.restore(model) if options.resume else 0
    callbacks.insert(0, vision.Clock(resume.history))
    batches = [
        run.make_training(
            recipe,
            model,
            splits.train,
            classes,
            options.seed,
            initial_epoch=first_epoch,
        ),
        run.make_batches(
            recipe, model, splits.validation, classes, shuffle=False
        ),
        run.make_test(recipe, model, splits.test, classes),
    ]
    # What cannot be a batch is refused here.
    for part in batches[:2]:
        part.make_batch(0)
    batches[2][0]
    print(
        f"{len(splits.train)} training, {len(splits.validation)} validation "
        f"and {len(splits.test)} test {application.examples} of {classes} "
        f"classes; {model.count_params()} weights",
        flush=True,
    )
    for file in splits.skipped:
        print(f"left out: {file.path}: {file.reason}", flush=True)
    return splits, model, batches, callbacks


def finish(application, folder, recipe, splits, model, batches, history, cost):
    """Tests the model, and writes and prints what came of it."""
    run = application.module("experiment")
    pictures = importlib.import_module("applications.vision.pictures")
    begin = time.monotonic()
    results = run.evaluate(model, batches[2])
    cost["test_seconds"] = round(time.monotonic() - begin, 1)
    metrics = {
        "class_names": splits.class_names,
        "weights": model.count_params(),
        "history": history,
        "results": results,
        "cost": cost,
    }
    ours = hasattr(model, "save_to_preset")
    if ours:
        model.save_to_preset(folder / folders.MODEL_FOLDER)
    folders.write_json(folder / folders.METRICS_FILE, metrics)
    if ours:
        check_reload(application, folder, model, batches[1])
    (folder / folders.STATE_FILE).unlink(missing_ok=True)
    print(report(results, splits.class_names))
    for name, value in cost.items():
        print(f"{name.replace('_', ' ')}: {value}")
    # Last, so that what cannot be drawn costs nothing else.
    drawn = application.module("pictures").draw(
        folder, recipe, model, batches[1:], splits.class_names
    )
    pictures.draw_curves({folder.name: history}, folder / "curves.png")
    names = ", ".join([*drawn, "curves.png"])
    print(f"The run is in {folder}, with {names}.")


def check_reload(application, folder, model, batches):
    """Makes sure that the model read back from disk answers alike."""
    examples, _ = batches.make_batch(0)
    again, *_ = application.module("runs").read_run(folder)
    one, other = (
        x.predict_on_batch(examples).astype("float64") for x in (model, again)
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
