"""What the commands of this folder share. Imports no backend."""

import argparse
import contextlib
import os
import sys

from applications.translation.recipes import RECIPES


def positive(text):
    """A whole number of at least 1, for `type=` of an argument."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"must be a whole number of at least 1. Received: {text}."
        )
    return int(text)


def add_recipe(parser):
    """Adds what tells one training run from another, but for its seed."""
    parser.add_argument(
        "--recipe", default="demo", help=f"one of {', '.join(RECIPES)}"
    )
    parser.add_argument(
        "--set",
        dest="changes",
        action="extend",
        nargs="+",
        default=[],
        metavar="FIELD=VALUE",
        help="change choices of the recipe",
    )
    add_data(parser, "UTF-8 file with one `source TAB target` per line")


def add_data(parser, meaning):
    parser.add_argument("--data", help=meaning)
    parser.add_argument(
        "--skip-bad-rows",
        action="store_true",
        help="leave out lines of --data that hold no pair, and tell which",
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
