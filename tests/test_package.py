"""What `import keras_attention` costs, brings along and says."""

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import keras
import pytest

import keras_attention
from keras_attention.extras import require

NEVER = (
    "PIL",
    "av",
    "huggingface_hub",
    "keras_hub",
    "matplotlib",
    "sacrebleu",
    "sentencepiece",
    "tensorboard",
    "tensorflow_datasets",
    "tensorflow_text",
    "tokenizers",
)
BACKENDS = ("tensorflow", "jax", "torch")


def run(code, *path, arguments=(), **environment):
    """Runs `code` in a fresh interpreter that finds this clone's package."""
    root = Path(keras_attention.__file__).parents[1]
    path = os.pathsep.join(map(str, [*path, root]))
    environment = os.environ | {
        "KERAS_BACKEND": keras.backend.backend(),
        "PYTHONPATH": path,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **environment,
    }
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=environment,
    )


IMPORT = """if True:
    import gc, json, sys, time
    import keras
    # A collection that happens to come now would search all of the backend's
    # objects: a fifth of a second on torch.
    gc.freeze()
    # As of an installed package, of which pip compiles the bytecode.
    sys.dont_write_bytecode, sys.pycache_prefix = False, sys.argv[1]
    before, modules = time.process_time(), set(sys.modules)
    import keras_attention
    cost = time.process_time() - before
    print(json.dumps([cost, sorted(set(sys.modules) - modules)]))
"""


@pytest.fixture(scope="module")
def bytecode(tmp_path_factory):
    return str(tmp_path_factory.mktemp("bytecode"))


@pytest.fixture(scope="module")
def imported(bytecode):
    """CPU seconds of the import, its modules, and what it printed."""
    result = run(IMPORT, arguments=[bytecode])
    assert result.returncode == 0, result.stderr
    return *json.loads(result.stdout), result.stderr


def test_the_import_adds_less_than_a_third_of_a_second(imported, bytecode):
    costs = [imported[0]]
    # CPU time is that of all threads, the backend's own among them, and the
    # first run compiles bytecode: only a cost that stays is the import's.
    while costs[-1] >= 0.3 and len(costs) < 4:
        again = run(IMPORT, arguments=[bytecode])
        costs.append(json.loads(again.stdout)[0])
    assert min(costs) < 0.3, costs


def test_the_import_brings_nothing_that_keras_did_not(imported):
    added = {name.partition(".")[0] for name in imported[1]}
    assert "keras_attention" in added
    assert not added.intersection(NEVER + BACKENDS)


def test_the_version_is_that_of_the_distribution():
    try:
        installed = metadata.version("keras-attention-layers")
    except metadata.PackageNotFoundError:
        pytest.skip("the distribution is not installed")
    assert keras_attention.__version__ == installed


def test_without_a_backend_the_import_names_the_extras(tmp_path):
    # A module of the backend's name that fails as a missing one does.
    backend = keras.backend.backend()
    (tmp_path / f"{backend}.py").write_text(
        f"raise ModuleNotFoundError('not installed', name={backend!r})"
    )
    result = run("import keras_attention", tmp_path)
    assert result.returncode == 1
    message = result.stderr.splitlines()[-1]
    assert message.startswith("ImportError: Keras needs a backend")
    assert f"no module named '{backend}'" in message
    for extra in BACKENDS:
        assert f"[{extra}]" in message


def test_the_package_of_2019_is_reported_at_import(tmp_path, imported):
    info = tmp_path / "keras_attention-1.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: keras-attention\nVersion: 1.0.0\n"
    )
    result = run("import keras_attention", tmp_path)
    assert result.returncode == 0
    assert "pip uninstall keras-attention" in result.stderr
    assert "pip uninstall" not in imported[2]


def test_the_import_offers_every_subpackage():
    root = Path(keras_attention.__file__).parent
    folders = {path.parent.name for path in root.glob("*/__init__.py")}
    assert set(keras_attention.__all__) >= folders
    assert all(hasattr(keras_attention, name) for name in folders)


def test_require_returns_the_module_of_a_dotted_name():
    assert require("os.path", extra="applications") is os.path


def test_require_names_the_extra_of_a_missing_package():
    with pytest.raises(ImportError, match=r"keras-attention-layers\[video\]"):
        require("no_such_package.reader", extra="video")


def test_require_does_not_blame_the_extra_for_a_broken_package(
    tmp_path, monkeypatch
):
    (tmp_path / "half_installed.py").write_text("import not_there")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_there"):
        require("half_installed", extra="hub")


def test_indices_name_their_start():
    # What exports from JAX to ONNX, jax2onnx, fails on an end alone.
    package = Path(keras_attention.__file__).parent
    alone = re.compile(r"ops\.arange\(\s*+(?![01], )")
    found = [
        path.name
        for path in package.rglob("*.py")
        if alone.search(path.read_text(encoding="utf-8"))
    ]
    assert not found
