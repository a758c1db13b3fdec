"""Sentence pairs from files and from tensorflow-datasets."""

import contextlib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_attention.extras import require

# To connect to a host, before a download is given up.
SECONDS_TO_CONNECT = 5


@dataclass(frozen=True)
class SkippedRow:
    """A row of a file or a data set that could not be used.

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
    _check_on_error(on_error)
    lines = _read_lines(path, "path")
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
    _check_on_error(on_error)
    sides = []
    for path, name in (
        (source_path, "source_path"),
        (target_path, "target_path"),
    ):
        lines = _read_lines(path, name)
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
    _check_on_error(on_error)
    tfds = require("tensorflow_datasets", extra="applications")
    builder = find_builder(name, data_dir)
    # Before the download, which may be long.
    source, target = _choose_languages(builder.info, source, target)
    make_available(builder, download)
    try:
        examples = builder.as_dataset(
            split=split,
            shuffle_files=False,
            # One file after the other: the order of the set.
            read_config=tfds.ReadConfig(interleave_cycle_length=1),
        )
    except (ValueError, KeyError, AssertionError) as error:
        raise ValueError(
            f"`split` must be one of {builder.info.name}. Received: "
            f"split={split!r} ({_first_line(error)}). Its splits are "
            f"{', '.join(builder.info.splits)}; a part of one is 'train[:9%]'."
        ) from None
    return _sort_out(
        (_decode_pair(x[source], x[target]) for x in tfds.as_numpy(examples)),
        on_error,
        f"Each example must have a text in {source} and one in {target}.",
        f"{builder.info.full_name}, {split}",
        unit="example",
    )


def find_builder(name: Any, data_dir: str | Path | None = None):
    """The builder of a set of tensorflow-datasets, which reads no data yet.

    Args:
        name: As `read_tfds` takes it.
        data_dir: As `read_tfds` takes it.
    """
    tfds = require("tensorflow_datasets", extra="applications")
    if not isinstance(name, str):
        return name
    try:
        return tfds.builder(
            name, data_dir=None if data_dir is None else str(data_dir)
        )
    except (ValueError, ImportError) as error:
        raise ValueError(
            "`name` must be a data set of tensorflow-datasets, with a slash "
            f"and its config if it has one. Received: name={name!r} "
            f"({_first_line(error)}). They are listed at "
            "https://www.tensorflow.org/datasets/catalog."
        ) from None


def make_available(builder: Any, download: bool = True):
    """Downloads the set of a builder unless it is on the disk.

    Args:
        builder: What `find_builder` returns.
        download: As `read_tfds` takes it.
    """
    if builder.data_path.exists():
        return
    reason = "download=False" if not download else _download(builder)
    if reason is not None:
        name = builder.info.full_name.rpartition("/")[0]
        raise ValueError(
            f"The data set {name} must be on this disk or be downloadable. "
            f"Received: no folder {builder.data_dir}, and {reason}. Where "
            f"there is a network, run `tfds build {name}` and copy the "
            "folder, or name the folder of your sets by `data_dir`; or put "
            "the sentences into files for `read_aligned`."
        )


def _download(builder):
    """Downloads and prepares a set, or says why that cannot be."""
    hosts = {
        urllib.parse.urlsplit(url)[:2]: None for url in builder.url_infos or ()
    }
    if hosts and not any(map(_answers, list(hosts)[:3])):
        names = ", ".join(host for _, host in list(hosts)[:3])
        return f"no answer from {names}"
    with _few_retries():
        try:
            builder.download_and_prepare()
        except Exception as error:
            return f"{type(error).__name__}: {_first_line(error)}"
    return None


def _answers(host):
    """Whether a host, as `(scheme, name)`, answers whatever."""
    request = urllib.request.Request("{}://{}/".format(*host), method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=SECONDS_TO_CONNECT).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True


@contextlib.contextmanager
def _few_retries():
    """Two tries at a host, where tensorflow-datasets takes minutes for ten."""
    module: Any = require(
        "tensorflow_datasets.core.download.downloader", extra="applications"
    )
    before = module.MAX_RETRIES
    module.MAX_RETRIES = 1
    try:
        yield
    finally:
        module.MAX_RETRIES = before


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


def _first_line(error):
    return str(error).strip().partition("\n")[0][:300]


def _check_on_error(on_error):
    if on_error not in ("raise", "skip"):
        raise ValueError(
            '`on_error` must be "raise" or "skip". Received: '
            f"on_error={on_error!r}."
        )


def _read_lines(path, name):
    """The lines of a file as bytes, without a byte order mark."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(
            f"`{name}` must be a file of sentence pairs. Received: "
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
    try:
        columns = line.decode("utf-8").split("\t")
    except UnicodeDecodeError as error:
        return None, _undecodable(line, error)
    if len(columns) != 2:
        found = "1 column" if len(columns) == 1 else f"{len(columns)} columns"
        return None, f"{found} instead of 2"
    return _check_pair(*columns)


def _decode_pair(source, target):
    pair = []
    for side, data in (("source", source), ("target", target)):
        try:
            pair.append(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            return None, f"{_undecodable(data, error)} in the {side}"
    return _check_pair(*pair)


def _undecodable(data, error):
    byte = data[error.start]
    return f"byte 0x{byte:02x} at column {error.start} is not UTF-8"


def _check_pair(source, target):
    source, target = source.strip(), target.strip()
    if not source or not target:
        return None, f"the {'target' if source else 'source'} is empty"
    return (source, target), None
