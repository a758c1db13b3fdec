"""Where the examples of a run come from, split for training and testing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from applications.common.folders import ARCHIVE_ERRORS
from keras_attention import data
from keras_attention.data.tfds_sets import find_builder, make_available

# Where the split that is named so has no labels.
TEST_SPLITS = {"imagenet2012": "validation"}
NAMES = "train", "validation", "test"


@dataclass(frozen=True)
class Splits:
    """Pairs of examples and labels or masks.

    Args:
        train: Pairs to train on.
        validation: Pairs to choose the best epoch by.
        test: Pairs to test on.
        class_names: Names of the classes.
        skipped: Files that were left out.
    """

    train: Sequence
    validation: Sequence
    test: Sequence
    class_names: tuple[str, ...]
    skipped: Sequence = ()


def generated(recipe, seed, draw, class_names):
    """Examples that are drawn, others for each seed and part.

    Args:
        recipe: A `VisionRecipe`.
        seed: Seed of the draws.
        draw: Takes a number and a seed, returns examples and targets.
        class_names: Names of the classes.
    """
    parts = []
    for part, name in enumerate(NAMES):
        number = getattr(recipe, f"{name}_examples")
        parts.append(list(zip(*draw(number, 3 * seed + part), strict=True)))
    return Splits(*parts, class_names)


def from_tfds(name, share, read):
    """A set of tensorflow-datasets, in the splits that it has.

    Args:
        name: Of the set.
        share: Share of the training split that stands in for one it lacks.
        read: Takes a builder and a split, returns pairs and names of classes.
    """
    builder = find_builder(name)
    make_available(builder, file_format="array_record")
    there = set(builder.info.splits)
    test = TEST_SPLITS.get(builder.info.name, "test")
    validation, train = "validation", "train"
    if test not in there and "validation" in there:
        test = "validation"
    share = min(max(1, round(100 * share)), 33)
    end = 100
    if test not in there:
        test, end = f"train[{end - share}%:]", end - share
    if validation == test or validation not in there:
        validation, end = f"train[{end - share}%:{end}%]", end - share
    if end < 100:
        train = f"train[:{end}%]"
    parts, class_names = [], ()
    for split in (train, validation, test):
        pairs, class_names = read(builder, split)
        parts.append(pairs)
    return Splits(*parts, class_names)


def read_arrays(path, examples):
    """Pairs `(x, y)` to train and to test on, and names of classes if told.

    Args:
        path: A .npz file with `x_train`, `x_test`, `y_train`, `y_test`.
        examples: What they are, for errors.
    """
    try:
        with (  # NumPy leaves a file open that is no archive
            Path(path).open("rb") as content,
            np.load(content, allow_pickle=False) as file,
        ):
            arrays = dict(file)
        train, test = (
            list(zip(arrays[f"x_{part}"], arrays[f"y_{part}"], strict=True))
            for part in ("train", "test")
        )
    except ARCHIVE_ERRORS as error:
        raise ValueError(
            f"A file of {examples} must be a .npz with `x_train`, `y_train`, "
            "`x_test` and `y_test`, as many of each, and without pickled "
            f"objects. Received: {path} ({error})."
        ) from None
    return train, test, tuple(map(str, arrays.get("class_names", ())))


def from_arrays(path, recipe, seed, examples):
    """The same with labels, validation cut off."""
    train, test, names = read_arrays(path, examples)
    number = 1 + max(int(label) for _, label in train)
    names = names or tuple(map(str, range(number)))
    return Splits(
        *data.split_by_class(train, recipe.validation_share, seed), test, names
    )


def from_folder(
    folder: Path,
    share: float,
    seed: int,
    read: Callable[[Path, Any], tuple],
    split=data.split_by_class,
):
    """Folders of classes (or of images and masks), in splits or not.

    Args:
        folder: The folder.
        share: Share of the training examples that stands in for a part that
            is not there.
        seed: Seed of that draw.
        read: Takes a folder and names of classes or None, returns pairs, names
            of classes and files left out.
        split: Takes pairs, a share and a seed, returns the rest and the share.
    """
    skipped, class_names, parts = [], None, {}
    for part in parts_of(folder):
        parts[part], class_names, left_out = read(folder / part, class_names)
        skipped += left_out
    train = parts.get("train", parts.get(""))
    for part, number in (("test", seed), ("validation", seed + 1)):
        if part not in parts:
            train, parts[part] = split(train, share, number)
    return Splits(
        train, parts["validation"], parts["test"], class_names or (), skipped
    )


def parts_of(folder):
    """Names of the folders of parts, or "" for one that is the only part."""
    if not (folder / "train").is_dir():
        return ("",)
    names = [x.name for x in folder.iterdir() if x.is_dir()]
    names = [x for x in names if not x.startswith(".")]
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        raise ValueError(
            f"Beside train/ there may be {NAMES[1]}/ and {NAMES[2]}/. "
            f"Received: {', '.join(unknown)} in {folder}. Rename or move "
            "these."
        )
    return [name for name in NAMES if name in names]


def test_part(folder):
    """The folder to test on: its part, or all of one that has none."""
    folder = Path(folder)
    return folder / "test" if (folder / "test").is_dir() else folder
