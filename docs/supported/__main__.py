"""`python -m docs.supported`: see the package."""

import argparse
import gc
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

from docs.supported.page import BACKENDS, SECTIONS, page_of, versions_of
from tools.run_tests import COMPILED

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "support.md"
FOUND = ROOT / "build" / "support"  # a file of each backend
# Much is compiled and run once: as the tests, without XLA's optimizations.
XLA_FLAGS = (
    "--xla_backend_optimization_level=0",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
    "--xla_force_host_platform_device_count=2",  # for the layout map
)


def run_rows(path, only):
    """Tries rows on the backend of this process; writes JSON to `path`.

    What `path` says of other rows stays.
    """
    warnings.simplefilter("ignore")
    import keras

    from docs.supported.checks import attempt
    from docs.supported.subjects import subjects

    found = json.loads(path.read_text()) if path.is_file() else {}
    for kind, rows in subjects().items():
        said = found.get(kind, {})
        for name in filter(lambda name: only in name, rows):
            gc.freeze()  # Keras collects at each quantized layer, for seconds
            subject = rows[name](name)
            row = {x: attempt(x, subject) for x in SECTIONS[kind]}
            print(keras.backend.backend(), name, *(x[0] for x in row.values()))
            sys.stdout.flush()
            about = {"class": subject.documented, "group": subject.group}
            said[name] = {**about, **row}
            found[kind] = {name: said[name] for name in rows if name in said}
            path.write_text(json.dumps(found, indent=1))
            keras.utils.clear_session()


def run_all(backends, only):
    """Runs a process for each backend, all at once."""
    FOUND.mkdir(parents=True, exist_ok=True)
    running = []
    for backend in backends:
        path = FOUND / f"{backend}.json"
        if not only:
            path.unlink(missing_ok=True)
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            "CUDA_VISIBLE_DEVICES": "",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "XLA_FLAGS": " ".join(XLA_FLAGS),
            **COMPILED,
        }
        command = [sys.executable, "-m", "docs.supported"]
        command += ["--json", str(path), "--cases", only]
        running.append(subprocess.Popen(command, cwd=ROOT, env=environment))
    codes = [process.wait() for process in running]
    if any(codes):
        sys.exit("A process stopped: see above.")


def main():
    parser = argparse.ArgumentParser(prog="python -m docs.supported")
    parser.add_argument(
        "--cases",
        default="",
        help="run rows with this in their name anew, and keep all others",
    )
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        help="run one backend anew, and keep what the others said",
    )
    parser.add_argument("--json", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.json:
        run_rows(args.json, args.cases)
        return
    run_all([args.backend] if args.backend else BACKENDS, args.cases)
    paths = {backend: FOUND / f"{backend}.json" for backend in BACKENDS}
    missing = [name for name, path in paths.items() if not path.is_file()]
    if missing:
        sys.exit(f"No page without {', '.join(missing)}: run it as well.")
    results = {x: json.loads(path.read_text()) for x, path in paths.items()}
    rows = [{k: [*v] for k, v in found.items()} for found in results.values()]
    if any(row != rows[0] for row in rows):
        sys.exit("No page of different rows: run all backends anew.")
    text = page_of(results, versions_of())
    PAGE.write_text(text, encoding="utf-8")
    sys.exit("fails on" in text)


if __name__ == "__main__":
    main()
