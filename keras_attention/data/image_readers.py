"""Pictures with labels or masks, from folders and tensorflow-datasets."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_attention.data.picture_files import open_file, read_mask
from keras_attention.data.readers import check_on_error
from keras_attention.data.tfds_sets import (
    find_builder,
    make_available,
    read_split,
    skip_decoding,
    split_errors,
)
from keras_attention.extras import require

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
MASK_EXTENSIONS = (".bmp", ".gif", ".png", ".tif", ".tiff")
# Sets whose masks count classes from 1 (Parkhi et al., 2012).
MASK_CLASSES = {"oxford_iiit_pet": ("pet", "background", "border")}
# Sets that have what is asked for.
EXAMPLES = {
    ("picture", "class"): "cifar10",
    ("picture", "mask"): "oxford_iiit_pet",
    ("video", "class"): "ucf101",
}


@dataclass(frozen=True)
class SkippedFile:
    """A file that could not be used, or a part of it.

    Args:
        path: Its path.
        reason: What is wrong with it.
    """

    path: Path
    reason: str


def read_image_folder(
    folder: str | Path,
    class_names: Sequence[str] | None = None,
    on_error: str = "raise",
    verify: bool = True,
) -> tuple[list[tuple[Path, int]], tuple[str, ...], list[SkippedFile]]:
    """Lists the pictures of a folder that has a folder for each class.

        flowers/daisy/1.jpg
        flowers/daisy/more/2.png
        flowers/rose/3.jpg

    Args:
        folder: The folder; names of the folders in it are those of classes.
            Hidden ones are passed over.
        class_names: The classes in the order of their labels, such as those
            of the training set; sorted by name if None.
        on_error: `"raise"` stops if there are files that cannot be used,
            `"skip"` leaves such files out and reports them.
        verify: Whether each file is read once, so that one that is cut off is
            found now and not in the middle of training. Takes as long as an
            epoch without a model.

    Returns:
        Pairs of path and label, sorted by class and path; the names of the
        classes; and the files left out (none with `on_error="raise"`).

    Raises:
        ValueError: There is no such folder, or no folder of a class in it; a
            class has no pictures, or its folder is not among `class_names`;
            with `on_error="raise"` also if a file is no picture.

    Examples:
        >>> import pathlib, tempfile
        >>> from PIL import Image
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> for name in ("daisy", "rose"):
        ...     (folder / name).mkdir()
        ...     Image.new("RGB", (40, 30)).save(folder / name / "1.png")
        >>> pairs, class_names, skipped = read_image_folder(folder)
        >>> class_names, [label for _, label in pairs]
        (('daisy', 'rose'), [0, 1])
    """
    return read_class_folder(
        folder,
        class_names,
        on_error,
        EXTENSIONS,
        "pictures",
        bad_pictures if verify else None,
    )


def bad_pictures(paths):
    """The reasons why pictures cannot be read, by path."""
    return unreadable(
        paths, lambda path: open_file(path, lambda image: image.load())
    )


def read_class_folder(folder, class_names, on_error, extensions, what, bad_of):
    """Lists the files of a folder that has a folder for each class.

    Args:
        folder: The folder.
        class_names: As `read_image_folder` takes them.
        on_error: As it takes it.
        extensions: How names of files end.
        what: What such files are.
        bad_of: From their paths to the reasons why some cannot be read; None
            does not look.

    Returns:
        As `read_image_folder`.
    """
    check_on_error(on_error)
    folder = existing_folder(folder)
    found = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".")
    )
    if not found:
        raise ValueError(
            f"`folder` must have a folder of {what} for each class. "
            f"Received: {str(folder)!r} without folders. Name the folder "
            "above those of the classes."
        )
    names = tuple(class_names or found)
    unknown = sorted(set(found) - set(names))
    if unknown:
        raise ValueError(
            f"The folders must be classes, {', '.join(names)}. Received: "
            f"{', '.join(unknown)} in {str(folder)!r}. Move them away, or "
            "rename them."
        )
    skipped = [
        SkippedFile(path, "it is in the folder of no class")
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix.lower() in extensions
    ]
    pairs = []
    for label, name in enumerate(names):
        paths, others = picture_files(folder / name, extensions)
        if not paths:
            raise ValueError(
                f"Each class must have {what} ({', '.join(extensions)}). "
                f"Received: none in {str(folder / name)!r}. Fill it, or leave "
                "the class out."
            )
        pairs += [(path, label) for path in paths]
        skipped += others
    if bad_of is not None:
        bad = bad_of([path for path, _ in pairs])
        skipped += [SkippedFile(p, reason) for p, reason in bad.items()]
        pairs = [(path, label) for path, label in pairs if path not in bad]
        empty = sorted(set(range(len(names))) - {label for _, label in pairs})
        if on_error == "skip" and empty:
            raise ValueError(
                f"Each class must have {what} that can be read. Received: "
                f"none in {str(folder / names[empty[0]])!r}."
            )
    return pairs, names, reported(skipped, on_error)


def read_mask_folder(
    folder: str | Path,
    images: str = "images",
    masks: str = "masks",
    on_error: str = "raise",
    verify: bool = True,
) -> tuple[list[tuple[Path, Path]], list[SkippedFile]]:
    """Lists the pictures of a folder with their masks, for segmentation.

        pets/images/1.jpg    a picture
        pets/masks/1.png     the class of each of its pixels

    Args:
        folder: The folder that holds both.
        images: Name of the folder of pictures in it.
        masks: Name of the folder of masks in it: grey images or such with a
            palette, whose values are the classes.
        on_error: `"raise"` stops if there are files that cannot be used,
            `"skip"` leaves such files out and reports them.
        verify: As `read_image_folder` takes it.

    Returns:
        Pairs of the paths of a picture and its mask, and the files left out.

    Raises:
        ValueError: A folder is not there or has no pictures; with
            `on_error="raise"` also if a picture has no mask, a mask no
            picture, or a file cannot be read.
    """
    check_on_error(on_error)
    sides, skipped = [], []
    for name, extensions in ((images, EXTENSIONS), (masks, MASK_EXTENSIONS)):
        root, by_name = existing_folder(Path(folder) / name), {}
        paths, others = picture_files(root, extensions)
        skipped += others
        for path in paths:
            key = path.relative_to(root).with_suffix("")
            if key in by_name:
                reason = f"{by_name[key].name} has the same name"
                skipped.append(SkippedFile(path, reason))
            by_name.setdefault(key, path)
        sides.append(by_name)
    pictures, found = sides
    pairs = [(path, found[x]) for x, path in pictures.items() if x in found]
    for side, other, name in (
        (pictures, found, "mask"),
        (found, pictures, "picture"),
    ):
        skipped += [
            SkippedFile(path, f"it has no {name}")
            for key, path in side.items()
            if key not in other
        ]
    if not pairs:
        raise ValueError(
            "There must be pictures with masks of the same names. Received: "
            f"{len(pictures)} pictures and {len(found)} masks in "
            f"{str(folder)!r}, none of them pairs."
        )
    if verify:
        bad = bad_pictures([p for p, _ in pairs])
        bad |= unreadable(
            [m for _, m in pairs], lambda path: open_file(path, read_mask)
        )
        skipped += [SkippedFile(p, reason) for p, reason in bad.items()]
        pairs = [(p, m) for p, m in pairs if p not in bad and m not in bad]
    return pairs, reported(skipped, on_error)


def read_tfds_images(
    name: Any,
    split: str = "train",
    masks: bool = False,
    data_dir: str | Path | None = None,
    download: bool = True,
) -> tuple[Sequence, tuple[str, ...]]:
    """Reads pictures and their labels or masks from tensorflow-datasets.

    For sets with a picture and a class, such as `"cifar10"`, `"imagenet2012"`,
    `"oxford_flowers102"` and `"oxford_iiit_pet"`, which has masks too. One
    that is not on the disk is downloaded and written as ArrayRecord, from
    which pictures are read when they are needed; of a set that is there in
    another format, the files of the pictures, compressed as they are, are
    held in memory. Needs the extra `applications`.

    Args:
        name: Its name, or a builder, such as
            `tensorflow_datasets.ImageFolder(folder)`.
        split: Name of a split; a part of one as `"train[:10%]"`.
        masks: Whether the pictures come with masks instead of labels.
        data_dir: Folder of the sets; None is tensorflow-datasets' own,
            `~/tensorflow_datasets`.
        download: Whether a set that is not there may be downloaded.

    Returns:
        Pairs as `ImageBatches` takes them, in the order of the set, and the
        names of the classes.

    Raises:
        ImportError: tensorflow-datasets is not installed.
        ValueError: There is no such set or split, the set has no pictures with
            labels (or masks), or it is not on the disk and cannot be
            downloaded.
    """
    builder = find_builder(name, data_dir)
    image, target, class_names = choose_features(
        builder.info, "picture", "mask" if masks else "class"
    )
    first = 1 if builder.info.name in MASK_CLASSES and masks else 0
    pairs = read_pairs(builder, split, download, image, target, first)
    return pairs, class_names


def read_pairs(builder, split, download, picture, target, first=0):
    """The pairs of a set, whose pictures stay as they are in its files.

    Args:
        builder: Of the set.
        split: As `read_tfds_images` takes it.
        download: As it takes it.
        picture: The feature of the first of a pair, a picture or a video.
        target: That of the second, a class or a mask.
        first: The first class of a mask.
    """
    make_available(builder, download, file_format="array_record")
    # For Pillow: it resizes as published preprocessing does.
    decoders = {name: skip_decoding() for name in (picture, target)}
    if random_access(builder):
        with split_errors(builder, split):
            source = builder.as_data_source(split=split, decoders=decoders)
    else:
        source = [
            {name: example[name] for name in (picture, target)}
            for example in read_split(builder, split, decoders)
        ]
    return LazyPairs(source, picture, target, first)


@dataclass(frozen=True)
class LazyPairs(Sequence):
    """Pairs of examples that are compressed, or on the disk.

    A mask is read when it is asked for.
    """

    source: Any
    image: str
    target: str
    first: int

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        if not -len(self) <= index < len(self):
            raise IndexError(f"No example {index} among {len(self)}.")
        example = self.source[index % len(self)]
        picture, value = example[self.image], example[self.target]
        if not isinstance(value, bytes):
            return picture, int(value)
        classes = np.asarray(read_mask(value)) - self.first
        # A class below the first is none.
        return picture, np.where(classes < 0, 255, classes)


def random_access(builder):
    """Whether single examples of a set can be read from its files."""
    file_format = getattr(builder.info, "file_format", None)
    return getattr(file_format, "value", None) == "array_record"


def choose_features(info, picture, target):
    """The names of two features of a set, and its classes.

    Args:
        info: Of the set.
        picture: What the first is: "picture" or "video".
        target: What the second is: "class" or "mask".
    """
    tfds = require("tensorflow_datasets", extra="applications")
    types = {
        "picture": tfds.features.Image,
        "mask": tfds.features.Image,
        "video": tfds.features.Video,
        "class": tfds.features.ClassLabel,
    }
    features = dict(getattr(info.features, "items", tuple)())
    firsts, seconds = (
        [name for name, x in features.items() if isinstance(x, types[kind])]
        for kind in (picture, target)
    )
    keys = [x for x in info.supervised_keys or () if isinstance(x, str)]
    first = next((x for x in (*keys, *firsts) if x in firsts), None)
    targets = [x for x in keys if x in seconds and x != first]
    if target == "mask":
        seconds = [x for x in seconds if "mask" in x]
    targets += [x for x in seconds if x != first]
    if first is None or not targets:
        raise ValueError(
            f"The set must have a {picture} and a {target}. Received: "
            f"{info.full_name} with {list(features)}. Use a set such as "
            f"{EXAMPLES[picture, target]!r}."
        )
    if target == "mask":
        return first, targets[0], MASK_CLASSES.get(info.name, ())
    return first, targets[0], tuple(features[targets[0]].names)


def existing_folder(folder, name="folder"):
    """A folder as a path, or an error with what the caller calls it."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(
            f"`{name}` must be a folder. Received: {str(folder)!r}, where "
            f"there is {'a file' if folder.exists() else 'none'}."
        )
    return folder


def picture_files(folder, extensions=EXTENSIONS):
    """The pictures below a folder, and what else is there."""
    paths, skipped = [], []
    for parent, folders, files in os.walk(folder, followlinks=True):
        # Hidden ones are notes of file managers and notebooks.
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(parent, name)
            if name.startswith("."):
                continue
            if path.suffix.lower() in extensions:
                paths.append(path)
            else:
                reason = f"its name ends with none of {', '.join(extensions)}"
                skipped.append(SkippedFile(path, reason))
    return sorted(paths), sorted(skipped, key=lambda file: file.path)


def unreadable(paths, read):
    """The reasons why files cannot be read, by path."""

    def problem(path):
        try:
            read(path)
        except ValueError as error:
            return str(error.__cause__ or error)
        return None

    with ThreadPoolExecutor() as pool:
        problems = zip(paths, pool.map(problem, paths), strict=True)
        return {path: reason for path, reason in problems if reason}


def reported(skipped, on_error):
    """The files left out, or an error for the first of them."""
    if skipped and on_error == "raise":
        first, more = skipped[0], len(skipped) - 1
        others = f", and {more} more such files" if more else ""
        raise ValueError(
            "Each file must be one that can be read. Received: "
            f"{str(first.path)!r}: {first.reason}{others}. Remove it, or use "
            'on_error="skip" to leave such files out.'
        )
    return skipped


def split_by_class(
    pairs: Sequence[tuple[Any, int]], share: float, seed: int = 0
) -> tuple[list, list]:
    """Draws a share of the pairs of each class.

    Args:
        pairs: Pairs of anything and a label.
        share: Share of the second part, between 0 and 1; of each class at
            least one, and at least one is left.
        seed: Seed of the draw.

    Returns:
        The rest and the share, each in the order of `pairs`.

    Raises:
        ValueError: A class has less than two, or `share` is not between 0
            and 1.

    Examples:
        >>> pairs = [("a", 0), ("b", 0), ("c", 0), ("d", 1), ("e", 1)]
        >>> rest, share = split_by_class(pairs, 0.5)
        >>> len(rest), sorted(label for _, label in share)
        (2, [0, 0, 1])
    """
    if not 0 < share < 1:
        raise ValueError(
            f"`share` must be between 0 and 1. Received: share={share}."
        )
    by_class = {}
    for index, (_, label) in enumerate(pairs):
        by_class.setdefault(label, []).append(index)
    rng, drawn = np.random.default_rng(seed), set()
    for label, indices in sorted(by_class.items()):
        if len(indices) < 2:
            raise ValueError(
                "A class must have at least two examples to be split. "
                f"Received: {len(indices)} of class {label}."
            )
        number = round(share * len(indices))
        number = min(max(1, number), len(indices) - 1)
        drawn |= set(rng.permutation(indices)[:number].tolist())
    parts = [], []
    for index, pair in enumerate(pairs):
        parts[index in drawn].append(pair)
    return parts
