import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.ops import dot_product, relative, tiles
from tests.gradients import gradients

B, T, S, N, K, H, V = 2, 11, 13, 6, 3, 5, 7
BACKEND = keras.backend.backend()


def numpy(x):
    return ops.convert_to_numpy(x)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def expanded(table, length, key_length):
    """The bias of each pair, one at a time."""
    output = np.zeros((*table.shape[:-1], length, key_length))
    for t, s in np.ndindex(length, key_length):
        output[..., t, s] = table[..., s - t + length - 1]
    return output


SIZES = [(1, 1), (1, 4), (4, 1), (3, 5), (5, 3)]


@pytest.mark.parametrize("length, key_length", SIZES)
def test_a_table_is_the_same_along_each_diagonal(length, key_length):
    table = normal(2, length + key_length - 1)
    found = relative.toeplitz(ops.convert_to_tensor(table), length, key_length)
    np.testing.assert_array_equal(
        numpy(found), expanded(table, length, key_length).astype("float32")
    )


@pytest.mark.parametrize("length, key_length", SIZES)
def test_sums_along_diagonals_are_the_gradient_of_the_expansion(
    length, key_length
):
    pairs = normal(2, length, key_length)
    sums = numpy(relative.diagonal_sums(ops.convert_to_tensor(pairs)))
    expected = np.zeros((2, length + key_length - 1))
    for t, s in np.ndindex(length, key_length):
        expected[:, s - t + length - 1] += pairs[:, t, s]
    np.testing.assert_allclose(sums, expected, atol=1e-6)
    _, gradient = gradients(
        lambda table: relative.toeplitz(table, length, key_length),
        normal(2, length + key_length - 1),
    )
    weights = np.random.default_rng(3).normal(size=pairs.shape)
    of_weights = relative.diagonal_sums(
        ops.convert_to_tensor(weights.astype("float32"))
    )
    np.testing.assert_allclose(gradient, numpy(of_weights), atol=1e-5)


def test_slopes_are_those_of_the_paper():
    # Press et al., 2022, section 3: 8 and 16 heads.
    np.testing.assert_array_equal(
        relative.alibi_slopes(8),
        [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256],
    )
    sixteen = relative.alibi_slopes(16)
    assert len(sixteen) == 16
    np.testing.assert_allclose(
        sixteen[:4], [0.5**0.5, 0.5, 0.5**1.5, 0.25], rtol=1e-12
    )
    # 6 is no power of two: 4 heads of 4, 2 of every second one of 8.
    np.testing.assert_allclose(
        relative.alibi_slopes(6),
        [1 / 4, 1 / 16, 1 / 64, 1 / 256, 1 / 2, 1 / 8],
    )
    assert relative.alibi_slopes(1).tolist() == [1 / 256]


def bucket(offset, num_buckets, max_distance, bidirectional):
    """Raffel et al., 2020, section 2.1, as T5 computes it, for one offset."""
    first = 0
    if bidirectional:
        num_buckets //= 2
        first = num_buckets if offset > 0 else 0
        distance = abs(offset)
    else:
        distance = max(-offset, 0)
    exact = num_buckets // 2
    if distance < exact:
        return first + distance
    share = np.log(distance / exact) / np.log(max_distance / exact)
    # The slack is for borders, where the logarithms are off by a rounding.
    within = int(share * (num_buckets - exact) + 1e-9)
    return first + min(exact + within, num_buckets - 1)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(
    "num_buckets, max_distance",
    [(32, 128), (8, 20), (6, 7), (10, 300), (4, 1000)],
)
def test_buckets_are_those_of_the_paper(
    num_buckets, max_distance, bidirectional
):
    offsets = np.arange(-400, 401, dtype="int32")
    side = num_buckets // 2 if bidirectional else num_buckets
    found = relative.offset_buckets(
        ops.convert_to_tensor(offsets),
        relative.bucket_starts(side, max_distance),
        bidirectional,
    )
    expected = [
        bucket(offset, num_buckets, max_distance, bidirectional)
        for offset in offsets.tolist()
    ]
    np.testing.assert_array_equal(numpy(found), expected)


def test_buckets_by_hand():
    # 8 single distances, then 8 ranges, each sqrt(2) times as far as the one
    # before: 8, 11.3, 16, 22.6, 32, 45.3, 64, 90.5.
    assert relative.bucket_starts(16, 128).tolist() == [
        *range(8),
        *(8, 12, 16, 23, 32, 46, 64, 91),
    ]


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles so small that there are several, and padded ones."""
    monkeypatch.setattr(tiles, "QUERIES", 4)
    monkeypatch.setattr(tiles, "KEYS", 6)
    monkeypatch.setattr(tiles, "CAUSAL_KEYS", 3)


def inputs(length=T, key_length=S):
    shapes = ((B, length, N, H), (B, key_length, K, H), (B, key_length, K, V))
    arrays = [normal(*x, seed=i) for i, x in enumerate(shapes)]
    return [*arrays, normal(N, length + key_length - 1, seed=7)]


def paths():
    """Every way this backend can compute an output."""
    known = [dot_product.dense_attention, tiles.tiled_attention]
    return known + [dot_product.fused_attention] * (BACKEND == "torch")


def run(path, arrays, causal, bias, **kwargs):
    mask = np.random.default_rng(1).random((B, 1, 1, S)) > 0.4

    def output(query, key, value, table):
        result = path(
            *(query, key, value, ops.convert_to_tensor(mask), causal),
            None if bias is None else ops.convert_to_tensor(bias),
            0.3,
            table,
        )
        return result[0] if isinstance(result, tuple) else result

    return gradients(output, *arrays, **kwargs)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("path", paths())
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("bias_shape", [None, (B, 1, 1, S)])
def test_every_path_adds_the_expanded_table_and_has_its_gradient(
    path, causal, bias_shape, jit_compile, small_tiles
):
    *arrays, table = inputs()
    bias = None if bias_shape is None else normal(*bias_shape, seed=9)
    found = run(path, [*arrays, table], causal, bias, jit_compile=jit_compile)

    def with_pairs(query, key, value, mask, causal, bias, scale, pairs):
        pairs = pairs if bias is None else pairs + bias
        return dot_product.dense_attention(
            query, key, value, mask, causal, pairs, scale
        )

    pairs = expanded(table, T, S)[None].astype("float32")
    *expected, by_pairs = run(with_pairs, [*arrays, pairs], causal, bias)
    by_table = np.zeros(table.shape)
    for t, s in np.ndindex(T, S):
        by_table[:, s - t + T - 1] += by_pairs[0, :, t, s]
    for mine, other in zip(found, [*expected, by_table], strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_tiles_of_their_usual_size_are_one_product(causal):
    rng = np.random.default_rng(0)
    shapes = ((1, 600, 2, 3), (1, 700, 1, 3), (1, 700, 1, 3), (2, 1299))
    arrays = [rng.normal(size=shape).astype("float32") for shape in shapes]

    def compute(path):
        return gradients(
            lambda query, key, value, table: path(
                query, key, value, None, causal, None, 0.5, table
            ),
            *arrays,
            jit_compile=True,
        )

    assert dot_product.TILES_FROM < 600 * 700
    for mine, other in zip(
        compute(tiles.tiled_attention),
        compute(dot_product._dense_output),
        strict=True,
    ):
        np.testing.assert_allclose(mine, other, atol=2e-4)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="static shapes elsewhere")
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("from_", [T * S, T * S + 1])
def test_unknown_lengths_choose_when_they_are_known(
    monkeypatch, small_tiles, jit_compile, from_
):
    import tensorflow as tf

    monkeypatch.setattr(dot_product, "TILES_FROM", from_)
    arrays = inputs()
    bias = normal(B, 1, 1, S, seed=9)

    def attend(query, key, value, table):
        output, _ = dot_product.dot_product_attention(
            query, key, value, None, True, bias, 0.3, offset_bias=table
        )
        return output

    def compute(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            loss = tf.reduce_sum(attend(*tensors) ** 2)
        return tape.gradient(loss, tensors)

    compiled = tf.function(
        compute,
        jit_compile=jit_compile,
        input_signature=[
            tf.TensorSpec((None, None, *x.shape[2:])) for x in arrays[:3]
        ]
        + [tf.TensorSpec((N, None))],
    )
    tensors = list(map(tf.constant, arrays))
    found = compiled(*tensors)
    monkeypatch.setattr(dot_product, "TILES_FROM", T * S + 1)
    for mine, other in zip(found, compute(*tensors), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-4)
