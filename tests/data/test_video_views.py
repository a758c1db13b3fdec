import keras
import numpy as np
import pytest

from keras_attention.data import ImageProcessor, VideoViews
from tests.data.test_video_files import decode, encode, pictures


def video(frames=30, height=8, width=12):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (frames, height, width, 3), "uint8")


def scaled(pixels):
    return pixels / 127.5 - 1


def test_views_go_from_the_beginning_to_the_end():
    whole = video()
    views = VideoViews([(whole, 2)], frames=4, stride=2, views=3)
    clips, labels = views[0]
    assert clips.shape == (3, 4, 8, 12, 3) and labels.tolist() == [2, 2, 2]
    # The last one ends with the last frame.
    for clip, offset in zip(clips, (0, 11, 23), strict=True):
        expected = whole[offset : offset + 7 : 2]
        np.testing.assert_allclose(clip, scaled(expected), atol=1e-6)
    # Too short: it begins again.
    short = VideoViews([(whole[:5], 0)], frames=4, stride=2, views=2)[0][0]
    for clip in short:
        np.testing.assert_allclose(clip, scaled(whole[[0, 2, 4, 1]]), atol=1e-6)


@pytest.mark.parametrize("upright", [False, True])
def test_three_crops_lie_along_the_longer_side(upright):
    whole = video()
    if upright:
        whole = whole.swapaxes(1, 2)
    views = VideoViews(
        [(whole, 0)],
        frames=2,
        views=2,
        crops=3,
        image_processor=ImageProcessor(crop_size=(6, 6)),
    )
    clips = views[0][0]
    assert clips.shape == (6, 2, 6, 6, 3)
    for third, start in enumerate((0, 3, 6)):
        long, short = slice(start, start + 6), slice(1, 7)
        rows, columns = (long, short) if upright else (short, long)
        np.testing.assert_allclose(
            clips[third], scaled(whole[:2, rows, columns]), atol=1e-6
        )


def test_logits_of_each_video_are_averaged(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(encode(pictures(20)))
    examples = [(video(), 0), (path, 1)]
    size = ImageProcessor((8, 12))
    views = VideoViews(examples, frames=4, views=3, image_processor=size)
    model = keras.Sequential(
        [
            keras.Input((4, 8, 12, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(5),
        ]
    )
    logits = model.predict(views, verbose=0)
    assert logits.shape == (6, 5)
    found = views.average(logits)
    expected = [model.predict_on_batch(views[i][0]).mean(0) for i in range(2)]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    frames = size(list(decode(path.read_bytes())[:4]))
    np.testing.assert_array_equal(views[1][0][0], frames)
    with pytest.raises(ValueError, match="3 rows for each of 2.* 5 rows"):
        views.average(logits[:5])
    (clips,) = VideoViews([(video(), None)], frames=4, views=1)[0]
    assert clips.shape == (1, 4, 8, 12, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(examples=[]), "no examples"),
        (dict(views=0), "views=0"),
        (dict(crops=2), "crops=2"),
        (dict(crops=3), "without `crop_size`"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        VideoViews(**{"examples": [(video(), 0)], **options})


def test_crops_that_are_too_large_are_refused():
    views = VideoViews(
        [(video(), 0)],
        crops=3,
        image_processor=ImageProcessor(crop_size=(9, 9)),
    )
    with pytest.raises(ValueError, match=r"\(8, 12\), crop_size=\(9, 9\)"):
        views[0]
