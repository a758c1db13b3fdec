import keras
import numpy as np
import pytest

from keras_attention.data import (
    ImageProcessor,
    VideoBatches,
    VideoViews,
    read_video_folder,
)
from keras_attention.models import ViViT
from tests.data.test_video_files import decode, encode, pictures


def videos(number=6, frames=10, height=8, width=6, seed=0):
    rng = np.random.default_rng(seed)
    shape = (number, frames, height, width, 3)
    pixels = rng.integers(0, 256, shape, "uint8")
    return [(video, i % 3) for i, video in enumerate(pixels)]


def read(batches):
    """All batches of an epoch, and the call that `fit` ends it with."""
    result = [batches[i] for i in range(batches.num_batches)]
    batches.on_epoch_end()
    return result


def scaled(pixels):
    return np.asarray(pixels) / 127.5 - 1


def test_frames_are_spread_over_the_whole_video():
    pairs = videos()
    batches = VideoBatches(pairs, 3, frames=5, batch_size=4, shuffle=False)
    clips, labels = map(np.concatenate, zip(*read(batches), strict=True))
    assert clips.shape == (6, 5, 8, 6, 3) and clips.dtype == "float32"
    expected = [scaled(video[[1, 3, 5, 7, 9]]) for video, _ in pairs]
    np.testing.assert_allclose(clips, expected, atol=1e-6)
    assert labels.tolist() == [label for _, label in pairs]
    # Shorter ones repeat frames: always as many.
    short = VideoBatches(videos(frames=3), 3, frames=5, shuffle=False)
    np.testing.assert_allclose(
        short[0][0],
        [scaled(v[[0, 0, 1, 2, 2]]) for v, _ in videos(frames=3)],
        atol=1e-6,
    )


def test_clips_of_a_stride_begin_anywhere_or_lie_in_the_middle():
    pairs = videos(2, frames=40)
    middle = VideoBatches(pairs, 3, frames=4, stride=3, shuffle=False)
    np.testing.assert_allclose(
        middle[0][0], [scaled(v[[15, 18, 21, 24]]) for v, _ in pairs], atol=1e-6
    )
    moving = VideoBatches(
        pairs, 3, frames=4, stride=3, shuffle=False, random_offset=True
    )
    offsets = set()
    for epoch in range(40):
        for row in range(2):
            positions = moving.positions(40, row, epoch)
            np.testing.assert_array_equal(np.diff(positions), 3)
            offsets.add(int(positions[0]))
    assert min(offsets) == 0 and max(offsets) == 30 and len(offsets) > 20
    again = VideoBatches(
        pairs,
        3,
        frames=4,
        stride=3,
        shuffle=False,
        random_offset=True,
        initial_epoch=1,
    )
    first = read(moving)[0][0]
    second = read(moving)[0][0]
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(again[0][0], second)
    # A video that is too short begins again.
    short = VideoBatches(videos(1, frames=5), 3, frames=4, stride=2)
    np.testing.assert_array_equal(short.positions(5, 0, 0), [0, 2, 4, 1])


def test_a_crop_is_cut_out_anywhere_and_of_all_frames_alike():
    """Each pixel tells where it was."""
    rows, columns = np.mgrid[:12, :20]
    video = np.stack([rows, columns, 0 * rows], axis=-1).astype("uint8")
    video = np.repeat(video[None], 4, axis=0)
    video[..., 2] = np.arange(4)[:, None, None]
    processor = ImageProcessor(
        crop_size=(8, 6), scale=1, mean=(0,) * 3, std=(1,) * 3
    )
    batches = VideoBatches(
        [(video, 0)] * 100,
        1,
        frames=4,
        image_processor=processor,
        random_crop=True,
        batch_size=100,
    )
    first, second = (read(batches)[0][0] for _ in range(2))
    assert first.shape == (100, 4, 8, 6, 3)
    corners = first[:, :, 0, 0]
    assert (corners == corners[:, :1])[..., :2].all()
    np.testing.assert_array_equal(corners[0, :, 2], np.arange(4))
    inside = first[..., :2] - corners[:, :, None, None, :2]
    np.testing.assert_array_equal(inside[0, 0], video[0, :8, :6, :2])
    assert {*corners[:, 0, 0]} == {*range(5)}
    assert {*corners[:, 0, 1]} == {*range(15)}
    assert not np.array_equal(first, second)
    middle = VideoBatches([(video, 0)], 1, 4, image_processor=processor)
    np.testing.assert_array_equal(middle[0][0][0, 0, 0, 0, :2], [2, 7])
    with pytest.raises(ValueError, match="without `crop_size`"):
        VideoBatches([(video, 0)], 1, 4, random_crop=True)
    large = ImageProcessor(crop_size=(13, 6))
    large = VideoBatches(
        [(video, 0)], 1, 4, image_processor=large, random_crop=True
    )
    with pytest.raises(ValueError, match=r"Received: frames of \(12, 20\)"):
        large[0]


AUGMENTATIONS = {
    "flip": lambda: keras.layers.RandomFlip(),
    "crop": lambda: keras.layers.RandomCrop(6, 4),
    "zoom": lambda: keras.layers.RandomZoom(0.3),
    "shift": lambda: keras.layers.RandomTranslation(0.2, 0.2),
    "brightness": lambda: keras.layers.RandomBrightness(0.4),
    "contrast": lambda: keras.layers.RandomContrast(0.4),
    "colours": lambda: keras.layers.RandomColorJitter(
        (0, 255), brightness_factor=0.5, saturation_factor=0.5
    ),
    "rand augment": keras.layers.RandAugment,
    "erasing": lambda: keras.layers.RandomErasing((1.0, 1.0), fill_value=0),
    "mixup": lambda: keras.layers.MixUp(1.0),
    "cutmix": keras.layers.CutMix,
}


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.filterwarnings("ignore")  # Keras's own, of JAX and torch
def test_all_frames_of_a_clip_are_augmented_alike(name):
    """A still video stays still, and clips differ among each other."""
    pairs = [
        (np.repeat(video[:1], 10, axis=0), label)
        for video, label in videos(8, height=16, width=16)
    ]

    def clips(**options):
        batches = VideoBatches(
            pairs,
            3,
            frames=4,
            batch_size=8,
            augmentation=[AUGMENTATIONS[name]()],
            one_hot=True,
            shuffle=False,
            **options,
        )
        return read(batches)[0]

    found, labels = clips()
    for t in range(1, 4):
        np.testing.assert_allclose(found[:, t], found[:, 0], atol=1e-5)
    plain = np.stack([scaled(video[:4]) for video, _ in pairs])
    assert found.shape != plain.shape or not np.allclose(found, plain)
    np.testing.assert_allclose(labels.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(found, clips()[0])
    other = clips(seed=1)[0]
    assert found.shape == other.shape and not np.allclose(found, other)


def test_moving_frames_go_through_the_layer_each():
    """Mirrored as a whole or not at all, and in order."""
    pairs = videos(12)
    batches = VideoBatches(
        pairs,
        3,
        frames=10,
        batch_size=12,
        augmentation=[keras.layers.RandomFlip("horizontal")],
        shuffle=False,
    )
    mirrored = 0
    for clip, (video, _) in zip(batches[0][0], pairs, strict=True):
        flipped = np.allclose(clip, scaled(video[:, :, ::-1]), atol=1e-5)
        assert flipped or np.allclose(clip, scaled(video), atol=1e-5)
        mirrored += flipped
    assert 1 < mirrored < 11


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    for name, shift in (("running", 0), ("swimming", 5)):
        (root / name).mkdir()
        for i in range(2):
            data = encode(pictures(20 + shift + i))
            (root / name / f"{i}.mp4").write_bytes(data)
    return root


def test_files_by_class_become_batches(folder):
    pairs, names, skipped = read_video_folder(folder)
    assert names == ("running", "swimming") and not skipped
    assert [label for _, label in pairs] == [0, 0, 1, 1]
    options = dict(
        frames=4,
        stride=3,
        batch_size=2,
        shuffle=False,
        image_processor=ImageProcessor((24, 32)),
    )
    batches = VideoBatches(pairs, 2, num_threads=3, **options)
    arrays = [(decode(path.read_bytes()), label) for path, label in pairs]
    for one, other in zip(
        read(batches), read(VideoBatches(arrays, 2, **options)), strict=True
    ):
        assert one[0].shape == (2, 4, 24, 32, 3)
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_bad_files_and_folders_are_named(folder, tmp_path):
    for path in folder.rglob("*.mp4"):
        copy = tmp_path / path.relative_to(folder)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    bad = tmp_path / "running" / "2.mp4"
    bad.write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"running/2.mp4': .*Invalid data"):
        read_video_folder(tmp_path)
    pairs, _, skipped = read_video_folder(tmp_path, on_error="skip")
    assert len(pairs) == 4 and [x.path for x in skipped] == [bad]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"must have videos \(.avi.*empty"):
        read_video_folder(tmp_path, on_error="skip")


SETS = {"noun": 6, "verb": 7}


def labelled_twice():
    """Of each label of one set the other's is known."""
    return [
        (video, {"verb": 6 - i, "noun": i})
        for i, (video, _) in enumerate(videos(height=16, width=16))
    ]


def test_several_label_sets_have_targets_each():
    pairs = labelled_twice()
    options = dict(frames=4, batch_size=3, shuffle=False)
    targets = read(VideoBatches(pairs, SETS, **options))[1][1]
    assert list(targets) == ["noun", "verb"]
    assert {x.dtype.name for x in targets.values()} == {"int32"}
    assert targets["noun"].tolist() == [3, 4, 5]
    assert targets["verb"].tolist() == [3, 2, 1]
    vectors = VideoBatches(pairs, SETS, one_hot=True, **options)[0][1]
    np.testing.assert_array_equal(vectors["noun"], np.eye(6)[:3])
    np.testing.assert_array_equal(vectors["verb"], np.eye(7)[[6, 5, 4]])
    assert vectors["verb"].dtype == "float32"
    _, labels = VideoViews(pairs, frames=4, views=2)[1]
    assert {name: x.tolist() for name, x in labels.items()} == {
        "noun": [1, 1],
        "verb": [5, 5],
    }


@pytest.mark.parametrize("layer", ["MixUp", "CutMix"])
@pytest.mark.filterwarnings("ignore")  # Keras's own, of JAX and torch
def test_label_sets_are_blended_by_the_same_draw(layer):
    batches = VideoBatches(
        labelled_twice(),
        SETS,
        frames=4,
        augmentation=[getattr(keras.layers, layer)()],
        one_hot=True,
    )
    _, targets = batches[0]
    nouns, verbs = targets["noun"], targets["verb"]
    np.testing.assert_allclose(verbs[:, :0:-1], nouns, atol=1e-6)
    assert 0 < nouns.max(-1).min() < 1


@pytest.mark.parametrize("one_hot", [False, True])
def test_a_model_learns_several_label_sets(one_hot):
    pairs, size = labelled_twice(), ImageProcessor((16, 16))
    batches = VideoBatches(
        pairs, SETS, 4, image_processor=size, batch_size=3, one_hot=one_hot
    )
    model = ViViT(
        video_shape=(4, 16, 16, 3),
        tubelet_size=(2, 8, 8),
        num_layers=1,
        hidden_dim=8,
        num_heads=2,
        intermediate_dim=16,
        num_classes=SETS,
    )
    losses = keras.losses
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    if one_hot:
        loss = losses.CategoricalCrossentropy(from_logits=True)
    model.compile("adam", dict.fromkeys(SETS, loss))
    before = model.get_weights()
    model.fit(batches, shuffle=False, verbose=0)
    changed = [
        not np.array_equal(*x)
        for x in zip(before, model.get_weights(), strict=True)
    ]
    assert any(changed)
    if not one_hot:
        views = VideoViews(pairs, frames=4, views=2, image_processor=size)
        assert model.evaluate(views, verbose=0)[0] > 0
        logits = views.average(model.predict(views, verbose=0))
        assert {x: y.shape for x, y in logits.items()} == {
            "noun": (6, 6),
            "verb": (6, 7),
        }


BAD_SETS = {
    "missing": ({"noun": 1}, r"of noun, verb. Received: \{'noun': 1\}.*ple 1"),
    "unknown": ({"noun": 1, "verb": 1, "who": 1}, "'who': 1"),
    "one label": (1, "Received: 1, of example 1"),
    "outside": (
        {"noun": 1, "verb": 7},
        "to 6. Received: 7, of 'verb' in ex.* 1",
    ),
    "no integer": ({"noun": 1.0, "verb": 1}, "Received: 1.0, of 'noun'"),
}


@pytest.mark.parametrize("name", BAD_SETS)
def test_labels_that_are_not_of_the_sets_are_refused(name):
    label, message = BAD_SETS[name]
    pairs = labelled_twice()
    pairs[1] = (pairs[1][0], label)
    with pytest.raises(ValueError, match=message):
        VideoBatches(pairs, SETS)


BAD = {
    "sets": (dict(num_classes={}), "at least one label set"),
    "no classes": (dict(num_classes={"noun": 0}), "num_classes.'noun'.=0"),
    "a dict": (
        dict(examples=[(np.zeros((4, 4, 4, 3), "uint8"), {"noun": 0})]),
        "Received: {'noun': 0}, of example 0",
    ),
    "none": (dict(examples=[]), "no examples"),
    "label": (dict(examples=[(np.zeros((4, 4, 4, 3), "uint8"), 3)]), "3, of"),
    "frames": (dict(frames=0), "frames=0"),
    "stride": (dict(stride=0), "stride=0"),
    "offset": (dict(random_offset=True), "Pass a `stride`"),
    "mixing": (dict(augmentation=[keras.layers.MixUp()]), "one_hot=True"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_batched_is_refused_at_once(name):
    arguments, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        VideoBatches(**{"examples": videos(), "num_classes": 3, **arguments})


def test_a_file_that_cannot_be_read_is_named_when_its_batch_is(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(encode(pictures(9))[:200])
    with pytest.raises(ValueError, match="clip.mp4, of which nothing could"):
        VideoBatches([(path, 0)], 1)[0]


def test_videos_of_odd_sizes_need_one_for_all():
    pairs = videos(1, height=7, width=5) + videos(1, height=9, width=13)
    with pytest.raises(ValueError, match=r"7, 5.*9, 13.*Give the processor"):
        VideoBatches(pairs, 1, frames=2, shuffle=False)[0]
    size = ImageProcessor((11, 3))
    clips, _ = VideoBatches(pairs, 1, 2, image_processor=size, batch_size=2)[0]
    assert clips.shape == (2, 2, 11, 3, 3)


def test_arrays_that_are_no_video_are_refused():
    for array, message in (
        (np.zeros((4, 4, 3), "uint8"), r"channels last. .*\(4, 4, 3\)"),
        (np.zeros((0, 4, 4, 3), "uint8"), r"\(0, 4, 4, 3\)"),
        ([], r"encoded pictures. Received: shape \(0,\)"),
        (np.zeros((4, 4, 4, 3)), "unsigned bytes.* float64"),
    ):
        with pytest.raises(ValueError, match=message):
            VideoBatches([(array, 0)], 1)[0]
