import json
import types

import keras
import numpy as np
import pytest
from PIL import Image

from keras_attention.data import (
    CaptionBatches,
    CaptionedImage,
    ImageProcessor,
    WordTokenizer,
    cache_features,
)

PROCESSOR = ImageProcessor((8, 12))


def encoder_of(pool=4, seed=0, sequence=False, factor=2.0):
    """A small encoder whose weights a seed gives."""
    images = keras.Input((8, 12, 3))
    x = keras.layers.Conv2D(5, 1)(factor * images)
    x = keras.layers.AveragePooling2D(pool)(x)
    if sequence:
        x = keras.layers.Reshape((-1, 5))(x)
    model = keras.Model(images, x)
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=x.shape) for x in model.get_weights()])
    return model


@pytest.fixture
def examples(tmp_path):
    """Seven pictures on the disk; the first of them in two examples."""
    rng = np.random.default_rng(1)
    found = []
    for i in range(7):
        path = tmp_path / "pictures" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (9, 10, 3), "uint8")
        Image.fromarray(pixels).save(path)
        found.append(CaptionedImage(str(path), (f"w{i}",), name=path.name))
    return [*found, found[0]._replace(captions=("another",))]


def expected(encoder, examples):
    images = PROCESSOR([example.image for example in examples])
    return keras.ops.convert_to_numpy(encoder(images))


class Counted:
    """Counts the pictures of the batches that a model predicts."""

    def __init__(self, encoder, monkeypatch, fail_after=None):
        self.batches = 0
        predict = encoder.predict_on_batch

        def counted(images):
            if self.batches == fail_after:
                raise KeyboardInterrupt
            self.batches += 1
            assert len(images) == 3  # always the same shape
            return predict(images)

        monkeypatch.setattr(encoder, "predict_on_batch", counted)


@pytest.mark.parametrize("sequence", [False, True])
def test_rows_are_what_the_encoder_makes_of_each_picture(
    examples, tmp_path, sequence
):
    encoder = encoder_of(sequence=sequence)
    cached = cache_features(
        encoder, examples, tmp_path / "cache", PROCESSOR, batch_size=3
    )
    features = expected(encoder, examples)
    for example, before, row in zip(cached, examples, features, strict=True):
        assert example[1:] == before[1:]
        assert isinstance(example.image, np.memmap)
        assert example.image.dtype == np.float32
        np.testing.assert_allclose(example.image, row, atol=1e-5)
    # One row for each picture, although one is in two examples.
    stored = np.load(tmp_path / "cache" / "features.npy", mmap_mode="r")
    assert len(stored) == 7


def test_cached_features_are_trained_on(examples, tmp_path):
    encoder = encoder_of()
    cached = cache_features(encoder, examples, tmp_path / "cache", PROCESSOR)
    tokenizer = WordTokenizer.train([x.captions[0] for x in examples])
    batches = CaptionBatches(
        cached, tokenizer, batch_size=8, input_name="features", shuffle=False
    )
    np.testing.assert_allclose(
        batches[0][0]["features"], expected(encoder, examples), atol=1e-5
    )


def test_a_complete_cache_is_read_and_not_made_again(
    examples, tmp_path, monkeypatch
):
    options = dict(
        folder=tmp_path / "cache", image_processor=PROCESSOR, batch_size=3
    )
    first = cache_features(encoder_of(), examples, **options)
    # The same encoder, made anew: its layers have other names.
    again = encoder_of()
    assert again.layers[-1].name != encoder_of().layers[-1].name
    counted = Counted(again, monkeypatch)
    second = cache_features(again, examples[::-1], **options)
    assert counted.batches == 0
    for one, other in zip(first, second[::-1], strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def test_a_run_that_was_stopped_goes_on_where_it_was(
    examples, tmp_path, monkeypatch
):
    options = dict(
        folder=tmp_path / "cache", image_processor=PROCESSOR, batch_size=3
    )
    encoder = encoder_of()
    with monkeypatch.context() as patch:
        Counted(encoder, patch, fail_after=2)
        with pytest.raises(KeyboardInterrupt):
            cache_features(encoder, examples, **options)
    with monkeypatch.context() as patch:
        counted = Counted(encoder, patch)
        cached = cache_features(encoder, examples, num_threads=2, **options)
        assert counted.batches == 1
    features = expected(encoder, examples)
    for example, row in zip(cached, features, strict=True):
        np.testing.assert_allclose(example.image, row, atol=1e-5)


class Times(keras.layers.Layer):
    """A layer of one's own, without a config."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def call(self, x):
        return self.factor * x


def test_an_encoder_without_a_config_is_known_by_its_weights(
    examples, tmp_path
):
    def encoder(weight):
        own = keras.Sequential(
            [keras.Input((8, 12, 3)), keras.layers.Conv2D(5, 4), Times(2.0)]
        )
        own.set_weights([np.full(x.shape, weight) for x in own.get_weights()])
        return own

    arguments = examples, tmp_path, PROCESSOR
    first = cache_features(encoder(0.5), *arguments)
    assert first[0].image.any()
    cache_features(encoder(0.5), *arguments)
    with pytest.raises(ValueError, match="with another encoder"):
        cache_features(encoder(0.25), *arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(encoder=dict(seed=1)), "with another encoder, or other weights"),
        (dict(encoder=dict(pool=2)), "with another encoder"),
        (dict(encoder=dict(factor=3.0)), "with another encoder"),
        (
            dict(image_processor=ImageProcessor((8, 12), scale=1.0)),
            "with image_processor=.*not .*'scale': 1.0",
        ),
        (dict(dtype="float16"), "with dtype=float32, not float16"),
        (
            dict(examples=lambda x: [*x[:6], x[0]._replace(image="new.png")]),
            "7 pictures, without 1 of the 7 here and with 1 others",
        ),
    ],
)
def test_a_cache_of_something_else_is_refused(
    examples, tmp_path, change, message
):
    options = dict(folder=tmp_path / "cache", image_processor=PROCESSOR)
    cache_features(encoder_of(), examples, **options)
    change = dict(change)
    encoder = encoder_of(**change.pop("encoder", {}))
    chosen = change.pop("examples", list)(examples)
    with pytest.raises(ValueError, match=message + ".*or delete this one"):
        cache_features(encoder, chosen, **{**options, **change})


def test_half_the_space_holds_three_digits_and_no_more_than_fits(
    examples, tmp_path
):
    encoder = encoder_of()
    options = dict(image_processor=PROCESSOR, dtype="float16")
    cached = cache_features(encoder, examples, tmp_path / "half", **options)
    assert cached[0].image.dtype == np.float16
    np.testing.assert_allclose(
        [x.image for x in cached], expected(encoder, examples), rtol=1e-3
    )
    # A first batch that fails leaves nothing behind.
    encoder.set_weights([1e6 * x for x in encoder.get_weights()])
    with pytest.raises(ValueError, match='float16 holds.*dtype="float32"'):
        cache_features(encoder, examples, tmp_path / "large", **options)
    assert not list((tmp_path / "large").iterdir())
    encoder.set_weights([np.nan * x for x in encoder.get_weights()])
    with pytest.raises(ValueError, match="must be finite"):
        cache_features(encoder, examples, tmp_path / "nan", **options)


def test_a_full_disk_is_told_before_it_is_written_to(
    examples, tmp_path, monkeypatch
):
    usage = types.SimpleNamespace(free=100)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(ValueError, match="100 bytes free, 840 needed"):
        cache_features(encoder_of(), examples, tmp_path / "cache", PROCESSOR)


def test_pictures_that_are_no_paths_need_names(tmp_path):
    picture, other = (np.full((8, 12, 3), x, "uint8") for x in (3, 200))
    encoder = encoder_of()
    unnamed = CaptionedImage(picture, ("a",))
    with pytest.raises(ValueError, match="ndarray'> without one, in example 0"):
        cache_features(encoder, [unnamed], tmp_path)
    named = [
        CaptionedImage(picture, ("a",), name="x"),
        CaptionedImage(other, ("b",), name="y"),
        CaptionedImage(picture, ("c",), name="x"),
    ]
    cached = cache_features(encoder, named, tmp_path)
    np.testing.assert_array_equal(cached[0].image, cached[2].image)
    assert not np.array_equal(cached[0].image, cached[1].image)
    named[1] = named[1]._replace(name="x")
    with pytest.raises(
        ValueError, match="name='x' for those of examples 0 and"
    ):
        cache_features(encoder, named, tmp_path)


def test_encoders_that_pool_and_bad_pictures_are_refused(examples, tmp_path):
    pooled = keras.Sequential(
        [keras.Input((8, 12, 3)), keras.layers.GlobalAveragePooling2D()]
    )
    with pytest.raises(ValueError, match=r"Received: shape \(32, 3\).*pooled"):
        cache_features(pooled, examples, tmp_path / "pooled", PROCESSOR)
    bad = [examples[0], examples[1]._replace(image=b"no picture")]
    with pytest.raises(ValueError, match=r"example 1 \(1\.png\)"):
        cache_features(encoder_of(), bad, tmp_path / "bad", PROCESSOR)
    with pytest.raises(ValueError, match="Received: no examples"):
        cache_features(encoder_of(), [], tmp_path / "none")
    with pytest.raises(ValueError, match="dtype='int8'"):
        cache_features(encoder_of(), examples, tmp_path / "int", dtype="int8")


def test_a_folder_that_is_no_cache_is_refused(examples, tmp_path):
    for text in ("{", "[]", json.dumps({"names": []})):
        (tmp_path / "index.json").write_text(text)
        with pytest.raises(ValueError, match="no index of them"):
            cache_features(encoder_of(), examples, tmp_path, PROCESSOR)


def test_without_its_index_a_cache_is_made_anew(examples, tmp_path):
    cache_features(encoder_of(), examples, tmp_path, PROCESSOR)
    (tmp_path / "index.json").unlink()
    other = encoder_of(seed=1)
    cached = cache_features(other, examples, tmp_path, PROCESSOR)
    np.testing.assert_allclose(
        [x.image for x in cached], expected(other, examples), atol=1e-5
    )


def test_an_array_that_lost_rows_is_told(examples, tmp_path):
    arguments = encoder_of(), examples, tmp_path, PROCESSOR
    cache_features(*arguments)
    np.save(tmp_path / "features.npy", np.zeros((3, 2, 3, 5), "float32"))
    with pytest.raises(ValueError, match="3 rows for 7. Delete"):
        cache_features(*arguments)
    (tmp_path / "features.npy").unlink()
    assert cache_features(*arguments)[0].image.any()
