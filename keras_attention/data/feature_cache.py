"""Features of pictures, computed once and read from the disk."""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_attention.data.caption_batches import pixels_of
from keras_attention.data.captioned_images import CaptionedImage
from keras_attention.data.image_processor import ImageProcessor, one_size
from keras_attention.data.read_ahead import ReadAhead
from keras_attention.ops import checks

ARRAY, INDEX, PROGRESS = "features.npy", "index.json", "progress.json"


def cache_features(
    encoder: keras.Model,
    examples: Sequence[CaptionedImage],
    folder: str | Path,
    image_processor: ImageProcessor | None = None,
    batch_size: int = 32,
    dtype: str = "float32",
    num_threads: int = 1,
) -> list[CaptionedImage]:
    """Runs an encoder over each picture once, and keeps what it makes.

    For captioners whose encoder is not trained, as in Xu et al. (2015): an
    epoch then costs the decoder alone. The features of all pictures are one
    array in `features.npy`, which is read row by row when a batch needs them;
    `index.json` names the pictures and what made it. A run that was stopped
    goes on where it was, and a folder that is complete is read as it is.

    Pictures are told apart by their paths, and those that are no paths by
    the `name` of their example. A file that changes and keeps its name is not
    noticed.

    Args:
        encoder: Any model from pictures to a grid `(B, height, width, C)` or
            a sequence `(B, S, C)`, such as a network of `keras.applications`
            with `include_top=False`.
        examples: Captioned images. Several may have one picture.
        folder: Where the features are kept; made if it is not there. One
            folder holds the features of one set by one encoder.
        image_processor: Makes what the encoder expects, all of one size. None
            leaves sizes as they are and scales to [-1, 1].
        batch_size: Pictures that the encoder reads at a time.
        dtype: Of what is kept: "float32", or "float16" for half the space and
            three digits.
        num_threads: Threads that read pictures.

    Returns:
        The examples with their features as `image`, in their order, for
        `CaptionBatches(..., input_name="features")`.

    Raises:
        ValueError: There are no examples, or one without a name whose picture
            is no path; two pictures have one name; `folder` holds features of
            other pictures, by another encoder, another processor or of
            another `dtype`; a picture cannot be read; the encoder makes no
            grid or sequence, or numbers that `dtype` cannot hold; the disk is
            too full.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from keras_attention import data
        >>> encoder = keras.Sequential(
        ...     [keras.Input((8, 8, 3)), keras.layers.AveragePooling2D(4)]
        ... )
        >>> picture = np.full((8, 8, 3), 255, "uint8")
        >>> examples = [data.CaptionedImage(picture, ("white",), name="1")]
        >>> cached = data.cache_features(encoder, examples, tempfile.mkdtemp())
        >>> cached[0].image.shape, float(cached[0].image.max())
        ((2, 2, 3), 1.0)
    """
    checks.positive_int(batch_size, "batch_size")
    checks.positive_int(num_threads, "num_threads")
    checks.one_of(dtype, "dtype", ("float32", "float16"))
    processor = image_processor or ImageProcessor()
    folder, pictures = Path(folder), distinct_pictures(examples)
    index: dict[str, Any] = {
        "encoder": encoder_digest(encoder),
        "image_processor": json.loads(json.dumps(processor.get_config())),
        "dtype": dtype,
        "names": sorted(pictures),
    }
    folder.mkdir(parents=True, exist_ok=True)
    done = 0
    if has_index(folder, index):
        done = rows_done(folder, len(pictures))
    if done < len(pictures):
        batches = encoded(
            encoder,
            [pictures[name] for name in index["names"]],
            processor,
            range(done, len(pictures), batch_size),
            batch_size,
            num_threads,
        )
        write_features(folder, index, batches, done)
    features = np.load(folder / ARRAY, mmap_mode="r")
    row_of = {name: row for row, name in enumerate(index["names"])}
    return [
        example._replace(image=features[row_of[name_of(example, i)]])
        for i, example in enumerate(examples)
    ]


def name_of(example, index):
    """What tells a picture apart: its path, or the name of its example."""
    if isinstance(example.image, (str, Path)):
        return str(example.image)
    if not example.name:
        raise ValueError(
            "An example must have a `name` if its picture is no path. "
            f"Received: {type(example.image)} without one, in example {index}."
            ' Use `example._replace(name="...")`.'
        )
    return example.name


def distinct_pictures(examples):
    """`(example, index)` of each picture, by name."""
    pictures = {}
    for index, example in enumerate(examples):
        name = name_of(example, index)
        first, place = pictures.setdefault(name, (example, index))
        is_path = isinstance(example.image, (str, Path))
        if not is_path and first.image is not example.image:
            raise ValueError(
                "Pictures must have names that differ. Received: "
                f"name={name!r} for those of examples {place} and {index}."
            )
    if not pictures:
        raise ValueError(
            "There must be captioned images to encode. Received: no examples."
        )
    return pictures


def encoder_digest(encoder):
    """A digest that encoders share if layers and weights are the same."""
    config = {}
    with contextlib.suppress(NotImplementedError):  # layers of one's own
        config = encoder.get_config()
    text = json.dumps(config, sort_keys=True, default=str)
    # Names count the layers that a session has made: "conv2d_3".
    text = re.sub(r'_\d+(?=")', "", text)
    digest = hashlib.sha256(text.encode("utf-8"))
    for weight in encoder.weights:
        array = keras.ops.convert_to_numpy(weight)
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def has_index(folder, index):
    """Whether a folder has features; raises if something else made them."""
    path = folder / INDEX
    if not path.is_file():
        return False
    try:
        found = json.loads(path.read_text("utf-8"))
        differs = [key for key in index if found[key] != index[key]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"`folder` must be empty or have features that `cache_features` "
            f"made. Received: {path}, which is no index of them "
            f"({type(error).__name__}: {error}). Pass another folder."
        ) from None
    if not differs:
        return True
    reasons = []
    for key in differs:
        if key == "encoder":
            reasons.append("another encoder, or other weights")
        elif key == "names":
            old, new = set(found[key]), set(index[key])
            reasons.append(
                f"{len(old)} pictures, without {len(new - old)} of the "
                f"{len(new)} here and with {len(old - new)} others"
            )
        else:
            reasons.append(f"{key}={found[key]}, not {index[key]}")
    raise ValueError(
        "`folder` must be empty or have the features of these pictures by "
        f"this encoder. Received: {str(folder)!r} with {'; '.join(reasons)}. "
        "Pass another folder, or delete this one."
    )


def rows_done(folder, number):
    """How many rows of the features an earlier run has finished."""
    path = folder / PROGRESS
    if not path.is_file() or not (folder / ARRAY).is_file():
        return 0
    done = json.loads(path.read_text("utf-8"))["rows"]
    rows = np.load(folder / ARRAY, mmap_mode="r").shape[0]
    if rows != number or done > number:
        raise ValueError(
            f"{folder / ARRAY} must have a row for each picture. Received: "
            f"{rows} rows for {number}. Delete {str(folder)!r}, and run again."
        )
    return done


def encoded(encoder, pictures, processor, starts, batch_size, num_threads):
    """Features of the pictures from each start on, batch by batch.

    Args:
        encoder: The model.
        pictures: `(example, index)` of each.
        processor: Makes pixels.
        starts: Rows that batches begin with.
        batch_size: Rows of a batch; the last may have fewer.
        num_threads: Threads that read.
    """
    reader = ReadAhead(num_threads)
    for i in range(len(starts)):
        pixels = reader.read(
            list(starts[i : i + 2]),
            lambda start: [
                (pixels_of, example, index, processor)
                for example, index in pictures[start : start + batch_size]
            ],
        )
        images = processor.normalize(one_size(pixels))
        # The last batch too has the shape that the encoder is compiled for.
        filled = np.resize(np.arange(len(images)), batch_size)
        features: Any = encoder.predict_on_batch(images[filled])
        shape: tuple = getattr(features, "shape", ())
        if len(shape) not in (3, 4) or shape[0] != batch_size:
            received = f"shape {shape}" if shape else f"a {type(features)}"
            raise ValueError(
                "The encoder must make a grid (B, height, width, C) or a "
                f"sequence (B, S, C). Received: {received}. Take the output "
                "of a layer before pictures are pooled."
            )
        yield starts[i], features[: len(images)]


def write_features(folder, index, batches, done):
    """Writes features, and after each batch how far they are.

    Args:
        folder: Where to.
        index: What made them, and the names of the pictures.
        batches: The first row of each batch, and its features.
        done: Rows that are written already.
    """
    array = None
    if done:
        array = np.lib.format.open_memmap(folder / ARRAY, mode="r+")
    for start, features in batches:
        rows = kept_as(index["dtype"], features)
        if array is None:
            array = new_array(folder, index, rows.shape[1:])
        if rows.shape[1:] != array.shape[1:]:
            raise ValueError(
                "All features must have one shape. Received: "
                f"{rows.shape[1:]} after {array.shape[1:]}. Give the "
                "processor a `size` of (height, width)."
            )
        array[start : start + len(rows)] = rows
        array.flush()
        write_json(folder / PROGRESS, {"rows": start + len(rows)})


def kept_as(dtype, features):
    """Features of a `dtype`, or an error unless it holds them."""
    if not np.isfinite(features).all():
        raise ValueError(
            "Features must be finite. Received: some that are not, from the "
            "encoder. Check its weights, and that the processor scales "
            "pictures as it expects."
        )
    if np.abs(features).max() > np.finfo(dtype).max:
        raise ValueError(
            f"Features must be numbers that {dtype} holds. Received: "
            f'{np.abs(features).max():g} among them. Use dtype="float32".'
        )
    return features.astype(dtype)


def new_array(folder, index, shape):
    """The index and a file for features of a shape, if there is room."""
    dtype, shape = index["dtype"], (len(index["names"]), *shape)
    needed = int(np.prod(shape, dtype="int64")) * np.dtype(dtype).itemsize
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(
            f"The disk of {str(folder)!r} must have room for the features. "
            f"Received: {free} bytes free, {needed} needed. Use another "
            'folder or dtype="float16", or average the features of an area.'
        )
    # Whenever this stops, nothing of another array counts as done.
    (folder / PROGRESS).unlink(missing_ok=True)
    write_json(folder / INDEX, index)
    return np.lib.format.open_memmap(
        folder / ARRAY, mode="w+", dtype=dtype, shape=shape
    )


def write_json(path, value):
    """Writes a file that is there as a whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=1) + "\n", "utf-8")
    os.replace(partial, path)
