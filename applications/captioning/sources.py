"""Where the pictures and captions of a run come from, split in parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_attention import data
from keras_attention.data import synthetic

GRID_SHAPE = (4, 4)
# Splits of generated scenes to test on, by the name that the scores have.
TESTS = {
    "grid_scenes": {
        "iid": "train",
        "combinations": "combinations",
        "swap": "swap",
    },
    "shape_scenes": {
        "iid": "train",
        "combinations": "combinations",
        "count": "count",
        "swap": "swap",
    },
}
KARPATHY = {"train": "train", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class Part:
    """Pictures to test on.

    Args:
        examples: The pictures with their captions.
        scenes: The generated scenes that they are of, or None.
    """

    examples: list[data.CaptionedImage]
    scenes: synthetic.Scenes | None = None

    @property
    def images(self) -> list[Any]:
        """The pictures, or features."""
        return [x.image for x in self.examples]

    @property
    def references(self) -> list[tuple[str, ...]]:
        """The right captions of each."""
        return [x.captions for x in self.examples]


@dataclass(frozen=True)
class Splits:
    """The parts of a set.

    Args:
        train: Examples to train on.
        validation: Examples to choose the best epoch by.
        tests: Parts to test on by name.
        skipped: What was left out.
    """

    train: list[data.CaptionedImage]
    validation: list[data.CaptionedImage]
    tests: dict[str, Part]
    skipped: Sequence = ()


def read_splits(recipe, named, seed):
    """The parts that a recipe trains and tests on.

    Args:
        recipe: A `Recipe`.
        named: As `data_of` returns it.
        seed: Seed of what is drawn.
    """
    if recipe.dataset == "named":
        return read_named(recipe, named, seed)
    # Other scenes for each seed and part.
    train, validation = (
        part_of(recipe, getattr(recipe, f"{name}_examples"), 3 * seed + part)
        for part, name in enumerate(("train", "validation"))
    )
    tests = {
        name: part_of(recipe, recipe.test_examples, 3 * seed + 2, split)
        for name, split in TESTS[recipe.dataset].items()
    }
    return Splits(train.examples, validation.examples, tests)


def part_of(recipe, number, seed, split="train"):
    """Generated scenes as examples.

    Args:
        recipe: A `Recipe`.
        number: How many.
        seed: Seed of the draws.
        split: Which rules they keep to.
    """
    if recipe.dataset == "grid_scenes":
        scenes = synthetic.grid_scenes(number, seed, split)
        images = scenes.inputs.reshape(number, *GRID_SHAPE, -1)
    else:
        scenes = synthetic.shape_scenes(
            number, seed, split, size=recipe.image_size
        )
        images = scenes.inputs
    captions = [(caption,) for caption in scenes.captions]
    if recipe.captions == "relations":
        captions = map(tuple, scenes.references)
    examples = [
        data.CaptionedImage(image, texts, name=f"{split} {seed} {i}")
        for i, (image, texts) in enumerate(zip(images, captions, strict=True))
    ]
    return Part(examples, scenes)


def read_named(recipe, named, seed):
    """Pictures that are named, in the splits that they have or at random."""
    parts, skipped = {}, []
    for part in parts_of(named):
        parts[part], more = read_part(named, part)
        skipped += more
    if "test" not in parts:
        share, rng = recipe.validation_share, np.random.default_rng(seed)
        (examples,) = parts.values()
        number = max(1, round(share * len(examples)))
        if len(examples) <= 2 * number:
            raise ValueError(
                "There must be pictures to train on beside those that "
                f"validate and test. Received: {len(examples)} pictures, "
                f"validation_share={share}."
            )
        mixed = [examples[i] for i in rng.permutation(len(examples))]
        parts = {
            "test": mixed[:number],
            "validation": mixed[number : 2 * number],
            "train": mixed[2 * number :],
        }
    tests = {"test": Part(parts["test"])}
    return Splits(parts["train"], parts["validation"], tests, skipped)


def parts_of(named):
    """Names of the parts that a set comes in; one if in none."""
    if named["kind"] in ("karpathy", "tfds") or named["names"]:
        return ("train", "validation", "test")
    return ("",)


def read_part(named, part):
    """The examples of a part, and what was left out.

    Args:
        named: As `data_of` returns it.
        part: "train", "validation" or "test", or "" for all.
    """
    path, images = named["path"], named["images"]
    on_error = "skip" if named["skip_bad_files"] else "raise"
    if named["kind"] == "karpathy":
        restval = named["restval"] and part == "train"
        return data.read_karpathy(
            path, images, KARPATHY[part], restval, on_error=on_error
        )
    if named["kind"] == "coco":
        return data.read_coco_captions(path, images, on_error=on_error)
    if named["kind"] == "flickr":
        names = dict(zip(KARPATHY, named["names"], strict=False)).get(part)
        return data.read_flickr_tokens(path, images, names, on_error=on_error)
    if named["kind"] == "tsv":
        return data.read_captions_tsv(path, images, on_error=on_error)
    return data.read_tfds_captions(path, KARPATHY[part], on_error=on_error)


def read_test(named):
    """Pictures to score: a set's test part, or all of one without parts."""
    part = "test" if len(parts_of(named)) > 1 else ""
    examples, skipped = read_part(named, part)
    return Part(examples), skipped
