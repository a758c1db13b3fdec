import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.losses import SparseCategoricalCrossentropy
from keras_attention.ops.cross_entropy import sparse_cross_entropy
from tests.gradients import gradients

B, T, V = 2, 3, 5
LABELS = np.array([[0, 4, 2], [3, 1, 1]])
WEIGHTS = np.array([[1, 1, 0], [1, 0, 0]], "float32")


def logits(scale=1.0):
    rng = np.random.default_rng(0)
    return (scale * rng.normal(size=(B, T, V))).astype("float32")


def test_it_is_minus_the_log_probability_of_each_label():
    loss = SparseCategoricalCrossentropy(reduction=None)
    numbers = logits()
    expected = np.zeros((B, T))
    for b, t in np.ndindex(B, T):
        powers = np.exp(numbers[b, t])
        expected[b, t] = -np.log(powers[LABELS[b, t]] / powers.sum())
    got = ops.convert_to_numpy(loss(LABELS, numbers))
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("scale", [1.0, 200.0])
@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "mean_with_sample_weight"]
)
def test_value_and_gradient_are_those_of_keras(reduction, scale, jit_compile):
    ours = SparseCategoricalCrossentropy(reduction=reduction)
    theirs = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction=reduction
    )
    got, expected = (
        gradients(
            lambda x, loss=loss: loss(LABELS, x, sample_weight=WEIGHTS),
            logits(scale),
            jit_compile=jit_compile,
        )
        for loss in (ours, theirs)
    )
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_padding_does_not_dilute_the_mean():
    each = SparseCategoricalCrossentropy(reduction=None)(LABELS, logits())
    each = ops.convert_to_numpy(each)
    loss = SparseCategoricalCrossentropy()
    np.testing.assert_allclose(
        float(loss(LABELS, logits(), sample_weight=WEIGHTS)),
        (each * WEIGHTS).sum() / np.sum(WEIGHTS),
        rtol=1e-6,
    )


def one_hot(labels):
    return np.eye(V, dtype="float32")[labels]


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("scale", [1.0, 200.0])
@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "mean_with_sample_weight"]
)
def test_smoothed_labels_are_those_of_keras_on_one_hot_vectors(
    reduction, scale, jit_compile
):
    ours = SparseCategoricalCrossentropy(0.3, reduction=reduction)
    theirs = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.3, reduction=reduction
    )
    got, expected = (
        gradients(
            lambda x, loss=loss, y=y: loss(y, x, sample_weight=WEIGHTS),
            logits(scale),
            jit_compile=jit_compile,
        )
        for loss, y in ((ours, LABELS), (theirs, one_hot(LABELS)))
    )
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_low_precision_logits_have_the_loss_and_gradient_of_what_they_say(
    dtype, smoothing
):
    rough = ops.cast(logits(3.0), dtype)
    exact = ops.convert_to_numpy(ops.cast(rough, "float32"))

    def ours(x):
        return sparse_cross_entropy(LABELS, ops.cast(x, dtype), smoothing)

    def theirs(x):
        loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=smoothing, reduction=None
        )
        return loss(one_hot(LABELS), x)

    (got, gradient), expected = gradients(ours, exact), gradients(theirs, exact)
    np.testing.assert_allclose(got, expected[0], rtol=1e-5)
    precision = 2.0 ** (-8 if dtype == "bfloat16" else -11)
    error = np.abs(gradient - expected[1])
    assert (error <= 1.1 * precision * np.abs(expected[1]) + 1e-6).all()


def test_smoothing_by_hand():
    """Three logits 0, log 2, log 5: probabilities 1, 2 and 5 eighths."""
    loss = SparseCategoricalCrossentropy(label_smoothing=0.3)
    value = loss(np.array([2]), np.log([[1.0, 2.0, 5.0]], dtype="float32"))
    expected = -np.log([0.125, 0.25, 0.625]) @ [0.1, 0.1, 0.8]
    np.testing.assert_allclose(float(value), expected, rtol=1e-6)


def test_low_precision_is_summed_in_float32():
    loss = SparseCategoricalCrossentropy(reduction=None)
    # In bfloat16 the sum of 4096 ones would stop at 256.
    equal = ops.zeros((1, 4096), "bfloat16")
    got = ops.convert_to_numpy(loss(np.array([7]), equal))
    np.testing.assert_allclose(got, [np.log(4096)], rtol=1e-6)


def test_labels_of_another_shape_are_refused():
    loss = SparseCategoricalCrossentropy()
    with pytest.raises(ValueError, match="not one-hot vectors"):
        loss(np.eye(V)[LABELS], logits())
    with pytest.raises(ValueError, match="the shape of the logits"):
        loss(LABELS[:, :2], logits())
    column = loss(LABELS[..., None], logits())  # as Keras allows
    np.testing.assert_allclose(
        float(column), float(loss(LABELS, logits())), rtol=1e-6
    )


def test_it_trains_and_saves_with_a_model(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(V)])
    model.compile("sgd", SparseCategoricalCrossentropy(label_smoothing=0.1))
    model.fit(np.ones((B, 3)), np.array([1, 2]), verbose=0)
    model.save(tmp_path / "model.keras")
    loss = keras.saving.load_model(tmp_path / "model.keras").loss
    assert isinstance(loss, SparseCategoricalCrossentropy)
    assert loss.label_smoothing == 0.1


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_smoothing_outside_its_range_is_refused(smoothing):
    with pytest.raises(ValueError, match=f"label_smoothing={smoothing}"):
        SparseCategoricalCrossentropy(label_smoothing=smoothing)
