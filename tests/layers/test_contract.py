"""Every promise of the attention contract, for every public layer."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention import layers
from tests.gradients import gradients
from tests.layer_checks import (
    CASES,
    arguments_of,
    fresh,
    functional,
    main,
    mask_of,
    names,
    numpy,
    run,
    unknown,
)
from tests.marks import slow_on_jax

attending = names(lambda case: case.attends)
stepping = names(lambda case: case.attends and case.steps)
with_scores = names(lambda case: case.has_scores)
with_dropout = names(lambda case: case.has_dropout)


def test_the_table_holds_every_public_layer():
    in_table = {type(case.make()) for case in CASES.values()}
    public = {getattr(layers, name) for name in layers.__all__}
    assert public == in_table


@names()
def test_every_argument_is_in_the_config_and_nothing_else(name):
    layer, _ = fresh(name)
    config = layer.get_config()
    assert set(config) - {"name", "trainable", "dtype"} == arguments_of(layer)
    assert type(layer).from_config(config).get_config() == config
    # `output_shape` is taken by Keras in every layer.
    for argument in arguments_of(layer) - {"output_shape"}:
        assert hasattr(layer, argument), argument


@slow_on_jax
@names()
def test_a_saved_model_answers_alike(name, tmp_path):
    layer, case = fresh(name)
    model = functional(layer, case)
    expected = numpy(main(model(case.inputs())))
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        numpy(main(reloaded(case.inputs()))), expected, atol=1e-6
    )


@names()
@pytest.mark.parametrize("known", [True, False])
def test_the_symbolic_shape_and_dtype_are_the_eager_ones(name, known):
    layer, case = fresh(name, dtype="mixed_bfloat16")
    kwargs = {"return_attention_scores": True} if case.has_scores else {}
    symbolic = {
        argument: keras.KerasTensor(shape if known else unknown(shape))
        for argument, shape in case.shapes.items()
    }
    specs = keras.tree.flatten(layer(**symbolic, **kwargs))
    results = keras.tree.flatten(layer(**case.inputs(), **kwargs))
    assert len(specs) == len(results)
    for spec, result in zip(specs, results, strict=True):
        assert spec.dtype == keras.backend.standardize_dtype(result.dtype)
        assert len(spec.shape) == len(result.shape)
        for size, got in zip(spec.shape, result.shape, strict=True):
            assert size == got or (size is None and not known)


@names()
@pytest.mark.parametrize(
    "policy",
    [
        # Each precision and each kind once; the others in `make test-all`.
        "float16",
        "mixed_bfloat16",
        pytest.param("bfloat16", marks=pytest.mark.slow),
        pytest.param("mixed_float16", marks=pytest.mark.slow),
    ],
)
def test_low_precision_is_close_to_float32(name, policy):
    layer, case = fresh(name)
    kwargs = {
        argument: mask_of(case, argument, [3, 0]) for argument in case.masks
    }
    expected = run(layer, case, **kwargs)
    low, _ = fresh(name, dtype=policy)
    result = main(low(**case.inputs(), **kwargs))
    low.set_weights(layer.get_weights())
    result = main(low(**case.inputs(), **kwargs))
    assert keras.backend.standardize_dtype(result.dtype) == low.compute_dtype
    np.testing.assert_allclose(numpy(result), expected, atol=0.15)


# Operation by operation JAX compiles each, and Keras always compiles a step
# there unless told not to. TensorFlow traces the same graph for XLA.
uncompiled = pytest.param(
    False, marks=[pytest.mark.slow] * (keras.backend.backend() != "torch")
)


@names(lambda case: not case.of_pairs)
@pytest.mark.parametrize("jit_compile", [uncompiled, True])
def test_it_learns_a_step_with_and_without_xla(name, jit_compile):
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("torch compiles by another way, which Keras leaves off")
    layer, case = fresh(name)
    inputs = case.inputs()
    symbolic = functional(layer, case)
    output = keras.layers.Dense(1)(main(symbolic.output))
    model = keras.Model(symbolic.input, output)
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=jit_compile)
    before = [w.copy() for w in layer.get_weights()]
    target = np.random.default_rng(1).normal(
        size=(*main(layer(**inputs)).shape[:-1], 1)
    )
    loss = model.train_on_batch(inputs, target)
    assert np.isfinite(loss)
    if layer.trainable_weights:
        moved = [
            np.abs(new - old).max()
            for new, old in zip(layer.get_weights(), before, strict=True)
        ]
        assert max(moved) > 0
    assert np.isfinite(model.predict(inputs, verbose=0)).all()


# Keras's exporter on JAX asks for it.
@pytest.mark.filterwarnings("ignore:.*native_serialization.* is deprecated")
@slow_on_jax
@names()
def test_an_export_of_unknown_sizes_answers_alike(name, tmp_path):
    if keras.backend.backend() == "torch":
        pytest.skip("Keras exports a SavedModel from TensorFlow and JAX")
    import tensorflow as tf

    layer, case = fresh(name)
    model = functional(layer, case)
    model = keras.Model(model.input, main(model.output))
    model.export(tmp_path, verbose=False)
    exported = tf.saved_model.load(tmp_path)
    for cut in (0, 1):
        inputs = {
            argument: x[cut:, : x.shape[1] - cut * case.multiple]
            if x.ndim > 2 and argument not in case.fixed
            else x[cut:]
            for argument, x in case.inputs().items()
        }
        np.testing.assert_allclose(
            exported.serve(inputs).numpy(), numpy(model(inputs)), atol=1e-5
        )


@names(lambda case: len(case.shapes) > 1 or case.multiple > 1)
@pytest.mark.parametrize("jit_compile", [uncompiled, True])
def test_gradients_of_unknown_sizes_are_those_of_known_ones(name, jit_compile):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("sizes are unknown on TensorFlow only")
    import tensorflow as tf

    layer, case = fresh(name)
    model = functional(layer, case)
    arguments = list(case.shapes)

    def compute(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            result = model(dict(zip(arguments, inputs, strict=True)))
            loss = tf.reduce_sum(main(result) ** 2)
        variables = [v.value for v in model.trainable_variables]
        return tape.gradient(loss, [*inputs, *variables])

    compiled = tf.function(
        compute,
        jit_compile=jit_compile,
        input_signature=[
            tf.TensorSpec(unknown(case.shapes[argument]))
            for argument in arguments
        ],
    )
    for batch, length in ((1, 1), (2, 4)):
        inputs = list(case.inputs().values())
        inputs = [tf.constant(x[:batch]) for x in inputs]
        inputs[0] = inputs[0][:, : length * case.multiple]
        for got, expected in zip(
            compiled(*inputs), compute(*inputs), strict=True
        ):
            got, expected = map(tf.convert_to_tensor, (got, expected))
            # Sums of many squares, in another order.
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@names(lambda case: case.masks)
def test_what_is_masked_never_moves_the_output(name):
    layer, case = fresh(name)
    for argument, tensor in case.masks.items():
        mask = mask_of(case, argument, [3, 4])
        inputs = case.inputs()
        if argument == "query_mask":
            continue
        before = run(layer, case, inputs, **{argument: mask})
        inputs[tensor][~mask] = 1e3
        after = run(layer, case, inputs, **{argument: mask})
        if argument == "padding_mask":  # its own rows do move
            before, after = before[mask], after[mask]
        np.testing.assert_allclose(after, before, atol=1e-5)


@names(lambda case: case.masks)
def test_a_mask_of_zeros_and_ones_is_one_of_booleans(name):
    layer, case = fresh(name)
    for argument in case.masks:
        mask = mask_of(case, argument, [3, 4])
        np.testing.assert_array_equal(
            run(layer, case, **{argument: mask.astype("int32")}),
            run(layer, case, **{argument: mask}),
        )
        with pytest.raises(ValueError, match="0 and 1"):
            layer(**case.inputs(), **{argument: mask + 1.5})
        with pytest.raises(ValueError, match="must have shape"):
            layer(**case.inputs(), **{argument: mask[:, 1:]})


@attending
def test_a_row_with_nothing_to_read_is_zero_on_every_path(name):
    layer, case = fresh(name)
    inputs = case.inputs()
    length = inputs["value"].shape[1]
    nothing = {
        "value_mask": mask_of(case, "value_mask", [length, 0]),
        "query_mask": mask_of(case, "query_mask", [5, 0]),
        "attention_mask": np.stack(
            [np.ones((5, length), bool), np.zeros((5, length), bool)]
        ),
    }
    for argument, mask in nothing.items():
        kwargs = {argument: mask}
        plain = run(layer, case, **kwargs)
        output, scores = numpy(
            layer(**inputs, **kwargs, return_attention_scores=True)
        )
        if name.startswith("multi-head"):
            # After the heads comes a projection, with a bias of zeros here.
            assert not layer.output_dense.bias.numpy().any()
        for result in (plain, output, scores):
            assert np.isfinite(result).all(), argument
            assert not result[1].any(), argument
            assert result[0].any(), argument


@attending
def test_masks_of_keras_count_on_every_tensor(name):
    layer, case = fresh(name)
    inputs = case.inputs()
    masks = {
        "query": mask_of(case, "query_mask", [5, 2]),
        "value": mask_of(case, "value_mask", [3, 6]),
    }
    tensors = {}
    for argument, value in inputs.items():
        value = value + 1.0 * (value == 0)
        value[~masks[argument]] = 0  # what Masking looks for
        inputs[argument] = value
        tensors[argument] = keras.layers.Masking()(value)
    np.testing.assert_allclose(
        numpy(layer(**tensors)),
        run(
            layer,
            case,
            inputs,
            query_mask=masks["query"],
            value_mask=masks["value"],
        ),
        atol=1e-6,
    )


@attending
def test_causal_queries_do_not_see_what_comes_later(name):
    layer, case = fresh(name)
    inputs = case.inputs()
    before = run(layer, case, inputs, use_causal_mask=True)
    inputs["value"][:, 2:] += 10
    after = run(layer, case, inputs, use_causal_mask=True)
    np.testing.assert_allclose(after[:, :2], before[:, :2], atol=1e-6)
    if "narrow" not in name:
        assert np.abs(after[:, 2:] - before[:, 2:]).max() > 1e-3


@attending
def test_an_axis_of_a_mask_that_does_not_vary_may_have_size_one(name):
    layer, case = fresh(name)
    b, t, s = *case.shapes["query"][:2], case.shapes["value"][1]
    rng = np.random.default_rng(5)
    shapes = [(1, s), (t, 1), (1, 1, s), (b, t, 1), (1, t, 1), (b, 1, s)]
    if "multi-head" in name:
        shapes += [(b, 1, 1, s), (1, 1, t, 1), (1, layer.num_heads, t, s)]
    for shape in shapes:
        mask = rng.random(shape) < 0.6
        full = np.broadcast_to(
            mask, (b, *shape[1:-2], t, s) if len(shape) > 2 else (t, s)
        )
        np.testing.assert_allclose(
            run(layer, case, attention_mask=mask),
            run(layer, case, attention_mask=full),
            atol=1e-6,
        )


@attending
def test_integers_are_read_as_numbers(name):
    layer, case = fresh(name)
    inputs = {
        argument: np.round(x * 3) for argument, x in case.inputs().items()
    }
    expected = run(layer, case, inputs)
    whole = {argument: x.astype("int32") for argument, x in inputs.items()}
    np.testing.assert_allclose(run(layer, case, whole), expected, atol=1e-6)


@with_scores
def test_asking_for_scores_changes_nothing(name):
    layer, case = fresh(name)
    masks = {a: mask_of(case, a, [3, 0]) for a in case.masks}
    for kwargs in ({}, masks):
        asked = layer(**case.inputs(), **kwargs, return_attention_scores=True)
        np.testing.assert_allclose(
            numpy(main(asked)), run(layer, case, **kwargs), atol=1e-6
        )


@with_dropout
def test_dropout_acts_in_training_alone(name):
    layer, case = fresh(name)
    expected = run(layer, case)
    dropping, _ = fresh(name, dropout=0.5, seed=7)
    dropping(**case.inputs())
    dropping.set_weights(layer.get_weights())
    np.testing.assert_allclose(run(dropping, case), expected, atol=1e-6)
    trained = run(dropping, case, training=True)
    assert np.abs(trained - expected).max() > 1e-3
    again = run(dropping, case, training=True)
    assert np.abs(trained - again).max() > 1e-3


@names(lambda case: case.smooth)
def test_the_gradient_is_that_of_a_small_step(name):
    """Along one random direction of all inputs, in float32."""
    layer, case = fresh(name)
    inputs = case.inputs()
    layer(**inputs)

    def compute(*arrays):
        return main(layer(**dict(zip(inputs, arrays, strict=True))))

    arrays = list(inputs.values())
    rng = np.random.default_rng(5)
    direction = [rng.normal(size=x.shape).astype("float32") for x in arrays]
    on_jax = keras.backend.backend() == "jax"
    _, *found = gradients(compute, *arrays, jit_compile=on_jax)
    slope = sum((g * d).sum() for g, d in zip(found, direction, strict=True))

    def weighted(step):
        moved = [x + step * d for x, d in zip(arrays, direction, strict=True)]
        value = numpy(compute(*map(ops.convert_to_tensor, moved)))
        weights = np.random.default_rng(value.ndim).normal(size=value.shape)
        return (value.astype("float64") * weights).sum()

    expected = (weighted(3e-3) - weighted(-3e-3)) / 6e-3
    assert slope == pytest.approx(expected, rel=2e-2, abs=2e-2)


@stepping
def test_stepping_equals_the_call(name):
    layer, case = fresh(name)
    inputs = case.inputs()
    for mask in (None, mask_of(case, "value_mask", [6, 0])):
        expected, expected_scores = numpy(
            layer(**inputs, value_mask=mask, return_attention_scores=True)
        )
        memory = layer.memory(inputs["value"], mask=mask)
        state = layer.initial_state(memory)
        for t in range(inputs["query"].shape[1]):
            context, state, extras = layer.step(
                inputs["query"][:, t],
                memory,
                state,
                return_attention_scores=True,
            )
            np.testing.assert_allclose(
                numpy(context), expected[:, t], atol=1e-5
            )
            scores = numpy(extras["scores"])
            np.testing.assert_allclose(
                scores, expected_scores[..., t, :], atol=1e-5
            )


@stepping
def test_a_layer_that_only_ever_stepped_is_built(name):
    layer, case = fresh(name)
    inputs = case.inputs()
    memory = layer.memory(inputs["value"])
    query = inputs["query"][:, 0]
    context, _, _ = layer.step(query, memory, layer.initial_state(memory))
    assert layer.built
    np.testing.assert_allclose(
        numpy(layer(**inputs))[:, 0], numpy(context), atol=2e-6
    )


@stepping
def test_hypotheses_share_one_memory(name):
    layer, case = fresh(name)
    value = case.inputs()["value"]
    rng = np.random.default_rng(9)
    queries = rng.normal(size=(2, 3, 6)).astype("float32")  # (B, K, D)
    layer(queries, value)
    memory = layer.memory(value)
    state = keras.tree.map_structure(
        lambda x: ops.repeat(x, 3, axis=0), layer.initial_state(memory)
    )
    together, _, _ = layer.step(queries, memory, state)
    assert tuple(together.shape)[:2] == (2, 3)
    for k in range(3):
        alone, _, _ = layer.step(
            queries[:, k], memory, layer.initial_state(memory)
        )
        np.testing.assert_allclose(
            numpy(together)[:, k], numpy(alone), atol=2e-6
        )


@stepping
def test_a_step_never_projects_the_memory(name, monkeypatch):
    layer, case = fresh(name)
    inputs = case.inputs()
    layer(**inputs)
    lengths = []
    for part in layer._flatten_layers(include_self=False):
        call = part.call

        def spy(x, *args, _call=call, **kwargs):
            # Features of earlier scores are not those of the memory.
            if x.shape[-1] == inputs["value"].shape[-1]:
                lengths.append(int(np.prod(x.shape[:-1])))
            return _call(x, *args, **kwargs)

        monkeypatch.setattr(part, "call", spy)
    memory = layer.memory(inputs["value"])
    lengths.clear()
    layer.step(inputs["query"][:, 0], memory, layer.initial_state(memory))
    # Whatever a sublayer saw, it was one query per example.
    assert all(
        length <= 2 * max(1, getattr(layer, "num_heads", 1))
        for length in lengths
    )


@stepping
def test_symbolic_tensors_are_refused_by_memory_and_step(name):
    layer, case = fresh(name)
    symbolic = keras.KerasTensor((2, None, 11))
    with pytest.raises(ValueError, match="AttentionRNN"):
        layer.memory(symbolic)
    memory = layer.memory(case.inputs()["value"])
    with pytest.raises(ValueError, match="AttentionRNN"):
        layer.step(keras.KerasTensor((2, 6)), memory, {})


@attending
@pytest.mark.parametrize(
    "shapes, message",
    [
        (dict(query=(2, 6), value=(2, 7, 11)), "shape"),
        (dict(query=(2, 5, 6), value=(3, 7, 11)), "batch"),
        (
            dict(query=(2, 5, 6), value=(2, 7, 11), key=(2, 8, 11)),
            "length|equal",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused(name, shapes, message):
    layer, _ = fresh(name)
    inputs = {k: np.zeros(v, "float32") for k, v in shapes.items()}
    with pytest.raises(ValueError, match=message):
        layer(**inputs)


@names(lambda case: hasattr(case.make(), "memory") and case.steps)
def test_a_step_of_another_batch_than_the_memory_is_refused(name):
    layer, case = fresh(name)
    inputs = list(case.inputs().values())
    layer(*inputs)
    memory = layer.memory(inputs[1][:1])
    state = layer.initial_state(memory)
    with pytest.raises(ValueError, match="batch size"):
        layer.step(inputs[0][:, 0], memory, state)


def halves(shape, dtype=None):
    return 0.5 * ops.ones(shape, dtype)


@names(lambda case: "kernel_initializer" in arguments_of(case.make()))
def test_a_plain_function_initializes_the_kernels(name):
    case = CASES[name]
    layer = case.make(kernel_initializer=halves)
    layer(**case.inputs())
    kernels = [v for v in layer.weights if v.path.endswith("/kernel")]
    assert kernels or "dot" in name
    for kernel in kernels:
        np.testing.assert_array_equal(numpy(kernel), 0.5)
