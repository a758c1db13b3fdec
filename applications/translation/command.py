"""What the commands of this folder share. Imports no backend."""

import contextlib
import os
import sys


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


@contextlib.contextmanager
def clean_errors(parser):
    """Turns what the package refuses into a sentence and exit code 2."""
    try:
        yield
    except (ValueError, ImportError) as error:
        parser.error(str(error))
