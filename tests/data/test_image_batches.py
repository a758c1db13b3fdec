import keras
import numpy as np
import pytest
from PIL import Image

from keras_attention.data import ImageBatches, ImageProcessor, synthetic


def examples(number=10, height=9, width=7, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 256, (number, height, width, 3), "uint8")
    return [(x, i % classes) for i, x in enumerate(pictures)]


def read(batches):
    """All batches of an epoch, and the call that `fit` ends it with."""
    result = [batches[i] for i in range(batches.num_batches)]
    batches.on_epoch_end()
    return result


def test_without_shuffling_each_picture_comes_once_and_scaled():
    pairs = examples()
    batches = ImageBatches(pairs, 3, batch_size=4, shuffle=False)
    images, labels = map(np.concatenate, zip(*read(batches), strict=True))
    assert len(images) == 10 and images.dtype == "float32"
    pictures = np.stack([picture for picture, _ in pairs])
    np.testing.assert_allclose(images, pictures / 127.5 - 1, atol=1e-6)
    assert labels.tolist() == [label for _, label in pairs]


def test_shuffled_epochs_differ_fill_the_last_batch_and_can_be_repeated():
    def labels(**options):
        batches = ImageBatches(
            [(x, i) for i, (x, _) in enumerate(examples())],
            10,
            batch_size=4,
            **options,
        )
        return [
            np.concatenate([y for _, y in read(batches)]).tolist()
            for _ in range(2)
        ]

    first, second = labels(seed=3)
    assert first != second
    for epoch in (first, second):
        assert sorted(epoch[:10]) == list(range(10))
        assert epoch[10:] == epoch[:2]  # of the last batch, to its full size
    assert labels(seed=3) == [first, second]
    assert labels(seed=3, initial_epoch=1)[0] == second
    assert labels(seed=4)[0] != first


AUGMENTATIONS = {
    "flip": lambda: keras.layers.RandomFlip("horizontal"),
    "shift": lambda: keras.layers.RandomTranslation(0.2, 0.2),
    "rand augment": keras.layers.RandAugment,
    "erasing": keras.layers.RandomErasing,
    "mixup": keras.layers.MixUp,
    "cutmix": keras.layers.CutMix,
}


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.filterwarnings("ignore")  # Keras's own, of JAX and torch
def test_augmentation_is_a_function_of_seed_epoch_and_batch(name):
    def images(seed=0, **options):
        batches = ImageBatches(
            examples(16),
            3,
            batch_size=8,
            augmentation=[AUGMENTATIONS[name]()],
            one_hot=True,
            seed=seed,
            **options,
        )
        return [np.stack([x for x, _ in read(batches)]) for _ in range(2)]

    first, second = images()
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, images()[0])
    # As after a resume.
    np.testing.assert_array_equal(second, images(initial_epoch=1)[0])
    assert abs(first).max() <= 1 + 1e-6
    plain = ImageBatches(examples(16), 3, batch_size=8)
    assert not np.array_equal(first[0], plain[0][0])


def test_mixed_pictures_have_mixed_labels():
    """Of two plain pictures the share of one is the share of its label."""
    black, white = (np.full((4, 4, 3), x, "uint8") for x in (0, 255))
    batches = ImageBatches(
        [(black, 0), (white, 1)] * 8,
        2,
        batch_size=16,
        augmentation=[keras.layers.MixUp(alpha=1.0)],
        one_hot=True,
    )
    images, labels = batches[0]
    white_share = (images.mean((1, 2, 3)) + 1) / 2
    np.testing.assert_allclose(labels[:, 1], white_share, atol=1e-5)
    assert ((labels > 0.05) & (labels < 0.95)).any()


def test_of_the_layers_that_blend_a_batch_gets_one_or_none():
    black, white = (np.full((8, 8, 3), x, "uint8") for x in (0, 255))

    def kinds(mixing_share, seed=0):
        batches = ImageBatches(
            [(black, 0), (white, 1)] * 320,
            2,
            batch_size=16,
            augmentation=[keras.layers.MixUp(1.0), keras.layers.CutMix()],
            mixing_share=mixing_share,
            one_hot=True,
            seed=seed,
        )
        return [kind(*batch) for batch in read(batches)]

    def kind(images, labels):
        if np.isin(labels, (0, 1)).all():
            assert np.isclose(np.ptp(images, axis=(1, 2, 3)), 0).all()
            return "none"
        # Of boxes the colors stay, blended they become grey.
        return "cutmix" if np.isclose(abs(images), 1).all() else "mixup"

    found = kinds(0.6)
    assert found == kinds(0.6) != kinds(0.6, seed=1)
    # Of 40 batches about 12 by each.
    assert min(found.count(name) for name in ("mixup", "cutmix")) > 6
    assert 8 < found.count("none") < 26
    assert set(kinds(0.0)) == {"none"}
    assert kinds(1.0).count("none") < 3  # by chance


def test_masks_are_flipped_with_their_pictures():
    images, masks = synthetic.shapes(8, seed=1)
    # The picture tells the mask, so that one can be read off the other.
    pairs = [(np.repeat(60 * mask[..., None], 3, -1), mask) for mask in masks]
    batches = ImageBatches(
        pairs,
        4,
        batch_size=8,
        masks=True,
        augmentation=[keras.layers.RandomFlip()],
    )
    pictures, found = batches[0]
    assert found.dtype == "int32" and found.shape == (8, 32, 32)
    read_off = np.rint((pictures[..., 0] + 1) * 127.5 / 60)
    np.testing.assert_array_equal(found, read_off)
    before = masks[batches.rows(0)]
    assert (found != before).any((1, 2)).any()


def test_masks_are_resized_to_the_nearest_and_cropped_like_their_pictures():
    mask = np.zeros((6, 8), "uint8")
    mask[:, 4:] = 7
    processor = ImageProcessor(size=(12, 16), crop_size=(14, 16))
    batches = ImageBatches(
        [(np.repeat(mask[..., None], 3, -1), mask)], 8, processor, masks=True
    )
    _, found = batches[0]
    assert np.unique(found[0, 1:13, :8]).tolist() == [0]
    assert np.unique(found[0, 1:13, 8:]).tolist() == [7]
    # Beyond the border there is nothing to learn.
    assert (found[0, 0] == 255).all() and (found[0, -1] == 255).all()


def test_what_a_shift_leaves_empty_is_no_class():
    pairs = [(np.full((8, 8, 3), 9, "uint8"), np.full((8, 8), 1))] * 6
    shift = keras.layers.RandomTranslation(
        0.5, 0.5, fill_mode="constant", interpolation="nearest"
    )
    options = dict(num_classes=2, masks=True, augmentation=[shift])
    images, found = ImageBatches(pairs, batch_size=6, **options)[0]
    assert np.unique(found).tolist() == [1, 255]
    empty = found == 255
    np.testing.assert_allclose(images[empty], -1, atol=1e-6)
    with pytest.raises(ValueError, match="ignore_class=None"):
        ImageBatches(pairs, batch_size=6, ignore_class=None, **options)[0]


def test_files_are_read_by_threads_into_the_same_batches(tmp_path):
    pairs = []
    for index, (picture, label) in enumerate(examples(12)):
        path = tmp_path / f"{index}.png"
        Image.fromarray(picture).save(path)
        pairs.append((path, label))
    options = dict(num_classes=3, batch_size=5, seed=2)
    plain = ImageBatches(examples(12), **options)
    threads = ImageBatches(pairs, num_threads=4, **options)
    encoded = ImageBatches(
        [(path.read_bytes(), label) for path, label in pairs], **options
    )
    for one, other, third in zip(
        read(plain), read(threads), read(encoded), strict=True
    ):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[0], third[0])
        np.testing.assert_array_equal(one[1], other[1])


BAD = {
    "none": (dict(examples=[]), "no examples"),
    "label": (dict(examples=[(np.zeros((4, 4, 3)), 3)]), "Received: 3, of exa"),
    "negative": (dict(examples=[(np.zeros((4, 4, 3)), -1)]), "Received: -1"),
    "vector": (
        dict(examples=[(np.zeros((4, 4, 3)), np.array([0, 1, 0]))]),
        "by argmax",
    ),
    "float": (dict(examples=[(np.zeros((4, 4, 3)), 1.0)]), "Received: 1.0"),
    "text": (dict(examples=[(np.zeros((4, 4, 3)), "1")]), "Received: '1'"),
    "mixed masks": (
        dict(masks=True, augmentation=[keras.layers.CutMix()]),
        "Leave them out of",
    ),
    "mixing": (
        dict(augmentation=[keras.layers.MixUp()]),
        "Pass one_hot=True",
    ),
    "mixing share": (dict(mixing_share=1.5), "mixing_share=1.5"),
    "nothing mixes": (dict(mixing_share=0.5), "0.5 without them"),
    "sets of masks": (
        dict(masks=True, num_classes={"noun": 3}),
        "num_classes={'noun': 3}",
    ),
    "masks": (dict(masks=True, one_hot=True), "masks=True, one_hot=True"),
    "batch size": (dict(batch_size=0), "batch_size=0"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_batched_is_refused_at_once(name):
    arguments, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        ImageBatches(**{"examples": examples(), "num_classes": 3, **arguments})


BAD_PICTURES = {
    "range": ((np.zeros((4, 4, 3)), 0), {}, r"unsigned bytes.* float64"),
    "rank": ((np.zeros((2, 4, 4, 3), "uint8"), 0), {}, r"\(2, 4, 4, 3\)"),
    "size": ((np.zeros((5, 4, 3), "uint8"), 0), {}, r"\(4, 4\), \(5, 4\)"),
    "file": (("none.png", 0), {}, "'none.png' must be a picture"),
    "mask size": (
        (np.zeros((4, 4, 3), "uint8"), np.zeros((5, 4), "int32")),
        {"masks": True},
        r"\(4, 5\) for \(4, 4\)",
    ),
    "mask class": (
        (np.zeros((4, 4, 3), "uint8"), np.full((4, 4), 9)),
        {"masks": True},
        r"\[9\] in example 0",
    ),
    "mask dtype": (
        (np.zeros((4, 4, 3), "uint8"), np.zeros((4, 4))),
        {"masks": True},
        "dtype float64",
    ),
}


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_a_bad_picture_or_mask_is_told(name):
    example, options, message = BAD_PICTURES[name]
    picture = np.zeros((4, 4, 3), "uint8")
    other = (picture, np.zeros((4, 4), "int32") if options else 1)
    batches = ImageBatches([example, other], 3, shuffle=False, **options)
    with pytest.raises(ValueError, match=message):
        batches[0]


def test_a_model_learns_from_batches():
    pictures, labels = synthetic.glyphs(200, seed=0)
    keep = labels < 2
    pairs = list(zip(pictures[keep], labels[keep], strict=True))
    batches = ImageBatches(pairs, 2, batch_size=16, one_hot=True)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile(
        "adam", keras.losses.CategoricalCrossentropy(from_logits=True)
    )
    history = model.fit(batches, epochs=4, shuffle=False, verbose=0).history
    assert batches.epoch == 4
    assert history["loss"][-1] < 0.7 * history["loss"][0]
