"""`python -m docs.supported`: see the package."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from docs.supported.checks import CHECKS, attempt
from docs.supported.page import BACKENDS, page_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "support.md"


def run_backend(path, only):
    """Tries all on the backend of this process; writes JSON to `path`."""
    warnings.simplefilter("ignore")
    from tests.layer_checks import CASES

    results = {}
    for case in filter(lambda case: only in case, CASES):
        results[case] = {name: attempt(name, case) for name in CHECKS}
        layer = type(CASES[case].make()).__name__
        results[case]["layer"] = layer
        print(case, *(results[case][x][0] for x in CHECKS), flush=True)
    path.write_text(json.dumps(results))


def run_all(only):
    """Results by backend, from a process each."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for backend in BACKENDS:
            path = Path(folder) / f"{backend}.json"
            environment = {
                **os.environ,
                "KERAS_BACKEND": backend,
                "CUDA_VISIBLE_DEVICES": "",
                "TF_CPP_MIN_LOG_LEVEL": "3",
            }
            command = [sys.executable, "-m", "docs.supported"]
            command += ["--json", str(path), "--cases", only]
            subprocess.run(command, cwd=ROOT, env=environment, check=True)
            results[backend] = json.loads(path.read_text())
    return results


def main():
    parser = argparse.ArgumentParser(prog="python -m docs.supported")
    parser.add_argument(
        "--cases", default="", help="print rows with this name only"
    )
    parser.add_argument("--json", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.json:
        run_backend(args.json, args.cases)
        return
    text = page_of(run_all(args.cases))
    if args.cases:
        print(text)
    else:
        PAGE.write_text(text, encoding="utf-8")
    sys.exit("fails on" in text)


if __name__ == "__main__":
    main()
