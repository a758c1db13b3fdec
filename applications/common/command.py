"""What the commands of all applications share. Imports no backend."""

import argparse
import contextlib
import os
import sys
from pathlib import Path


def positive(text):
    """A whole number of at least 1, for `type=` of an argument."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"must be a whole number of at least 1. Received: {text}."
        )
    return int(text)


def add_recipe(parser, recipes):
    """Adds the choice of a recipe, and changes to it."""
    parser.add_argument(
        "--recipe", default="demo", help=f"one of {', '.join(recipes)}"
    )
    add_changes(parser)


def add_changes(parser):
    """Adds changes to a recipe."""
    parser.add_argument(
        "--set",
        dest="changes",
        action="extend",
        nargs="+",
        default=[],
        metavar="FIELD=VALUE",
        help="change choices of the recipe",
    )


def add_run(parser):
    """Adds where a run goes, and how."""
    parser.add_argument(
        "--output", type=Path, help="run folder; runs/RECIPE if left out"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with a run that was stopped, given the same arguments",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a run in the folder"
    )
    add_threads(parser)
    parser.add_argument(
        "--verbose",
        type=int,
        choices=(0, 1, 2),
        default=1,
        help="0: no progress, 1: a bar, 2: a line per epoch",
    )


def add_threads(parser):
    parser.add_argument(
        "--threads",
        type=positive,
        help="threads to use; all cores if left out",
    )


def limit_threads(number: int | None):
    """Keeps a backend that is not imported yet to some threads."""
    if number is None:
        return
    if "keras" in sys.modules:
        raise ValueError(
            "`--threads` must be set before Keras is imported. Received: "
            f"--threads {number} from a process that has. Use a new one."
        )
    for name in (
        "OMP_NUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
        "NPROC",  # JAX
    ):
        os.environ[name] = str(number)
    if number == 1:
        flag = " --xla_cpu_multi_thread_eigen=false"
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + flag


def require(module: str):
    """Imports what only the extra `applications` brings."""
    # Not before `limit_threads`: the package imports Keras, and that a backend.
    from keras_attention import extras

    return extras.require(module, extra="applications")


def check_picture(path: Path, argument: str):
    """Refuses a file whose name is that of no kind of picture.

    Args:
        path: The file.
        argument: What names it, such as `"--figure"`.
    """
    module = require("matplotlib.backend_bases")
    known = module.FigureCanvasBase.get_supported_filetypes()
    if path.suffix and path.suffix[1:].lower() not in known:
        raise ValueError(
            "A picture's file ends with its format, one of "
            f"{', '.join(sorted(known))}. Received: {argument} {path}."
        )


def check_page(path: Path | None):
    """Refuses a `--page` whose name is not that of one."""
    if path is not None and path.suffix.lower() != ".html":
        raise ValueError(
            f"A page's name must end in .html. Received: --page {path}."
        )


@contextlib.contextmanager
def clean_errors(parser):
    """Turns what the package refuses into a sentence and exit code 2."""
    try:
        yield
    except (ValueError, ImportError) as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(
            "Files must be there to be read, and their folder to be written "
            f"to. Received: {error}. Make the folder, or name another."
        )
