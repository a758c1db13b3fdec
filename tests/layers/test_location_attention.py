import numpy as np
import pytest
from keras import ops

from keras_attention.layers import LocationAttention

B, T, S, D, E, V, U = 3, 5, 13, 7, 11, 2, 17
FILTERS, WIDTH = 3, 5
LENGTHS = np.array([S, 4, 0])
MASK = np.arange(S) < LENGTHS[:, None]


def sources():
    rng = np.random.default_rng(0)
    shapes = (B, T, D), (B, S, V), (B, S, E)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def made(**kwargs):
    layer = LocationAttention(U, FILTERS, WIDTH, **kwargs)
    layer.build((B, T, D), (B, S, V), (B, S, E))
    rng = np.random.default_rng(1)
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    return layer


def reference(layer, query, value, key):
    """Chorowski et al., 2015, equations 5 to 9, one pair at a time."""
    W, K = numpy(layer.query_dense.kernel), numpy(layer.key_dense.kernel)
    v, b = numpy(layer.score_vector), numpy(layer.query_dense.bias)
    F = numpy(layer.location_conv.kernel)[:, 0]  # (WIDTH, FILTERS)
    U_f = numpy(layer.feature_dense.kernel)
    output, scores = np.zeros((B, T, V)), np.zeros((B, T, S))
    for n in range(B):
        before = np.eye(S)[0]
        for t in range(T):
            a = np.zeros(S)
            for s in range(LENGTHS[n]):
                f = np.zeros(FILTERS)
                for i in range(WIDTH):
                    read = s + i - WIDTH // 2
                    if 0 <= read < S:
                        f += F[i] * before[read]
                hidden = query[n, t] @ W + key[n, s] @ K + f @ U_f + b
                e = layer.sharpening * (v @ np.tanh(hidden))
                a[s] = 1 / (1 + np.exp(-e)) if layer.smoothing else np.exp(e)
            scores[n, t] = a / a.sum() if a.any() else a
            output[n, t] = scores[n, t] @ value[n]
            before = scores[n, t]
    return output, scores


@pytest.mark.parametrize(
    "arguments", [{}, {"sharpening": 2.0}, {"smoothing": True}]
)
def test_it_is_the_papers_recurrence(arguments):
    inputs = sources()
    layer = made(**arguments)
    got = layer(*inputs, value_mask=MASK, return_attention_scores=True)
    for one, other in zip(got, reference(layer, *inputs), strict=True):
        np.testing.assert_allclose(numpy(one), other, atol=2e-5)


def test_a_filter_can_move_on_by_one():
    """No content: each step reads what is right of the last."""
    layer = LocationAttention(1, 1, 3, score_initializer="ones")
    query, value = np.zeros((1, 4, D)), np.eye(6)[None]
    layer(query, value)
    for weight in (layer.query_dense.kernel, layer.key_dense.kernel):
        weight.assign(ops.zeros(weight.shape))
    # Position s sees what was read at s - 1.
    layer.location_conv.kernel.assign(np.reshape([5.0, 0, 0], (3, 1, 1)))
    layer.feature_dense.kernel.assign([[1.0]])
    layer.score_vector.assign([50.0])
    _, scores = layer(query, value, return_attention_scores=True)
    np.testing.assert_array_equal(numpy(scores)[0].argmax(-1), [1, 2, 3, 4])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"filters": 0}, "`filters` must be a positive integer"),
        ({"kernel_size": 0}, "`kernel_size` must be a positive integer"),
        ({"kernel_size": 4}, "`kernel_size` must be odd.*Pass 5"),
        ({"sharpening": 0}, "`sharpening` must be positive"),
    ],
)
def test_bad_arguments_are_explained(arguments, message):
    good = {"units": U, "filters": FILTERS, "kernel_size": WIDTH}
    with pytest.raises(ValueError, match=message):
        LocationAttention(**{**good, **arguments})
