import io

import numpy as np
import pytest
from PIL import Image

from keras_attention.data import (
    ImageProcessor,
    VideoBatches,
    VideoViews,
    read_tfds_videos,
    read_video_list,
    tfds_sets,
)
from keras_attention.ops.frames import uniform_frames
from tests.data.test_video_files import encode, pictures


@pytest.fixture(scope="module")
def tfds():
    return pytest.importorskip("tensorflow_datasets")


def clip(index):
    """As many frames as its number tells, each of its own grey."""
    greys = 40 * index + np.arange(index + 1, dtype="uint8")
    return np.broadcast_to(greys[:, None, None, None], (index + 1, 4, 5, 3))


@pytest.fixture(scope="module")
def prepared(tfds, tmp_path_factory):
    """A small set on the disk, by the format that it is written in."""
    features = {
        "video": tfds.features.Video((None, None, None, 3)),
        "label": tfds.features.ClassLabel(names=["even", "odd"]),
    }
    examples = [(i, {"video": clip(i), "label": i % 2}) for i in range(5)]
    folders = {}
    for file_format in ("array_record", "tfrecord"):
        folders[file_format] = tmp_path_factory.mktemp(file_format)
        tfds.dataset_builders.store_as_tfds_dataset(
            "tiny_videos",
            "1.0.0",
            tfds.features.FeaturesDict(features),
            {"train": examples},
            data_dir=folders[file_format],
            file_format=file_format,
            disable_shuffling=True,
        )
    return folders


@pytest.mark.parametrize("file_format", ["array_record", "tfrecord"])
def test_videos_of_a_set_become_clips(prepared, file_format):
    """Read one by one, or held in memory."""
    folder = prepared[file_format]
    pairs, names = read_tfds_videos("tiny_videos", data_dir=folder)
    assert names == ("even", "odd") and len(pairs) == 5
    batches = VideoBatches(pairs, 2, frames=3, batch_size=5, shuffle=False)
    clips, labels = batches[0]
    expected = [clip(i)[uniform_frames(i + 1, 3)] / 127.5 - 1 for i in range(5)]
    np.testing.assert_allclose(clips, expected, atol=1e-6)
    assert labels.tolist() == [0, 1, 0, 1, 0]
    views = VideoViews(pairs, frames=2, views=1)[4][0]
    assert views.shape == (1, 2, 4, 5, 3)
    part, _ = read_tfds_videos("tiny_videos", "train[:2]", data_dir=folder)
    assert len(part) == 2


def test_frames_that_are_not_sampled_are_not_decoded():
    frames = []
    for pixels in clip(3):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        frames.append(file.getvalue())
    frames[0] = frames[2] = b"no picture"
    clips, _ = VideoBatches([(frames, 0)], 1, frames=2)[0]
    np.testing.assert_allclose(clips[0], clip(3)[[1, 3]] / 127.5 - 1, atol=1e-6)
    with pytest.raises(ValueError, match="'10 bytes' must be a picture"):
        VideoBatches([(frames, 0)], 1, frames=4)[0]


def test_ucf101_has_videos_and_classes(tfds, monkeypatch):
    monkeypatch.setattr(tfds_sets, "_answers", lambda host: True)
    with tfds.testing.mock_data(num_examples=2):
        pairs, names = read_tfds_videos("ucf101/ucf101_1")
    assert len(pairs) == 2 and len(names) == 101
    processor = ImageProcessor((8, 8))
    clips, labels = VideoBatches(pairs, 101, 4, image_processor=processor)[0]
    assert clips.shape[1:] == (4, 8, 8, 3)
    assert set(labels.tolist()) == {label for _, label in pairs}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(split="test"), "split='test'.*Its splits are train;"),
        (dict(name="ucf101/none"), "name='ucf101/none'"),
        (dict(name="cifar10"), "a video and a class.* cifar10.*'ucf101'"),
        (dict(name="ucf101", download=False), "ucf101.* download=False"),
    ],
)
def test_what_a_set_does_not_have_is_refused(prepared, arguments, message):
    folder = prepared["tfrecord"]
    with pytest.raises(ValueError, match=message):
        read_tfds_videos(
            **{"name": "tiny_videos", "data_dir": folder, **arguments}
        )


@pytest.fixture
def clips(tmp_path):
    """Three files, with an empty folder beside them."""
    for name in ("run/1.mp4", "run/with a dog.mp4", "swim/a,b.avi"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode(pictures(3)))
    return tmp_path


def write(folder, text, **options):
    path = folder / "list.txt"
    path.write_text(text, **{"encoding": "utf-8", **options})
    return path


LISTS = {
    "spaces": ("run/1.mp4 0\nrun/with a dog.mp4   1\n", ("0", "1"), [0, 1]),
    "tabs": ("swim/a,b.avi\tto swim\nrun/1.mp4\ta\n", ("a", "to swim"), [1, 0]),
    "commas": (
        "run/1.mp4,to run\nrun/with a dog.mp4, b",
        ("b", "to run"),
        [1, 0],
    ),
    "notes": ("\ufeff# of 2\n\n run/1.mp4 2\r\n#\n", ("0", "1", "2"), [2]),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_has_videos_and_classes(clips, name):
    text, class_names, labels = LISTS[name]
    pairs, names, skipped = read_video_list(write(clips, text))
    assert names == class_names and not skipped
    assert [label for _, label in pairs] == labels
    assert all(path.is_file() for path, _ in pairs)
    assert VideoBatches(pairs, len(names), 2)[0][0].shape[1] == 2


def test_classes_of_a_list_may_be_named_and_count_from_one(clips):
    numbers = write(clips, "run/1.mp4 1\nrun/with a dog.mp4 3\n")
    labels = [label for _, label in read_video_list(numbers)[0]]
    assert labels == [1, 3]
    pairs, names, _ = read_video_list(numbers, first_label=1)
    assert [y for _, y in pairs] == [0, 2] and names == ("1", "2", "3")
    known = ["run", "walk", "swim"]
    pairs, names, _ = read_video_list(numbers, None, known, first_label=1)
    assert [y for _, y in pairs] == [0, 2] and names == tuple(known)
    with pytest.raises(ValueError, match="line 2 of .*'3' is none of the cl"):
        read_video_list(numbers, class_names=known)
    named = write(clips, "run/1.mp4 swim")
    assert read_video_list(named, class_names=known)[0][0][1] == 2


def test_paths_of_a_list_are_relative_to_a_folder(clips, tmp_path_factory):
    path = write(tmp_path_factory.mktemp("lists"), "run/1.mp4 0")
    pairs, _, _ = read_video_list(path, clips)
    assert pairs == [(clips / "run" / "1.mp4", 0)]
    absolute = write(path.parent, f"{clips / 'run' / '1.mp4'} 0")
    assert read_video_list(absolute)[0] == pairs


def test_lines_that_cannot_be_used_are_told(clips):
    (clips / "bad.mp4").write_bytes(b"no video")
    path = write(
        clips, "run/1.mp4 0\n\nbad.mp4 1\nnone.mp4 1\nalone.mp4\nb.mp4 -1"
    )
    with pytest.raises(ValueError, match=r"bad.mp4': line 3 of .*3 more such"):
        read_video_list(path)
    pairs, _, skipped = read_video_list(path, on_error="skip")
    assert [label for _, label in pairs] == [0]
    reasons = {x.path.name: x.reason.split(": ", 1)[1] for x in skipped}
    assert "Invalid data" in reasons.pop("bad.mp4")
    assert reasons == {
        "none.mp4": "there is no such file",
        "alone.mp4": "it has no class",
        "b.mp4": "'-1' is none of the classes",
    }
    pairs, _, _ = read_video_list(path, on_error="skip", verify=False)
    assert [x.name for x, _ in pairs] == ["1.mp4", "bad.mp4"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("# nothing\n\n", {}, "0 lines, none of them"),
        ("none.mp4 0", dict(on_error="skip"), "1 lines, .*line 1 .*no such"),
        (",0", {}, "line 1 of .*: there is no such file"),
        ("a.mp4 0", dict(folder="nowhere"), "'nowhere', where there is none"),
        ("a.mp4 0", dict(first_label=-1), "first_label=-1"),
        ("a.mp4 0", dict(on_error="ignore"), '"raise" or "skip"'),
    ],
)
def test_lists_that_cannot_be_used_are_refused(clips, text, options, message):
    with pytest.raises(ValueError, match=message):
        read_video_list(write(clips, text), **options)


def test_a_list_must_be_a_text_file(clips):
    with pytest.raises(ValueError, match="path='.*none.txt' .*No such file"):
        read_video_list(clips / "none.txt")
    latin = write(clips, "\u00fcben.mp4 0", encoding="latin-1")
    with pytest.raises(ValueError, match="list.txt' .*utf-8"):
        read_video_list(latin)
