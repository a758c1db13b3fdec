"""Captioned images from text files with an image and a caption a line."""

from pathlib import Path

from keras_attention.data.captioned_images import CaptionedImage, usable_images
from keras_attention.data.image_readers import (
    SkippedFile,
    existing_folder,
    picture_files,
)
from keras_attention.data.readers import (
    check_on_error,
    lines_of,
    two_columns,
    undecodable,
)


def read_flickr_tokens(
    token_path: str | Path,
    image_folder: str | Path,
    names: str | Path | None = None,
    on_error: str = "raise",
    verify: bool = True,
) -> tuple[list[CaptionedImage], list[SkippedFile]]:
    """Reads the captions of Flickr8k or Flickr30k.

        1000268201_693b08cb0e.jpg#0 TAB A child in a pink dress is climbing .
        1000268201_693b08cb0e.jpg#1 TAB A girl going into a wooden building .

    `Flickr8k.token.txt` has captions of one picture that the set is without,
    `2258277193_586949ec62.jpg.1`: name the pictures of a split, or skip it.

    Args:
        token_path: `Flickr8k.token.txt`, `results_20130124.token` or a file
            of their form.
        image_folder: Folder of the pictures.
        names: A file with the name of a picture on each line, such as
            `Flickr_8k.trainImages.txt`: these are read, and others passed
            over. None reads all, and each picture in the folder must then
            have captions.
        on_error: `"raise"` stops if there is something that cannot be used,
            `"skip"` leaves it out and reports it.
        verify: Whether each picture is read once, so that one that is cut off
            is found now and not in the middle of training.

    Returns:
        The images in the order of `names`, or of the captions, with all their
        captions, and what was left out (nothing with `on_error="raise"`). An
        image stays as long as it has one caption that can be used.

    Raises:
        ValueError: There is no such file or folder; with `on_error="raise"`
            also if a line is not of this form, a caption is empty, or a
            picture has no captions, is not there or cannot be read. The
            message names the first five and counts the others.

    Examples:
        >>> import pathlib, tempfile
        >>> from PIL import Image
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (40, 30)).save(folder / "1_ab.jpg")
        >>> tokens = folder / "Flickr8k.token.txt"
        >>> _ = tokens.write_text("1_ab.jpg#0\\tA dog runs .\\n")
        >>> examples, _ = read_flickr_tokens(tokens, folder)
        >>> examples[0].name, examples[0].captions
        ('1_ab.jpg', ('A dog runs .',))

    Reference:
        [Hodosh et al., 2013](https://doi.org/10.1613/jair.3994)
    """
    check_on_error(on_error)
    folder = existing_folder(image_folder, "image_folder")
    captions, skipped = {}, []
    for number, line in numbered(token_path, "token_path"):
        columns, problem = two_columns(line)
        if columns is not None:
            name, mark, count = columns[0].strip().rpartition("#")
            if not name or not count.isdigit():
                problem = f"{columns[0]!r} is not a name, # and a number"
            else:
                captions.setdefault(name, []).append(columns[1])
        if problem is not None:
            reason = f"line {number}: {problem}"
            skipped.append(SkippedFile(Path(token_path), reason))
    if names is None:
        chosen = list(captions)
        listed = {folder / name for name in chosen}
        for path in picture_files(folder)[0]:
            if path not in listed:
                skipped.append(SkippedFile(path, "it has no captions"))
    else:
        chosen = names_in(names, skipped)
    examples = [
        CaptionedImage(
            str(folder / name), tuple(captions.get(name, ())), name=name
        )
        for name in chosen
    ]
    return usable_images(examples, skipped, on_error, verify, token_path)


def read_captions_tsv(
    path: str | Path,
    image_folder: str | Path | None = None,
    on_error: str = "raise",
    verify: bool = True,
) -> tuple[list[CaptionedImage], list[SkippedFile]]:
    """Reads a file with the path of a picture and a caption on each line.

        dogs/1.jpg TAB a dog runs
        dogs/1.jpg TAB a brown dog on the grass
        cats/1.jpg TAB two cats

    The form for data of your own. Several lines of one picture are its
    references, wherever they stand.

    Args:
        path: A UTF-8 text file without a line of headings.
        image_folder: Folder that the paths are relative to; that of the file
            if None.
        on_error: `"raise"` stops if there is something that cannot be used,
            `"skip"` leaves it out and reports it.
        verify: Whether each picture is read once, so that one that is cut off
            is found now and not in the middle of training.

    Returns:
        The images in the order of their first lines, with all their captions,
        and what was left out (nothing with `on_error="raise"`). An image
        stays as long as it has one caption that can be used.

    Raises:
        ValueError: There is no such file or folder; with `on_error="raise"`
            also if a line is not UTF-8 or has not two columns, a caption is
            empty, or a picture is not there or cannot be read. The message
            names the first five and counts the others.

    Examples:
        >>> import pathlib, tempfile
        >>> from PIL import Image
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (40, 30)).save(folder / "1.jpg")
        >>> table = folder / "captions.tsv"
        >>> _ = table.write_text("1.jpg\\ta dog runs\\n1.jpg\\ta brown dog\\n")
        >>> examples, _ = read_captions_tsv(table)
        >>> examples[0].name, examples[0].captions
        ('1.jpg', ('a dog runs', 'a brown dog'))
    """
    check_on_error(on_error)
    folder = Path(path).parent
    if image_folder is not None:
        folder = existing_folder(image_folder, "image_folder")
    captions, skipped = {}, []
    for number, line in numbered(path, "path"):
        columns, problem = two_columns(line)
        if columns is not None and columns[0].strip():
            name, text = columns
            captions.setdefault(name.strip(), []).append(text)
        else:
            problem = problem or "it names no picture"
            reason = f"line {number}: {problem}"
            skipped.append(SkippedFile(Path(path), reason))
    examples = [
        CaptionedImage(str(folder / name), tuple(texts), name=name)
        for name, texts in captions.items()
    ]
    return usable_images(examples, skipped, on_error, verify, path)


def numbered(path, argument):
    """The lines of a file of captions with their numbers, from 1."""
    return enumerate(lines_of(path, argument, "captions"), 1)


def names_in(path, skipped):
    """The names in a file, one a line; empty lines are passed over."""
    names = {}
    lines = lines_of(path, "names", "names of pictures")
    for number, line in enumerate(lines, 1):
        try:
            name = line.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            reason = f"line {number}: {undecodable(line, error)}"
            skipped.append(SkippedFile(Path(path), reason))
            continue
        if name:
            names[name] = None
    return list(names)
