"""Pictures with the captions that people wrote for them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from keras_attention.data.image_readers import SkippedFile, bad_pictures

# Pixels that a box may end beyond its image: what rounding leaves.
ROUNDING = 0.05
# Problems that an error names; it counts the others.
NAMED = 5


class CaptionedImage(NamedTuple):
    """A picture with all of its captions, and boxes around what it shows.

    Args:
        image: Path of the picture as a string, the bytes of a file, an array
            of unsigned bytes `(height, width, 3)` or what NumPy makes one of,
            or an array of features that an encoder made of it.
        captions: The captions, one or more: the references to score with.
        boxes: `(left, top, right, bottom, label)` for each thing that is
            marked, in pixels of the picture as it is stored, from its left
            and upper border; the label is a name.
        name: Name of the picture in its set, such as that of its file.

    Examples:
        >>> example = CaptionedImage(
        ...     "dog.jpg",
        ...     captions=("a dog runs", "a brown dog"),
        ...     boxes=((3.0, 5.0, 40.0, 30.0, "dog"),),
        ... )
        >>> example.captions[1]
        'a brown dog'
    """

    image: Any
    captions: tuple[str, ...]
    boxes: tuple[tuple[float, float, float, float, str], ...] = ()
    name: str = ""


def usable_captions(texts: Iterable[str]):
    """Captions without white space around them, and what is wrong."""
    stripped = [text.strip() for text in texts]
    problems = [
        f"caption {number} is empty"
        for number, text in enumerate(stripped, 1)
        if not text
    ]
    if not stripped:
        problems = ["it has no captions"]
    return tuple(text for text in stripped if text), problems


def usable_boxes(boxes, width, height):
    """The boxes that are within an image, and what is wrong with others.

    Args:
        boxes: As a `CaptionedImage` has them.
        width: Of the image, in pixels.
        height: Likewise.
    """
    inside, problems = [], []
    for left, top, right, bottom, label in boxes:
        # Not a number is not within either.
        within = all(
            -ROUNDING <= low <= high <= size + ROUNDING
            for low, high, size in ((left, right, width), (top, bottom, height))
        )
        if within:
            left, top = max(left, 0), max(top, 0)
            right, bottom = min(right, width), min(bottom, height)
            inside.append((*map(float, (left, top, right, bottom)), label))
        else:
            corners = ", ".join(f"{x:g}" for x in (left, top, right, bottom))
            problems.append(
                f"the box ({corners}) of {label!r} is not within the image of "
                f"{width} x {height} pixels"
            )
    return tuple(inside), problems


def usable_images(
    examples: list[CaptionedImage],
    skipped: list[SkippedFile],
    on_error: str,
    verify: bool,
    where: str | Path,
) -> tuple[list[CaptionedImage], list[SkippedFile]]:
    """The examples whose pictures are there and have captions.

    Args:
        examples: Of paths, with captions as they were read.
        skipped: What is known to be of no use.
        on_error: As the readers take it.
        verify: Whether to read each picture.
        where: What they were read from.
    """
    kept, skipped = [], list(skipped)
    for example in examples:
        captions, problems = usable_captions(example.captions)
        path = Path(example.image)
        if not path.is_file():
            problems.append("there is no such file")
        elif captions:
            kept.append(example._replace(captions=captions))
        if problems and example.captions and not captions:
            problems.append("it has no other captions")
        skipped += [SkippedFile(path, problem) for problem in problems]
    if verify:
        bad = bad_pictures(dict.fromkeys(Path(x.image) for x in kept))
        skipped += [SkippedFile(path, reason) for path, reason in bad.items()]
        kept = [x for x in kept if Path(x.image) not in bad]
    named = [(str(file.path), file.reason) for file in skipped]
    report(named, on_error, bool(kept), where)
    return kept, skipped


def report(problems, on_error, any_left, where):
    """Raises if there are problems, or if nothing is left without them.

    Args:
        problems: `(name, reason)` of each.
        on_error: As the readers take it.
        any_left: Whether there are examples that can be used.
        where: What they were read from.
    """
    named = "; ".join(f"{name}: {reason}" for name, reason in problems[:NAMED])
    if len(problems) > NAMED:
        named += f"; and {len(problems) - NAMED} more problems"
    if problems and on_error == "raise":
        raise ValueError(
            "Each image must be a picture that is there, with captions that "
            "are not empty and boxes within it, and each caption must have an "
            f"image. Received: {where} with {named}. Correct them, or use "
            'on_error="skip" to leave out what cannot be used.'
        )
    if not any_left:
        raise ValueError(
            f"{where} must have an image with a caption. Received: "
            f"{named or 'none'}."
        )
