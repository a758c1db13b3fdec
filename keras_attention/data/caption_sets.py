"""Captioned images from tensorflow-datasets."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_attention.data.captioned_images import (
    CaptionedImage,
    report,
    usable_boxes,
    usable_captions,
)
from keras_attention.data.image_readers import random_access
from keras_attention.data.picture_files import open_file, read_picture
from keras_attention.data.readers import (
    SkippedRow,
    check_on_error,
    undecodable,
)
from keras_attention.data.tfds_sets import (
    find_builder,
    make_available,
    read_split,
    skip_decoding,
    split_errors,
)
from keras_attention.extras import require


def read_tfds_captions(
    name: Any = "coco_captions",
    split: str = "train",
    data_dir: str | Path | None = None,
    download: bool = True,
    on_error: str = "raise",
) -> tuple[list[CaptionedImage], list[SkippedRow]]:
    """Reads captioned images from tensorflow-datasets.

    For `"coco_captions"`, which has the boxes of COCO 2014 and the splits of
    Karpathy, `train`, `val`, `test` and `restval`, and for sets of its form:
    a picture, `captions` with a `text`, and `objects` with a `bbox` and a
    `label` if there are boxes. One that is not on the disk is downloaded and
    written as ArrayRecord. Captions and boxes are read at once, which takes
    a pass over the files; pictures are read and decoded when they are needed.
    Of a set that is there in another format, the files of the pictures,
    compressed as they are, are held in memory. Needs the extra
    `applications`.

    Args:
        name: Its name, or a builder.
        split: Name of a split; several as `"train+restval"`, a part of one as
            `"train[:10%]"`.
        data_dir: Folder of the sets; None is tensorflow-datasets' own,
            `~/tensorflow_datasets`.
        download: Whether a set that is not there may be downloaded.
        on_error: `"raise"` stops if there is something that cannot be used,
            `"skip"` leaves it out and reports it.

    Returns:
        The images in the order of the set, with all their captions and boxes
        in pixels, and what was left out with its place in the set. An image
        stays as long as it has one caption that can be used.

    Raises:
        ImportError: tensorflow-datasets is not installed.
        ValueError: There is no such set or split, the set has no pictures
            with captions, or it is not on the disk and cannot be downloaded;
            with `on_error="raise"` also if a caption is empty, an image has
            none, or a box is not within its image. The message names the
            first five and counts the others.
    """
    check_on_error(on_error)
    builder = find_builder(name, data_dir)
    image, label = choose_captions(builder.info)
    make_available(builder, download, file_format="array_record")
    # Known once the set is on the disk.
    labels = None if label is None else label.names
    decoders = {image: skip_decoding()}
    source: Any
    if random_access(builder):
        with split_errors(builder, split):
            source = builder.as_data_source(split=split, decoders=decoders)
    else:
        source = list(read_split(builder, split, decoders))
    examples, skipped = [], []
    for index in range(len(source)):
        example, problems = captioned(source[index], image, labels)
        skipped += [SkippedRow(index + 1, problem) for problem in problems]
        if example is None:
            continue
        if random_access(builder):
            stored = StoredPicture(source, index, image)
            example = example._replace(image=stored)
        examples.append(example)
    named = [(f"example {row.line}", row.reason) for row in skipped]
    where = f"{builder.info.full_name}, {split}"
    report(named, on_error, bool(examples), where)
    return examples, skipped


def choose_captions(info):
    """The name of a set's picture, and the feature of its boxes' labels."""
    tfds = require("tensorflow_datasets", extra="applications")
    features = dict(getattr(info.features, "items", tuple)())
    pictures = [
        name
        for name, feature in features.items()
        if isinstance(feature, tfds.features.Image)
    ]
    captions = getattr(features.get("captions"), "feature", None)
    if not pictures or "text" not in (captions or ()):
        raise ValueError(
            "The set must have a picture and `captions` with a `text`. "
            f"Received: {info.full_name} with {list(features)}. Use a set "
            "such as 'coco_captions'."
        )
    objects = getattr(features.get("objects"), "feature", None)
    if objects is None or not {"bbox", "label"} <= set(objects):
        return pictures[0], None
    return pictures[0], objects["label"]


def captioned(example, image, labels):
    """An example of a set with its picture as bytes, and what is wrong.

    Args:
        example: As tensorflow-datasets gives it, the picture not decoded.
        image: Name of the picture.
        labels: What boxes are around, by number; None if there are none.
    """
    texts, boxes, problems = [], (), []
    for number, text in enumerate(example["captions"]["text"], 1):
        try:
            texts.append(text.decode("utf-8"))
        except UnicodeDecodeError as error:
            problems.append(f"caption {number}: {undecodable(text, error)}")
    captions, more = usable_captions(texts)
    problems += more
    if labels is not None:
        try:
            boxes, more = boxes_in_pixels(example, image, labels)
        except ValueError as error:
            return None, [*problems, f"its picture cannot be read: {error}"]
        problems += more
    if not captions:
        return None, problems
    name = example.get("image/filename", b"").decode("utf-8")
    return CaptionedImage(example[image], captions, boxes, name), problems


def boxes_in_pixels(example, image, labels):
    """The boxes of an example, from shares of its picture."""
    width, height = open_file(example[image], lambda picture: picture.size)
    shares = np.asarray(example["objects"]["bbox"], "float64").reshape(-1, 4)
    corners = (shares * (height, width, height, width)).tolist()
    numbers = example["objects"]["label"]
    boxes = [
        (left, top, right, bottom, labels[int(number)])
        for (top, left, bottom, right), number in zip(
            corners, numbers, strict=True
        )
    ]
    return usable_boxes(boxes, width, height)


@dataclass(frozen=True)
class StoredPicture:
    """A picture in the files of a set, decoded when an array is asked for."""

    source: Sequence
    index: int
    image: str

    def __array__(self, dtype=None, copy=None):
        pixels = np.asarray(read_picture(self.source[self.index][self.image]))
        return pixels if dtype is None else pixels.astype(dtype)
