import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.models.bidirectional_gru import BidirectionalGRU
from tests.gradients import gradients

B, S, D, N = 3, 5, 7, 11
MASKS = {
    "no mask": None,
    "padding": np.array([[1, 1, 1, 0, 0], [1] * 5, [1, 0, 0, 0, 0]], bool),
    "gaps": np.array([[0, 1, 0, 1, 1], [1] * 5, [0] * 5], bool),
}


# Keras's, on torch and a GPU, hands its weights to a kernel one by one.
@pytest.mark.filterwarnings("ignore:RNN module weights are not part")
@pytest.mark.parametrize("reset_after", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_it_is_the_bidirectional_gru_of_keras(mask, reset_after):
    ours = BidirectionalGRU(N, reset_after=reset_after)
    gru = keras.layers.GRU(
        N, reset_after=reset_after, return_sequences=True, return_state=True
    )
    keras_layer = keras.layers.Bidirectional(gru)
    ours.build((B, S, D))
    keras_layer.build((B, S, D))
    keras_layer.set_weights(ours.get_weights())
    weights = [ops.convert_to_numpy(v) for v in ours.trainable_variables]
    x = np.random.default_rng(0).normal(size=(B, S, D)).astype("float32")

    def run_with(layer):
        def run(x, *weights):
            pairs = zip(layer.trainable_variables, weights, strict=True)
            others = [(v, v.value) for v in layer.non_trainable_variables]
            with keras.StatelessScope([*pairs, *others]):
                states, forward, backward = layer(x, mask=MASKS[mask])
            last = ops.concatenate([forward, backward], axis=-1)
            return ops.concatenate([states, last[:, None]], axis=1)

        return gradients(run, x, *weights, jit_compile=True)

    for got, expected in zip(
        run_with(ours), run_with(keras_layer), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_it_can_be_rebuilt_from_its_config():
    layer = BidirectionalGRU(N, reset_after=True, name="encoder")
    config = layer.get_config()
    again = BidirectionalGRU.from_config(config)
    assert again.get_config() == config
    x = np.ones((B, S, D), "float32")
    shapes = [tuple(x.shape) for x in again(x)]
    assert shapes == [(B, S, 2 * N), (B, N), (B, N)]
