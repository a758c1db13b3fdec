"""Models from the Hugging Face hub, by an `hf://` address."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from keras_attention.extras import require

PREFIX = "hf://"
ADDRESS = re.compile(r"hf://((?:[\w.-]+/)?[\w.-]+?)(?:@([\w./-]+))?/?")

# Seconds that the hub may take to answer.
PATIENCE = 10


def download(address: str, choose: Callable) -> Path:
    """The folder of a repository's files, downloaded or from the cache.

    Args:
        address: `hf://user/repo`, or `hf://user/repo@revision`.
        choose: From the names of all files, a list, to those to download.

    Returns:
        The folder, in the cache of huggingface_hub.

    Raises:
        ValueError: There is no such repository; or the hub cannot be asked
            and the files are not in the cache.
    """
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise ValueError(
            f"An address must look like hf://user/repo. Received: {address!r}."
        )
    repository, revision = match[1], match[2] or "main"
    hub = require("huggingface_hub", extra="hub")
    errors = require("huggingface_hub.errors", extra="hub")
    # Read now: the library has read it when it was imported.
    endpoint = os.environ.get("HF_ENDPOINT") or None
    try:
        found = hub.HfApi(endpoint=endpoint).model_info(
            repository, revision=revision, timeout=PATIENCE
        )
    except (
        errors.RepositoryNotFoundError,  # includes those one may not see
        errors.RevisionNotFoundError,
        errors.HFValidationError,
    ) as error:
        raise ValueError(
            f"{address!r} must be a repository of the Hugging Face hub that "
            f"you may read. Received: {_first_line(error)} Check the name; "
            "for a private one log in with `hf auth login`."
        ) from error
    except Exception as error:
        # Whatever keeps the hub from answering: the cache may have it.
        return _from_cache(hub, address, repository, revision, choose, error)
    names = choose([file.rfilename for file in found.siblings])
    if not names:
        raise ValueError(
            f"{address!r} must hold a model: a config.json and weights. "
            f"Received: {[file.rfilename for file in found.siblings]}. Take "
            "another repository."
        )
    try:
        # By the revision's name, so that the cache knows it offline too.
        paths = [
            hub.hf_hub_download(
                repository,
                name,
                revision=revision,
                endpoint=endpoint,
                etag_timeout=PATIENCE,
            )
            for name in names
        ]
    except Exception as error:
        raise ValueError(
            f"The files of {address!r} must be downloaded: {', '.join(names)}. "
            f"Received: {_first_line(error)} Try again, or pass a folder that "
            "holds them."
        ) from error
    folders = {
        path.removesuffix(str(Path(name)))
        for path, name in zip(paths, names, strict=True)
    }
    if len(folders) > 1:
        raise ValueError(
            f"The files of {address!r} must be of one commit. Received: a "
            "repository that changed while they were downloaded. Try again."
        )
    return Path(folders.pop())


def _from_cache(hub, address, repository, revision, choose, error):
    """The folder in the cache, if it holds all there is to choose."""
    try:
        folder = Path(
            hub.snapshot_download(
                repository, revision=revision, local_files_only=True
            )
        )
    except Exception:
        folder = None
    if folder is None or not choose(
        [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    ):
        raise ValueError(
            f"{address!r} must be in the cache where the Hugging Face hub "
            f"cannot be reached. Received: {_first_line(error)} Go online "
            "once, or copy the repository's files here and pass their folder; "
            "HF_ENDPOINT names another host."
        ) from error
    return folder


def _first_line(error):
    text = str(error).strip() or type(error).__name__
    line = text.splitlines()[0]
    return line if line.endswith(".") else line + "."
