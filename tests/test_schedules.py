import keras
import numpy as np
import pytest

from keras_attention.schedules import TransformerSchedule


def by_the_paper(step, d_model, warmup_steps):
    """Vaswani et al., 2017, section 5.3, equation 3; steps from 1."""
    return d_model**-0.5 * min(step**-0.5, step * warmup_steps**-1.5)


@pytest.mark.parametrize("step", [0, 1, 6, 7, 52, 100_000])
def test_the_rate_is_that_of_the_equation(step):
    schedule = TransformerSchedule(29, warmup_steps=7)
    expected = by_the_paper(step + 1, 29, 7)
    assert float(schedule(step)) == pytest.approx(expected, rel=1e-6)
    double = TransformerSchedule(29, warmup_steps=7, scale=2)
    assert float(double(step)) == pytest.approx(2 * expected, rel=1e-6)


def test_the_scale_of_the_docstring_gives_the_rate_at_the_top():
    schedule = TransformerSchedule(29, 7, scale=0.01 * (29 * 7) ** 0.5)
    rates = [float(schedule(step)) for step in range(20)]
    assert np.argmax(rates) == 6
    assert max(rates) == pytest.approx(0.01, rel=1e-6)


# On torch it means torch.compile, which warns of itself.
JIT_COMPILE = [False] if keras.backend.backend() == "torch" else [False, True]


@pytest.mark.parametrize("jit_compile", JIT_COMPILE)
def test_fit_takes_the_rate_of_each_step_and_saving_keeps_it(
    jit_compile, tmp_path
):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    schedule = TransformerSchedule(29, 3)
    # A gradient of 1 at each step: a weight moves by the rate.
    model.compile(
        keras.optimizers.SGD(schedule),
        loss=lambda _, y: keras.ops.mean(y),
        jit_compile=jit_compile,
    )
    bias = model.layers[0].bias
    before = float(keras.ops.convert_to_numpy(bias)[0])
    x = np.ones((5, 1), "float32")
    model.fit(x, x, batch_size=1, verbose=0)
    moved = before - float(keras.ops.convert_to_numpy(bias)[0])
    expected = sum(by_the_paper(step, 29, 3) for step in range(1, 6))
    assert moved == pytest.approx(expected, rel=1e-5)

    optimizer = keras.optimizers.Adam(schedule)
    model.compile(optimizer, "mse")
    optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras").optimizer
    config = again.get_config()["learning_rate"]["config"]
    assert config == {"hidden_dim": 29, "warmup_steps": 3, "scale": 1.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_dim": 0}, "hidden_dim=0"),
        ({"hidden_dim": 8, "warmup_steps": 0}, "warmup_steps=0"),
        ({"hidden_dim": 8, "warmup_steps": 2.5}, "warmup_steps=2.5"),
        ({"hidden_dim": 8, "scale": 0}, "scale=0"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TransformerSchedule(**arguments)
