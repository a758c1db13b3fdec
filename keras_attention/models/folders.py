"""Folders that are there whole, or not at all."""

import contextlib
import tempfile
from pathlib import Path

OWN_WEIGHTS_FILE = "model.weights.h5"


@contextlib.contextmanager
def written_at_once(folder: str | Path):
    """A folder to write to, which takes its place once all is written.

    If anything fails, `folder` stays what it was. In one that is there the
    files of the same names are replaced.

    Args:
        folder: Where the files shall be.

    Raises:
        ValueError: The folder holds a model that `save_to_preset` wrote,
            whose config would be lost.

    Examples:
        >>> with tempfile.TemporaryDirectory() as home:
        ...     with written_at_once(Path(home, "model")) as folder:
        ...         _ = (folder / "config.json").write_text("{}")
        ...     sorted(path.name for path in Path(home, "model").iterdir())
        ['config.json']
    """
    folder = Path(folder)
    if (folder / OWN_WEIGHTS_FILE).exists():
        raise ValueError(
            "The folder must not hold a preset, whose config.json would be "
            f"replaced. Received: {str(folder)!r} with a {OWN_WEIGHTS_FILE}. "
            "Choose another folder."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=folder.parent, prefix=f".{folder.name}-"
    ) as home:
        written = Path(home, "written")
        written.mkdir()
        yield written
        if folder.is_dir():
            for path in written.iterdir():
                path.replace(folder / path.name)
        else:
            written.rename(folder)
