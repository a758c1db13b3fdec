import math

import keras
import numpy as np

from keras_attention.data.picture_files import centre, read_mask, read_picture
from keras_attention.extras import require
from keras_attention.ops import checks

# Pillow's numbers, which Hugging Face's files hold, and our names.
RESAMPLINGS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@keras.saving.register_keras_serializable(package="keras_attention")
class ImageProcessor:
    """Makes of pictures what the weights of a model expect.

    A picture is resized, cropped around its centre and scaled:

        pixel = (scale * value - mean) / std      value in 0, ..., 255

    A model that was read from a checkpoint has the one of its weights as
    `image_processor`. How a camera was held (EXIF) is not followed, as it is
    not by the libraries that the weights come from.

    Args:
        size: `(height, width)` to resize to, whatever the picture's
            proportions; or a number of pixels for the shorter side; None
            leaves pictures as they are.
        crop_size: `(height, width)` around the centre, zeros beyond the
            picture's borders; None for all of it.
        resampling: "bilinear", "bicubic", "lanczos" or "nearest", as Pillow
            does it.
        scale: Factor of the values.
        mean: Subtracted from each channel.
        std: Each channel is divided by it.

    Call arguments:
        pictures: A path, the bytes of a file, a Pillow image or an array of
            unsigned bytes, `(height, width, 3)` or `(height, width)`; or a
            list or an array of such.

    Returns:
        float32 array `(B, height, width, 3)`.

    Raises:
        ValueError: A file cannot be read as a picture (the error names it); an
            array has another shape or holds other numbers than bytes;
            pictures of a batch end with different sizes; or an argument is
            not as above.
        ImportError: Pillow is not installed.

    Examples:
        >>> import numpy as np
        >>> from keras_attention.data import ImageProcessor
        >>> picture = np.full((40, 60, 3), 255, "uint8")
        >>> processor = ImageProcessor(size=(32, 32))
        >>> pixels = processor(picture)
        >>> pixels.shape, float(pixels.max())
        ((1, 32, 32, 3), 1.0)
    """

    def __init__(
        self,
        size: tuple[int, int] | int | None = None,
        crop_size: tuple[int, int] | None = None,
        resampling: str = "bilinear",
        scale: float = 1 / 255,
        mean: tuple[float, ...] = (0.5, 0.5, 0.5),
        std: tuple[float, ...] = (0.5, 0.5, 0.5),
    ):
        axes = ("height", "width")
        if isinstance(size, int):
            checks.positive_int(size, "size")
        elif size is not None:
            height, width = checks.sizes(size, "size", axes)
            size = (height, width)
        if crop_size is not None:
            height, width = checks.sizes(crop_size, "crop_size", axes)
            crop_size = (height, width)
        checks.one_of(resampling, "resampling", tuple(RESAMPLINGS.values()))
        self.size, self.crop_size = size, crop_size
        self.resampling, self.scale = resampling, scale
        self.mean, self.std = tuple(mean), tuple(std)
        if len(self.mean) != 3 or len(self.std) != 3 or 0 in self.std:
            raise ValueError(
                "`mean` and `std` must have a number for each of three "
                f"channels, `std` none that is 0. Received: {mean=}, {std=}."
            )

    def __call__(self, pictures) -> np.ndarray:
        several = isinstance(pictures, (list, tuple))
        several = several or getattr(pictures, "ndim", 0) == 4
        pictures = pictures if several else [pictures]
        return self.normalize(one_size([self.pixels(x) for x in pictures]))

    def pixels(self, picture) -> np.ndarray:
        """One picture, resized and cropped but not scaled.

        Args:
            picture: As a call takes it.

        Returns:
            Unsigned bytes `(height, width, 3)`.
        """
        image = read_picture(picture)
        if self.size is not None:
            image = self._resized(image, self.resampling)
        pixels = np.asarray(image)
        if self.crop_size is not None:
            pixels = centre(pixels, *self.crop_size)
        return pixels

    def mask(self, mask, outside: int | None = 255) -> np.ndarray:
        """A mask of classes, resized to the nearest pixel and cropped.

        It fits what `pixels` makes of a picture of the same size.

        Args:
            mask: A path or the bytes of a file, a Pillow image, grey or with
                a palette, or an array of integers `(height, width)`: the
                class of each pixel.
            outside: The class beyond the borders, where a crop is larger;
                None if there is none.

        Returns:
            int32 `(height, width)`.

        Raises:
            ValueError: It is no such mask, or a crop that is larger needs an
                `outside`.
        """
        image = read_mask(mask)
        if self.size is not None:
            image = self._resized(image, "nearest")
        classes = np.asarray(image, "int32")
        if self.crop_size is not None:
            height, width = self.crop_size
            larger = height > classes.shape[0] or width > classes.shape[1]
            if larger and outside is None:
                raise ValueError(
                    "A crop beyond the borders needs a class for what is "
                    f"there. Received: crop_size={self.crop_size} for a mask "
                    f"of {classes.shape}, no class to ignore."
                )
            classes = centre(classes[..., None], height, width, outside or 0)
            classes = classes[..., 0]
        return classes

    def normalize(self, pixels) -> np.ndarray:
        """Scales what `pixels` returns, whatever has been done to it since.

        Args:
            pixels: `(..., 3)`, from 0 to 255; bytes or floats.

        Returns:
            float32 of the same shape.
        """
        pixels = np.asarray(pixels)
        mean, std = (np.array(x, "float32") for x in (self.mean, self.std))
        if pixels.dtype == np.uint8:
            # Of 256 values each channel has as many results.
            table = np.arange(256, dtype="float64")[:, None] * self.scale
            table = (table.astype("float32") - mean) / std
            return table[pixels, np.arange(3)]
        scaled = (pixels.astype("float64") * self.scale).astype("float32")
        return (scaled - mean) / std

    def _resized(self, image, resampling):
        if isinstance(self.size, tuple):
            height, width = self.size
        else:
            short, long = sorted(image.size)
            longer = int(self.size * long / short)
            width, height = self.size, longer
            if image.width > image.height:
                width, height = longer, self.size
        filters = require("PIL.Image", extra="applications").Resampling
        if (width, height) == image.size:
            return image
        return image.resize((width, height), filters[resampling.upper()])

    def output_size(self) -> tuple[int, int] | None:
        """Height and width of what it returns, if it is always the same."""
        if self.crop_size is not None or not isinstance(self.size, tuple):
            return self.crop_size
        return self.size

    def resize(self, height: int, width: int) -> "ImageProcessor":
        """One of the same kind for another size of image.

        Args:
            height: Height of what it returns.
            width: Width of it.
        """
        size, crop_size = self.size, self.crop_size
        if crop_size is None:
            size = (height, width)
        else:
            # As much of the picture as before.
            grow = height / crop_size[0], width / crop_size[1]
            if isinstance(size, int):
                size = math.ceil(size * max(grow))
            elif size is not None:
                size = tuple(
                    math.ceil(n * by) for n, by in zip(size, grow, strict=True)
                )
            crop_size = (height, width)
        return type(self)(
            **{**self.get_config(), "size": size, "crop_size": crop_size}
        )

    def without_crop(self) -> "ImageProcessor":
        """One that resizes and scales alike, and keeps all of a picture."""
        return type(self)(**{**self.get_config(), "crop_size": None})

    @classmethod
    def from_huggingface(cls, config: dict) -> "ImageProcessor":
        """The processor of a `preprocessor_config.json` of Hugging Face's.

        Args:
            config: What the file holds.

        Raises:
            ValueError: It asks for what this class does not do.
        """
        size = config.get("size") if config.get("do_resize", True) else None
        crop = config.get("crop_size")
        crop = crop if config.get("do_center_crop", False) else None
        scale = 1.0
        if config.get("do_rescale", True):
            scale = config.get("rescale_factor", 1 / 255)
        normalize = config.get("do_normalize", True)
        resampling = config.get("resample", 2)
        if resampling not in RESAMPLINGS:
            raise ValueError(
                "preprocessor_config.json must ask for a `resample` out of "
                f"{list(RESAMPLINGS)}. Received: resample={resampling}."
            )
        mean = config.get("image_mean", (0.5,) * 3) if normalize else (0,) * 3
        if config.get("offset") and config.get("do_rescale", True):
            # That of ViViT takes 1 from the scaled values, before the mean.
            mean = tuple(x + 1 for x in mean)
        return cls(
            size=sides(size),
            crop_size=sides(crop),
            resampling=RESAMPLINGS[resampling],
            scale=scale,
            mean=mean,
            std=config.get("image_std", (0.5,) * 3) if normalize else (1,) * 3,
        )

    def to_huggingface(self) -> dict:
        """What `preprocessor_config.json` holds, for `ViTImageProcessor`."""
        numbers = {name: number for number, name in RESAMPLINGS.items()}
        size = self.size or 0
        if isinstance(size, int):
            size = {"shortest_edge": size}
        else:
            size = dict(zip(("height", "width"), size, strict=True))
        config = {
            "image_processor_type": "ViTImageProcessor",
            "do_resize": self.size is not None,
            "size": size,
            "resample": numbers[self.resampling],
            "do_rescale": True,
            "rescale_factor": self.scale,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }
        if self.crop_size is None:
            return config
        # The processor of ViT does not crop.
        crop = dict(zip(("height", "width"), self.crop_size, strict=True))
        return {
            **config,
            "image_processor_type": "BitImageProcessor",
            "do_convert_rgb": True,
            "do_center_crop": True,
            "crop_size": crop,
        }

    @classmethod
    def from_timm(cls, config: dict) -> "ImageProcessor":
        """The processor of a `pretrained_cfg` of timm's, at its test size.

        Args:
            config: What `config.json` has under that name.
        """
        height, width = config["input_size"][1:]
        share = config.get("crop_pct", 0.875)
        return cls(
            size=math.floor(min(height, width) / share),
            crop_size=(height, width),
            resampling=config.get("interpolation", "bicubic"),
            mean=config.get("mean", IMAGENET_MEAN),
            std=config.get("std", IMAGENET_STD),
        )

    def get_config(self):
        return {
            "size": self.size,
            "crop_size": self.crop_size,
            "resampling": self.resampling,
            "scale": self.scale,
            "mean": self.mean,
            "std": self.std,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def one_size(arrays):
    """The pictures of a batch as one array."""
    if not arrays:
        raise ValueError("There must be at least one picture. Received: none.")
    sizes = sorted({x.shape[:-1] for x in arrays})
    if len(sizes) > 1:
        raise ValueError(
            "The pictures of a batch must have one size. Received: "
            f"{sizes}. Give the processor a `size` of (height, width), or "
            "a `crop_size`."
        )
    return np.stack(arrays)


def sides(size):
    """Hugging Face's ways to tell a size, as ours."""
    if size is None:
        return None
    if isinstance(size, int):
        return (size, size)
    if "shortest_edge" in size:
        return size["shortest_edge"]
    return (size["height"], size["width"])
