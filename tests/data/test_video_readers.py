import io

import numpy as np
import pytest
from PIL import Image

from keras_attention.data import (
    ImageProcessor,
    VideoBatches,
    VideoViews,
    read_tfds_videos,
    tfds_sets,
)
from keras_attention.ops.frames import uniform_frames


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
