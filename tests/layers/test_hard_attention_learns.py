"""Hard attention inside AttentionRNN learns by plain `fit` where to look.

Each position of the memory holds a name and a word; each step asks for a name
and has to say its word. Names are in random order, so that nothing but
reading the right position helps.
"""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention import layers, losses
from keras_attention.ops.sampling import ESTIMATORS

S, T, K = 5, 3, 7  # positions (and names), steps, words

if keras.backend.backend() == "torch":
    pytestmark = pytest.mark.slow  # a minute each, step by step


def examples(count, seed):
    rng = np.random.default_rng(seed)
    names = rng.permuted(np.tile(np.arange(S), (count, 1)), axis=1)
    words = rng.integers(K, size=(count, S))
    memory = np.concatenate([np.eye(S)[names], np.eye(K)[words]], axis=-1)
    asked = rng.integers(S, size=(count, T))
    where = (names[:, None] == asked[..., None]).argmax(-1)
    target = np.take_along_axis(words, where, axis=1)
    x = {
        "asked": np.eye(S)[asked].astype("float32"),
        "memory": memory.astype("float32"),
    }
    return x, target, where


def parts(estimator):
    keras.utils.set_random_seed(6)
    attention = layers.HardAttention(
        16, estimator, inference="argmax", temperature=1.0, seed=1
    )
    decoder = layers.AttentionRNN(
        keras.layers.GRUCell(16, reset_after=False),
        attention,
        query_from="current",
    )
    asked = keras.Input((T, S), name="asked")
    memory = keras.Input((S, S + K), name="memory")
    result = decoder(asked, memory)
    logits = keras.layers.Dense(K, name="words")(
        keras.layers.Concatenate()([result["outputs"], result["contexts"]])
    )
    return decoder, {"asked": asked, "memory": memory}, logits, result


@keras.saving.register_keras_serializable(package="tests")
class ReinforceModel(keras.Model):
    """Adds to the outputs' likelihood what the sampled locations need."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.decoder, inputs, logits, result = parts("reinforce")
        outputs = {
            "words": logits,
            **{k: result[k] for k in ("log_probability", "entropy", "sample")},
        }
        self.flow = keras.Model(inputs, outputs)
        self.baseline = losses.MovingAverageBaseline()

    def call(self, inputs, training=None):
        return self.flow(inputs, training=training)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        log_words = ops.log_softmax(y_pred["words"], axis=-1)
        target = ops.one_hot(y, K)
        likelihood = ops.sum(log_words * target, axis=-1)
        rewards = ops.sum(likelihood, axis=1)
        each = losses.reinforce_loss(
            likelihood,
            y_pred["log_probability"],
            y_pred["entropy"],
            baseline=self.baseline(rewards, training=training),
            entropy_weight=0.05,
        )
        return ops.mean(each)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, y, y_pred["words"], sample_weight)


def compile_and_fit(model, x, y, jit_compile, loss=None, epochs=12, rate=0.01):
    model.compile(
        keras.optimizers.Adam(rate),
        loss,
        metrics=["accuracy"],
        jit_compile=jit_compile,
    )
    return model.fit(x, y, batch_size=32, epochs=epochs, verbose=0)


@pytest.mark.parametrize("estimator", ESTIMATORS[1:])
def test_estimators_within_the_layer_learn_with_fits_own_loss(
    estimator, tmp_path
):
    if estimator != ESTIMATORS[-1] and keras.backend.backend() != "tensorflow":
        pytest.skip("one is enough to see the backend's way")
    decoder, inputs, logits, result = parts(estimator)
    model = keras.Model(inputs, logits)
    x, y, _ = examples(640, seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    jit_compile = keras.backend.backend() != "torch"
    compile_and_fit(model, x, y, jit_compile, loss)
    x, y, where = examples(200, seed=1)
    logits, sample = keras.Model(inputs, [logits, result["sample"]]).predict(
        x, verbose=0
    )
    assert (sample == where).mean() > 0.95
    assert (logits.argmax(-1) == y).mean() > 0.95
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        reloaded.predict(x, verbose=0), logits, atol=1e-5
    )


def test_reinforce_learns_with_a_loss_of_the_models_own(tmp_path):
    model = ReinforceModel()
    x, y, _ = examples(640, seed=0)
    jit_compile = keras.backend.backend() != "torch"
    compile_and_fit(model, x, y, jit_compile, epochs=30)
    average = float(model.baseline.average)
    assert average != 0
    x, y, where = examples(200, seed=1)
    model.evaluate(x, y, verbose=0)
    assert float(model.baseline.average) == average
    result = model.predict(x, verbose=0)
    assert (result["sample"] == where).mean() > 0.95
    assert (result["words"].argmax(-1) == y).mean() > 0.95
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    assert float(reloaded.baseline.average) == average
    np.testing.assert_allclose(
        reloaded.predict(x, verbose=0)["words"], result["words"], atol=1e-5
    )
