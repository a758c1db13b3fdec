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
    add_data(parser, "to train and test on")


def add_data(parser, purpose):
    """Adds the ways to name sentence pairs."""
    parser.add_argument(
        "--data",
        help=f"pairs {purpose}: a UTF-8 file with one `source TAB target` per "
        "line, tfds:NAME for a set of tensorflow-datasets, or "
        "tfds:NAME,SOURCE,TARGET to choose its languages",
    )
    for side in ("source", "target"):
        parser.add_argument(
            f"--{side}-file",
            metavar="FILE",
            help=f"the {side} side of line-aligned pairs, instead of --data",
        )
    parser.add_argument(
        "--skip-bad-rows",
        action="store_true",
        help="leave out rows that hold no pair, and tell which",
    )


def data_of(options):
    """The pairs that are named: a path, two paths, `tfds:...` or None."""
    sides = options.source_file, options.target_file
    if sides == (None, None):
        if options.data == "tfds:":
            raise ValueError(
                "A set of tensorflow-datasets must be named. Received: --data "
                "tfds:. Use for example tfds:ted_hrlr_translate/pt_to_en."
            )
        return options.data
    if None in sides or options.data is not None:
        given = [
            name
            for name, value in (
                ("--data", options.data),
                ("--source-file", sides[0]),
                ("--target-file", sides[1]),
            )
            if value is not None
        ]
        raise ValueError(
            "Pairs come from --data, or from --source-file together with "
            f"--target-file. Received: {' and '.join(given)}."
        )
    return sides


def data_arguments(data):
    """The arguments that name the pairs again."""
    if data is None:
        return []
    if isinstance(data, tuple):
        return ["--source-file", data[0], "--target-file", data[1]]
    return ["--data", data]


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
