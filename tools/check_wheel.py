"""Installs a wheel as a user would and runs the README's example with it.

For each backend: an empty virtual environment, the wheel with that backend's
extra, and the example under "Stack layers" in a folder where the clone cannot
be imported. `make dist` calls it.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"
BACKENDS = ("tensorflow", "jax", "torch")


def example(text: str, heading: str) -> str:
    """The first Python block under a heading of a Markdown text."""
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    match = re.search(
        r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE
    )
    if match is None:
        raise SystemExit(f"README.md has no Python block under {heading!r}")
    return match[1]


def check_contents(wheel: Path) -> None:
    """The wheel holds the package, its type marker, and nothing beside it."""
    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.partition("/")[0] for name in names}
    extra = {f for f in folders if not f.endswith(".dist-info")}
    if extra != {"keras_attention"}:
        raise SystemExit(f"The wheel must hold one package, not {extra}")
    if "keras_attention/py.typed" not in names:
        raise SystemExit("The wheel lacks keras_attention/py.typed")


def check_backend(wheel: Path, backend: str, pins: list[str]) -> None:
    """Installs the wheel for one backend and runs the example there."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(Path(folder, "venv"), with_pip=True)
        scripts = "Scripts" if os.name == "nt" else "bin"
        python = str(Path(folder, "venv", scripts, "python"))
        constraints = Path(folder, "constraints.txt")
        constraints.write_text("\n".join(pins))
        pip = [python, "-m", "pip", "install", "-qq", "--no-compile"]
        requirement = f"keras-attention-layers[{backend}] @ {wheel.as_uri()}"
        subprocess.run(
            [*pip, "--constraint", str(constraints), requirement], check=True
        )
        environment = os.environ | {
            "KERAS_BACKEND": backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        environment.pop("PYTHONPATH", None)
        subprocess.run(
            [python, "-c", example(README.read_text(), "Stack layers")],
            cwd=folder,
            env=environment,
            check=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--backend", choices=BACKENDS, action="append")
    parser.add_argument(
        "--pin", action="append", default=[], help="a version, such as a==1.0"
    )
    arguments = parser.parse_args()
    wheel = arguments.wheel.resolve()
    check_contents(wheel)
    for backend in arguments.backend or BACKENDS:
        print(f"{wheel.name} on {backend}:", flush=True)
        try:
            check_backend(wheel, backend, arguments.pin)
        except subprocess.CalledProcessError as error:
            print(f"failed on {backend}, exit code {error.returncode}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
