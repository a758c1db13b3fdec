"""Sentence pairs from files and from tensorflow-datasets."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_attention.data.tfds_sets import (
    find_builder,
    make_available,
    read_split,
)
from keras_attention.extras import require


@dataclass(frozen=True)
class SkippedRow:
    """A row of a file or a data set that could not be used, or a part of it.

    Args:
        line: Its line, or its place in a data set, counted from 1.
        reason: What is wrong with it.
    """

    line: int
    reason: str


def read_tsv(
    path: str | Path, on_error: str = "raise"
) -> tuple[list[tuple[str, str]], list[SkippedRow]]:
    """Reads sentence pairs from a file with one `source TAB target` per line.

    Args:
        path: A UTF-8 text file. White space around a side is dropped, and so
            is a byte order mark.
        on_error: `"raise"` stops at the first row that cannot be used,
            `"skip"` leaves such rows out and reports them.

    Returns:
        The pairs, and the rows left out (none with `on_error="raise"`).

    Raises:
        ValueError: If the file is missing or empty, or no row can be used;
            with `on_error="raise"` also if a row is not UTF-8, has not two
            columns, or has an empty side. The message names the line.
    """
    check_on_error(on_error)
    lines = lines_of(path, "path")
    if not lines:
        raise ValueError(
            f"{path} must hold at least one `source TAB target` line. "
            "Received: an empty file."
        )
    return _sort_out(
        map(_parse_row, lines),
        on_error,
        "Each line must be UTF-8 text with a source and a target sentence, "
        "separated by one tab.",
        str(path),
    )


def read_aligned(
    source_path: str | Path, target_path: str | Path, on_error: str = "raise"
) -> tuple[list[tuple[str, str]], list[SkippedRow]]:
    """Reads sentence pairs from two files whose lines belong together.

    The form of most corpora: line 7 of one file is the translation of line 7
    of the other.

    Args:
        source_path: A UTF-8 text file with one sentence per line. White space
            around a sentence is dropped, and so is a byte order mark.
        target_path: The file of their translations.
        on_error: `"raise"` stops at the first pair that cannot be used,
            `"skip"` leaves such pairs out and reports them.

    Returns:
        The pairs, and the rows left out (none with `on_error="raise"`).

    Raises:
        ValueError: If a file is missing or empty, or no pair can be used; if
            the numbers of lines differ, which no choice of `on_error`
            allows, since a line that is missing anywhere shifts all behind
            it; with `on_error="raise"` also if a line is empty or not UTF-8.
            The message names the line.

    Examples:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "text.en").write_text("the cat\\nthe dog\\n")
        >>> _ = (folder / "text.fr").write_text("le chat\\nle chien\\n")
        >>> read_aligned(folder / "text.en", folder / "text.fr")
        ([('the cat', 'le chat'), ('the dog', 'le chien')], [])
    """
    check_on_error(on_error)
    sides = []
    for path, name in (
        (source_path, "source_path"),
        (target_path, "target_path"),
    ):
        lines = lines_of(path, name)
        if not lines:
            raise ValueError(
                f"{path} must hold at least one sentence. Received: an empty "
                "file."
            )
        sides.append(lines)
    counts = [len(lines) for lines in sides]
    if counts[0] != counts[1]:
        longer = source_path if counts[0] > counts[1] else target_path
        raise ValueError(
            "Line-aligned files must have as many lines. Received: "
            f"{source_path} with {counts[0]}, {target_path} with {counts[1]}; "
            f"line {min(counts) + 1} of {longer} is the first without a "
            "partner. The line that is missing may be anywhere before it: "
            "align the files anew."
        )
    return _sort_out(
        (_decode_pair(*pair) for pair in zip(*sides, strict=True)),
        on_error,
        "Each line must be a sentence of UTF-8 text in both files.",
        f"{source_path} and {target_path}",
    )


def read_tfds(
    name: Any,
    split: str = "train",
    source: str | None = None,
    target: str | None = None,
    data_dir: str | Path | None = None,
    download: bool = True,
    on_error: str = "raise",
) -> tuple[list[tuple[str, str]], list[SkippedRow]]:
    """Reads sentence pairs from a translation set of tensorflow-datasets.

    For sets whose examples are texts by language, such as
    `"ted_hrlr_translate/pt_to_en"`, `"wmt14_translate/de-en"`, `"opus"` and
    `"para_crawl/ende"`. One that is not on the disk is downloaded; where that
    cannot be, the error comes at once. Needs the extra `applications`.

    Args:
        name: Its name, or a builder, such as
            `tensorflow_datasets.folder_dataset.TranslateFolder(folder)`.
        split: Name of a split; a part of one as `"train[:10%]"`.
        source: Language to translate from. None takes the first of the two
            that the set names for supervised training.
        target: Language to translate into. None takes the second.
        data_dir: Folder of the sets; None is tensorflow-datasets' own,
            `~/tensorflow_datasets`.
        download: Whether a set that is not there may be downloaded.
        on_error: `"raise"` stops at the first pair that cannot be used,
            `"skip"` leaves such pairs out and reports them.

    Returns:
        The pairs in the order of the set, and the rows left out.

    Raises:
        ImportError: If tensorflow-datasets is not installed.
        ValueError: If there is no such set, split or language, the set holds
            no pairs of texts, or it is not on the disk and cannot be
            downloaded; with `on_error="raise"` also if a side is empty.
    """
    check_on_error(on_error)
    builder = find_builder(name, data_dir)
    # Before the download, which may be long.
    source, target = _choose_languages(builder.info, source, target)
    make_available(builder, download)
    examples = read_split(builder, split)
    return _sort_out(
        (_decode_pair(x[source], x[target]) for x in examples),
        on_error,
        f"Each example must have a text in {source} and one in {target}.",
        f"{builder.info.full_name}, {split}",
        unit="example",
    )


def _choose_languages(info, source, target):
    """The two languages asked for, or those of supervised training."""
    tfds = require("tensorflow_datasets", extra="applications")
    items = getattr(info.features, "items", tuple)()
    languages = [
        name
        for name, feature in items
        if isinstance(feature, tfds.features.Text)
    ]
    if len(languages) < 2:
        raise ValueError(
            "A translation set must have texts in two languages. Received: "
            f"{info.full_name} with {[name for name, _ in items]}. Use a set "
            "of pairs, such as 'ted_hrlr_translate/pt_to_en'."
        )
    first, second = info.supervised_keys or (None, None)
    if len(languages) == 2 and (source or target):
        # The one asked for leaves the other.
        first, second = languages
        if source == second or target == first:
            first, second = second, first
    source, target = source or first, target or second
    if source == target or not {source, target} <= set(languages):
        raise ValueError(
            "`source` and `target` must be two languages of the set. "
            f"Received: source={source!r}, target={target!r} for "
            f"{info.full_name}, which has {', '.join(languages)}."
        )
    return source, target


def check_on_error(on_error):
    if on_error not in ("raise", "skip"):
        raise ValueError(
            '`on_error` must be "raise" or "skip". Received: '
            f"on_error={on_error!r}."
        )


def lines_of(path, name, what="sentence pairs"):
    """The lines of a file as bytes, without a byte order mark.

    Args:
        path: The file.
        name: What the caller calls it.
        what: What its lines are.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(
            f"`{name}` must be a file of {what}. Received: "
            f"{name}={str(path)!r} ({error.strerror})."
        ) from None
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines


def _sort_out(rows: Iterable, on_error, rule, where, unit="line"):
    """The pairs among `(pair, problem)`, and what is wrong with the others."""
    pairs, skipped = [], []
    for number, (pair, problem) in enumerate(rows, 1):
        if problem is None:
            pairs.append(pair)
        elif on_error == "skip":
            skipped.append(SkippedRow(number, problem))
        else:
            raise ValueError(
                f"{rule} Received: {where}, {unit} {number}: {problem}. "
                f'Correct the {unit}, or use on_error="skip" to leave such '
                f"{unit}s out."
            )
    if not pairs:
        worst = f"; {unit} 1: {skipped[0].reason}" if skipped else ""
        raise ValueError(
            f"{where} must hold at least one pair. {rule} Received: "
            f"{len(skipped)} {unit}s, none of them usable{worst}."
        )
    return pairs, skipped


def _parse_row(line):
    columns, problem = two_columns(line)
    return (None, problem) if problem else _check_pair(*columns)


def two_columns(line):
    """The two columns of a line, or what is wrong with it."""
    try:
        columns = line.decode("utf-8").split("\t")
    except UnicodeDecodeError as error:
        return None, undecodable(line, error)
    if len(columns) != 2:
        found = "1 column" if len(columns) == 1 else f"{len(columns)} columns"
        return None, f"{found} instead of 2"
    return columns, None


def _decode_pair(source, target):
    pair = []
    for side, data in (("source", source), ("target", target)):
        try:
            pair.append(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            return None, f"{undecodable(data, error)} in the {side}"
    return _check_pair(*pair)


def undecodable(data, error):
    """What is wrong with bytes that are not UTF-8."""
    byte = data[error.start]
    return f"byte 0x{byte:02x} at column {error.start} is not UTF-8"


def _check_pair(source, target):
    source, target = source.strip(), target.strip()
    if not source or not target:
        return None, f"the {'target' if source else 'source'} is empty"
    return (source, target), None
