import keras
import numpy as np
import pytest

from keras_attention import layers
from keras_attention.ops.additive import on_accelerator

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


@pytest.mark.parametrize(
    "block, way",
    [
        (encoder, "mixed_bfloat16"),
        (encoder, "frozen"),
        (decoder, "float32"),
        (space_time, "float32"),
        *(
            pytest.param(block, way, marks=pytest.mark.slow)
            for block, way in (
                (encoder, "float32"),
                (decoder, "mixed_bfloat16"),
                (decoder, "frozen"),
                (space_time, "mixed_bfloat16"),
                (space_time, "frozen"),
            )
        ),
    ],
)
def test_training_is_the_same_but_for_what_is_kept(block, way):
    """To the last weight, with dropout that is another in each step."""
    options = dict(layer_scale=0.5, dtype="float32")
    if way == "mixed_bfloat16":
        options["dtype"] = way
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, B, T, D)).astype("float32")
    weights = []
    for recompute in (False, True):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((T, D))
        outputs = block(
            keras.layers.Dense(D)(inputs), recompute=recompute, **options
        )
        model = keras.Model(inputs, outputs)
        if way == "frozen":
            part = next(x for x in model.layers if hasattr(x, "feed_forward"))
            part.feed_forward.trainable = False
        model.compile(
            keras.optimizers.SGD(0.1),
            "mse",
            jit_compile=keras.backend.backend() != "torch",
        )
        model.fit(x, y, epochs=4, verbose=0, shuffle=False)
        weights.append([np.array(w) for w in model.get_weights()])
    # A GPU's fused kernels round to half precision at other places.
    rounds = way == "mixed_bfloat16" and on_accelerator()
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3 if rounds else 1e-5)


def test_a_penalty_on_activity_is_kept():
    losses = []
    for recompute in (False, True):
        attention = layers.MultiHeadAttention(
            2, D // 2, activity_regularizer="l2"
        )
        keras.utils.set_random_seed(0)
        block = layers.TransformerEncoderBlock(
            16, self_attention=attention, recompute=recompute
        )
        block.build((None, T, D))
        for i, weight in enumerate(block.trainable_weights):
            weight.assign(np.full(weight.shape, 0.1 * (i % 3)))
        block(np.ones((B, T, D), "float32"), training=True)
        losses.append(
            [float(keras.ops.convert_to_numpy(x)) for x in block.losses]
        )
    assert sorted(losses[0]) == pytest.approx(sorted(losses[1]))
    assert sum(losses[0]) > 0


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="JAX traces it once"
)
def test_the_gradient_computes_a_block_again(monkeypatch):
    calls = []
    call = layers.FeedForward.call
    monkeypatch.setattr(
        layers.FeedForward,
        "call",
        lambda *args, **kwargs: calls.append(1) or call(*args, **kwargs),
    )
    numbers = {}
    for recompute in (False, True):
        inputs = keras.Input((T, D))
        model = keras.Model(inputs, encoder(inputs, recompute=recompute))
        model.compile("sgd", "mse", run_eagerly=True)
        x = np.ones((B, T, D), "float32")
        model.train_on_batch(x, x)
        calls.clear()
        model.train_on_batch(x, x)
        numbers[recompute] = len(calls)
    assert numbers == {False: 1, True: 2}


@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="a program of JAX's"
)
def test_the_program_computes_again():
    import jax

    def products(recompute):
        inputs = keras.Input((T, D))
        model = keras.Model(inputs, encoder(inputs, recompute=recompute))
        states = [x.value for x in model.non_trainable_variables]

        def loss(weights, x):
            y, _ = model.stateless_call(weights, states, x, training=True)
            return (y**2).sum()

        weights = [x.value for x in model.trainable_variables]
        x = np.ones((B, T, D), "float32")
        return str(jax.make_jaxpr(jax.grad(loss))(weights, x)).count("dot_gen")

    once, twice = products(False), products(True)
    assert twice >= once + 5  # of attention and of the feed-forward
