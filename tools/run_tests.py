"""Runs the tests in parts, two processes at a time, and sums up.

A part is a process of its own: what XLA has compiled stays in memory until one
ends. Each has one thread, for the threads of two would wait for each other,
torch's by spinning: four times the time. What JAX has compiled is kept in
build/, for models of the same sizes in another test, part or run.

python tools/run_tests.py --select "not slow" tensorflow jax torch
"""

import argparse
import glob
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

# The promises of layers, ops, decoding and models hold on every backend, and
# so do the examples of docstrings and pages.
LAYERS, MODELS = ["tests/layers"], ["tests/models"]
PICTURES = "tests/models/test_vi*"  # and videos: ViT and ViViT
EXAMPLES = ["keras_attention", "tests/docs"]
OTHERS = [
    "tests/ops",
    "tests/decoding",
    "tests/data/test_caption_batches.py",
    "tests/data/test_feature_cache.py",
    "tests/data/test_image_batches.py",
    "tests/data/test_video_batches.py",
    "tests/test_callbacks.py",
    "tests/test_losses.py",
    "tests/test_optimizers.py",
    "tests/test_reinforce.py",
    "tests/test_schedules.py",
    "tests/applications/test_image_experiment.py",
    "tests/test_package.py",
]
EVERYWHERE = [LAYERS, MODELS, [*EXAMPLES, *OTHERS]]
# All tests, whatever their folder.
APPLICATIONS = ["tests/applications"]
APART = [LAYERS, MODELS, APPLICATIONS]
REST = ["tests", "--ignore=tests/docs"]
REST += [f"--ignore={folder}" for (folder,) in APART]
# All models in one process would take 9 GB.
TWO_OF_MODELS = [
    [*MODELS, f"--ignore-glob={PICTURES}"],
    sorted(glob.glob(PICTURES)),
]
# The backend with the longest parts first and torch, with the shortest, last,
# so that both processes end at about the same time.
PARTS = {
    "tensorflow": [LAYERS, *TWO_OF_MODELS, APPLICATIONS, EXAMPLES, REST],
    "jax": EVERYWHERE,
    "torch": EVERYWHERE,
}
NO_TESTS = 5  # pytest's exit code where no test of a part is chosen
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "NPROC": "1",  # JAX
}
COMPILED = {
    "JAX_COMPILATION_CACHE_DIR": os.path.abspath("build/compiled"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}
printing = threading.Lock()


def main():
    parser = argparse.ArgumentParser(description="Runs the tests in parts.")
    parser.add_argument("backends", nargs="+", choices=PARTS)
    parser.add_argument("--select", default="not slow", help="pytest's -m")
    parser.add_argument("--xla-flags", default="")
    parser.add_argument("--flags", default="", help="other flags of pytest")
    options = parser.parse_args()
    jobs = [
        (backend, part)
        for backend in options.backends
        for part in PARTS[backend]
    ]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda job: run(*job, options), jobs))
    print("\n".join(line for line, _ in done))
    return 0 if all(passed for _, passed in done) else 1


def run(backend, part, options):
    """Runs a part; what pytest says last, and whether all passed."""
    select = options.select
    if backend != "tensorflow":
        select = f"({select}) and not one_backend"
    flags = "--xla_cpu_multi_thread_eigen=false " + options.xla_flags
    begin = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", select]
        + [*options.flags.split(), *part],
        env={
            **os.environ,
            **ONE_THREAD,
            **COMPILED,
            "KERAS_BACKEND": backend,
            "XLA_FLAGS": flags.strip(),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seconds = time.monotonic() - begin
    last = result.stdout.strip().rpartition("\n")[2].strip("= ")
    name = f"{backend}: {' '.join(part)}"
    with printing:
        print(f"\n{name} ({seconds:.0f} s)\n{result.stdout}", flush=True)
    return f"{name}: {last}", result.returncode in (0, NO_TESTS)


if __name__ == "__main__":
    sys.exit(main())
