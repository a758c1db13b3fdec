"""What pretraining is worth: accuracy against the number of labelled pictures.

python -m applications.image_classification.transfer --emoji FOLDER \
    --output runs/transfer

Emoji of people who do something (run, cook, play an instrument) come with
every skin tone and gender; what they do is the class. A ViT is pretrained on
one half of these classes, and then, like one from scratch, trained on a few
pictures of each class of the other half. Each seed draws other halves and
other pictures. What is done already is read again.
"""

import argparse
import dataclasses
import hashlib
import importlib
import json
import statistics
import sys
from pathlib import Path

from applications.common import command, folders
from applications.image_classification.recipes import make_recipe

# Who does it: gone from a name, what is done is left.
PEOPLE = {"man", "woman", "person", "men", "women", "people"}
PER_CLASS = 18  # three genders, six tones
TEST_PER_CLASS = 6
WAYS = "scratch", "linear_probe", "fine_tune"


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.image_classification.transfer",
        description="Accuracy from scratch and fine-tuned, by the number of "
        "labelled pictures.",
    )
    parser.add_argument(
        "--emoji",
        type=Path,
        required=True,
        help="a folder with images.npz (`images`, one for each line) and "
        "captions.jsonl (a JSON object with a name, `en`, on each line)",
    )
    parser.add_argument("--output", type=Path, default=Path("runs/transfer"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--counts",
        type=command.positive,
        nargs="+",
        default=[1, 2, 4, 8],
        help="labelled pictures of each class",
    )
    command.add_changes(parser)
    command.add_threads(parser)
    return parser


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    with command.clean_errors(parser):
        recipe = make_recipe("transfer", options.changes)
        if (recipe.system, recipe.task, recipe.dataset) != (
            *("vit", "classification", "named"),
        ) or recipe.budget_minutes is not None:
            raise ValueError(
                "Transfer is of a ViT that classifies, for a number of epochs. "
                f"Received: {' '.join(options.changes)}."
            )
        pictures = read_emoji(options.emoji)
        if max(options.counts) > PER_CLASS - TEST_PER_CLASS:
            raise ValueError(
                f"Of a class there are {PER_CLASS - TEST_PER_CLASS} pictures "
                f"to train on. Received: --counts {max(options.counts)}."
            )
        command.limit_threads(options.threads)
        command.require("matplotlib")
        run = importlib.import_module(
            "applications.image_classification.experiment"
        )
        options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / folders.METRICS_FILE
    about = dataclasses.asdict(recipe) | {"emoji": digest(pictures)}
    about = json.loads(json.dumps(about))
    choices = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:8]
    rows = []
    if path.exists():
        saved = json.loads(path.read_text(encoding="utf-8"))
        rows = saved["rows"] if saved["about"] == about else []
    for seed in options.seeds:
        one, other = halves(pictures, seed)
        known = options.output / f"pretrained_{seed}_{choices}"
        for count in options.counts:
            for way in WAYS:
                key = {"seed": seed, "count": count, "way": way}
                if any(key.items() <= row.items() for row in rows):
                    continue
                if not known.exists():
                    accuracy = pretrain(run, recipe, one, seed, known)
                    print(f"seed {seed}, pretraining: {accuracy:.3f}")
                weights = None if way == "scratch" else known
                accuracy = train(run, recipe, other, count, seed, way, weights)
                rows.append({**key, "accuracy": accuracy})
                print(f"{key}: {accuracy:.3f}", flush=True)
                folders.write_json(path, {"about": about, "rows": rows})
    chance = 1 / len({label for _, label in other[0]})
    print(table(rows))
    draw(rows, chance, options.output / "transfer.png")


def read_emoji(folder):
    """From what is done to the pictures of those who do it."""
    np = importlib.import_module("numpy")
    try:
        with np.load(folder / "images.npz", allow_pickle=False) as file:
            images = file["images"]
        text = (folder / "captions.jsonl").read_text(encoding="utf-8")
        names = [json.loads(line)["en"] for line in text.splitlines()]
        pairs = list(zip(names, images, strict=True))
    except folders.ARCHIVE_ERRORS as error:
        raise ValueError(
            "Emoji must be in images.npz and captions.jsonl, one line for "
            f"each. Received: {folder} ({error})."
        ) from None
    pictures = {}
    for name, image in pairs:
        words = name.partition(":")[0].split()
        done = " ".join(word for word in words if word not in PEOPLE)
        pictures.setdefault(done, []).append(image)
    return {x: y for x, y in pictures.items() if len(y) == PER_CLASS}


def digest(pictures):
    """A hash of the pictures and what is done on them."""
    result = hashlib.sha256()
    for name, images in sorted(pictures.items()):
        result.update(name.encode())
        for image in images:
            result.update(image.tobytes())
    return result.hexdigest()


def halves(pictures, seed):
    """Pairs to train and to test on of each half of the classes."""
    np = importlib.import_module("numpy")
    rng = np.random.default_rng(seed)
    names = rng.permutation(sorted(pictures))
    result = []
    for part in np.array_split(names, 2):
        train, test = [], []
        for label, name in enumerate(part):
            order = rng.permutation(PER_CLASS)
            for place, index in enumerate(order):
                pairs = test if place < TEST_PER_CLASS else train
                pairs.append((pictures[name][index], label))
        result.append((train, test))
    return result


def pretrain(run, recipe, half, seed, folder):
    """Trains on all pictures of a half; its test accuracy."""
    model, accuracy = fit(run, recipe, *half, seed, None)
    # Whole or not there, whenever we are killed.
    new = folder.with_name(f"{folder.name}.new")
    model.save_to_preset(new)
    new.rename(folder)
    return accuracy


def train(run, recipe, half, count, seed, way, weights):
    """Trains on `count` pictures of each class; the test accuracy."""
    pairs, test = half
    taken, few = {}, []
    for picture, label in pairs:
        taken[label] = taken.get(label, 0) + 1
        if taken[label] <= count:
            few.append((picture, label))
    if weights is not None:
        # The weights say the sizes.
        sizes = dict.fromkeys(run.SIZES)
        recipe = dataclasses.replace(recipe, image_size=None, **sizes)
    if way == "linear_probe":
        recipe = dataclasses.replace(recipe, trainable="head")
    return fit(run, recipe, few, test, seed, weights)[1]


def fit(run, recipe, pairs, test, seed, weights):
    run.keras.utils.set_random_seed(seed)
    number = 1 + max(label for _, label in pairs)
    steps = recipe.epochs * -(-number * PER_CLASS // recipe.batch_size)
    model = run.make_model(recipe, number, weights, steps)
    batches = run.make_training(recipe, model, pairs, number, seed)
    # As many steps as for 18 pictures of each class, however few there are.
    epochs = steps // batches.num_batches
    model.fit(batches, epochs=epochs, shuffle=False, verbose=0)
    test = run.make_test(recipe, model, test, number)
    return model, run.evaluate(model, test)["accuracy"]


def table(rows):
    """Markdown: the mean accuracy, and the range over seeds."""
    counts = sorted({row["count"] for row in rows})
    lines = [["labelled pictures of a class", *map(str, counts)]]
    lines.append(["---"] * len(lines[0]))
    for way in WAYS:
        line = [way.replace("_", " ")]
        for count in counts:
            found = accuracies(rows, way, count)
            line.append(
                f"{100 * statistics.mean(found):.1f} % "
                f"({100 * min(found):.1f} to {100 * max(found):.1f})"
                if found
                else ""
            )
        lines.append(line)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def accuracies(rows, way, count):
    return [
        row["accuracy"]
        for row in rows
        if (row["way"], row["count"]) == (way, count)
    ]


def draw(rows, chance, path):
    """Mean accuracy over the number of labels, and the range over seeds."""
    figure_module = importlib.import_module("matplotlib.figure")
    figure = figure_module.Figure(figsize=(6.4, 3.6), layout="constrained")
    axis = figure.add_subplot()
    whole = [{row["count"] for row in rows if row["way"] == x} for x in WAYS]
    counts = sorted(set.intersection(*whole))
    for way in WAYS:
        found = [accuracies(rows, way, count) for count in counts]
        means = [statistics.mean(x) for x in found]
        (line,) = axis.plot(
            counts, means, marker="o", label=way.replace("_", " ")
        )
        axis.fill_between(
            counts,
            [min(x) for x in found],
            [max(x) for x in found],
            alpha=0.2,
            linewidth=0,
            color=line.get_color(),
        )
    axis.axhline(chance, color="0.5", linestyle=":", label="chance")
    axis.set_xscale("log", base=2)
    axis.set_xticks(counts, map(str, counts))
    axis.set(
        xlabel="labelled pictures of a class",
        ylabel="test accuracy",
        ylim=(0, 1),
    )
    axis.grid(alpha=0.3)
    figure.legend(loc="outside right upper")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    sys.exit(main())
