"""The pictures of a run: generated, or named by `--data`."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from applications.common.folders import ARCHIVE_ERRORS
from applications.image_classification.runs import TFDS
from keras_attention import data
from keras_attention.data import synthetic
from keras_attention.data.tfds_sets import find_builder, make_available

GENERATORS = {
    "corner_match": (synthetic.corner_match, ("differ", "match")),
    "glyphs": (synthetic.glyphs, tuple("0123456789")),
    "shapes": (synthetic.shapes, ("background", "disc", "square", "triangle")),
}
# Where the split that is named so has no labels.
TEST_SPLITS = {"imagenet2012": "validation"}
NAMES = "train", "validation", "test"


@dataclass(frozen=True)
class Splits:
    """Pairs of pictures and labels or masks.

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


def read_splits(recipe, source, seed, skip_bad_files=False) -> Splits:
    """The pictures of a recipe.

    Args:
        recipe: A `Recipe`.
        source: None for generated pictures; `tfds:NAME`, a .npz file or a
            folder.
        seed: Seed of pictures and of draws.
        skip_bad_files: Whether files that cannot be read are left out.
    """
    masks = recipe.task == "segmentation"
    if source is None:
        return generated(recipe, seed)
    if str(source).startswith(TFDS):
        splits = from_tfds(str(source).removeprefix(TFDS), masks, recipe)
    elif Path(source).is_file():
        splits = from_arrays(source, recipe, seed)
    else:
        splits = from_folder(
            Path(source), recipe, seed, "skip" if skip_bad_files else "raise"
        )
    if not masks or splits.class_names:
        return splits
    if recipe.num_classes is None:
        raise ValueError(
            "The number of classes in masks must be told. Received: "
            "num_classes=None. Add --set num_classes=21, for example."
        )
    names = tuple(map(str, range(recipe.num_classes)))
    return dataclasses.replace(splits, class_names=names)


def generated(recipe, seed):
    draw, class_names = GENERATORS[recipe.dataset]
    size = recipe.image_size or 32
    parts = []
    for part, name in enumerate(NAMES):
        number = getattr(recipe, f"{name}_images")
        pictures, targets = draw(number, seed=3 * seed + part, size=size)
        parts.append(list(zip(pictures, targets, strict=True)))
    return Splits(*parts, class_names)


def from_tfds(name, masks, recipe):
    builder = find_builder(name)
    make_available(builder, file_format="array_record")
    there = set(builder.info.splits)
    test = TEST_SPLITS.get(builder.info.name, "test")
    validation, train = "validation", "train"
    if test not in there and "validation" in there:
        test = "validation"
    share = min(max(1, round(100 * recipe.validation_share)), 33)
    end = 100
    if test not in there:
        test, end = f"train[{end - share}%:]", end - share
    if validation == test or validation not in there:
        validation, end = f"train[{end - share}%:{end}%]", end - share
    if end < 100:
        train = f"train[:{end}%]"
    parts, class_names = [], ()
    for split in (train, validation, test):
        pairs, class_names = data.read_tfds_images(builder, split, masks)
        parts.append(pairs)
    return Splits(*parts, class_names)


def from_arrays(path, recipe, seed):
    """Pictures `x_train`, `x_test` and targets `y_train`, `y_test`."""
    try:
        with (  # NumPy leaves a file open that is no archive
            Path(path).open("rb") as content,
            np.load(content, allow_pickle=False) as file,
        ):
            arrays = dict(file)
        parts = {
            part: list(
                zip(arrays[f"x_{part}"], arrays[f"y_{part}"], strict=True)
            )
            for part in ("train", "test")
        }
    except ARCHIVE_ERRORS as error:
        raise ValueError(
            "A file of pictures must be a .npz with `x_train`, `y_train`, "
            "`x_test` and `y_test`, as many of each, and without pickled "
            f"objects. Received: {path} ({error})."
        ) from None
    if recipe.task == "segmentation":
        train, validation = cut(parts["train"], recipe.validation_share, seed)
        names = tuple(map(str, arrays.get("class_names", ())))
        return Splits(train, validation, parts["test"], names)
    number = 1 + max(int(label) for _, label in parts["train"])
    names = arrays.get("class_names", np.arange(number))
    train, validation = data.split_by_class(
        parts["train"], recipe.validation_share, seed
    )
    names = tuple(map(str, names))
    return Splits(train, validation, parts["test"], names)


def from_folder(folder, recipe, seed, on_error):
    """Folders of classes (or of images and masks), in splits or not."""
    share, skipped, class_names = recipe.validation_share, [], None
    parts = {}
    for part in parts_of(folder):
        if recipe.task == "segmentation":
            pairs, left_out = data.read_mask_folder(
                folder / part, on_error=on_error
            )
        else:
            pairs, class_names, left_out = data.read_image_folder(
                folder / part, class_names, on_error
            )
        parts[part] = pairs
        skipped += left_out
    split = cut if recipe.task == "segmentation" else data.split_by_class
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


def read_test(recipe, source, class_names):
    """The pairs to test on of pictures that are named.

    Args:
        recipe: A `Recipe`, of its task.
        source: As `read_splits` takes it; of a folder without parts, all of
            it.
        class_names: Names of the classes.
    """
    masks = recipe.task == "segmentation"
    if str(source).startswith(TFDS):
        recipe = dataclasses.replace(recipe, num_classes=len(class_names))
        return from_tfds(source.removeprefix(TFDS), masks, recipe).test
    if Path(source).is_file():
        return from_arrays(source, recipe, 0).test
    folder = Path(source)
    folder = folder / "test" if (folder / "test").is_dir() else folder
    if masks:
        return data.read_mask_folder(folder)[0]
    return data.read_image_folder(folder, class_names)[0]


def cut(pairs, share, seed):
    """Draws a share of pairs whatever their classes."""
    order = np.random.default_rng(seed).permutation(len(pairs))
    number = max(1, round(share * len(pairs)))
    if number >= len(pairs):
        raise ValueError(
            "There must be pictures left to train on. Received: "
            f"{len(pairs)} pictures, validation_share={share}."
        )
    drawn = set(order[:number].tolist())
    parts = [], []
    for index, pair in enumerate(pairs):
        parts[index in drawn].append(pair)
    return parts
