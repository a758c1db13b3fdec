import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import PositionEmbedding
from tests.gradients import gradients

B, T, D, M = 2, 5, 7, 11


GRID, OTHER, P = (3, 4), (5, 2), 2  # grids and prefix tokens
ALIGNED = "bilinear_align_corners"


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def zeros(*shape):
    return np.zeros(shape, "float32")


def normal(*shape):
    rng = np.random.default_rng(len(shape))
    return rng.normal(size=shape).astype("float32")


def zoomed(table, old, new):
    """scenic's resampling of a table: prefix tokens kept, the rest zoomed."""
    import scipy.ndimage

    prefix, grid = np.split(table, [len(table) - np.prod(old)])
    zoom = [b / a for a, b in zip(old, new, strict=True)]
    grid = grid.reshape(*old, -1)
    grid = scipy.ndimage.zoom(grid, (*zoom, 1), order=1)
    return np.concatenate([prefix, grid.reshape(-1, grid.shape[-1])])


def test_each_position_has_its_vector():
    layer = PositionEmbedding(M)
    embedding = numpy(layer(np.zeros((B, T, D))))
    vectors = numpy(layer.embeddings)
    assert vectors.shape == (M, D)
    for b, t in np.ndindex(B, T):
        np.testing.assert_array_equal(embedding[b, t], vectors[t])


def test_a_step_is_its_row_of_the_whole():
    layer = PositionEmbedding(M)
    x = np.zeros((B, T, D), "float32")
    whole = numpy(layer(x))
    for start in (3, ops.convert_to_tensor(3, "int32")):
        step = numpy(layer(x[:, :1], start_index=start))
        np.testing.assert_array_equal(step[:, 0], whole[:, 3])


def test_gradient_is_the_sum_over_examples_of_the_positions_seen():
    layer = PositionEmbedding(M)
    x = np.zeros((B, T, D), "float32")
    layer.build(x.shape)
    weights = np.random.default_rng(3).normal(size=(B, T, D))

    def run(embeddings):
        return layer.stateless_call([embeddings], [], x, start_index=2)[0]

    _, found = gradients(run, numpy(layer.embeddings))
    expected = np.zeros((M, D))
    expected[2 : 2 + T] = weights.sum(0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_positions_beyond_the_longest_are_an_error():
    layer = PositionEmbedding(M)
    layer(np.zeros((B, M, D)))
    with pytest.raises(ValueError, match="start_index=0 and a length of 12"):
        layer(np.zeros((B, M + 1, D)))
    with pytest.raises(ValueError, match="start_index=7 and a length of 5"):
        layer(np.zeros((B, T, D)), start_index=M - T + 1)
    with pytest.raises(ValueError, match="must be below `max_length`"):
        layer(keras.Input((M + 1, D)))
    with pytest.raises(ValueError, match="`max_length` must be a positive"):
        PositionEmbedding(0)


def test_unknown_sizes_masks_and_dtypes_pass_through():
    tokens = keras.Input((None,))
    x = keras.layers.Embedding(11, D, mask_zero=True)(tokens)
    y = PositionEmbedding(M, dtype="mixed_bfloat16")(x)
    assert y.shape == (None, None, D) and y.dtype == "bfloat16"
    assert y._keras_mask is not None
    model = keras.Model(tokens, y)
    found = model(np.ones((B, T)))
    assert found.shape == (B, T, D)
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"


def test_sequences_do_not_start_at_positions_of_their_own():
    x = np.zeros((2, 2, 4), "float32")
    with pytest.raises(ValueError, match=r"one position.*shape \(2,\)"):
        PositionEmbedding(7)(x, start_index=np.array([1, 2]))


@pytest.mark.parametrize("grid_shape", [(12,), (3, 4), (2, 3, 2)])
def test_a_grid_of_its_own_size_has_the_vectors_themselves(grid_shape):
    layer = PositionEmbedding(grid_shape=grid_shape, num_prefix_tokens=P)
    found = numpy(layer(zeros(B, P + 12, D)))
    vectors = numpy(layer.embeddings)
    assert vectors.shape == (P + 12, D)
    for b in range(B):
        np.testing.assert_array_equal(found[b], vectors)
    if len(grid_shape) > 1:
        layer = PositionEmbedding(grid_shape=grid_shape)
        found = numpy(layer(zeros(B, *grid_shape, D)))
        vectors = numpy(layer.embeddings).reshape(*grid_shape, D)
        np.testing.assert_array_equal(found[1], vectors)


@pytest.mark.parametrize(
    "old, new",
    [((5,), (7,)), (GRID, OTHER), ((2, 3, 4), (3, 5, 2))],
)
def test_a_grid_of_another_size_is_zoomed_and_prefix_tokens_are_not(old, new):
    layer = PositionEmbedding(
        grid_shape=old, num_prefix_tokens=P, interpolation=ALIGNED
    )
    x = zeros(B, P + np.prod(new), D)
    found = numpy(layer(x, grid=new))
    expected = zoomed(numpy(layer.embeddings), old, new)
    np.testing.assert_allclose(found[1], expected, atol=1e-6)
    np.testing.assert_array_equal(found[:, :P], expected[None, :P].repeat(B, 0))
    # Sizes are read from a tensor shaped as the grid, too.
    like = zeros(B, *new, 1)
    np.testing.assert_array_equal(numpy(layer(x, grid=like)), found)
    if len(new) == 1:  # its length is the number of tokens
        np.testing.assert_array_equal(numpy(layer(x)), found)
    # Without prefix tokens, inputs may have the shape of the grid.
    bare = PositionEmbedding(grid_shape=old, interpolation=ALIGNED)
    bare.build((B, *old, D))
    bare.set_weights([layer.get_weights()[0][P:]])
    np.testing.assert_array_equal(
        numpy(bare(zeros(B, *new, D))).reshape(B, -1, D), found[:, P:]
    )


def test_frames_repeat_the_vectors_of_an_image():
    layer = PositionEmbedding(grid_shape=GRID, interpolation=ALIGNED)
    found = numpy(layer(zeros(B, 3, *OTHER, D)))
    image = numpy(layer(zeros(B, *OTHER, D)))
    for frame in range(3):
        np.testing.assert_array_equal(found[:, frame], image)
    tokens = numpy(layer(zeros(B, 3 * 10, D), grid=(3, *OTHER)))
    np.testing.assert_array_equal(tokens, found.reshape(B, -1, D))
    # Frames alone need no interpolation.
    layer = PositionEmbedding(grid_shape=GRID, num_prefix_tokens=1)
    found = numpy(layer(zeros(B, 1 + 2 * 12, D), grid=(2, *GRID)))
    vectors = numpy(layer.embeddings)
    expected = np.concatenate([vectors, vectors[1:]])
    np.testing.assert_array_equal(found[0], expected)


def test_the_gradient_of_a_resampled_grid_is_that_of_a_linear_map():
    layer = PositionEmbedding(
        grid_shape=GRID, num_prefix_tokens=P, interpolation="bicubic"
    )
    x = zeros(1, P + 10, D)
    layer.build(x.shape)

    def run(embeddings):
        return layer.stateless_call([embeddings], [], x, grid=OTHER)[0]

    _, found = gradients(run, normal(P + 12, D))
    weights = np.random.default_rng(3).normal(size=x.shape)
    direction = normal(P + 12, D)
    moved = numpy(run(ops.convert_to_tensor(direction)))
    assert (found * direction).sum() == pytest.approx(
        (weights * moved).sum(), abs=1e-4
    )
    np.testing.assert_allclose(found[:P], weights[0, :P], atol=1e-5)


def test_vectors_are_interpolated_in_float32_and_then_cast():
    options = dict(grid_shape=GRID, interpolation="bicubic")
    wide = PositionEmbedding(**options)
    low = PositionEmbedding(**options, dtype="mixed_bfloat16")
    x = zeros(B, *OTHER, D)
    expected = wide(x)
    low.build(x.shape)
    low.set_weights(wide.get_weights())
    np.testing.assert_array_equal(
        numpy(low(x)), numpy(ops.cast(expected, "bfloat16"))
    )


class ClassToken(keras.layers.Layer):
    """Puts a token of ones before the others."""

    def call(self, tokens):
        return ops.concatenate([ops.ones_like(tokens[:, :1]), tokens], axis=1)

    def compute_output_shape(self, shape):
        length = None if shape[1] is None else shape[1] + 1
        return (shape[0], length, shape[2])


# Keras's exporter on JAX asks for it.
@pytest.mark.filterwarnings("ignore:.*native_serialization.* is deprecated")
def test_a_model_takes_grids_of_unknown_sizes(tmp_path):
    layer = PositionEmbedding(
        grid_shape=GRID, num_prefix_tokens=1, interpolation=ALIGNED
    )
    patches = keras.Input((None, None, D))
    tokens = ClassToken()(keras.layers.Reshape((-1, D))(patches))
    outputs = keras.layers.Add()([tokens, layer(tokens, grid=patches)])
    model = keras.Model(patches, outputs)
    assert model.output_shape == (None, None, D)
    for size in (GRID, OTHER):
        x = normal(B, *size, D)
        ones = np.ones((B, 1, D))
        expected = np.concatenate([ones, x.reshape(B, -1, D)], axis=1)
        expected += zoomed(numpy(layer.embeddings), GRID, size)
        found = model.predict(x, verbose=0)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    if keras.backend.backend() == "torch":
        return  # Keras exports a SavedModel from TensorFlow and JAX
    import tensorflow as tf

    model.export(tmp_path, verbose=False)
    exported = tf.saved_model.load(tmp_path)
    np.testing.assert_allclose(exported.serve(x), expected, atol=1e-5)


def test_a_grid_survives_a_saved_model(tmp_path):
    layer = PositionEmbedding(
        grid_shape=[3, 4], num_prefix_tokens=P, interpolation="bilinear"
    )
    assert layer.get_config()["grid_shape"] == (3, 4)
    tokens = keras.Input((P + 10, D))
    model = keras.Model(tokens, layer(tokens, grid=OTHER))
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    x = zeros(B, P + 10, D)
    np.testing.assert_array_equal(numpy(reloaded(x)), numpy(model(x)))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "Either `max_length`.*not both. Received: max_length=None"),
        (dict(max_length=5, grid_shape=(5,)), "must be given, and not both"),
        (dict(max_length=5, num_prefix_tokens=1), "are for a grid.*=1"),
        (dict(max_length=5, interpolation="bicubic"), "are for a grid"),
        (dict(grid_shape=(3, 0)), "`grid_shape` must be a positive integer"),
        (dict(grid_shape=(3, None)), "`grid_shape` must be a positive"),
        (dict(grid_shape=12), "must be the sizes of a grid.*grid_shape=12"),
        (dict(grid_shape=GRID, interpolation="cubic"), "one of .*'cubic'"),
        (dict(grid_shape=GRID, num_prefix_tokens=-1), "0 or more.*=-1"),
    ],
)
def test_bad_arguments_of_a_grid_say_what_must_hold(arguments, message):
    with pytest.raises(ValueError, match=message):
        PositionEmbedding(**arguments)


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize(
    "shape, call, message",
    [
        ((P + 13, D), {}, r"one token for each.*\(2, 15, 7\).*\(3, 4\)"),
        ((P + 12, D), dict(grid=OTHER), r"each entry of the grid.*\(5, 2\)"),
        ((P + 10, D), dict(grid=OTHER), "of the weights.*interpolation=None"),
        ((P + 12, D), dict(grid=(12,)), "must have the axes of the one"),
        ((P + 12, D), dict(grid=(3, 4.0)), "`grid` must be a positive integer"),
        ((P + 12, D), dict(grid=12), "`grid` must be the sizes of a grid"),
        ((P + 12, D), dict(start_index=1), "`start_index` is for a layer with"),
        ((3, 4, D), {}, r"no prefix tokens.*\(2, 3, 4, 7\)"),
        ((D,), {}, r"\(batch, tokens, features\).*shape \(2, 7\)"),
        ((1, 1, 3, 4, D), {}, r"\(batch, tokens, features\).*shape \(2, 1"),
    ],
)
def test_inputs_that_form_no_grid_are_refused(shape, call, message, symbolic):
    layer = PositionEmbedding(grid_shape=GRID, num_prefix_tokens=P)
    inputs = keras.KerasTensor((B, *shape)) if symbolic else zeros(B, *shape)
    with pytest.raises(ValueError, match=message):
        layer(inputs, **call)


def test_unknown_sizes_need_a_grid_and_an_interpolation():
    tokens = keras.Input((None, D))
    layer = PositionEmbedding(grid_shape=GRID, interpolation="bicubic")
    # Twelve tokens, or the four of 2 x 2? The number will not tell.
    with pytest.raises(ValueError, match=r"Pass the sizes of the grid"):
        layer(tokens)
    assert layer(tokens, grid=OTHER).shape == (None, None, D)
    with pytest.raises(ValueError, match="of the weights"):
        PositionEmbedding(grid_shape=GRID)(keras.Input((None, None, D)))
    # Of a batch of unknown size there is nothing to say.
    assert layer(keras.Input((12, D))).shape == (None, 12, D)


def test_a_sequence_has_no_grid():
    with pytest.raises(ValueError, match=r"`grid` is for.*\(1, 5\)"):
        PositionEmbedding(M)(zeros(B, T, D), grid=(1, 5))
