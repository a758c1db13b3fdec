"""Each rule against the library that its source of weights uses."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.ops.resampling import (
    INTERPOLATIONS,
    interpolation_matrix,
    resample_grid,
    resample_positions,
)
from tests.gradients import gradients

D = 3
SIZES = [
    ((5, 7), (11, 3)),
    ((14, 14), (24, 24)),  # ViT of patches of 16, from 224 to 384 pixels
    ((24, 24), (14, 14)),
    ((1, 2), (5, 1)),
    ((7, 11), (7, 2)),
]


def normal(*shape, dtype="float64"):
    return np.random.default_rng(len(shape)).normal(size=shape).astype(dtype)


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def interpolated(grid, sizes, interpolation):
    """What `torch.nn.functional.interpolate` gives, as a torch tensor."""
    import torch

    options = {
        "bilinear_align_corners": dict(mode="bilinear", align_corners=True),
        "bilinear": dict(mode="bilinear", antialias=False),
        "bicubic_antialias": dict(mode="bicubic", antialias=True),
        "bicubic": dict(mode="bicubic", antialias=False),
    }
    image = torch.as_tensor(grid).permute(2, 0, 1)[None]
    image = torch.nn.functional.interpolate(
        image, size=sizes, **options[interpolation]
    )
    return image[0].permute(1, 2, 0)


def zoomed(grid, sizes):
    """What scenic and big_vision do to a grid of any number of axes."""
    import scipy.ndimage

    zoom = [new / old for new, old in zip(sizes, grid.shape[:-1], strict=True)]
    return scipy.ndimage.zoom(grid, (*zoom, 1), order=1)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("old, new", SIZES)
def test_each_rule_is_the_one_of_its_source(old, new, interpolation):
    grid = normal(*old, D)
    expected = interpolated(grid, new, interpolation).numpy()
    found = resample_grid(grid, new, interpolation)
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    grid = ops.convert_to_tensor(grid.astype("float32"))
    found = numpy(resample_grid(grid, new, interpolation))
    np.testing.assert_allclose(found, expected, atol=2e-6)
    # Sizes that are not known before the values are.
    new = [ops.convert_to_tensor(size, "int32") for size in new]
    found = numpy(resample_grid(grid, new, interpolation))
    np.testing.assert_allclose(found, expected, atol=3e-6)


@pytest.mark.parametrize(
    "old, new", [*SIZES, ((5,), (8,)), ((2, 3, 5), (4, 7, 1))]
)
def test_aligned_corners_are_the_zoom_of_scipy(old, new):
    grid = normal(*old, D)
    np.testing.assert_allclose(
        resample_grid(grid, new, "bilinear_align_corners"),
        zoomed(grid, new),
        atol=1e-12,
    )


def test_the_rules_differ_visibly():
    grid = normal(14, 14, 8)
    results = [resample_grid(grid, (24, 24), rule) for rule in INTERPOLATIONS]
    for k, result in enumerate(results):
        for other in results[:k]:
            assert np.abs(result - other).max() > 0.3


def test_two_entries_become_four_by_hand():
    grid = np.array([[0.0], [1.0]])
    for rule, expected in {
        "bilinear_align_corners": [0, 1 / 3, 2 / 3, 1],
        "bilinear": [0, 1 / 4, 3 / 4, 1],
    }.items():
        found = resample_grid(grid, (4,), rule)[:, 0]
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_a_size_of_its_own_is_itself(interpolation):
    np.testing.assert_array_equal(
        interpolation_matrix(7, 7, interpolation), np.eye(7)
    )
    same = interpolation_matrix(7, ops.convert_to_tensor(7), interpolation)
    np.testing.assert_array_equal(numpy(same), np.eye(7))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_gradient_is_that_of_the_source(interpolation, jit_compile):
    import torch

    grid, new = normal(5, 7, D, dtype="float32"), (11, 3)

    def run(grid):
        return resample_grid(grid, new, interpolation)

    _, found = gradients(run, grid, jit_compile=jit_compile)
    grid = torch.tensor(grid, requires_grad=True)
    value = interpolated(grid, new, interpolation)
    weights = np.random.default_rng(3).normal(size=value.shape)
    (value * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(found, grid.grad.numpy(), atol=1e-5)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_sizes_are_unknown_under_xla(interpolation):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("sizes are unknown on TensorFlow only")
    import tensorflow as tf

    grid = normal(5, 7, D, dtype="float32")

    @tf.function(
        jit_compile=True, input_signature=[tf.TensorSpec((None, None, 1))]
    )
    def run(image):
        return resample_grid(
            tf.constant(grid), ops.shape(image)[:2], interpolation
        )

    for new in ((11, 3), (5, 7)):
        np.testing.assert_allclose(
            run(tf.zeros((*new, 1))),
            resample_grid(grid, new, interpolation),
            atol=3e-6,
        )


def test_low_precision_is_computed_in_float32():
    grid = ops.cast(normal(14, 14, D, dtype="float32"), "bfloat16")
    found = resample_grid(grid, (24, 24), "bicubic")
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"
    wide = resample_grid(ops.cast(grid, "float32"), (24, 24), "bicubic")
    np.testing.assert_array_equal(
        numpy(found), numpy(ops.cast(wide, "bfloat16"))
    )


def test_prefix_tokens_stay_and_rows_run_fastest():
    prefix, grid = normal(2, D), normal(5, 7, D)
    table = np.concatenate([prefix, grid.reshape(-1, D)])[None]
    found = resample_positions(table, (5, 7), (3, 11), "bicubic", 2)
    assert found.shape == (1, 2 + 33, D)
    np.testing.assert_array_equal(found[0, :2], prefix)
    expected = resample_grid(grid, (3, 11), "bicubic")
    for i, j in np.ndindex(3, 11):
        np.testing.assert_array_equal(found[0, 2 + 11 * i + j], expected[i, j])


@pytest.mark.parametrize(
    "new, way",
    [
        ((6, 4), "resize"),
        ((2, 5, 7), "tile"),
        ((2, 6, 4), "resize_tile"),
    ],
)
def test_a_table_of_images_becomes_one_of_videos(new, way):
    """ViViT's three ways, as scenic names and does them."""
    grid = normal(5, 7, D)
    expected = grid
    if way != "tile":
        expected = zoomed(grid, new[-2:])
    expected = expected.reshape(-1, D)
    if way != "resize":
        expected = np.tile(expected, (new[0], 1))
    rule = None if way == "tile" else "bilinear_align_corners"
    table = grid.reshape(-1, D)
    for given in (table, ops.convert_to_tensor(table.astype("float32"))):
        found = resample_positions(given, (5, 7), new, rule)
        np.testing.assert_allclose(numpy(found), expected, atol=2e-6)


def test_the_same_grid_returns_the_table_itself():
    table = normal(36, D, dtype="float16")
    assert resample_positions(table, (5, 7), [5, 7], None, 1) is table
    larger = resample_positions(table, (5, 7), (6, 7), "bilinear", 1)
    assert isinstance(larger, np.ndarray) and larger.dtype == "float16"


def test_bad_arguments_say_what_must_hold():
    table = normal(35, D)
    for grids, rule, message in (
        (((5, 7), (6, 8)), None, r"of the weights.*\(6, 8\).*None. Pass one"),
        (((5, 7), (6, 8)), "cubic", "one of 'bilinear_align_corners'.*'cubic'"),
        (((5, 7), (5, 7)), "cubic", "one of 'bilinear_align_corners'.*'cubic'"),
        (((5, 7), (35,)), None, r"axes of the one.*\(35,\) to be taken from"),
        (((35,), (5, 35)), None, "must have the axes of the one it is taken"),
        (((5, 6), (5, 7)), "bicubic", r"number of prefix.*\(35, 3\).*\(5, 6\)"),
        (((5, 7), (5, 0)), "bicubic", "`new_grid` must be a positive integer"),
        (((5, 7), (5, None)), "bicubic", "`new_grid` must be a positive"),
        ((35, (5, 7)), "bicubic", "`old_grid` must be the sizes of a grid"),
        (((1, 1, 5, 7), (5, 7)), "bicubic", "`old_grid` must be the sizes"),
    ):
        with pytest.raises(ValueError, match=message):
            resample_positions(table, *grids, rule)
