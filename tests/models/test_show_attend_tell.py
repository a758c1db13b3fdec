import keras
import numpy as np
import pytest
from keras import ops

from keras_attention import layers, losses
from keras_attention.data import WordTokenizer
from keras_attention.models import ConvEncoder, ShowAttendTell
from tests.gradients import weight_gradients

GRID, D, T, V, E, N, A = (2, 3), 7, 4, 13, 5, 11, 17
B, S = 3, 6
CAPTIONS = ["a red ring and a blue cross", "a blue ring", "a red cross"]
LOSS = losses.SparseCategoricalCrossentropy()


def numpy(x):
    return ops.convert_to_numpy(x)


def make(**options):
    options = {
        "vocabulary_size": V,
        "feature_shape": (*GRID, D),
        "embedding_dim": E,
        "hidden_dim": N,
        "attention_dim": A,
        "dropout": 0.0,
        **options,
    }
    keras.utils.set_random_seed(5)
    model = ShowAttendTell(**options)
    rng = np.random.default_rng(6)
    for weight in model.trainable_variables:
        # Biases too, and far from what gives all places alike.
        weight.assign(rng.normal(0, 0.5, weight.shape))
    return model


def batch(rows=B, vocabulary=V, seed=0):
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, vocabulary, (rows, T + 1)).astype("int32")
    weights = np.ones((rows, T), "float32")
    weights[0, 2:] = 0
    x = {
        "features": rng.normal(size=(rows, *GRID, D)).astype("float32"),
        "decoder_token_ids": ids[:, :-1],
    }
    return x, ids[:, 1:], weights


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def dense(layer, x):
    bias = 0 if layer.bias is None else numpy(layer.bias)
    return x @ numpy(layer.kernel) + bias


def reference(model, x, samples=None):
    """Xu et al., 2015, section 3.1, one caption and one word at a time."""
    net = model.decoder
    rnn = net.rnn
    kernel, recurrent, bias = map(numpy, rnn.cell.weights)
    logits = np.zeros((B, T, model.vocabulary_size))
    scores = np.zeros((B, T, S))
    for b in range(B):
        places = x["features"][b].reshape(S, D)
        if model.coordinates:
            where = [(2 * i - 1, j - 1) for i in range(2) for j in range(3)]
            places = np.concatenate([places, where], axis=-1)
        first = places.mean(axis=0)
        for layer in net.first_layers:
            first = np.maximum(dense(layer, first), 0)
        h, c = (np.tanh(dense(layer, first)) for layer in net.state_layers)
        keys = places
        for layer in net.key_layers:
            keys = np.tanh(dense(layer, keys))
        for t in range(T):
            word = numpy(net.embedding.embeddings)[x["decoder_token_ids"][b, t]]
            W = numpy(rnn.attention.query_dense.kernel)
            U = numpy(rnn.attention.key_dense.kernel)
            v = numpy(rnn.attention.score_vector)
            alpha = softmax(
                np.array([v @ np.tanh(h @ W + k @ U) for k in keys])
            )
            read = alpha @ places
            if samples is not None:
                read = places[samples[b, t]]
            gate = sigmoid(dense(rnn.gate_dense, h)) if model.gate else 1.0
            z = gate * read
            gates = np.concatenate([word, z]) @ kernel + h @ recurrent + bias
            i, f, g, o = np.split(gates, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)

            def written(z, h=h, word=word):
                out = dense(net.output_layer, h)
                out += word * model.previous_word_to_output
                if model.context_to_output:
                    out = out + z @ numpy(net.context_layer.kernel)
                if model.output_activation == "tanh":
                    out = np.tanh(out)
                for layer in net.hidden_layers:
                    out = np.maximum(dense(layer, out), 0)
                return dense(net.word_layer, out)

            if model.attention == "marginal":
                each = [softmax(written(gate * a)) for a in places]
                logits[b, t] = np.log(alpha @ np.array(each))
            else:
                logits[b, t] = written(z)
            scores[b, t] = alpha
    return logits, scores


OPTIONS = {
    "paper": dict(output_activation=None),
    "code": dict(attention_layers=2, initial_layers=2),
    "no gate": dict(gate=None, coordinates=True),
    "vector": dict(gate="vector", output_layers=3),
    "state alone": dict(previous_word_to_output=False, context_to_output=False),
    "marginal": dict(attention="marginal"),
    "marginal, no gate": dict(attention="marginal", gate=None),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_it_computes_the_papers_equations(name):
    model = make(**OPTIONS[name])
    x, _, _ = batch()
    logits, scores = reference(model, x)
    np.testing.assert_allclose(numpy(model(x)), logits, atol=2e-5)
    read = model.forced(x["features"], x["decoder_token_ids"])
    np.testing.assert_allclose(numpy(read["scores"]), scores, atol=1e-5)


def test_hard_attention_reads_the_place_that_was_drawn():
    model = make(attention="hard")
    model.decoder.rnn.attention.semi_sampling_variable.assign(0.0)
    x, _, _ = batch()
    result = model(x, training=True)
    sample = numpy(result["sample"])
    assert sample.min() >= 0
    logits, scores = reference(model, x, samples=sample)
    np.testing.assert_allclose(numpy(result["logits"]), logits, atol=2e-5)
    np.testing.assert_allclose(numpy(result["scores"]), scores, atol=1e-5)
    chosen = np.take_along_axis(scores, sample[..., None], -1)[..., 0]
    np.testing.assert_allclose(
        numpy(result["log_probability"]), np.log(chosen), atol=1e-4
    )
    # At inference the expectation is read, as by the authors' code.
    np.testing.assert_allclose(
        numpy(model(x)), reference(model, x)[0], atol=2e-5
    )


def step_logits(model, x, hypotheses):
    """Logits of all steps, of hypotheses that read the same words."""
    ids = ops.convert_to_tensor(x["decoder_token_ids"])
    memory, state = model.start(ops.convert_to_tensor(x["features"]), T, 2)
    state = keras.tree.map_structure(
        lambda s: ops.repeat(s, hypotheses, axis=0), state
    )
    found, reads = [], []
    for t in range(T):
        words = ops.repeat(ids[:, t : t + 1], hypotheses, axis=1)
        logits, state, read = model.step(words, memory, state)
        found.append(numpy(logits))
        reads.append({name: numpy(r) for name, r in read.items()})
    return np.stack(found, 2), reads  # (B, K, T, V)


@pytest.mark.parametrize("name", ["code", "vector", "marginal"])
def test_stepping_is_calling(name):
    model = make(**OPTIONS[name])
    x, _, _ = batch()
    logits, reads = step_logits(model, x, 2)
    for k in range(2):
        np.testing.assert_allclose(logits[:, k], numpy(model(x)), atol=2e-5)
    forced = model.forced(x["features"], x["decoder_token_ids"])
    for t, read in enumerate(reads):
        assert set(read) == set(forced) == set(model.step_extras)
        for name, found in read.items():
            np.testing.assert_allclose(
                found[:, 1], numpy(forced[name])[:, t], atol=1e-5
            )


def test_inference_by_samples_steps_with_noise_of_its_own():
    attention = layers.HardAttention(A, inference="sample", seed=1)
    model = make(attention=attention)
    x, _, _ = batch()
    logits, reads = step_logits(model, x, 2)
    samples = np.stack([read["sample"] for read in reads], 2)  # (B, K, T)
    assert (samples[:, 0] != samples[:, 1]).any()
    for k in range(2):
        expected, _ = reference(model, x, samples=samples[:, k])
        np.testing.assert_allclose(logits[:, k], expected, atol=2e-5)


def test_what_is_drawn_differs_from_call_to_call():
    words = WordTokenizer.train(["a red ring and a blue cross"])
    attention = layers.HardAttention(A, inference="sample", seed=1)
    model = make(attention=attention, vocabulary_size=None, tokenizer=words)
    images = batch()[0]["features"][:1]
    text = "a red ring and a blue cross " * 5
    first, second = (model.align(images, [text])[0].samples for _ in range(2))
    assert (first != second).any()


def score_term(model, x, y, weights):
    """The gradient of the whole objective, and what the step drew."""
    model.compile("sgd", LOSS)
    y, weights = map(ops.convert_to_tensor, (y, weights))
    states = model.non_trainable_variables  # what is drawn with, and averages
    before = [numpy(v) for v in states]
    result = model(x, training=True)
    model.compute_loss(x, y, result, weights)
    after = [numpy(v) for v in states]

    def put(values):
        for state, value in zip(states, values, strict=True):
            state.assign(value)

    def loss():
        again = model(x, training=True)
        return model.compute_loss(x, y, again, weights)

    put(before)  # JAX shows nothing from within a gradient: draw the same again
    value, gradients = weight_gradients(loss, model.trainable_variables)
    put(after)
    return value, gradients, {k: numpy(v) for k, v in result.items()}


@pytest.mark.parametrize(
    "baseline, samples, to_go",
    [
        ("moving_average", 1, True),
        ("moving_average", 2, False),
        ("leave_one_out", 3, True),
        ("self_critical", 2, True),
        (None, 1, False),
    ],
)
def test_the_objective_is_likelihood_and_reward_per_word(
    baseline, samples, to_go
):
    """Xu et al., 2015, equations 11 to 13, against what was drawn."""
    reinforce = losses.Reinforce(
        baseline,
        samples,
        reward_to_go=to_go,
        score_weight=0.7,
        entropy_weight=0.2,
    )
    model = make(
        attention=layers.HardAttention(A, semi_sampling=0.4, seed=4),
        reinforce=reinforce,
    )
    if baseline == "moving_average":
        reinforce.average.average.assign(-1.5)
    x, y, weights = batch()
    value, gradients, drawn = score_term(model, x, y, weights)
    y, w = np.repeat(y, samples, 0), np.repeat(weights, samples, 0)
    each = np.take_along_axis(
        np.log(np.apply_along_axis(softmax, -1, drawn["logits"])),
        y[..., None],
        -1,
    )[..., 0]
    words = w.sum()
    assert value == pytest.approx(-(each * w).sum() / words, abs=1e-4)
    rewards = to_the_end(each * w) if to_go else total(each * w)
    counts = to_the_end(w) if to_go else total(w)
    if baseline == "moving_average":
        compared = -1.5 * counts
        mean = (each * w).sum() / words
        assert float(reinforce.average.average) == pytest.approx(
            0.9 * -1.5 + 0.1 * mean, abs=1e-4
        )
    elif baseline == "leave_one_out":
        grouped = rewards.reshape(B, samples, T)
        others = (grouped.sum(1, keepdims=True) - grouped) / (samples - 1)
        compared = others.reshape(rewards.shape)
    elif baseline == "self_critical":
        greedy = np.log(np.apply_along_axis(softmax, -1, numpy(model(x))))
        greedy = np.take_along_axis(greedy, y[::samples, :, None], -1)[..., 0]
        compared = np.repeat(to_the_end(greedy * weights), samples, 0)
    else:
        compared = np.zeros_like(rewards)
    check_gradient(model, x, y, w, drawn, 0.7 * (rewards - compared), gradients)


def to_the_end(x):
    return np.cumsum(x[:, ::-1], axis=1)[:, ::-1]


def total(x):
    return np.broadcast_to(x.sum(1, keepdims=True), x.shape)


def check_gradient(model, x, y, w, drawn, advantage, expected):
    """The gradient with the places and the advantages held, by autodiff."""
    samples = model.decoder.num_samples
    places = np.repeat(x["features"].reshape(B, S, D), samples, axis=0)
    ids = np.repeat(x["decoder_token_ids"], samples, axis=0)
    words = w.sum()
    advantage, w = (
        ops.convert_to_tensor(t.astype("float32")) for t in (advantage, w)
    )

    def surrogate():
        net = model.decoder
        embedded = net.embedding(ids)
        result = net.rnn(
            embedded,
            places,
            initial_state=net.first_state(ops.convert_to_tensor(places)),
            return_attention_scores=True,
            training=True,
            noise={"sample": drawn["sample"]},
        )
        logits = net.logits(result["outputs"], embedded, result, None)
        likely = ops.log_softmax(logits, axis=-1)
        likely = ops.sum(likely * ops.one_hot(y, V), axis=-1)
        objective = likely + advantage * result["log_probability"]
        objective = objective + 0.2 * result["entropy"]
        return -ops.sum(objective * w) / words

    _, found = weight_gradients(surrogate, model.trainable_variables)
    for a, b, variable in zip(
        found, expected, model.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(
            a, b, atol=2e-5, rtol=1e-3, err_msg=variable.path
        )


def test_the_doubly_stochastic_term_is_added_per_word():
    model = make(doubly_stochastic=0.3, doubly_stochastic_target="length")
    plain = make()
    x, y, weights = batch()
    value, gradients, drawn = score_term(model, x, y, weights)
    plain.compile("sgd", LOSS)
    likelihood = plain.test_on_batch(x, y, weights)
    read = (drawn["scores"] * weights[..., None]).sum(1)
    target = weights.sum(1, keepdims=True) / S
    extra = 0.3 * ((target - read) ** 2).sum() / weights.sum()
    assert value == pytest.approx(float(likelihood) + extra, abs=1e-4)
    assert extra > 0.01
    attention = model.decoder.rnn.attention.score_vector
    index = [v is attention for v in model.trainable_variables].index(True)
    assert np.abs(gradients[index]).max() > 1e-4


def test_training_watches_hard_attention_and_evaluation_does_not():
    model = make(attention="hard")
    model.compile("adam", LOSS, weighted_metrics=["accuracy"])
    x, y, weights = batch()
    history = model.fit(
        x,
        y,
        sample_weight=weights,
        validation_data=(x, y, weights),
        batch_size=B,
        verbose=0,
    ).history
    watched = {
        "attention_entropy",
        "attention_change",
        "reward",
        "baseline",
        "score_variance",
    }
    assert set(history) == {
        *watched,
        *("loss", "accuracy", "val_loss", "val_accuracy"),
    }
    assert history["reward"][0] == pytest.approx(-history["loss"][0], abs=1e-4)
    assert 0 < history["attention_entropy"][0] < np.log(S)
    average = float(model.reinforce.average.average)
    assert average == pytest.approx(0.1 * history["reward"][0], abs=1e-4)
    model.evaluate(x, y, sample_weight=weights, verbose=0)
    assert float(model.reinforce.average.average) == average


SAVED = {
    "soft": dict(doubly_stochastic=0.5, gate="vector", attention_layers=2),
    "hard": dict(attention="hard"),
    "leave one out": dict(
        attention=layers.HardAttention(A, inference="argmax"),
        reinforce=losses.Reinforce("leave_one_out", 2, entropy_weight=0.1),
    ),
    "gumbel": dict(
        attention=layers.HardAttention(A, "gumbel_straight_through")
    ),
    "heads": dict(attention=layers.MultiHeadAttention(2, 3)),
    "marginal": dict(attention="marginal", coordinates=True),
}


@pytest.mark.parametrize(
    "name",
    [
        "soft",
        "leave one out",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("hard", "gumbel", "heads", "marginal")
        ),
    ],
)
def test_a_saved_model_answers_alike_and_trains_on(name, tmp_path):
    options = dict(SAVED[name])
    if not isinstance(options.get("attention", ""), str):
        # A layer belongs to one model.
        attention = options["attention"]
        options["attention"] = type(attention).from_config(
            attention.get_config()
        )
    words = WordTokenizer.train(CAPTIONS)
    model = make(vocabulary_size=None, tokenizer=words, **options)
    model.compile("adam", LOSS)
    x, y, weights = batch(vocabulary=words.vocabulary_size)
    jit_compile = keras.backend.backend() != "torch" and name != "gumbel"
    model.compile("adam", LOSS, jit_compile=jit_compile)
    model.fit(x, y, sample_weight=weights, batch_size=B, verbose=0)
    expected = model.predict(x, verbose=0)
    captions = model.caption(x["features"], num_beams=2, max_length=5)
    model.save(tmp_path / "model.keras")
    model.save_to_preset(tmp_path / "preset")
    for again in (
        keras.saving.load_model(tmp_path / "model.keras"),
        ShowAttendTell.from_preset(tmp_path / "preset"),
    ):
        np.testing.assert_allclose(
            again.predict(x, verbose=0), expected, atol=1e-5
        )
        assert again.get_config() == model.get_config()
        found = again.caption(x["features"], num_beams=2, max_length=5)
        assert [c.text for c in found] == [c.text for c in captions]
    trained = keras.saving.load_model(tmp_path / "model.keras")
    trained.fit(x, y, sample_weight=weights, batch_size=B, verbose=0)
    if model.reinforce is not None and model.reinforce.average is not None:
        assert float(again.reinforce.average.average) != 0


@pytest.mark.parametrize("attention", ["soft", "hard"])
def test_it_is_part_of_another_model(attention):
    model = make(attention=attention)
    inputs = {
        "features": keras.Input((*GRID, D), name="features"),
        "decoder_token_ids": keras.Input(
            (None,), dtype="int32", name="decoder_token_ids"
        ),
    }
    logits = model(inputs)
    assert logits.shape == (None, None, V)
    outer = keras.Model(inputs, keras.layers.Softmax()(logits))
    x, _, _ = batch()
    expected = np.apply_along_axis(softmax, -1, numpy(model(x)))
    np.testing.assert_allclose(outer.predict(x, verbose=0), expected, atol=1e-5)


def test_an_encoder_is_trained_frozen_and_thawed(tmp_path):
    encoder = ConvEncoder((16, 16, 3), (4, 6))
    encoder.trainable = False
    words = WordTokenizer.train(CAPTIONS)
    model = make(
        vocabulary_size=None,
        feature_shape=None,
        encoder=encoder,
        tokenizer=words,
    )
    assert model.grid_shape == (4, 4)
    images = np.random.default_rng(1).normal(size=(B, 16, 16, 3))
    _, y, weights = batch(vocabulary=words.vocabulary_size)
    x = {"images": images, "decoder_token_ids": np.ones((B, T), "int32")}

    def moved():
        before = encoder.get_weights()
        model.compile(keras.optimizers.SGD(1.0), LOSS)
        model.fit(x, y, sample_weight=weights, verbose=0)
        return [
            np.abs(a - b).max() > 0
            for a, b in zip(before, encoder.get_weights(), strict=True)
        ]

    assert not any(moved())
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert not again.encoder.trainable
    np.testing.assert_allclose(
        again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5
    )
    encoder.trainable = True
    assert all(moved())


def test_sizes_of_the_paper():
    """Of the authors' evaluate_coco.py, without the encoder."""
    sizes = ShowAttendTell.presets["show_attend_tell_coco_soft"]
    assert sizes["hidden_dim"] == 1800 and sizes["embedding_dim"] == 512
    small = {**sizes, "vocabulary_size": 11, "hidden_dim": 18}
    model = ShowAttendTell(**small)
    assert model.grid_shape == (14, 14)
    images = ShowAttendTell.from_preset(
        "show_attend_tell_coco_hard",
        encoder=ConvEncoder((16, 16, 3), (4,)),
        vocabulary_size=11,
        hidden_dim=18,
    )
    assert images.grid_shape == (8, 8)
    assert images.decoder.rnn.attention.semi_sampling == 0.5


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(feature_shape=None), "Pass one of them"),
        (dict(encoder=ConvEncoder((16, 16, 3), (4,))), "Pass one of them"),
        (dict(feature_shape=(7,)), "must be a grid"),
        (dict(feature_shape=(None, None, 7)), "of a fixed size"),
        (dict(attention="local"), "`attention` must be one of"),
        (dict(reinforce=losses.Reinforce()), "`reinforce` is for hard"),
        (dict(attention="marginal", gate="vector"), "a gate of one number"),
        (dict(hidden_dim=0), "`hidden_dim`"),
        (dict(vocabulary_size=None), "needs a vocabulary"),
        (dict(doubly_stochastic=-1), "`doubly_stochastic`"),
        (dict(doubly_stochastic_target="two"), "target"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_an_encoder_without_a_grid_is_refused():
    classifier = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(4, 3),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    with pytest.raises(ValueError, match=r"outputs of shape \(None, 4\)"):
        make(feature_shape=None, encoder=classifier)
