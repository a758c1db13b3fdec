import numpy as np
import pytest
from PIL import Image

from keras_attention.data import ImageProcessor

transformers = pytest.importorskip("transformers")

CONFIGS = {
    "vit": ("ViTImageProcessor", {}),
    "vit, other size": (
        "ViTImageProcessor",
        {"size": {"height": 20, "width": 31}},
    ),
    "deit": (
        "DeiTImageProcessor",
        {
            "size": {"height": 40, "width": 40},
            "crop_size": {"height": 32, "width": 33},
        },
    ),
    "dinov2": (
        "BitImageProcessor",
        {
            "size": {"shortest_edge": 35},
            "crop_size": {"height": 28, "width": 28},
        },
    ),
    "crop beyond the border": (
        "BitImageProcessor",
        {
            "size": {"shortest_edge": 21},
            "crop_size": {"height": 28, "width": 42},
        },
    ),
    "nothing but crop": (
        "BitImageProcessor",
        {
            "do_resize": False,
            "do_rescale": False,
            "do_normalize": False,
            "crop_size": {"height": 28, "width": 28},
        },
    ),
}


def picture(height=37, width=50, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype="uint8")


@pytest.mark.parametrize("shape", [(37, 50), (51, 37), (45, 45)])
@pytest.mark.parametrize("name", CONFIGS)
def test_it_makes_what_transformers_makes(name, shape):
    kind, options = CONFIGS[name]
    theirs = getattr(transformers, kind)(**options)
    array = picture(*shape)
    expected = np.asarray(theirs(Image.fromarray(array))["pixel_values"][0])
    ours = ImageProcessor.from_huggingface(theirs.to_dict())
    found = ours(array)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0].transpose(2, 0, 1), expected, atol=1e-5)
    size = ours.output_size()
    assert size is None or found.shape[1:3] == size
    # And back: what we write makes them do the same.
    config = ours.to_huggingface()
    again = getattr(transformers, config.pop("image_processor_type"))(**config)
    found = np.asarray(again(Image.fromarray(array))["pixel_values"][0])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_all_kinds_of_pictures_are_read_alike(tmp_path):
    array = picture()
    path = tmp_path / "a.png"
    Image.fromarray(array).save(path)
    processor = ImageProcessor(size=(16, 24), resampling="bicubic")
    expected = processor(array)
    assert expected.shape == (1, 16, 24, 3)
    for kind in (path, str(path), Image.open(path)):
        np.testing.assert_array_equal(processor(kind), expected)
    both = processor([path, picture(60, 20, seed=1)])
    np.testing.assert_array_equal(both[:1], expected)
    np.testing.assert_array_equal(
        processor(np.stack([array, array])), np.repeat(expected, 2, axis=0)
    )
    grey = processor(array[..., 0])
    np.testing.assert_array_equal(grey, processor(array[..., :1]))
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])
    # Colours with transparency, or of a palette, are three channels.
    Image.fromarray(array).convert("RGBA").save(tmp_path / "b.png")
    np.testing.assert_array_equal(processor(tmp_path / "b.png"), expected)


def test_another_size_sees_as_much_of_the_picture():
    plain = ImageProcessor((16, 16)).resize(32, 24)
    assert plain.size == plain.output_size() == (32, 24)
    cropped = ImageProcessor(256, (224, 224), "bicubic").resize(384, 384)
    assert (cropped.size, cropped.crop_size) == (439, (384, 384))
    assert cropped.resampling == "bicubic"
    stretched = ImageProcessor((40, 40), (32, 32)).resize(64, 16)
    assert (stretched.size, stretched.crop_size) == ((80, 20), (64, 16))


def test_timms_config_is_read():
    config = {
        "input_size": [3, 224, 224],
        "interpolation": "bicubic",
        "crop_pct": 0.9,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
    }
    processor = ImageProcessor.from_timm(config)
    assert processor.get_config() == {
        "size": 248,
        "crop_size": (224, 224),
        "resampling": "bicubic",
        "scale": 1 / 255,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.25, 0.25, 0.25),
    }


def test_what_is_no_picture_is_told(tmp_path):
    processor = ImageProcessor((8, 8))
    path = tmp_path / "broken.png"
    Image.fromarray(picture()).save(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="broken.png' must be a picture"):
        processor([path])
    with pytest.raises(ValueError, match="none.png"):
        processor(tmp_path / "none.png")
    with pytest.raises(ValueError, match=r"Received: shape \(3, 8, 8, 1\)"):
        processor([np.zeros((3, 8, 8, 1), "uint8")])
    with pytest.raises(ValueError, match="dtype float32, from 0.0 to 0.5"):
        processor(np.linspace(0, 0.5, 192, dtype="float32").reshape(8, 8, 3))
    with pytest.raises(ValueError, match="Received: none"):
        processor([])
    with pytest.raises(ValueError, match=r"\(8, 9\), \(9, 8\)"):
        ImageProcessor()([picture(8, 9), picture(9, 8)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(size=0), "size=0"),
        (dict(size=(3, 0)), "size"),
        (dict(crop_size=(3,)), "crop_size"),
        (dict(resampling="linear"), "linear"),
        (dict(std=(1, 0, 1)), "none that is 0"),
        (dict(mean=(1,)), "three channels"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ImageProcessor(**options)


def test_a_shifted_scale_comes_before_the_mean():
    """As ViViT's files may ask for: 1 off what is scaled, then the mean."""
    config = {"offset": True, "rescale_factor": 1 / 127.5}
    processor = ImageProcessor.from_huggingface(config)
    pixels = np.array([[[0, 51, 255]]], "uint8")
    expected = ((pixels / 127.5 - 1) - 0.5) / 0.5
    np.testing.assert_allclose(processor(pixels)[0], expected, atol=1e-6)
    with pytest.raises(ValueError, match="resample=5"):
        ImageProcessor.from_huggingface({"resample": 5})
