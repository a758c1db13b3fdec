"""The ways in which each row of the tables of layers and models is tried.

A check takes a `Subject`. It returns None where that did it, or why there is
nothing to do; an exception is a failure, and the table says so. The docstring
of a check is its explanation on the page.
"""

import re
import tempfile
import traceback
import warnings
from pathlib import Path

import keras
import numpy as np

from keras_attention.models.model import Model

DONE, FAILED = "done", "failed"
NO_PROJECTION = "holds no projection (`Dense`, `EinsumDense` or `Embedding`)"
NO_LORA = "holds nothing that takes a low-rank update"
NO_SEARCH = "`export_translator` is of translators alone"
ATOL = 1e-4

# What is not ours, or not to be had: why a cell is empty, by what the error
# said. Any other error is a failure.
KNOWN = {
    "does not match expected type": "jax2onnx takes a mask that a scan reads "
    "step by step for numbers",
    "No Op registered for Erfc": "tf2onnx knows no `Erfc`, of which TensorFlow "
    'makes the exact "gelu"; "gelu_tanh" is written',
    "XlaDynamicUpdateSlice": "tf2onnx knows no update of a slice, with which "
    "a loop over tiles writes what it found",
    "traced array with shape int32": "jax2onnx writes a loop only with a "
    "constant number of rounds; that over tiles of a window has others",
}


def compute_float32(subject):
    """A call, `predict`, and `translate`, `caption` or `segment` of what has
    it, to finite results."""
    model = subject.model()
    found = subject.answer(model), model.predict(subject.inputs, verbose=0)
    for values in [*found, *subject.uses(model).values()]:
        assert not isinstance(values, np.ndarray) or np.isfinite(values).all()


def compute_mixed_bfloat16(subject):
    """A call under `mixed_bfloat16`: the output is of bfloat16, or of float32
    and rounded on the way, and near that of float32; weights stay float32."""
    model = subject.model()
    expected = subject.answer(model)
    mixed = subject.model(dtype="mixed_bfloat16")
    mixed.set_weights(model.get_weights())
    assert all(w.dtype != "bfloat16" for w in mixed.weights)
    error = off(subject.answer(mixed), expected)
    assert error < 0.05, f"off by {error:.0%} in the mean"
    dtype = keras.backend.standardize_dtype(mixed(subject.inputs).dtype)
    assert dtype == "bfloat16" or error > 0


def compile_with_xla(subject):
    """`compile(jit_compile=True)`: `predict`, and what is translated,
    captioned or segmented, as without, and a training step. XLA's own
    optimizations are off, since each program runs once."""
    if keras.backend.backend() == "torch":
        return "torch has no XLA, and Keras leaves its compiler off"
    model = subject.model()
    model.compile(jit_compile=False)
    expected, used = subject.answer(model), subject.uses(model)
    model = subject.model()
    optimizer = keras.optimizers.SGD(0.01)
    model.compile(optimizer, subject.loss, jit_compile=True)
    predicted = model.predict(subject.inputs, verbose=0)
    check_alike(predicted, expected)
    check_alike(subject.uses(model), used)
    assert np.isfinite(loss_of(model, subject, expected))


def hide_masked(subject):
    """What is masked never moves the output: of a model, padding behind the
    source. Nor does a word move what is said of those before it."""
    pairs = subject.hidden()
    if not pairs:
        return "takes no mask"
    for before, after in pairs:
        np.testing.assert_allclose(after, before, atol=1e-5)


def return_scores(subject):
    """Attention scores, by `return_attention_scores=True`, `align` or
    `attention()`: shares that sum to 1 at most."""
    scores = subject.scores()
    if not scores:
        return "has no scores"
    for x in scores:
        assert (x >= 0).all() and (x.sum(-1) <= 1 + 1e-5).all()


def save_and_load(subject):
    """A `.keras` file, loaded again, answers alike; so does a model's folder
    of `save_to_preset`, read by `from_preset`."""
    model = subject.model()
    expected = subject.answer(model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        found = [keras.saving.load_model(path)]
        if isinstance(model, Model):
            model.save_to_preset(path.with_suffix(""))
            found.append(type(model).from_preset(path.with_suffix("")))
    for again in found:
        check_alike(subject.answer(again), expected, 1e-5)


def quantize_to_int8(subject):
    """`quantize("int8")`: off by a fifth at most in the mean."""
    model = subject.model()
    kinds = ("Dense", "EinsumDense", "Embedding")
    kinds = tuple(getattr(keras.layers, x) for x in kinds)
    projections = [x for x in parts(model) if isinstance(x, kinds)]
    if not projections:
        return NO_PROJECTION
    expected = subject.answer(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what has nothing to quantize
        model.quantize("int8")
    assert all(x.quantization_mode == "int8" for x in projections)
    error = off(subject.answer(model), expected)
    assert 0 < error < 0.2, f"off by {error:.0%} in the mean"


def train_lora(subject):
    """`enable_lora` of all that takes it, and a training step that moves
    nothing else but biases beside it."""
    model = subject.model()
    if not isinstance(model, Model):
        model = Model(inputs=model.input, outputs=model.output)
    targets = {
        x.name
        for x in parts(model)
        if hasattr(x, "enable_lora") and not isinstance(x, keras.Model)
    }
    if not targets:
        return NO_LORA
    expected = subject.answer(model)
    model.enable_lora(rank=2, layer_names=tuple(targets))
    before = values(model)
    optimizer = keras.optimizers.SGD(1.0)
    model.compile(optimizer, subject.loss, jit_compile=False)
    loss_of(model, subject, expected + 1)
    after = values(model)
    moved = {x for x in after if not np.array_equal(before[x], after[x])}
    assert any("lora" in path for path in moved), "no update moved"
    # Keras leaves the biases of a layer with LoRA free; REINFORCE compares
    # rewards with their moving average.
    free = "bias", "average/average"
    others = {p for p in moved if "lora" not in p and not p.endswith(free)}
    assert not others, f"moved {sorted(others)}"


def export_program(subject):
    """A SavedModel of unknown sizes (TensorFlow, JAX), or `torch.export` of
    known ones (torch), answers alike."""
    model = subject.model()
    expected = subject.answer(model)
    on_torch = keras.backend.backend() == "torch"
    serve = torch_program if on_torch else saved_model
    with tempfile.TemporaryDirectory() as folder:
        check_alike(serve(model, subject.inputs, folder), expected, 1e-5)


def saved_model(model, inputs, folder):
    import tensorflow as tf

    model.export(folder, verbose=False)
    loaded = tf.saved_model.load(folder)
    return loaded.serve(inputs).numpy()


def torch_program(model, inputs, folder):
    import torch

    path, known = f"{folder}/model.pt2", signature(model, inputs)
    model.export(path, format="torch", input_signature=known, verbose=False)
    tensors = keras.tree.map_structure(torch.tensor, inputs)
    return torch.export.load(path).module()(tensors).detach().numpy()


def export_search(subject):
    """`export_translator`, a SavedModel with the search in it, finds what
    `translate` finds."""
    model = subject.model()
    asked = subject.search(model)
    if asked is None:
        return NO_SEARCH
    if keras.backend.backend() != "tensorflow":
        return "a search is written by TensorFlow, which reads the preset"
    import tensorflow as tf

    ids, expected = asked
    with tempfile.TemporaryDirectory() as folder:
        model.export_translator(folder, num_beams=2)
        loaded = tf.saved_model.load(folder)
        served = loaded.serve(ids)
    check_alike(served["hypothesis_scores"].numpy()[:, 0], expected)


def export_onnx(subject):
    """`export(format="onnx")` of known sizes, run by onnxruntime, answers
    alike."""
    import onnxruntime

    model, inputs = subject.model(), subject.inputs
    expected = subject.answer(model)
    known = signature(model, inputs)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/model.onnx"
        model.export(path, format="onnx", input_signature=known, verbose=False)
        session = onnxruntime.InferenceSession(path)
        names = [x.name for x in session.get_inputs()]
        if not isinstance(inputs, dict):
            inputs = {names[0]: inputs}
        (found,) = session.run(None, {name: inputs[name] for name in names})
    check_alike(found, expected, 1e-5)


def lay_out(subject):
    """`ModelParallel` with a `LayoutMap` that halves weights between two
    devices: `predict` and the losses of two training steps as on one."""
    distribution = keras.distribution
    if keras.backend.backend() == "torch":
        return "Keras has no `distribution` for torch"
    keras.utils.clear_session()  # or the paths would differ
    model = subject.model()
    expected = subject.answer(model)
    halved = {}  # along the last axis of an even size
    for weight in model.trainable_weights:
        even = [i for i, n in enumerate(weight.shape) if n % 2 == 0]
        if even:
            axes: list = [None] * len(weight.shape)
            axes[even[-1]] = "model"
            halved[weight.path] = tuple(axes)
    if not halved:
        return "holds no weight of an even size"
    devices = ["cpu:0", "cpu:1"]
    mesh = distribution.DeviceMesh((1, 2), ["batch", "model"], devices)
    layout_map = distribution.LayoutMap(mesh)
    for path, axes in halved.items():
        layout_map[path] = axes
    parallel = distribution.ModelParallel(
        layout_map=layout_map, batch_dim_name="batch"
    )
    keras.utils.clear_session()
    with parallel.scope():
        model = subject.model()
        if keras.backend.backend() == "tensorflow":
            assert {x.value.device[-5:] for x in model.weights} == {"CPU:0"}
            return "TensorFlow takes the map and leaves weights on one device"
        split = [x for x in model.weights if x.path in halved]
        assert len(split) == len(halved)
        for x in split:
            shard = x.value.addressable_shards[0].data
            assert 2 * shard.size == np.prod(x.shape)
        check_alike(model.predict(subject.inputs, verbose=0), expected)
        found = losses_of(model, subject, expected)
    whole = losses_of(subject.model(), subject, expected)
    np.testing.assert_allclose(found, whole, rtol=1e-4)


def draw_maps(subject):
    """A picture of what it reads, by `plot_alignments`, `plot_caption`,
    `plot_rollout` and `plot_heads`, or `plot_video_rollout` and
    `plot_token_attention`."""
    import matplotlib

    matplotlib.use("agg")
    figure = subject.figure()
    if figure is None:
        return "does not attend"
    drawn = [axes for axes in figure.axes if axes.images]
    assert drawn
    for axes in drawn:
        assert np.isfinite(axes.images[-1].get_array()).all()


CHECKS = {
    "float32": compute_float32,
    "mixed bfloat16": compute_mixed_bfloat16,
    "XLA": compile_with_xla,
    "mask": hide_masked,
    "scores": return_scores,
    "maps": draw_maps,
    "save": save_and_load,
    "int8": quantize_to_int8,
    "LoRA": train_lora,
    "export": export_program,
    "search": export_search,
    "ONNX": export_onnx,
    "layout map": lay_out,
}
OF_MODELS = ("maps", "search")


def attempt(check, subject):
    """`[done]`, `["", why there is nothing to do]` or `[failed, error]`."""
    try:
        reason = CHECKS[check](subject)
    except Exception as error:
        for said, reason in KNOWN.items():
            if any(re.search(said, str(x)) for x in chain(error)):
                return ["", reason]
        traceback.print_exc()
        first = str(error).strip().splitlines()[:1]
        return [FAILED, ": ".join([type(error).__name__, *first])]
    return [DONE] if reason is None else ["", reason]


def chain(error):
    """An error and those that it came up in: Keras words them anew."""
    while error is not None:
        yield error
        error = error.__context__


def check_alike(found, expected, atol=ATOL):
    """Raises unless arrays are near each other, and strings the same."""
    if isinstance(expected, dict):
        for name, values in expected.items():
            check_alike(found[name], values, atol)
    elif isinstance(expected, list):
        assert found == expected
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=atol)


def off(found, expected):
    """How far arrays are from each other, as a share of what they hold."""
    return np.abs(found - expected).mean() / np.abs(expected).mean()


def signature(model, inputs):
    """What `export` takes for inputs of known sizes."""
    if isinstance(inputs, dict):
        return [{name: spec(x, name) for name, x in inputs.items()}]
    return [spec(inputs, model.input.name)]


def spec(x, name):
    return keras.InputSpec(shape=x.shape, dtype=str(x.dtype), name=name)


def loss_of(model, subject, expected):
    """The loss of a training step, which moves the weights."""
    targets = subject.targets(expected)
    logs = model.train_on_batch(subject.inputs, targets, return_dict=True)
    return float(logs["loss"])


def losses_of(model, subject, expected):
    model.compile("sgd", subject.loss)
    return [loss_of(model, subject, expected) for _ in range(2)]


def parts(model):
    """All layers in a model, but those of other layers' making."""
    return model._flatten_layers(include_self=False)


def values(model):
    """The weights of a model by path, as NumPy."""
    return {
        weight.path: keras.ops.convert_to_numpy(weight).copy()
        for weight in model.weights
    }
