import collections
import warnings

import keras
import numpy as np
import pytest
from PIL import Image

from keras_attention.data import (
    CaptionBatches,
    CaptionedImage,
    ImageProcessor,
    WordTokenizer,
)

HEIGHT, WIDTH = 5, 7
WORDS = [f"w{i}" for i in range(40)]
TOKENIZER = WordTokenizer.train([" ".join(WORDS)])


def captioned(number=31, longest=11, seed=0):
    """Images of one colour, their number, with 1 to 5 captions each."""
    rng = np.random.default_rng(seed)
    return [
        CaptionedImage(
            np.full((HEIGHT, WIDTH, 3), i, "uint8"),
            tuple(
                " ".join(rng.choice(WORDS, rng.integers(1, longest + 1)))
                for _ in range(rng.integers(1, 6))
            ),
            name=f"{i}.jpg",
        )
        for i in range(number)
    ]


EXAMPLES = captioned()
PAIRS = [
    (i, text) for i, example in enumerate(EXAMPLES) for text in example.captions
]


def read(batches):
    return [batches[i] for i in range(batches.num_batches)]


def served(batches):
    """`(image, caption)` of an epoch in order, rows of weight 0 left out."""
    rows = []
    for inputs, targets, weights in read(batches):
        numbers = (inputs["images"][:, 0, 0, 0] + 1) * 127.5
        texts = TOKENIZER.detokenize(targets)
        rows += [
            (int(round(float(numbers[i]))), texts[i])
            for i in np.flatnonzero(weights[:, 0])
        ]
    return rows


@pytest.mark.parametrize("same_length", [True, False])
@pytest.mark.parametrize("shuffle", [True, False])
def test_an_epoch_has_every_caption_once_with_its_image(same_length, shuffle):
    batches = CaptionBatches(
        EXAMPLES,
        TOKENIZER,
        batch_size=13,
        same_length=same_length,
        shuffle=shuffle,
    )
    rows = served(batches)
    assert collections.Counter(rows) == collections.Counter(PAIRS)
    assert rows == [
        (image, EXAMPLES[image].captions[caption])
        for k in range(batches.num_batches)
        for image, caption in batches.rows(k)
    ]


def test_a_batch_teaches_each_next_token_of_its_images():
    batches = CaptionBatches(EXAMPLES, TOKENIZER, batch_size=13)
    for k, (inputs, targets, weights) in enumerate(read(batches)):
        images, decoder = inputs["images"], inputs["decoder_token_ids"]
        assert images.shape == (13, HEIGHT, WIDTH, 3)
        assert images.dtype == weights.dtype == np.float32
        assert decoder.dtype == targets.dtype == np.int32
        rows = batches.rows(k)
        for i in range(13):
            image, caption = rows[i % len(rows)]
            text = EXAMPLES[image].captions[caption]
            (ids,) = TOKENIZER.tokenize([text])
            pad = [0] * targets.shape[1]
            assert decoder[i].tolist() == ([2] + ids + pad)[: len(pad)]
            assert targets[i].tolist() == (ids + [3] + pad)[: len(pad)]
            ones = [1.0] * (len(ids) + 1) if i < len(rows) else []
            assert weights[i].tolist() == (ones + pad)[: len(pad)]
            np.testing.assert_allclose(images[i], image / 127.5 - 1, atol=1e-6)


def test_batches_of_the_same_length_pad_nothing():
    batches = CaptionBatches(
        EXAMPLES, TOKENIZER, batch_size=13, same_length=True
    )
    lengths = {len(text.split()) + 1 for _, text in PAIRS}
    assert batches.shapes == [(13, length) for length in sorted(lengths)]
    for _, targets, weights in read(batches):
        whole = weights[weights[:, 0] > 0]
        assert whole.all() and (targets != 0).all()
    real = sum(len(text.split()) + 1 for _, text in PAIRS)
    cells = sum(weights.size for _, _, weights in read(batches))
    assert batches.padding == pytest.approx(1 - real / cells)


def test_shapes_are_at_most_as_many_as_asked():
    for number in (1, 2, 5):
        batches = CaptionBatches(
            EXAMPLES, TOKENIZER, batch_size=13, num_buckets=number
        )
        assert 1 <= len(batches.shapes) <= number
        assert {y.shape for _, y, _ in read(batches)} == set(batches.shapes)
    one = CaptionBatches(EXAMPLES, TOKENIZER, batch_size=13, num_buckets=1)
    assert one.padding > batches.padding


def test_a_resumed_epoch_is_the_one_that_would_have_come():
    options = dict(tokenizer=TOKENIZER, batch_size=13, seed=5)
    batches = CaptionBatches(EXAMPLES, **options)
    epochs = []
    for epoch in range(3):
        batches.set_epoch(epoch)
        epochs.append(served(batches))
    assert epochs[0] != epochs[1] != epochs[2]
    resumed = CaptionBatches(EXAMPLES, initial_epoch=2, **options)
    assert served(resumed) == epochs[2]
    other = CaptionBatches(EXAMPLES, **{**options, "seed": 6})
    assert served(other) != epochs[0]
    fixed = CaptionBatches(EXAMPLES, shuffle=False, **options)
    first = served(fixed)
    fixed.set_epoch(1)
    assert served(fixed) == first


def test_the_first_two_batches_show_that_lengths_change():
    """Keras on TensorFlow infers the shapes of an epoch from these two."""
    for epoch in range(5):
        for options in (dict(same_length=True), dict(steps_per_epoch=2)):
            batches = CaptionBatches(
                EXAMPLES,
                TOKENIZER,
                batch_size=13,
                initial_epoch=epoch,
                **options,
            )
            assert batches[0][1].shape[1] != batches[1][1].shape[1]
    assert batches.num_batches == 2


def test_pictures_are_read_by_threads_resized_and_scaled(tmp_path):
    on_disk = []
    for i, example in enumerate(EXAMPLES):
        path = tmp_path / f"{i}.png"
        Image.fromarray(example.image).save(path)
        on_disk.append(example._replace(image=str(path)))
    processor = ImageProcessor((4, 6), scale=1.0, mean=(1.0,) * 3)
    options = dict(image_processor=processor, batch_size=9)
    threads = CaptionBatches(on_disk, TOKENIZER, num_threads=3, **options)
    plain = CaptionBatches(EXAMPLES, TOKENIZER, **options)
    for one, other in zip(read(threads), read(plain), strict=True):
        np.testing.assert_array_equal(one[0]["images"], other[0]["images"])
        np.testing.assert_array_equal(one[1], other[1])
    images = [image for image, _ in plain.rows(0)]
    found = plain[0][0]["images"]
    assert found.shape == (9, 4, 6, 3)
    np.testing.assert_allclose(
        found[: len(images), 1, 2, 0], (np.array(images) - 1) / 0.5, atol=1e-5
    )


def test_augmentation_is_a_function_of_seed_epoch_and_batch():
    def images(seed=0, **options):
        batches = CaptionBatches(
            EXAMPLES[:8],
            TOKENIZER,
            batch_size=8,
            num_buckets=1,
            augmentation=[keras.layers.RandomBrightness(0.5)],
            seed=seed,
            **options,
        )
        epochs = []
        for _ in range(2):
            epochs.append(np.stack([x["images"] for x, _, _ in read(batches)]))
            batches.on_epoch_end()
        return epochs

    first, second = images()
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, images()[0])
    np.testing.assert_array_equal(second, images(initial_epoch=1)[0])
    assert first.min() >= -1 and first.max() > (40 / 127.5 - 1)


def test_features_of_any_shape_come_as_they_are():
    for shape in ((2, 3, 5), (7, 5)):
        rng = np.random.default_rng(0)
        examples = [
            x._replace(image=rng.normal(size=shape).astype("float16"))
            for x in EXAMPLES
        ]
        batches = CaptionBatches(
            examples, TOKENIZER, batch_size=13, input_name="features"
        )
        inputs, _, _ = batches[0]
        assert set(inputs) == {"features", "decoder_token_ids"}
        assert inputs["features"].dtype == np.float32
        for i, (image, _) in enumerate(batches.rows(0)):
            np.testing.assert_array_equal(
                inputs["features"][i], examples[image].image
            )


def captioner(image_shape, name, vocabulary_size):
    images = keras.Input(image_shape, name=name)
    tokens = keras.Input((None,), dtype="int32", name="decoder_token_ids")
    x = keras.layers.GlobalAveragePooling2D()(images)
    x = keras.layers.Dense(5)(x)[:, None]
    y = keras.layers.Embedding(vocabulary_size, 5)(tokens)
    logits = keras.layers.Dense(vocabulary_size)(x + y)
    model = keras.Model([images, tokens], logits)
    model.compile(
        optimizer="adam",
        loss=keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
        jit_compile=False,
    )
    return model


@pytest.mark.parametrize("same_length", [True, False])
@pytest.mark.parametrize("name", ["images", "features"])
def test_fit_reads_each_epoch_and_advances(name, same_length):
    examples = captioned(9, longest=3)
    if name == "features":
        examples = [
            x._replace(image=x.image.astype("float32")) for x in examples
        ]
    batches = CaptionBatches(
        examples,
        TOKENIZER,
        batch_size=7,
        same_length=same_length,
        input_name=name,
    )
    assert len(batches.shapes) > 1
    model = captioner((HEIGHT, WIDTH, 3), name, TOKENIZER.vocabulary_size)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = model.fit(batches, epochs=2, shuffle=False, verbose=0)
    assert len(history.history["loss"]) == 2 and batches.epoch == 2


def test_a_picture_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "7.jpg"
    path.write_bytes(b"no picture")
    for image, what in ((str(path), "7.jpg"), (b"no picture", "10 bytes")):
        examples = [CaptionedImage(image, ("w1",), name="seven")]
        batches = CaptionBatches(examples, TOKENIZER)
        with pytest.raises(ValueError, match=rf"example 0 \(seven\).*{what}"):
            batches[0]
    wide = np.zeros((4, 9, 3), "uint8")
    mixed = [CaptionedImage(wide, ("w1",)), EXAMPLES[0]]
    with pytest.raises(ValueError, match="of a batch must have one size"):
        CaptionBatches(mixed, TOKENIZER, num_buckets=1)[0]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([np.zeros((2, 3, 3), "uint8")], "must be arrays of floats.*example 0"),
        (["7.jpg"], "must be arrays of floats.*str"),
        (
            [np.zeros((2, 5)), np.zeros((3, 5))],
            r"one shape.*\(2, 5\), \(3, 5\)",
        ),
    ],
)
def test_features_that_are_none_are_refused(images, message):
    examples = [CaptionedImage(image, ("w1",)) for image in images]
    batches = CaptionBatches(examples, TOKENIZER, input_name="features")
    with pytest.raises(ValueError, match=message):
        batches[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(examples=[]), "Received: no examples"),
        (
            dict(examples=[CaptionedImage("a", ())]),
            r"captions=\(\) in exam.* 0",
        ),
        (dict(examples=[CaptionedImage("a", "w1")]), "captions='w1'"),
        (
            dict(examples=[CaptionedImage("a", ("w1", " "))]),
            "' ', caption 1 of example 0",
        ),
        (dict(batch_size=0), "batch_size=0"),
        (dict(num_threads=0), "num_threads=0"),
        (dict(num_buckets=0), "num_buckets=0"),
        (dict(num_buckets=3, same_length=True), "True, num_buckets=3"),
        (dict(steps_per_epoch=0), "steps_per_epoch=0"),
        (dict(steps_per_epoch=1, same_length=True), "at least 2 when"),
        (dict(seed=-1), "seed=-1"),
        (
            dict(input_name="image"),
            "`input_name` must be one of 'images', 'fea",
        ),
        (
            dict(input_name="features", image_processor=ImageProcessor()),
            "neither processed nor augmented",
        ),
        (
            dict(
                input_name="features",
                augmentation=[keras.layers.RandomBrightness(0.1)],
            ),
            "neither processed nor augmented",
        ),
        (dict(augmentation=[keras.layers.MixUp()]), "captions cannot be blend"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    good = {"examples": EXAMPLES, "tokenizer": TOKENIZER}
    with pytest.raises(ValueError, match=message):
        CaptionBatches(**{**good, **arguments})
