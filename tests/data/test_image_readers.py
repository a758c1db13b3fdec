import io

import numpy as np
import pytest
from PIL import Image

from keras_attention.data import (
    ImageBatches,
    ImageProcessor,
    SkippedFile,
    read_image_folder,
    read_mask_folder,
    read_tfds_images,
    split_by_class,
    tfds_sets,
)


def save(path, height=6, width=8, mode="RGB", value=90):
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = (3,) if mode == "RGB" else ()
    array = np.full((height, width, *channels), value, "uint8")
    Image.fromarray(array, mode=None).save(path)
    return path


@pytest.fixture
def flowers(tmp_path):
    for name in ("rose", "daisy"):
        for file in ("b.png", "a.jpg", "more/c.webp"):
            save(tmp_path / name / file)
    (tmp_path / ".cache").mkdir()
    return tmp_path


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-40])


def test_folders_are_classes_and_files_come_in_order(flowers):
    pairs, names, skipped = read_image_folder(flowers)
    assert names == ("daisy", "rose") and skipped == []
    found = [(path.relative_to(flowers).as_posix(), y) for path, y in pairs]
    assert found == [
        (f"{name}/{file}", label)
        for label, name in enumerate(names)
        for file in ("a.jpg", "b.png", "more/c.webp")
    ]


def test_the_classes_of_a_training_set_keep_their_labels(flowers):
    pairs, names, _ = read_image_folder(flowers, ["rose", "daisy"])
    assert names == ("rose", "daisy")
    assert {path.parts[-2]: y for path, y in pairs if path.name == "b.png"} == {
        "rose": 0,
        "daisy": 1,
    }
    with pytest.raises(ValueError, match="Received: daisy in"):
        read_image_folder(flowers, ["rose", "tulip"])


def test_a_file_that_is_cut_off_is_found_before_training(flowers):
    bad = flowers / "rose" / "b.png"
    cut_off(bad)
    with pytest.raises(ValueError, match=r"rose/b\.png'.* on_error"):
        read_image_folder(flowers)
    pairs, _, skipped = read_image_folder(flowers, on_error="skip")
    assert [file.path for file in skipped] == [bad]
    assert bad not in [path for path, _ in pairs] and len(pairs) == 5
    assert len(read_image_folder(flowers, verify=False)[0]) == 6


def test_other_files_are_told_and_never_dropped_in_silence(flowers):
    note = flowers / "rose" / "notes.txt"
    note.write_text("about roses")
    with pytest.raises(ValueError, match=r"notes\.txt'.*ends with none of"):
        read_image_folder(flowers)
    _, _, skipped = read_image_folder(flowers, on_error="skip")
    assert [type(x) for x in skipped] == [SkippedFile]
    assert skipped[0].path == note


def test_hidden_files_are_passed_over_and_stray_pictures_told(flowers):
    save(flowers / "rose" / ".checkpoints" / "a.png")
    (flowers / "rose" / "._a.jpg").write_bytes(b"a note")
    assert len(read_image_folder(flowers)[0]) == 6
    stray = save(flowers / "stray.png")
    _, _, skipped = read_image_folder(flowers, on_error="skip")
    assert [file.path for file in skipped] == [stray]
    other = save(flowers.parent / f"{flowers.name}_more" / "d.png").parent
    (flowers / "rose" / "linked").symlink_to(other)
    stray.unlink()
    assert len(read_image_folder(flowers)[0]) == 7


def test_folders_that_are_no_classes_are_refused(flowers, tmp_path):
    with pytest.raises(ValueError, match="where there is none"):
        read_image_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="where there is a file"):
        read_image_folder(flowers / "rose" / "a.jpg")
    with pytest.raises(ValueError, match="without folders"):
        read_image_folder(flowers / "rose" / "more")
    (flowers / "tulip").mkdir()
    with pytest.raises(ValueError, match=r"none in '.*tulip'. Fill it"):
        read_image_folder(flowers)
    bad = save(flowers / "tulip" / "a.png")
    cut_off(bad)
    with pytest.raises(ValueError, match="that can be read.*tulip"):
        read_image_folder(flowers, on_error="skip")
    with pytest.raises(ValueError, match='must be "raise" or "skip"'):
        read_image_folder(flowers, on_error="ignore")


def test_pictures_are_paired_with_their_masks(tmp_path):
    for name in ("one", "two"):
        save(tmp_path / "images" / f"{name}.jpg")
        save(tmp_path / "masks" / f"{name}.png", mode="L", value=2)
    pairs, skipped = read_mask_folder(tmp_path)
    assert [(p.name, m.name) for p, m in pairs] == [
        ("one.jpg", "one.png"),
        ("two.jpg", "two.png"),
    ]
    assert skipped == []
    _, masks = ImageBatches(pairs, 3, masks=True, shuffle=False)[0]
    assert np.unique(masks).tolist() == [2]
    save(tmp_path / "images" / "three.png")
    save(tmp_path / "masks" / "four.png", mode="L")
    with pytest.raises(ValueError, match=r"three\.png'.* no mask, and 1 more"):
        read_mask_folder(tmp_path)
    save(tmp_path / "masks" / "three.png")  # in colours
    pairs, skipped = read_mask_folder(tmp_path, on_error="skip")
    assert len(pairs) == 2
    reasons = {file.path.name: file.reason for file in skipped}
    assert reasons["four.png"] == "it has no picture"
    assert "one channel" in reasons["three.png"]


def test_masks_belong_to_the_pictures_of_the_same_folder(tmp_path):
    for part, value in (("one", 1), ("two", 2)):
        save(tmp_path / "images" / part / "1.png")
        save(tmp_path / "masks" / part / "1.png", mode="L", value=value)
    pairs, _ = read_mask_folder(tmp_path)
    assert [(p.parent.name, m.parent.name) for p, m in pairs] == [
        ("one", "one"),
        ("two", "two"),
    ]
    save(tmp_path / "masks" / "two" / "1.gif", mode="L")
    with pytest.raises(ValueError, match="has the same name"):
        read_mask_folder(tmp_path)


def test_sixteen_bits_of_grey_are_scaled_and_not_cut_off():
    grey = np.array([[0, 256], [30000, 65535]], "uint16")
    pixels = ImageProcessor().pixels(Image.fromarray(grey))
    assert pixels[..., 0].tolist() == [[0, 1], [117, 255]]


def test_a_palette_holds_classes():
    image = Image.new("P", (5, 4), 3)
    image.putpalette([7, 8, 9] * 256)
    file = io.BytesIO()
    image.save(file, "PNG")
    mask = ImageProcessor().mask(file.getvalue())
    assert mask.shape == (4, 5) and np.unique(mask).tolist() == [3]


def test_a_share_of_each_class_is_drawn():
    pairs = [(i, i % 3) for i in range(60)]
    rest, share = split_by_class(pairs, 0.2, seed=1)
    assert sorted(rest + share) == pairs and len(share) == 12
    assert np.bincount([label for _, label in share]).tolist() == [4, 4, 4]
    assert split_by_class(pairs, 0.2, seed=1) == (rest, share)
    assert split_by_class(pairs, 0.2, seed=2)[1] != share
    with pytest.raises(ValueError, match="1 of class 5"):
        split_by_class([*pairs, (0, 5)], 0.2)
    with pytest.raises(ValueError, match=r"share=1\.0"):
        split_by_class(pairs, 1.0)


@pytest.fixture(scope="module")
def tfds():
    return pytest.importorskip("tensorflow_datasets")


@pytest.fixture
def any_host(monkeypatch):
    monkeypatch.setattr(tfds_sets, "_answers", lambda host: True)


@pytest.mark.parametrize(
    ("name", "classes"),
    [("cifar10", 10), ("imagenet2012", 1000), ("oxford_flowers102", 102)],
)
def test_sets_have_pictures_and_classes(tfds, any_host, name, classes):
    with tfds.testing.mock_data(num_examples=3):
        pairs, names = read_tfds_images(name)
    assert len(pairs) == 3 and len(names) == classes
    processor = ImageProcessor((8, 8))
    images, labels = ImageBatches(pairs, classes, processor)[0]
    assert images.shape[1:] == (8, 8, 3)
    assert set(labels.tolist()) == {label for _, label in pairs}


def test_pets_have_masks_that_count_from_zero(tfds, any_host):
    mask = np.array([[1, 2, 3], [1, 1, 3]], "uint8")

    def as_dataset(self, *args, **kwargs):
        import tensorflow as tf

        picture = tf.io.encode_jpeg(np.zeros((2, 3, 3), "uint8"))
        masks = tf.io.encode_png(mask[..., None])
        examples = {
            "image": [picture],
            "segmentation_mask": [masks],
            "label": [5],
        }
        return tf.data.Dataset.from_tensor_slices(examples)

    with tfds.testing.mock_data(as_dataset_fn=as_dataset):
        pairs, names = read_tfds_images("oxford_iiit_pet", masks=True)
        labelled, pets = read_tfds_images("oxford_iiit_pet")
    assert names == ("pet", "background", "border")
    np.testing.assert_array_equal(pairs[0][1], mask - 1)
    assert labelled[0][1] == 5 and len(pets) == 37


def test_a_folder_of_tensorflow_datasets_is_read(tfds, tmp_path):
    for name in ("cat", "dog"):
        for index in range(2):
            save(tmp_path / "train" / name / f"{index}.png", width=8 + index)
    pairs, names = read_tfds_images(tfds.ImageFolder(str(tmp_path)))
    assert names == ("cat", "dog")
    assert sorted(label for _, label in pairs) == [0, 0, 1, 1]
    batches = ImageBatches(pairs, 2, ImageProcessor((6, 8)), batch_size=4)
    assert batches[0][0].shape == (4, 6, 8, 3)


@pytest.fixture(scope="module")
def prepared(tfds, tmp_path_factory):
    """A set on the disk in the format that is read picture by picture."""

    class TinyPictures(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(encoding_format="png"),
                "label": tfds.features.ClassLabel(names=["dark", "light"]),
            }
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                supervised_keys=("image", "label"),
            )

        def _split_generators(self, _):
            return {"train": self._generate_examples(7)}

        def _generate_examples(self, number):
            for i in range(number):
                picture = np.full((4, 5, 3), 255 * (i % 2), "uint8")
                yield i, {"image": picture, "label": i % 2}

    folder = tmp_path_factory.mktemp("sets")
    builder = TinyPictures(data_dir=str(folder))
    builder.download_and_prepare(file_format="array_record")
    return folder


def test_a_set_that_can_be_is_read_picture_by_picture(prepared):
    pairs, names = read_tfds_images("tiny_pictures", data_dir=prepared)
    assert not isinstance(pairs, list) and len(pairs) == 7
    assert names == ("dark", "light") and pairs[-1][1] == pairs[6][1]
    with pytest.raises(IndexError, match="No example 7 among 7"):
        pairs[7]
    images, labels = ImageBatches(pairs, 2, shuffle=False)[0]
    np.testing.assert_array_equal(images[:, 0, 0, 0], 2 * labels - 1)
    part, _ = read_tfds_images("tiny_pictures", "train[:3]", data_dir=prepared)
    assert len(part) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(split="test"), "split='test'.*Its splits are train;"),
        (dict(masks=True), "a picture and a mask. Received: tiny_pictures"),
        (dict(name="no_such_set"), "name='no_such_set'"),
        (dict(name="opus"), "a picture and a class. Received: opus"),
        (dict(name="cifar10", download=False), "cifar10.* download=False"),
    ],
)
def test_what_a_set_does_not_have_is_refused(prepared, arguments, message):
    with pytest.raises(ValueError, match=message):
        read_tfds_images(
            **{"name": "tiny_pictures", "data_dir": prepared, **arguments}
        )
