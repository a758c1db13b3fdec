"""The pictures of a run: generated, or named by `--data`."""

import dataclasses
from pathlib import Path

import numpy as np

from applications.vision import sources
from applications.vision.runs import TFDS
from applications.vision.sources import Splits
from keras_attention import data
from keras_attention.data import synthetic

GENERATORS = {
    "corner_match": (synthetic.corner_match, ("differ", "match")),
    "glyphs": (synthetic.glyphs, tuple("0123456789")),
    "shapes": (synthetic.shapes, ("background", "disc", "square", "triangle")),
}


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
        draw, class_names = GENERATORS[recipe.dataset]
        size = recipe.image_size or 32
        return sources.generated(
            recipe, seed, lambda *x: draw(*x, size=size), class_names
        )
    if str(source).startswith(TFDS):
        splits = from_tfds(recipe, source)
    elif Path(source).is_file():
        splits = from_arrays(recipe, source, seed)
    else:
        splits = sources.from_folder(
            Path(source),
            recipe.validation_share,
            seed,
            folder_reader(recipe, "skip" if skip_bad_files else "raise"),
            cut if masks else data.split_by_class,
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


def from_tfds(recipe, source):
    masks = recipe.task == "segmentation"
    return sources.from_tfds(
        source.removeprefix(TFDS),
        recipe.validation_share,
        lambda builder, split: data.read_tfds_images(builder, split, masks),
    )


def from_arrays(recipe, path, seed):
    if recipe.task != "segmentation":
        return sources.from_arrays(path, recipe, seed, "pictures")
    pairs, test, names = sources.read_arrays(path, "pictures")
    return Splits(*cut(pairs, recipe.validation_share, seed), test, names)


def folder_reader(recipe, on_error="raise"):
    """What reads the folder of one part."""

    def read(folder, class_names):
        if recipe.task == "segmentation":
            pairs, skipped = data.read_mask_folder(folder, on_error=on_error)
            return pairs, None, skipped
        return data.read_image_folder(folder, class_names, on_error)

    return read


def read_test(recipe, source, class_names):
    """The pairs to test on of pictures that are named.

    Args:
        recipe: A `Recipe`, of its task.
        source: As `read_splits` takes it; of a folder without parts, all of
            it.
        class_names: Names of the classes.
    """
    if str(source).startswith(TFDS):
        return from_tfds(recipe, source).test
    if Path(source).is_file():
        return sources.read_arrays(source, "pictures")[1]
    folder = sources.test_part(source)
    return folder_reader(recipe)(folder, class_names)[0]


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
