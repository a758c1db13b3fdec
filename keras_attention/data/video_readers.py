"""Videos with labels, from folders, lists and tensorflow-datasets."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_attention.data.image_readers import (
    SkippedFile,
    choose_features,
    existing_folder,
    read_class_folder,
    read_pairs,
    reported,
    unreadable,
)
from keras_attention.data.readers import check_on_error
from keras_attention.data.tfds_sets import find_builder
from keras_attention.data.video_files import VideoFile
from keras_attention.ops import checks

EXTENSIONS = (".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".webm")


def read_video_folder(
    folder: str | Path,
    class_names: Sequence[str] | None = None,
    on_error: str = "raise",
    verify: bool = True,
) -> tuple[list[tuple[Path, int]], tuple[str, ...], list[SkippedFile]]:
    """Lists the videos of a folder that has a folder for each class.

        sports/running/1.mp4
        sports/running/more/2.mp4
        sports/swimming/3.avi

    Args:
        folder: The folder; names of the folders in it are those of classes.
            Hidden ones are passed over.
        class_names: The classes in the order of their labels, such as those
            of the training set; sorted by name if None.
        on_error: `"raise"` stops if there are files that cannot be used,
            `"skip"` leaves such files out and reports them.
        verify: Whether the first and the last frame of each file are decoded,
            so that one that is cut off is found now and not in the middle of
            training.

    Returns:
        Pairs of path and label, sorted by class and path; the names of the
        classes; and the files left out (none with `on_error="raise"`).

    Raises:
        ValueError: There is no such folder, or no folder of a class in it; a
            class has no videos, or its folder is not among `class_names`;
            with `on_error="raise"` also if a file is no video.
        ImportError: PyAV is not installed.
    """
    return read_class_folder(
        folder,
        class_names,
        on_error,
        EXTENSIONS,
        "videos",
        bad_videos if verify else None,
    )


def read_video_list(
    path: str | Path,
    folder: str | Path | None = None,
    class_names: Sequence[str] | None = None,
    on_error: str = "raise",
    verify: bool = True,
    first_label: int = 0,
) -> tuple[list[tuple[Path, int]], tuple[str, ...], list[SkippedFile]]:
    """Reads a file with a video and its class on each line.

        running/1.mp4 0
        running/with a dog.mp4 0
        # a note
        swimming/3.avi 1

    Between the two is a tab, a comma or white space: what comes first in this
    order, and of several the last. Classes are numbers or names.

    Args:
        path: A UTF-8 text file. Empty lines and those that begin with `#` are
            passed over.
        folder: Folder that paths are relative to; that of the file if None.
        class_names: The classes in the order of their labels, such as those
            of the training set. If None, numbers are the labels, up to the
            largest, and names are sorted.
        on_error: `"raise"` stops if there are lines that cannot be used,
            `"skip"` leaves them out and reports their files.
        verify: As `read_video_folder` takes it.
        first_label: Where numbers begin: 1 in the lists of UCF101.

    Returns:
        Pairs of path and label in the order of the lines; the names of the
        classes; and the files left out (none with `on_error="raise"`).

    Raises:
        ValueError: There is no such file or folder, or no line can be used;
            with `on_error="raise"` also if a line has no class or one that is
            not among `class_names`, or a file is not there or no video. The
            message names the line.
        ImportError: PyAV is not installed.
    """
    check_on_error(on_error)
    checks.non_negative_int(first_label, "first_label")
    lines = list(read_lines(path))
    folder = existing_folder(Path(path).parent if folder is None else folder)
    rows = [(number, folder / video, name) for number, video, name in lines]
    labels, names = labels_of(
        [name for _, _, name in rows if name], class_names, first_label
    )
    bad = {x: "there is no such file" for _, x, _ in rows if not x.is_file()}
    if verify:
        bad |= bad_videos([x for _, x, name in rows if name and x not in bad])
    pairs, skipped = [], []
    for number, video, name in rows:
        problem = bad.get(video)
        if not name:
            problem = "it has no class"
        elif name not in labels:
            problem = f"{name!r} is none of the classes"
        if problem is None:
            pairs.append((video, labels[name]))
        else:
            reason = f"line {number} of {path}: {problem}"
            skipped.append(SkippedFile(video, reason))
    skipped = reported(skipped, on_error)
    if not pairs:
        first = f", {skipped[0].reason}" if skipped else ""
        raise ValueError(
            f"{path} must have a line with a video and its class. Received: "
            f"{len(skipped)} lines, none of them usable{first}."
        )
    return pairs, names, skipped


def read_lines(path):
    """Number, video and class of each line of a list; "" for no class."""
    try:
        lines = Path(path).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            "`path` must be a UTF-8 text file with a video and its class on "
            f"each line. Received: path={str(path)!r} ({error})."
        ) from None
    for number, line in enumerate(map(str.strip, lines), 1):
        if line and not line.startswith("#"):
            separator = next((x for x in "\t," if x in line), None)
            video, *name = line.rsplit(separator, 1)
            yield number, video.strip(), "".join(name).strip()


def labels_of(texts, class_names, first_label):
    """The label of each class of a list, and the names of all classes."""
    numbers = {}
    if all(re.fullmatch(r"-?\d+", text) for text in texts):
        numbers = {text: int(text) - first_label for text in texts}
    if class_names is None:
        class_names = sorted(set(texts))
        if numbers:
            end = max(numbers.values()) + 1
            class_names = map(str, range(first_label, first_label + end))
    names = tuple(class_names)
    labels = {name: label for label, name in enumerate(names)}
    if not set(texts) <= set(names):
        labels |= {x: n for x, n in numbers.items() if 0 <= n < len(names)}
    return labels, names


def bad_videos(paths):
    """The reasons why videos cannot be read, by path."""

    def read(path):
        video = VideoFile(path)
        video.frames([0, video.num_frames - 1])

    return unreadable(paths, read)


def read_tfds_videos(
    name: Any,
    split: str = "train",
    data_dir: str | Path | None = None,
    download: bool = True,
) -> tuple[Sequence, tuple[str, ...]]:
    """Reads videos and their labels from tensorflow-datasets.

    For sets with a video and a class, such as `"ucf101/ucf101_1"`. They hold
    each frame as an encoded picture, of which those that are sampled are
    decoded. A set that is not on the disk is downloaded and written as
    ArrayRecord, from which videos are read when they are needed; of one that
    is there in another format, the encoded frames are held in memory. Needs
    the extra `applications`, and to write such a set the program `ffmpeg`.

    Args:
        name: Its name, with a slash and its config, or a builder.
        split: Name of a split; a part of one as `"train[:10%]"`.
        data_dir: Folder of the sets; None is tensorflow-datasets' own,
            `~/tensorflow_datasets`.
        download: Whether a set that is not there may be downloaded.

    Returns:
        Pairs as `VideoBatches` takes them, in the order of the set, and the
        names of the classes.

    Raises:
        ImportError: tensorflow-datasets is not installed.
        ValueError: There is no such set or split, the set has no videos with
            labels, or it is not on the disk and cannot be downloaded.
    """
    builder = find_builder(name, data_dir)
    video, label, class_names = choose_features(builder.info, "video", "class")
    return read_pairs(builder, split, download, video, label), class_names
