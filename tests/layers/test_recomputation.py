import keras
import numpy as np
import pytest

from keras_attention import layers

B, T, S, D = 8, 4, 3, 8
OPTIONS = dict(
    intermediate_dim=16,
    num_heads=2,
    dropout=0.3,
    attention_dropout=0.2,
    stochastic_depth=0.2,
    seed=3,
)


def encoder(inputs, **options):
    return layers.TransformerEncoderBlock(**OPTIONS, **options)(inputs)


def decoder(inputs, **options):
    """Its memory has weights before it, which need a gradient too."""
    memory = keras.layers.Dense(D)(inputs)
    block = layers.TransformerDecoderBlock(**OPTIONS, **options)
    return block(inputs, memory)


def space_time(inputs, **options):
    x = keras.ops.reshape(inputs, (-1, 2, T // 2, D))
    block = layers.SpaceTimeEncoderBlock(
        time_initializer=None, **OPTIONS, **options
    )
    return keras.ops.reshape(block(x), (-1, T, D))


@pytest.mark.parametrize("block", [encoder, decoder, space_time])
@pytest.mark.parametrize("frozen", [False, True])
def test_training_is_the_same_but_for_what_is_kept(block, frozen):
    """To the last weight, with dropout that is another in each step."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, B, T, D)).astype("float32")
    weights = []
    for recompute in (False, True):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((T, D))
        outputs = block(keras.layers.Dense(D)(inputs), recompute=recompute)
        model = keras.Model(inputs, outputs)
        if frozen:
            part = next(x for x in model.layers if hasattr(x, "feed_forward"))
            part.feed_forward.trainable = False
        model.compile(
            keras.optimizers.SGD(0.1),
            "mse",
            jit_compile=keras.backend.backend() != "torch",
        )
        model.fit(x, y, epochs=4, verbose=0, shuffle=False)
        weights.append([np.array(w) for w in model.get_weights()])
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
