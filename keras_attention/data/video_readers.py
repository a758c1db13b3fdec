"""Videos with labels, from folders and tensorflow-datasets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_attention.data.image_readers import (
    SkippedFile,
    choose_features,
    read_class_folder,
    read_pairs,
    unreadable,
)
from keras_attention.data.tfds_sets import find_builder
from keras_attention.data.video_files import VideoFile

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
