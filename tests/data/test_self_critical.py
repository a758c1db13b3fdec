import itertools
import types

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention import data, losses, metrics
from keras_attention.models import ShowAttendTell

WORDS = ("[pad]", "[unk]", "[start]", "[end]", "red", "ring")
TOKENIZER = data.WordTokenizer(WORDS)


def drawn(*ids):
    """A caption as `sample` returns it."""
    return types.SimpleNamespace(
        token_ids=np.array(ids), text=TOKENIZER.detokenize([ids])[0]
    )


class Writer:
    """Stands for a captioner: what it draws and writes is known."""

    tokenizer, source_name, image_processor = TOKENIZER, "features", None

    def __init__(self, samples, greedy):
        self.samples, self.greedy = samples, greedy

    def sample(self, images, num_results, **options):
        self.asked = options
        return self.samples

    def generate(self, images, **options):
        return self.greedy


def examples(number):
    return [
        data.CaptionedImage(np.full((2, 3), i), (f"picture {i}",))
        for i in range(number)
    ]


def test_captions_are_weighted_by_what_they_earn_above_the_greedy_one():
    model = Writer(
        [
            [drawn(4, 5, 3), drawn(5, 3)],  # red ring, ring
            [drawn(4, 4, 4, 4), drawn(3)],  # cut off, and empty
        ],
        greedy=["ring", "red"],
    )
    seen = []

    def reward(captions, references):
        seen.append((list(captions), list(references)))
        return [len(text) for text in captions]

    batches = data.SelfCriticalBatches(
        model, examples(2), reward, 2, batch_size=3, max_length=4, seed=7
    )
    assert model.asked == dict(temperature=1.0, seed=7, max_length=4)
    pictures = [("picture 0",)] * 2 + [("picture 1",)] * 2
    assert seen == [
        (["red ring", "ring", "red red red red", ""], pictures),
        (["ring", "red"], pictures[::2]),
    ]
    np.testing.assert_array_equal(batches.rewards, [[8, 4], [15, 0]])
    np.testing.assert_array_equal(batches.advantages, [[4, 0], [12, -3]])
    assert batches.num_batches == 2
    rows = {}
    for index in range(2):
        inputs, targets, weight = batches[index]
        assert targets.shape == weight.shape == (3, 4)
        for row in range(3 if index == 0 else 1):
            key = tuple(targets[row])
            assert key not in rows
            rows[key] = (
                inputs["features"][row, 0, 0],
                inputs["decoder_token_ids"][row].tolist(),
                weight[row].tolist(),
            )
    assert weight[1:].tolist() == [[0] * 4] * 2  # what fills the last one up
    assert rows == {
        (4, 5, 3, 0): (0, [2, 4, 5, 0], [4, 4, 4, 0]),
        (5, 3, 0, 0): (0, [2, 5, 0, 0], [0, 0, 0, 0]),
        (4, 4, 4, 4): (1, [2, 4, 4, 4], [12, 12, 12, 12]),
        (3, 0, 0, 0): (1, [2, 0, 0, 0], [-3, 0, 0, 0]),
    }


def captioner(**options):
    keras.utils.set_random_seed(3)
    return ShowAttendTell(
        tokenizer=TOKENIZER,
        feature_shape=(2, 3),
        embedding_dim=5,
        hidden_dim=7,
        attention_dim=4,
        dropout=0.0,
        **options,
    )


def all_captions(length):
    """Every caption of at most `length` tokens, over all tokens."""
    for size in range(1, length + 1):
        for ids in itertools.product(range(len(WORDS)), repeat=size):
            if 3 not in ids[:-1] and (ids[-1] == 3 or size == length):
                yield ids


@pytest.mark.one_backend
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="takes its gradients"
)
@pytest.mark.parametrize("attention", ["soft", "marginal"])
def test_the_gradient_is_that_of_the_expected_reward(attention):
    import tensorflow as tf

    model = captioner(attention=attention)
    model.compile("sgd", losses.SparseCategoricalCrossentropy(reduction="sum"))
    captions = list(all_captions(2))
    assert len(captions) == 31
    rng = np.random.default_rng(0)
    earned = dict(zip(captions, rng.normal(size=31), strict=True))
    model.sample = lambda *_, **__: [[drawn(*ids) for ids in captions]]
    model.generate = lambda *_, **__: ["greedy"]
    batches = data.SelfCriticalBatches(
        model,
        [data.CaptionedImage(rng.normal(size=(2, 3)), ("red",))],
        # A baseline, whatever it is, must not bias the gradient.
        lambda texts, _: [1.7] if len(texts) == 1 else list(earned.values()),
        num_samples=31,
        batch_size=31,
        max_length=2,
    )
    inputs, targets, weight = batches[0]
    keys = [tuple(x[: list(x).index(3) + 1] if 3 in x else x) for x in targets]
    rewards = np.array([earned[key] for key in keys], "float32")
    real = np.array([[1, len(key) > 1] for key in keys], "float32")
    with tf.GradientTape(persistent=True) as tape:
        logits = model(inputs)
        words = tf.nn.log_softmax(logits)
        words = tf.gather(words, targets, batch_dims=2)
        likelihood = tf.exp(tf.reduce_sum(words * real, 1))
        expected = tf.reduce_sum(likelihood * rewards)
        share = ops.convert_to_numpy(likelihood)[:, None]
        loss = model.compute_loss(
            inputs, targets, model(inputs), weight * share, training=True
        )
    np.testing.assert_allclose(share.sum(), 1, rtol=1e-5)
    variables = model.trainable_variables
    for ours, exact in zip(
        tape.gradient(loss, variables),
        tape.gradient(expected, variables),
        strict=True,
    ):
        ours, exact = map(tf.convert_to_tensor, (ours, exact))
        np.testing.assert_allclose(ours, -exact, rtol=1e-3, atol=1e-6)


def test_captions_to_unlearn_are_looked_at_evenly_too():
    model = captioner(doubly_stochastic=0.5)
    model.compile(
        "sgd",
        losses.SparseCategoricalCrossentropy(reduction="sum_over_batch_size"),
    )
    rng = np.random.default_rng(1)
    inputs = {
        "features": rng.normal(size=(3, 2, 3)).astype("float32"),
        "decoder_token_ids": np.array([[2, 4, 5]] * 3, "int32"),
    }
    targets = np.array([[4, 5, 3]] * 3, "int32")
    result = model(inputs, training=True)

    def loss(weight):
        weight = np.full((3, 3), weight, "float32")
        found = model.compute_loss(inputs, targets, result, weight)
        return float(ops.convert_to_numpy(found))

    each = losses.doubly_stochastic_loss(result["scores"])
    expected = 0.5 * ops.convert_to_numpy(each).sum() / 9
    # The cross-entropy changes its sign, and the other term does not.
    assert (loss(2.0) + loss(-2.0)) / 2 == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(examples=[]), "Received: no examples"),
        (dict(num_samples=0), "num_samples=0"),
        (dict(batch_size=0), "batch_size=0"),
        (dict(max_length=0), "max_length=0"),
        (dict(reward=lambda *_: [1.0]), "shape \\(1,\\) for 2 captions"),
        (dict(reward=lambda x, _: [np.nan] * len(x)), "2 of them not finite"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    arguments = dict(
        model=Writer([[drawn(4, 3), drawn(5, 3)]], ["red"]),
        examples=examples(1),
        reward=lambda texts, _: [0.0] * len(texts),
        num_samples=2,
    )
    with pytest.raises(ValueError, match=message):
        data.SelfCriticalBatches(**{**arguments, **change})


def test_models_that_would_learn_something_else_are_refused():
    model = captioner(attention="hard")
    with pytest.raises(ValueError, match="Received: reinforce=<Reinforce"):
        data.SelfCriticalBatches(model, examples(1), len)
    model = captioner()
    loss = losses.SparseCategoricalCrossentropy()
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match="mean over sample weights"):
        data.SelfCriticalBatches(model, examples(1), len)


@pytest.mark.slow
@pytest.mark.one_backend
def test_a_half_trained_captioner_earns_more():
    keras.utils.set_random_seed(0)
    train, test = (
        data.synthetic.grid_scenes(n, s) for n, s in ((2000, 0), (100, 1))
    )
    cases = [
        [
            data.CaptionedImage(x, (y,))
            for x, y in zip(s.inputs, s.captions, strict=True)
        ]
        for s in (train, test)
    ]
    model = ShowAttendTell.from_preset(
        "show_attend_tell_small",
        feature_shape=(16, 32),
        tokenizer=data.WordTokenizer.train(train.captions),
    )
    model.compile(
        keras.optimizers.Adam(5e-3),
        losses.SparseCategoricalCrossentropy(),
    )
    batches = data.CaptionBatches(
        cases[0], model.tokenizer, num_buckets=1, input_name="features"
    )
    model.fit(batches, epochs=3, shuffle=False, verbose=0)

    def score():
        texts = model.generate(test.inputs, max_length=16)
        return metrics.cider_d(texts, test.references).score

    before = score()
    model.compile(
        keras.optimizers.Adam(5e-4, global_clipnorm=1.0),
        losses.SparseCategoricalCrossentropy(reduction="sum_over_batch_size"),
    )
    reward = metrics.CIDErD(train.references).score
    for number in range(80):
        first = 64 * number % 1984
        batches = data.SelfCriticalBatches(
            model,
            cases[0][first : first + 64],
            reward,
            max_length=16,
            seed=number,
        )
        model.fit(batches, shuffle=False, verbose=0)
    # Measured on JAX: from 7.54 to 8.47 of 10.
    assert before < 8.5 and score() > before + 0.4
