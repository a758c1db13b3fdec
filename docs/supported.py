"""Runs what the page `support.md` says, and writes the page.

    python -m docs.supported              # all backends, one process each
    python -m docs.supported --cases luong --dry-run

Each layer of `tests/layer_checks.py`, with the options of each of its rows, is
tried in every way of `CHECKS`. A check returns None where the layer did it, or
why there is nothing to do; an exception is a failure, and the table says so.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "support.md"
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "torch"}
DONE, FAILED = "done", "failed"


# === What is tried ===


def compute_float32(name):
    import numpy as np

    from tests.layer_checks import fresh, run

    layer, case = fresh(name, dtype="float32")
    assert np.isfinite(run(layer, case)).all()


def compute_mixed_bfloat16(name):
    import keras
    import numpy as np

    from tests.layer_checks import fresh, main, numpy, run

    layer, case = fresh(name)
    expected = run(layer, case)
    mixed, _ = fresh(name, dtype="mixed_bfloat16")
    mixed(**case.inputs())
    mixed.set_weights(layer.get_weights())
    result = main(mixed(**case.inputs()))
    assert keras.backend.standardize_dtype(result.dtype) == "bfloat16"
    assert all(w.dtype != "bfloat16" for w in mixed.weights)
    np.testing.assert_allclose(numpy(result), expected, atol=0.15)


def compile_with_xla(name):
    import keras
    import numpy as np

    if keras.backend.backend() == "torch":
        return "torch has no XLA, and Keras leaves its compiler off"
    model, inputs, expected = trainable(name)
    model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=True)
    predicted = model.predict(inputs, verbose=0)
    np.testing.assert_allclose(predicted, expected, atol=1e-4)
    assert np.isfinite(model.train_on_batch(inputs, 0 * expected))


def hide_masked(name):
    import numpy as np

    from tests.layer_checks import fresh, mask_of, run

    layer, case = fresh(name)
    # The mask of queries says who reads, not what is read.
    masks = {a: t for a, t in case.masks.items() if a != "query_mask"}
    if not masks:
        return "takes no mask"
    for argument, tensor in masks.items():
        mask, inputs = mask_of(case, argument, [3, 4]), case.inputs()
        before = run(layer, case, inputs, **{argument: mask})
        inputs[tensor][~mask] = 1e3
        after = run(layer, case, inputs, **{argument: mask})
        if before.shape[:2] == mask.shape and argument == "padding_mask":
            before, after = before[mask], after[mask]
        np.testing.assert_allclose(after, before, atol=1e-5)


def return_scores(name):
    import numpy as np

    from tests.layer_checks import fresh, main, numpy, run

    layer, case = fresh(name)
    if not case.has_scores:
        return "has no scores"
    asked = layer(**case.inputs(), return_attention_scores=True)
    scores = asked["scores"] if isinstance(asked, dict) else asked[-1]
    scores = numpy(scores)
    assert (scores >= 0).all() and (scores.sum(-1) <= 1 + 1e-5).all()
    np.testing.assert_allclose(
        numpy(main(asked)), run(layer, case), atol=1e-5
    )


def save_and_load(name):
    import keras
    import numpy as np

    from tests.layer_checks import fresh, functional, main, numpy

    layer, case = fresh(name)
    model = functional(layer, case)
    expected = numpy(main(model(case.inputs())))
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        again = keras.saving.load_model(Path(folder) / "model.keras")
    np.testing.assert_allclose(
        numpy(main(again(case.inputs()))), expected, atol=1e-5
    )


def quantize_to_int8(name):
    import numpy as np

    from tests.layer_checks import fresh, functional, main, numpy

    layer, case = fresh(name)
    model = functional(layer, case)
    expected = numpy(main(model(case.inputs())))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what has nothing to quantize
        model.quantize("int8")
    if not any(x.quantization_mode == "int8" for x in parts(model)):
        return NO_PROJECTION
    found = numpy(main(model(case.inputs())))
    error = np.abs(found - expected).mean() / np.abs(expected).mean()
    assert 0 < error < 0.1, f"off by {error:.0%} in the mean"


def train_lora(name):
    import keras
    import numpy as np

    from keras_attention.models.model import Model

    model, inputs, expected = trainable(name)
    model = Model(inputs=model.input, outputs=model.output)
    targets = {
        layer.name
        for layer in parts(model)
        if hasattr(layer, "enable_lora") and layer.name != "head"
    }
    if not targets:
        return NO_PROJECTION
    model.enable_lora(rank=2, layer_names=tuple(targets))
    before = values(model)
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
    model.train_on_batch(inputs, expected + 1)
    after = values(model)
    moved = {x for x in after if not np.array_equal(before[x], after[x])}
    assert any("lora" in path for path in moved), "no update moved"
    # Keras leaves the biases of a layer with LoRA free.
    others = {p for p in moved if "lora" not in p and not p.endswith("bias")}
    assert not others, f"moved {sorted(others)}"


def export_program(name):
    import keras

    backend = keras.backend.backend()
    return (export_torch if backend == "torch" else export_saved_model)(name)


def export_saved_model(name):
    import numpy as np
    import tensorflow as tf

    model, inputs, expected = trainable(name)
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, verbose=False)
        loaded = tf.saved_model.load(folder)
        served = loaded.serve(inputs).numpy()
    np.testing.assert_allclose(served, expected, atol=1e-5)


def export_torch(name):
    """torch.export, of the sizes that the inputs have."""
    import keras
    import numpy as np
    import torch

    model, inputs, expected = trainable(name)
    signature = [
        {
            key: keras.InputSpec(shape=x.shape, dtype="float32", name=key)
            for key, x in inputs.items()
        }
    ]
    tensors = {key: torch.tensor(x) for key, x in inputs.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/model.pt2"
        model.export(
            path, format="torch", input_signature=signature, verbose=False
        )
        program = torch.export.load(path).module()
        result = program(tensors).detach().numpy()
    np.testing.assert_allclose(result, expected, atol=1e-5)


CHECKS = {
    "float32": compute_float32,
    "mixed bfloat16": compute_mixed_bfloat16,
    "XLA": compile_with_xla,
    "mask": hide_masked,
    "scores": return_scores,
    "save": save_and_load,
    "int8": quantize_to_int8,
    "LoRA": train_lora,
    "export": export_program,
}
NO_PROJECTION = "holds no projection (Dense, EinsumDense or Embedding)"


# === Helpers ===


def trainable(name):
    """A model of a case with one output, its inputs and what it answers."""
    import keras

    from tests.layer_checks import fresh, functional, main, numpy

    layer, case = fresh(name)
    model = functional(layer, case)
    output = keras.layers.Dense(1, name="head")(main(model.output))
    model = keras.Model(model.input, output)
    return model, case.inputs(), numpy(model(case.inputs()))


def parts(model):
    """The layers without layers inside: those that hold projections."""
    return [
        layer
        for layer in model._flatten_layers(include_self=False)
        if not list(layer._flatten_layers(include_self=False))
    ]


def values(model):
    """The weights of a model by path, as NumPy."""
    import keras

    return {
        weight.path: keras.ops.convert_to_numpy(weight).copy()
        for weight in model.weights
    }


# === Running ===


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


def attempt(check, case):
    """`[done]`, `["", why there is nothing to do]` or `[failed, error]`."""
    try:
        reason = CHECKS[check](case)
    except Exception as error:
        traceback.print_exc()
        first = str(error).strip().splitlines()[:1]
        return [FAILED, ": ".join([type(error).__name__, *first])]
    return [DONE] if reason is None else ["", reason]


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


# === The page ===

HEAD = """# Support

Which layer does what, on which backend. Each cell was run, with the options of
each row of `tests/layer_checks.py`, by

```
make support
```

{versions}

✓ stands for all three backends; otherwise the cell names those that it ran on.
A number says why a cell, or a backend, is empty.

| column | what was run |
|---|---|
| float32 | a call, to finite results |
| mixed bfloat16 | a call under `mixed_bfloat16`: the output is bfloat16 and near that of float32, weights stay float32 |
| XLA | `compile(jit_compile=True)`: `predict` as eager, and a training step |
| mask | what is masked never moves the output |
| scores | `return_attention_scores`: shares that sum to 1 at most, and the output stays the same |
| save | a `.keras` file, loaded again, answers alike |
| int8 | `quantize("int8")` of a model around it, within a tenth of its mean |
| LoRA | `enable_lora` on its projections, and a training step that moves nothing else but biases |
| export | a SavedModel of unknown sizes (TensorFlow, JAX) or `torch.export` of known sizes (torch) answers alike |

"""


def page(results):
    """The text of the page from results by backend, case and check."""
    reasons = {}
    rows = []
    for case in next(iter(results.values())):
        layer = results["tensorflow"][case]["layer"]
        cells = [
            cell([results[b][case][check] for b in BACKENDS], reasons)
            for check in CHECKS
        ]
        link = f"{{py:obj}}`~keras_attention.layers.{layer}`"
        rows.append("| " + " | ".join([case, link, *cells]) + " |")
    head = ["", "layer", *CHECKS]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *rows]
    notes = [f"{i}. {reason}" for reason, i in reasons.items()]
    versions = "\n".join(["Run with " + ", ".join(versions_of()) + "."])
    return HEAD.format(versions=versions) + "\n".join([*lines, "", *notes, ""])


def cell(outcomes, reasons):
    """The text of a cell, given the outcome of each backend."""
    names = list(BACKENDS.values())
    done = [n for n, x in zip(names, outcomes, strict=True) if x[0] == DONE]
    notes = {}
    for name, outcome in zip(names, outcomes, strict=True):
        if outcome[0] != DONE:
            reason = outcome[1]
            if outcome[0] == FAILED:
                reason = f"fails on {name}: {reason}"
            notes[reasons.setdefault(reason, len(reasons) + 1)] = None
    text = "✓" if len(done) == len(names) else ", ".join(done) or "–"
    marks = ", ".join(map(str, notes))
    return f"{text} ({marks})" if marks else text


def versions_of():
    packages = ("keras", "tensorflow", "jax", "torch", "numpy")
    versions = [f"{x} {importlib.metadata.version(x)}" for x in packages]
    return [f"Python {platform.python_version()}", *versions]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default="", help="rows whose name has this")
    parser.add_argument("--dry-run", action="store_true", help="print the page")
    parser.add_argument("--json", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.json:
        run_backend(args.json, args.cases)
        return
    text = page(run_all(args.cases))
    if args.dry_run or args.cases:
        print(text)
    else:
        PAGE.write_text(text, encoding="utf-8")
    sys.exit("fails on" in text)


if __name__ == "__main__":
    main()
