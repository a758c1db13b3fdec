import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import MultiHeadAttention, RelativePositionBias

T, S, D, N = 13, 17, 6, 3


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def normal(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape).astype("float32")


def pairs(layer):
    """The bias of a call `(N, T, S)`, and what was learned."""
    bias = numpy(layer(normal(2, T, D), normal(2, S, D)))
    assert bias.shape == (1, N, T, S)
    return bias[0], numpy(layer.embeddings)


def test_buckets_are_those_of_the_paper():
    """Raffel et al., 2020, section 2.1, with 8 buckets up to 8 away.

    Two distances have a bucket each, of 4 to a side. The others are borders
    by hand: 2 and 2 (8 / 2)^(1 / 2) = 4.
    """
    of_distance = [0, 1, 2, 2, *[3] * 13]
    bias, learned = pairs(RelativePositionBias(N, 8, 8))
    assert learned.shape == (8, N)
    for t, s in np.ndindex(T, S):
        row = of_distance[abs(s - t)] + 4 * (s > t)
        np.testing.assert_array_equal(bias[:, t, s], learned[row])


def test_in_one_direction_later_positions_are_as_the_query():
    # 4 buckets: 0, 1, from 2 on, and from 2 (18 / 2)^(1 / 2) = 6 on.
    of_distance = [0, 1, *[2] * 4, *[3] * 11]
    layer = RelativePositionBias(N, 4, 18, bidirectional=False)
    bias, learned = pairs(layer)
    for t, s in np.ndindex(T, S):
        row = of_distance[max(t - s, 0)]
        np.testing.assert_array_equal(bias[:, t, s], learned[row])


@pytest.mark.parametrize("bidirectional", [True, False])
def test_offsets_of_their_own_are_clipped(bidirectional):
    """Shaw et al., 2018, section 3.2."""
    bias, learned = pairs(
        RelativePositionBias(N, None, 4, bidirectional=bidirectional)
    )
    furthest = 4 if bidirectional else 0
    assert learned.shape == (5 + furthest, N)
    for t, s in np.ndindex(T, S):
        row = 4 + min(max(s - t, -4), furthest)
        np.testing.assert_array_equal(bias[:, t, s], learned[row])


def test_what_is_learned_is_not_rounded_in_low_precision():
    layer = MultiHeadAttention(
        N,
        4,
        dtype="mixed_bfloat16",
        position_bias=RelativePositionBias(N, None, 3),
    )
    x = np.zeros((1, 4, D), "float32")
    layer(x, x)
    # In bfloat16 these are all 100.
    learned = 100 + 0.1 * np.arange(7)[:, None].repeat(N, 1)
    layer.position_bias.embeddings.assign(learned)
    _, scores = layer(x, x, return_attention_scores=True)
    expected = np.exp(0.1 * np.arange(4))
    expected /= expected.sum()
    for row in numpy(scores)[0, 0]:
        np.testing.assert_allclose(row, expected, rtol=1e-2)


def test_several_layers_share_one_bias_by_the_call(tmp_path):
    """As the layers of T5 do."""
    x = keras.Input((None, D))
    bias = RelativePositionBias(N)(x)
    y = x
    for _ in range(2):
        y = MultiHeadAttention(N, 4)(y, y, attention_bias=bias)
    model = keras.Model(x, y)
    names = [w.name for w in model.weights]
    assert names.count("embeddings") == 1
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        numpy(again(normal(2, T, D))), numpy(model(normal(2, T, D))), atol=1e-6
    )


def test_it_learns_to_read_the_position_before():
    """Which what is there does not tell."""
    keras.utils.set_random_seed(0)
    x = normal(128, 7, 4)
    y = np.roll(x, 1, axis=1)
    y[:, 0] = x[:, 0]
    inputs = keras.Input((7, 4))
    attention = MultiHeadAttention(
        2, 4, position_bias=RelativePositionBias(2, 8, 6)
    )
    model = keras.Model(inputs, attention(inputs, inputs))
    model.compile(
        keras.optimizers.Adam(0.1),
        "mse",
        jit_compile=keras.backend.backend() != "torch",
    )
    history = model.fit(x, y, epochs=30, batch_size=128, verbose=0)
    losses = history.history["loss"]
    # The mean of all positions, which needs none, leaves 0.86.
    assert losses[-1] < 0.1 < 0.8 < losses[0]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(num_heads=0), "`num_heads` must be a positive"),
        (dict(num_buckets=0), "`num_buckets` must be a positive"),
        (dict(num_buckets=7), "must be even and at least 4.*=7.*=True"),
        (dict(num_buckets=2), "must be even and at least 4.*=2.*=True"),
        (
            dict(num_buckets=1, bidirectional=False),
            "must be at least 2.*=1.*=False",
        ),
        (dict(max_distance=8), "bucket each, 0 to 7.*max_distance=8"),
        (dict(max_distance=2.5), "`max_distance` must be a positive"),
    ],
)
def test_bad_arguments_say_what_must_hold(arguments, message):
    with pytest.raises(ValueError, match=message):
        RelativePositionBias(**{"num_heads": N, **arguments})
