import io

import numpy as np
import pytest
from PIL import Image

from keras_attention.data import (
    CaptionBatches,
    ImageProcessor,
    SkippedRow,
    WordTokenizer,
    read_coco_captions,
    read_karpathy,
    read_tfds_captions,
    tfds_sets,
)
from tests.data.caption_files import write_coco, write_karpathy


@pytest.fixture(scope="module")
def tfds():
    return pytest.importorskip("tensorflow_datasets")


@pytest.fixture(scope="module")
def coco(tfds, tmp_path_factory):
    """What tensorflow-datasets makes of tiny files of COCO and Karpathy."""
    folder = tmp_path_factory.mktemp("coco")
    write_coco(folder)
    write_karpathy(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfds_sets, "_answers", lambda host: True)
        patch.setattr(
            tfds.download.DownloadManager,
            "download_and_extract",
            lambda self, urls: dict.fromkeys(urls, str(folder)),
        )
        read_tfds_captions(data_dir=folder / "sets")
    return folder


def pictures_of(examples):
    return [np.asarray(x.image) for x in examples]


@pytest.mark.parametrize("split", ["train", "val", "test", "restval"])
def test_the_set_is_read_as_the_files_it_was_made_of(coco, split):
    examples, skipped = read_tfds_captions(
        split=split, data_dir=coco / "sets", download=False
    )
    assert skipped == []
    found = {example.name: example for example in examples}
    expected, _ = read_karpathy(coco / "dataset_coco.json", coco, split)
    assert {name: x.captions for name, x in found.items()} == {
        x.name: x.captions for x in expected
    }
    part = "train2014" if split == "train" else "val2014"
    annotations = coco / "annotations"
    with_boxes, _ = read_coco_captions(
        annotations / f"captions_{part}.json",
        coco / part,
        annotations / f"instances_{part}.json",
    )
    for example in with_boxes:
        if example.name not in found:
            continue
        boxes = found[example.name].boxes
        assert [x[4] for x in boxes] == [x[4] for x in example.boxes]
        np.testing.assert_allclose(
            np.reshape([x[:4] for x in boxes], (-1, 4)),
            np.reshape([x[:4] for x in example.boxes], (-1, 4)),
            atol=1e-5,
        )
        with Image.open(example.image) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        np.testing.assert_array_equal(found[example.name].image, pixels)


def test_splits_are_put_together_and_pictures_decoded_when_needed(coco):
    examples, _ = read_tfds_captions(
        split="train+restval", data_dir=coco / "sets"
    )
    assert len(examples) == 3
    assert not isinstance(examples[0].image, (bytes, np.ndarray))
    tokenizer = WordTokenizer.train([x.captions[0] for x in examples])
    batches = CaptionBatches(
        examples, tokenizer, ImageProcessor((8, 6)), batch_size=5
    )
    assert batches[0][0]["images"].shape == (5, 8, 6, 3)


def as_dataset(*captions, box=(0.25, 0.5, 0.75, 1.0), picture=None):
    """Mock data of one example for each tuple of captions."""
    if picture is None:
        file = io.BytesIO()
        Image.new("RGB", (40, 20)).save(file, "JPEG")
        picture = file.getvalue()

    def examples():
        for number, texts in enumerate(captions):
            yield {
                "image": picture,
                "image/filename": f"{number}.jpg",
                "captions": {"text": list(texts), "id": [0] * len(texts)},
                "objects": {"bbox": [box], "label": [number]},
            }

    def read(self, *args, **kwargs):
        import tensorflow as tf

        spec = tf.TensorSpec
        return tf.data.Dataset.from_generator(
            examples,
            output_signature={
                "image": spec((), tf.string),
                "image/filename": spec((), tf.string),
                "captions": {
                    "text": spec((None,), tf.string),
                    "id": spec((None,), tf.int64),
                },
                "objects": {
                    "bbox": spec((None, 4), tf.float32),
                    "label": spec((None,), tf.int64),
                },
            },
        )

    return read


@pytest.fixture
def any_host(monkeypatch):
    monkeypatch.setattr(tfds_sets, "_answers", lambda host: True)


def test_a_set_in_another_format_is_held_as_files(tfds, any_host):
    data = as_dataset([" a dog ", "a cat"], ["zwei Kätzchen"])
    with tfds.testing.mock_data(as_dataset_fn=data):
        examples, skipped = read_tfds_captions("coco_captions")
    assert skipped == []
    assert [x.captions for x in examples] == [
        ("a dog", "a cat"),
        ("zwei Kätzchen",),
    ]
    assert [x.name for x in examples] == ["0.jpg", "1.jpg"]
    # (top, left, bottom, right) as shares of 20 x 40.
    assert examples[1].boxes[0][:4] == (20.0, 5.0, 40.0, 15.0)
    assert isinstance(examples[0].image, bytes)


def test_what_a_set_has_wrong_is_told_with_its_place(tfds, any_host):
    box = (0.25, 0.5, 0.75, 1.25)
    data = as_dataset(["a dog", ""], [], [b"caf\xe9"], box=box)
    with tfds.testing.mock_data(as_dataset_fn=data):
        with pytest.raises(ValueError, match="example 1: caption 2 is empty; "):
            read_tfds_captions()
        examples, skipped = read_tfds_captions(on_error="skip")
    assert [x.captions for x in examples] == [("a dog",)]
    assert examples[0].boxes == ()
    assert all(type(row) is SkippedRow for row in skipped)
    found = [(row.line, row.reason) for row in skipped]
    assert found[0] == (1, "caption 2 is empty")
    outside = "the box (20, 5, 50, 15) of '0' is not within the image of 40 x "
    assert found[1][1].startswith(outside)
    assert found[2] == (2, "it has no captions")
    assert found[4] == (3, "caption 1: byte 0xe9 at column 3 is not UTF-8")
    data = as_dataset(["a dog"], picture=b"no picture")
    with (
        tfds.testing.mock_data(as_dataset_fn=data),
        pytest.raises(
            ValueError, match="example 1: its picture cannot be read"
        ),
    ):
        read_tfds_captions()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(split="dev"), "split='dev'.*Its splits are "),
        (dict(name="cifar10"), "`captions` with a `text`. Received: cifar10"),
        (dict(name="opus"), "`captions` with a `text`. Received: opus"),
        (dict(name="no_such_set"), "name='no_such_set'"),
        (dict(data_dir="nowhere", download=False), "download=False"),
        (dict(on_error="ignore"), 'must be "raise" or "skip"'),
    ],
)
def test_what_a_set_does_not_have_is_refused(coco, arguments, message):
    with pytest.raises(ValueError, match=message):
        read_tfds_captions(**{"data_dir": coco / "sets", **arguments})
