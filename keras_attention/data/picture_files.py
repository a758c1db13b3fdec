"""Pictures and masks as Pillow images, from files, bytes or arrays."""

import io
from pathlib import Path

import numpy as np

from keras_attention.extras import require

# Pillow's modes whose values are classes: grey of 1, 8, 16 and 32 bits, and
# indices of a palette.
MASK_MODES = ("1", "L", "P", "I", "I;16")


def read_picture(picture):
    """A Pillow image of three channels from a path, an image or an array."""
    library = require("PIL.Image", extra="applications")
    if isinstance(picture, (str, Path, bytes)):
        return open_file(picture, in_colours)
    if isinstance(picture, library.Image):
        return in_colours(picture)
    array = np.asarray(picture)
    grey = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] == 1)
    if not grey and (array.ndim != 3 or array.shape[-1] != 3):
        raise ValueError(
            "A picture must be an array (height, width, 3), channels last, or "
            f"(height, width). Received: shape {array.shape}."
        )
    if array.dtype != np.uint8:
        raise ValueError(
            "A picture must hold unsigned bytes, 0 to 255. Received: dtype "
            f"{array.dtype}, from {array.min()} to {array.max()}. Values in "
            "[0, 1] become bytes by `(255 * x).round().astype('uint8')`; "
            "pixels that are scaled already need no processor."
        )
    return library.fromarray(
        array.squeeze(-1) if array.ndim == 3 and grey else array
    ).convert("RGB")


def in_colours(image):
    """A Pillow image of three channels of bytes."""
    if image.mode.startswith("I;16"):
        # Pillow would cut off what is more than a byte.
        library = require("PIL.Image", extra="applications")
        image = library.fromarray((np.asarray(image) >> 8).astype("uint8"))
    return image.convert("RGB")


def read_mask(mask):
    """A Pillow image of one class for each pixel."""
    library = require("PIL.Image", extra="applications")
    if isinstance(mask, (str, Path, bytes)):
        mask = open_file(mask, lambda image: image.copy())
    if isinstance(mask, library.Image):
        if mask.mode not in MASK_MODES:
            raise ValueError(
                "A mask must hold the class of each pixel, in grey or in a "
                f"palette. Received: an image of mode {mask.mode!r}. Save it "
                "with one channel."
            )
        # Of other modes Pillow resizes some only.
        return library.fromarray(np.asarray(mask).astype("int32"))
    array = np.asarray(mask)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 2 or array.dtype.kind not in "ui":
        raise ValueError(
            "A mask must be an array of integers (height, width), the class of "
            f"each pixel. Received: shape {array.shape}, dtype {array.dtype}."
        )
    return library.fromarray(array.astype("int32"))


def open_file(file, read):
    """What `read` makes of the image in a file, or of a file's bytes."""
    library = require("PIL.Image", extra="applications")
    source = io.BytesIO(file) if isinstance(file, bytes) else file
    try:
        with library.open(source) as image:
            return read(image)
    except (
        OSError,
        SyntaxError,
        ValueError,
        library.DecompressionBombError,
    ) as error:
        name = f"{len(file)} bytes" if isinstance(file, bytes) else str(file)
        raise ValueError(
            f"{name!r} must be a picture that Pillow reads. "
            f"Received: {error}. Leave it out, or save it again."
        ) from error


def centre(pixels, height, width, outside=0):
    """The middle of a picture, `outside` where it does not reach."""
    shape = (height, width, pixels.shape[-1])
    result = np.full(shape, outside, pixels.dtype)
    kept, placed = [], []
    for size, wanted in zip(pixels.shape[:2], (height, width), strict=True):
        skipped = (size - wanted) // 2  # negative where there is too little
        first = max(skipped, 0)
        length = min(size - first, wanted)
        start = max(-skipped, 0)
        length = min(length, wanted - start)
        kept.append(slice(first, first + length))
        placed.append(slice(start, start + length))
    result[tuple(placed)] = pixels[tuple(kept)]
    return result


def room(pixels, size):
    """Rows and columns that a crop may be moved by.

    Args:
        pixels: Frames `(T, height, width, 3)`.
        size: `(height, width)` of the crop.
    """
    height, width = pixels.shape[1:3]
    rest = height - size[0], width - size[1]
    if min(rest) < 0:
        raise ValueError(
            "Crops must lie within the frames. Received: frames of "
            f"{(height, width)}, crop_size={size}. Resize them to a `size` "
            "that is no smaller."
        )
    return rest
