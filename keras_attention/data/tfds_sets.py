"""Sets of tensorflow-datasets: found, downloaded, read in order."""

import contextlib
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from keras_attention.extras import require

# To connect to a host, before a download is given up.
SECONDS_TO_CONNECT = 5


def find_builder(name: Any, data_dir: str | Path | None = None):
    """The builder of a set of tensorflow-datasets, which reads no data yet.

    Args:
        name: Its name, or a builder.
        data_dir: Folder of the sets; tensorflow-datasets' own if None.
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


def make_available(
    builder: Any, download: bool = True, file_format: str | None = None
):
    """Downloads the set of a builder unless it is on the disk.

    Args:
        builder: What `find_builder` returns.
        download: Whether a set that is not there may be downloaded.
        file_format: Of the files that are then written; tensorflow-datasets'
            own choice if None.
    """
    if builder.data_path.exists():
        return
    reason = "download=False"
    if download:
        reason = _download(builder, file_format)
    if reason is not None:
        name = builder.info.full_name.rpartition("/")[0]
        raise ValueError(
            f"The data set {name} must be on this disk or be downloadable. "
            f"Received: no folder {builder.data_dir}, and {reason}. Where "
            f"there is a network, run `tfds build {name}` and copy the "
            "folder, or name the folder of your sets by `data_dir`; or read "
            "files of your own."
        )


def _download(builder, file_format):
    """Downloads and prepares a set, or says why that cannot be."""
    hosts = {
        urllib.parse.urlsplit(url)[:2]: None for url in builder.url_infos or ()
    }
    if hosts and not any(map(_answers, list(hosts)[:3])):
        names = ", ".join(host for _, host in list(hosts)[:3])
        return f"no answer from {names}"
    with _few_retries():
        try:
            builder.download_and_prepare(file_format=file_format)
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


def read_split(builder: Any, split: str, decoders: dict | None = None):
    """The examples of a split as NumPy values, in the order of the set.

    Args:
        builder: Of a set that is on the disk.
        split: Name of a split; a part of one as `"train[:10%]"`.
        decoders: As of `builder.as_dataset`.
    """
    tfds = require("tensorflow_datasets", extra="applications")
    with split_errors(builder, split):
        examples = builder.as_dataset(
            split=split,
            shuffle_files=False,
            decoders=decoders,
            # One file after the other: the order of the set.
            read_config=tfds.ReadConfig(interleave_cycle_length=1),
        )
    return tfds.as_numpy(examples)


def skip_decoding():
    """A decoder that leaves pictures, and those of videos, encoded."""
    tfds = require("tensorflow_datasets", extra="applications")
    decoder = tfds.decode.SkipDecoding()
    # Of examples that are read one by one, it forgets the videos.
    decoder.decode_batch_example_np = decoder.decode_example_np
    return decoder


@contextlib.contextmanager
def split_errors(builder, split):
    """Names the splits there are where the one asked for is none."""
    try:
        yield
    except (ValueError, KeyError, AssertionError) as error:
        raise ValueError(
            f"`split` must be one of {builder.info.name}. Received: "
            f"split={split!r} ({_first_line(error)}). Its splits are "
            f"{', '.join(builder.info.splits)}; a part of one is 'train[:9%]'."
        ) from None


def _first_line(error):
    return str(error).strip().partition("\n")[0][:300]
