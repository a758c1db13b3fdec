"""The videos of a run: generated, or named by `--data`."""

from pathlib import Path

from applications.vision import sources
from applications.vision.runs import TFDS
from applications.vision.sources import Splits
from keras_attention import data
from keras_attention.data import synthetic

DIRECTIONS = "right", "left", "down", "up"
LISTS = ".csv", ".tsv", ".txt"


def read_splits(recipe, source, seed, skip_bad_files=False) -> Splits:
    """The videos of a recipe.

    Args:
        recipe: A `Recipe`.
        source: None for generated videos; `tfds:NAME`, a .npz file, a list of
            files with classes, or a folder.
        seed: Seed of videos and of draws.
        skip_bad_files: Whether files that cannot be read are left out.
    """
    if source is None:

        def draw(number, seed):
            return synthetic.roll_motion(
                number,
                seed=seed,
                frames=recipe.frames or 16,
                hold=recipe.hold,
                size=recipe.image_size or 12,
            )

        return sources.generated(recipe, seed, draw, DIRECTIONS)
    on_error = "skip" if skip_bad_files else "raise"
    share = recipe.validation_share
    if str(source).startswith(TFDS):
        return from_tfds(recipe, source)
    if Path(source).suffix in LISTS:
        pairs, names, skipped = data.read_video_list(source, on_error=on_error)
        rest, test = data.split_by_class(pairs, share, seed)
        train, validation = data.split_by_class(rest, share, seed + 1)
        return Splits(train, validation, test, names, skipped)
    if Path(source).is_file():
        return sources.from_arrays(source, recipe, seed, "videos")

    def read(folder, class_names):
        return data.read_video_folder(folder, class_names, on_error)

    return sources.from_folder(Path(source), share, seed, read)


def from_tfds(recipe, source):
    return sources.from_tfds(
        source.removeprefix(TFDS),
        recipe.validation_share,
        data.read_tfds_videos,
    )


def read_test(recipe, source, class_names):
    """The pairs to test on of videos that are named.

    Args:
        recipe: A `Recipe`.
        source: As `read_splits` takes it; all of a list, or of a folder
            without parts.
        class_names: Names of the classes.
    """
    if str(source).startswith(TFDS):
        return from_tfds(recipe, source).test
    if Path(source).suffix in LISTS:
        return data.read_video_list(source, class_names=class_names)[0]
    if Path(source).is_file():
        return sources.read_arrays(source, "videos")[1]
    return data.read_video_folder(sources.test_part(source), class_names)[0]
