import shutil
import warnings

import keras
import numpy as np
import pytest

from keras_attention.callbacks import (
    AttentionAlarm,
    AverageWeights,
    BestWeights,
    SaveAndResume,
    TimeBudget,
    ValidationBLEU,
    ValidationCaptions,
)
from keras_attention.losses import SparseCategoricalCrossentropy
from keras_attention.metrics import caption_scores
from keras_attention.schedules import TransformerSchedule

ROWS, FEATURES = 12, 5


def make_model(seed=0, units=1):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((FEATURES,)),
            keras.layers.Dense(7, activation="tanh"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(units),
        ]
    )
    model.compile(keras.optimizers.Adam(0.05), "mse")
    return model


def examples():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, FEATURES)).astype("float32")
    return x, x[:, :1] ** 2


class FakeLosses(keras.callbacks.Callback):
    """Puts given numbers into the logs."""

    def __init__(self, losses):
        super().__init__()
        self.losses = losses

    def on_epoch_end(self, epoch, logs=None):
        if self.losses[epoch] is not None:
            logs["val_loss"] = self.losses[epoch]
        self.seen = [np.array(w) for w in self.model.get_weights()]
        self.all = [*getattr(self, "all", []), self.seen]


class Killed(Exception):
    pass


class KillAt(keras.callbacks.Callback):
    """Raises in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.now == self.epoch and batch == 1:
            raise Killed


def fit(model, epochs, callbacks, initial_epoch=0):
    model.fit(
        *examples(),
        batch_size=4,
        epochs=epochs,
        initial_epoch=initial_epoch,
        shuffle=False,
        callbacks=callbacks,
        verbose=0,
    )


@pytest.mark.parametrize(
    ("mode", "losses", "best"),
    [("min", [3, 1, 2, None, 1], 1), ("max", [3, 1, 4, None, 4], 2)],
)
def test_training_ends_with_the_weights_of_the_best_epoch(mode, losses, best):
    model, fake = make_model(), FakeLosses(losses)
    callback = BestWeights(mode=mode)
    fit(model, 5, [fake, callback])
    assert (callback.best, callback.best_epoch) == (losses[best], best)
    for ours, expected in zip(model.get_weights(), fake.all[best], strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_patience_counts_compared_epochs_without_gain():
    fake = FakeLosses([3, 2, None, 5, 2, 1, 1])
    fit(make_model(), 7, [fake, BestWeights(patience=2)])
    assert len(fake.all) == 5


def test_the_budget_stops_and_lets_the_learning_rate_fall_to_zero():
    seconds, rates = iter(range(0, 10_000, 2)), []
    budget = TimeBudget(1, 0.1, warmup_steps=4, clock=lambda: next(seconds))

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))

    model = make_model()
    fit(model, 100, [budget, Watch()])
    # The clock moves by 2 s whenever it is read, twice a step: the step that
    # ends at 60 s or later is the last. Step i begins at 4 i + 2 s.
    share = (4 * np.arange(15) + 2) / 60
    warmup = np.minimum(1, np.arange(1, 16) / 4)
    expected = 0.1 * warmup * 0.5 * (1 + np.cos(np.pi * share))
    np.testing.assert_allclose(rates, expected, rtol=1e-5)
    assert budget.steps == 15


class Echo:
    def generate(self, sources, num_beams):
        assert num_beams == 3
        return sources


def test_bleu_enters_the_logs_of_every_second_epoch():
    callback = ValidationBLEU(
        ["a b c d e"], ["a b c d e"], every=2, num_beams=3
    )
    callback.set_model(Echo())
    logs = [{}, {}]
    for epoch in (0, 1):
        callback.on_epoch_end(epoch, logs[epoch])
    assert logs[0] == {}
    assert logs[1]["val_bleu"] == pytest.approx(100)


def test_a_few_translations_are_printed_unless_fit_is_silent(capsys):
    sources = [f"source {i}" for i in range(5)]
    references = [f"reference {i}" for i in range(5)]
    for verbose, samples in ((0, 2), (1, 0), (1, 2), (2, 9)):
        callback = ValidationBLEU(
            sources, references, samples=samples, num_beams=3
        )
        callback.set_model(Echo())
        callback.set_params({"verbose": verbose})
        callback.on_epoch_end(0, {})
        printed = capsys.readouterr().out.splitlines()
        rows = {0: [], 2: [0, 2], 9: range(5)}[samples if verbose else 0]
        expected = [
            line
            for i in rows
            for line in (
                f"source     source {i}",
                f"translated source {i}",
                f"reference  reference {i}",
            )
        ]
        assert printed == ["", *expected] * bool(rows)


def test_training_ends_with_the_mean_of_the_last_epochs():
    for last, epochs in ((3, 5), (5, 2)):
        model, fake = make_model(), FakeLosses([1] * epochs)
        fit(model, epochs, [fake, AverageWeights(last)])
        kept = fake.all[-last:]
        assert not np.array_equal(kept[0][0], kept[1][0])
        for i, ours in enumerate(model.get_weights()):
            expected = np.mean([weights[i] for weights in kept], axis=0)
            np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-7)


def test_averaging_leaves_integers_as_they_are():
    class Counter(keras.layers.Layer):
        def build(self, _):
            self.count = self.add_weight(
                shape=(), dtype="int32", initializer="zeros", trainable=False
            )
            self.built = True

        def call(self, x):
            self.count.assign(self.count + 1)
            return x

    keras.utils.set_random_seed(0)
    counter = Counter()
    model = keras.Sequential(
        [keras.Input((FEATURES,)), counter, keras.layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    fit(model, 3, [AverageWeights(2)])
    assert int(keras.ops.convert_to_numpy(counter.count)) >= 9


@pytest.mark.parametrize("killed_in", [0, 1, 3])
def test_a_killed_run_ends_as_one_that_was_not(tmp_path, killed_in):
    losses = [3.0, 1.0, 2.0, 5.0, 1.5]

    def run(path, seed, killed_in=None):
        model, best = make_model(seed), BestWeights(patience=4)
        resume = SaveAndResume(path, [best])
        first = resume.restore(model)
        callbacks = [FakeLosses(losses), best, resume]
        if killed_in is not None:
            callbacks.insert(0, KillAt(killed_in))
        fit(model, 5, callbacks, first)
        return model, best, resume

    model, best, resume = run(tmp_path / "whole.npz", seed=0)
    path = tmp_path / "killed.npz"
    with pytest.raises(Killed):
        run(path, seed=0, killed_in=killed_in)
    # After a kill before the first save, all begins anew, by the seed.
    again, best_again, resumed = run(path, seed=7 if killed_in else 0)
    assert resumed.history == resume.history
    assert (best_again.best_epoch, best_again.waited) == (1, 3)
    assert best.waited == 3
    assert_same_variables(again, model)


def assert_same_variables(one, other):
    for ours, expected in zip(
        [*one.variables, *one.optimizer.variables],
        [*other.variables, *other.optimizer.variables],
        strict=True,
    ):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(keras.ops.cast(ours, "float32")),
            keras.ops.convert_to_numpy(keras.ops.cast(expected, "float32")),
        )


class CopyState(keras.callbacks.Callback):
    """Keeps what a kill in the epoch after the first two would leave."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            shutil.copy(self.path, self.path.with_name("killed.npz"))


def embedding_model(seed, policy, optimizer):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((FEATURES,), dtype="int32"),
            keras.layers.Embedding(11, 3, dtype=policy),
            keras.layers.Dropout(0.3, dtype=policy),
            keras.layers.Dense(11, dtype=policy),
        ]
    )
    model.compile(
        keras.optimizers.Adam(TransformerSchedule(3, 4), **optimizer),
        SparseCategoricalCrossentropy(label_smoothing=0.1),
        # On torch, and with a loss scale, compilation takes half a minute.
        jit_compile=keras.backend.backend() != "torch"
        and policy != "mixed_float16",
    )
    return model


@pytest.mark.parametrize(
    ("policy", "optimizer"),
    [
        # Three steps an epoch: an epoch ends between two that are summed.
        ("float32", dict(gradient_accumulation_steps=2, clipnorm=0.1)),
        (
            "mixed_bfloat16",
            dict(use_ema=True, ema_momentum=0.7, global_clipnorm=0.1),
        ),
        ("mixed_float16", dict(use_ema=True, ema_overwrite_frequency=2)),
    ],
)
def test_what_an_optimizer_keeps_survives_a_kill(tmp_path, policy, optimizer):
    ids = np.random.default_rng(0).integers(0, 11, (ROWS, FEATURES))

    def run(path, seed):
        model = embedding_model(seed, policy, optimizer)
        average = AverageWeights(3)
        resume = SaveAndResume(path, [average])
        model.fit(
            ids,
            ids,
            batch_size=4,
            epochs=4,
            initial_epoch=resume.restore(model),
            shuffle=False,
            callbacks=[average, resume, CopyState(path)],
            verbose=0,
        )
        return model, resume

    model, resume = run(tmp_path / "whole.npz", seed=0)
    again, resumed = run(tmp_path / "killed.npz", seed=7)
    assert resumed.history == resume.history and len(resume.history) == 4
    assert_same_variables(again, model)


def test_a_run_killed_after_its_training_ends_with_the_same_mean(tmp_path):
    def run(seed, epochs):
        model, average = make_model(seed), AverageWeights(3)
        resume = SaveAndResume(tmp_path / "state.npz", [average])
        first = resume.restore(model)
        fit(model, epochs, [average, resume], first)
        return model

    whole = run(seed=0, epochs=4)
    assert_same_variables(run(seed=7, epochs=4), whole)


def test_a_run_that_stopped_by_itself_is_known_as_finished(tmp_path):
    path = tmp_path / "state.npz"
    callbacks = [BestWeights(patience=1)]
    resume = SaveAndResume(path, callbacks)
    fit(make_model(), 5, [FakeLosses([1, 2, 3]), *callbacks, resume])
    again = SaveAndResume(path, [BestWeights(patience=1)])
    assert again.restore(make_model()) == 2
    assert again.finished


def test_every_step_takes_the_learning_rate_of_the_budget():
    rates = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))

    # The gradient of its one weight is 1, whatever the data.
    model = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(1, "linear", False, kernel_initializer="zeros"),
        ]
    )
    model.compile(keras.optimizers.SGD(7.0), lambda _, y: keras.ops.mean(y))
    budget = TimeBudget(1, 0.5, 4, clock=iter(range(0, 1000, 4)).__next__)
    x = np.ones((6, 1), "float32")
    model.fit(x, x, 1, epochs=99, callbacks=[budget, Watch()], verbose=0)
    assert len(rates) > 6 and len(set(rates)) == len(rates)
    np.testing.assert_allclose(
        model.get_weights()[0].item(), -sum(rates), rtol=1e-5
    )


def test_the_spent_budget_is_part_of_the_state(tmp_path):
    budget = TimeBudget(1, 0.1, clock=iter(range(1000)).__next__)
    resume = SaveAndResume(tmp_path / "state.npz", [budget])
    fit(make_model(), 1, [budget, resume])
    again = TimeBudget(1, 0.1)
    SaveAndResume(tmp_path / "state.npz", [again]).restore(make_model())
    assert again.steps == 3
    assert 0 < again.spent <= budget.spent


def test_low_precision_weights_are_saved_exactly(tmp_path):
    def make():
        model = keras.Sequential(
            [keras.Input((FEATURES,)), keras.layers.Dense(1, dtype="bfloat16")]
        )
        model.compile("adam", "mse")
        return model

    model = make()
    fit(model, 1, [SaveAndResume(tmp_path / "state.npz")])
    again = make()
    SaveAndResume(tmp_path / "state.npz").restore(again)
    for ours, expected in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(keras.ops.cast(ours, "float32")),
            keras.ops.convert_to_numpy(keras.ops.cast(expected, "float32")),
        )


def test_a_kill_while_saving_leaves_the_state_before(tmp_path, monkeypatch):
    path = tmp_path / "state.npz"
    resume = SaveAndResume(path)
    fit(make_model(), 1, [resume])
    before = path.read_bytes()

    def torn(file, **arrays):
        file.write(b"half")
        raise Killed

    monkeypatch.setattr(
        "keras_attention.callbacks.save_and_resume.np.savez", torn
    )
    with pytest.raises(Killed):
        fit(make_model(), 1, [resume])
    assert path.read_bytes() == before


def test_a_state_that_does_not_fit_is_refused(tmp_path):
    path = tmp_path / "state.npz"
    fit(make_model(), 1, [SaveAndResume(path)])
    with pytest.raises(ValueError, match="must be of the model"):
        SaveAndResume(path).restore(make_model(units=2))
    with pytest.raises(ValueError, match="0 callbacks"):
        SaveAndResume(path, [BestWeights()]).restore(make_model())
    whole = path.read_bytes()
    for content in (b"not a state", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="must be a state of"):
            SaveAndResume(path).restore(make_model())


class Captions:
    """Stands for a captioner that always writes the same."""

    def __init__(self, *texts):
        self.texts = list(texts)

    def generate(self, images, **options):
        self.asked = options
        return self.texts


REFERENCES = [["a dog runs on grass", "the dog"], ["two cats on a bed"]]


def test_scores_of_written_captions_enter_the_logs(capsys):
    texts = ["a dog runs on grass", "a cat on a bed"]
    score = ValidationCaptions(
        ["1.jpg", "2.jpg"],
        REFERENCES,
        metrics=["bleu_1", "cider_d"],
        every=2,
        samples=1,
        num_beams=3,
    )
    model = Captions(*texts)
    score.set_model(model)
    logs = [{"loss": 1.0}, {"loss": 1.0}]
    for epoch in range(2):
        score.on_epoch_end(epoch, logs[epoch])
    assert logs[0] == {"loss": 1.0}
    expected = caption_scores(texts, REFERENCES, ["bleu_1", "cider_d"])
    assert logs[1] == {
        "loss": 1.0,
        "val_bleu_1": expected["bleu_1"].score,
        "val_cider_d": expected["cider_d"].score,
    }
    assert 0 < logs[1]["val_bleu_1"] < 1 and model.asked == {"num_beams": 3}
    assert capsys.readouterr().out == (
        "\nwritten    a dog runs on grass\nreference  a dog runs on grass\n"
    )
    best = BestWeights("val_cider_d", mode="max")
    best.set_model(make_model())
    best.on_epoch_end(1, logs[1])
    assert best.best == logs[1]["val_cider_d"]


def test_epochs_before_the_first_compared_are_passed_over():
    model = make_model()
    best = BestWeights("loss", start_from_epoch=2, patience=1)
    best.set_model(model)
    for epoch, loss in enumerate((1.0, 0.5, 3.0, 2.0)):
        best.on_epoch_end(epoch, {"loss": loss})
    assert (best.best, best.best_epoch, best.waited) == (2.0, 3, 0)


def run_alarm(alarm, changes):
    """The warnings of some epochs."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for epoch, change in enumerate(changes):
            alarm.on_epoch_end(epoch, {"attention_change": change})
    return [str(x.message) for x in caught]


def test_attention_that_stays_the_same_is_told_once(capsys):
    alarm = AttentionAlarm(least_change=0.02, patience=2)
    assert not run_alarm(alarm, [0.01, 0.03, 0.01, 0.02])
    assert capsys.readouterr().out == ""
    alarm = AttentionAlarm(least_change=0.02, patience=2)
    (text,) = run_alarm(alarm, [0.01, 0.03, 0.01, 0.004, 0.001, 0.001])
    assert "in epoch 3" in text and "differ by 0.004 of 1" in text
    assert "SemiSamplingSchedule" in text
    assert capsys.readouterr().out == f"\n{text}\n"


def test_the_alarm_needs_hard_attention():
    with pytest.raises(ValueError, match="Received: logs of loss. Leave"):
        AttentionAlarm().on_epoch_end(0, {"loss": 1.0})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BestWeights(mode="best"), "Received: mode='best'"),
        (lambda: BestWeights(patience=0), "Received: patience=0"),
        (lambda: TimeBudget(0, 0.1), "Received: minutes=0"),
        (lambda: TimeBudget(1, 0.1, 0), "Received: warmup_steps=0"),
        (lambda: ValidationBLEU(["a"], ["b"], 0), "Received: every=0"),
        (lambda: ValidationBLEU([], []), "0 sources, 0 references"),
        (lambda: ValidationBLEU(["a"], []), "1 sources, 0 references"),
        (lambda: ValidationBLEU(["a"], ["b"], samples=-1), "samples=-1"),
        (lambda: AverageWeights(0), "last=0"),
        (lambda: BestWeights(start_from_epoch=-1), "start_from_epoch=-1"),
        (lambda: ValidationCaptions([], []), "0 images, 0 lists"),
        (lambda: ValidationCaptions(["a"], []), "1 images, 0 lists"),
        (
            lambda: ValidationCaptions(["a"], [["b"]], metrics=["bleu"]),
            "metrics=\\['bleu'\\]",
        ),
        (lambda: ValidationCaptions(["a"], ["b"]), "Put a single reference"),
        (lambda: AttentionAlarm(-0.1), "least_change=-0.1"),
        (lambda: AttentionAlarm(patience=0), "patience=0"),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
