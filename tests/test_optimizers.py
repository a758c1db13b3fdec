import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.models import ViT
from keras_attention.optimizers import LayerwiseAdamW

RATE, DECAY, STEPS = 0.1, 0.3, 4


def make_model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    x = keras.layers.Dense(5, "tanh", name="first")(inputs)
    return keras.Model(inputs, keras.layers.Dense(2, name="second")(x))


def adamw(weight, gradients, rate):
    """Loshchilov and Hutter, 2019, algorithm 2, without a schedule."""
    m = v = 0
    for t, gradient in enumerate(gradients, start=1):
        weight = weight - rate * DECAY * weight
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-7)
        weight = weight - rate * step
    return weight


def test_each_layer_steps_by_its_own_rate():
    model = make_model()
    factors = {"first/kernel": 0.25, "second/kernel": 0.0}
    optimizer = LayerwiseAdamW(RATE, factors, DECAY)
    weights = model.trainable_variables
    optimizer.build(weights)
    rng = np.random.default_rng(0)
    begin = [ops.convert_to_numpy(w) for w in weights]
    gradients = [
        [rng.normal(size=w.shape).astype("float32") for w in begin]
        for _ in range(STEPS)
    ]
    for step in gradients:
        optimizer.apply([ops.convert_to_tensor(x) for x in step], weights)
    for i, (weight, old) in enumerate(zip(weights, begin, strict=True)):
        rate = RATE * factors.get(weight.path, 1.0)
        expected = adamw(old, [step[i] for step in gradients], rate)
        # Keras puts epsilon elsewhere, which moves the last digits.
        np.testing.assert_allclose(
            ops.convert_to_numpy(weight), expected, atol=2e-5
        )
    assert optimizer.weight_decay == DECAY


@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 2}])
def test_it_trains_in_fit_and_comes_back(options, tmp_path):
    model = make_model()
    factors = {"first/kernel": 0.5, "first/bias": 0.0, "second/kernel": 1.0}
    # Keras on JAX fails in the second `fit` of any optimizer with an average.
    options = {**options, "use_ema": keras.backend.backend() != "jax"}
    model.compile(LayerwiseAdamW(RATE, factors, **options), "mse")
    x = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
    history = model.fit(x, x[:, :2] ** 2, epochs=8, verbose=0).history["loss"]
    assert history[-1] < history[0]
    np.testing.assert_array_equal(
        ops.convert_to_numpy(model.get_layer("first").bias), 0
    )
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.optimizer.factors == factors
    for one in (model, again):
        one.fit(x, x[:, :2] ** 2, epochs=1, shuffle=False, verbose=0)
    for a, b in zip(model.weights, again.weights, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(a), ops.convert_to_numpy(b), atol=1e-6
        )


def test_factors_of_a_vit_fall_from_block_to_block():
    model = ViT.from_preset("vit_tiny", num_layers=3, representation_dim=5)
    factors = model.learning_rate_factors(0.5)
    assert set(factors) == {w.path for w in model.trainable_weights}
    by_layer = {
        path.partition("/")[0]: factor for path, factor in factors.items()
    }
    assert by_layer == {
        "patch_embedding": 1 / 16,
        "prefix_tokens": 1 / 16,
        "position_embedding": 1 / 16,
        "block_0": 1 / 8,
        "block_1": 1 / 4,
        "block_2": 1 / 2,
        "norm": 1,
        "representation": 1,
        "head": 1,
    }
    with pytest.raises(ValueError, match="decay=0"):
        model.learning_rate_factors(0)


def test_bad_factors_are_refused():
    model = make_model()
    model.compile(LayerwiseAdamW(factors={"third/kernel": 1}), "mse")
    with pytest.raises(ValueError, match=r"Received: \['third/kernel'\]"):
        model.fit(np.zeros((2, 3)), np.zeros((2, 2)), verbose=0)
    with pytest.raises(ValueError, match="first/kernel: -1"):
        LayerwiseAdamW(factors={"first/kernel": -1})
