"""The ways in which each row of `tests/layer_checks.py` is tried.

A check returns None where the layer did it, or why there is nothing to do; an
exception is a failure, and the table says so. The docstring of a check is its
explanation on the page.
"""

import tempfile
import traceback
import warnings
from pathlib import Path

DONE, FAILED = "done", "failed"
NO_PROJECTION = "holds no projection (Dense, EinsumDense or Embedding)"


def compute_float32(name):
    """A call, to finite results."""
    import numpy as np

    from tests.layer_checks import fresh, run

    layer, case = fresh(name, dtype="float32")
    assert np.isfinite(run(layer, case)).all()


def compute_mixed_bfloat16(name):
    """A call under `mixed_bfloat16`: the output is bfloat16 and near that of
    float32, and the weights stay float32."""
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
    """`compile(jit_compile=True)`: `predict` as eager, and a training step."""
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
    """What is masked never moves the output."""
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
    """`return_attention_scores=True`: shares that sum to 1 at most, and the
    same output."""
    import numpy as np

    from tests.layer_checks import fresh, main, numpy, run

    layer, case = fresh(name)
    if not case.has_scores:
        return "has no scores"
    asked = layer(**case.inputs(), return_attention_scores=True)
    scores = asked["scores"] if isinstance(asked, dict) else asked[-1]
    scores = numpy(scores)
    assert (scores >= 0).all() and (scores.sum(-1) <= 1 + 1e-5).all()
    np.testing.assert_allclose(numpy(main(asked)), run(layer, case), atol=1e-5)


def save_and_load(name):
    """A `.keras` file, loaded again, answers alike."""
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
    """`quantize("int8")` of a model around it: off by a tenth at most."""
    import numpy as np

    from tests.layer_checks import fresh, functional, main, numpy

    layer, case = fresh(name)
    model = functional(layer, case)
    if not projections(model):
        return NO_PROJECTION
    expected = numpy(main(model(case.inputs())))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what has nothing to quantize
        model.quantize("int8")
    assert all(x.quantization_mode == "int8" for x in projections(model))
    found = numpy(main(model(case.inputs())))
    error = np.abs(found - expected).mean() / np.abs(expected).mean()
    assert 0 < error < 0.1, f"off by {error:.0%} in the mean"


def train_lora(name):
    """`enable_lora` on its projections, and a training step that moves nothing
    else but their biases."""
    import keras
    import numpy as np

    from keras_attention.models.model import Model

    model, inputs, expected = trainable(name)
    model = Model(inputs=model.input, outputs=model.output)
    targets = {layer.name for layer in projections(model)}
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
    """A SavedModel of unknown sizes (TensorFlow, JAX), or `torch.export` of
    known ones (torch), answers alike."""
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


def attempt(check, case):
    """`[done]`, `["", why there is nothing to do]` or `[failed, error]`."""
    try:
        reason = CHECKS[check](case)
    except Exception as error:
        traceback.print_exc()
        first = str(error).strip().splitlines()[:1]
        return [FAILED, ": ".join([type(error).__name__, *first])]
    return [DONE] if reason is None else ["", reason]


def trainable(name):
    """A model of a case with one output, its inputs and what it answers."""
    import keras

    from tests.layer_checks import fresh, functional, main, numpy

    layer, case = fresh(name)
    model = functional(layer, case)
    output = keras.layers.Dense(1, name="head")(main(model.output))
    model = keras.Model(model.input, output)
    return model, case.inputs(), numpy(model(case.inputs()))


def projections(model):
    """The layers in a model that Keras can quantize and adapt."""
    import keras

    kinds = ("Dense", "EinsumDense", "Embedding")
    return [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, tuple(getattr(keras.layers, x) for x in kinds))
        and layer.name != "head"
    ]


def values(model):
    """The weights of a model by path, as NumPy."""
    import keras

    return {
        weight.path: keras.ops.convert_to_numpy(weight).copy()
        for weight in model.weights
    }
