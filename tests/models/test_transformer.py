import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.data import TranslationBatches, WordTokenizer
from keras_attention.decoding import beam_search, greedy
from keras_attention.losses import SparseCategoricalCrossentropy
from keras_attention.models import Transformer
from keras_attention.models.transformer import PRESETS
from keras_attention.ops import hypothesis_cache
from tests.gradients import compiled

B, S, T, V, U = 3, 7, 5, 31, 37
SIZES = dict(
    source_vocabulary_size=V,
    target_vocabulary_size=U,
    num_layers=1,
    num_decoder_layers=2,
    hidden_dim=22,
    num_heads=11,
    intermediate_dim=13,
)


def small_model(**options):
    """With weights that all matter: norms and biases too are random."""
    keras.utils.set_random_seed(0)
    model = Transformer(**{**SIZES, **options})
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if weight.path.endswith(("bias", "beta", "gamma")):
            noise = 0.3 * rng.standard_normal(weight.shape)
            weight.assign(ops.convert_to_numpy(weight) + noise)
    return model


def token_ids():
    rng = np.random.default_rng(0)
    source = rng.integers(1, V, (B, S)).astype("int32")
    source[1, 4:] = 0
    target = rng.integers(1, U, (B, T)).astype("int32")
    return {"encoder_token_ids": source, "decoder_token_ids": target}


class Reference:
    """Vaswani et al., 2017, sections 3.1 to 3.5, one example at a time."""

    def __init__(self, model):
        self.model = model
        self.weights = {
            w.path.removeprefix(model.name + "/"): ops.convert_to_numpy(w)
            for w in model.weights
        }

    def get(self, *path):
        return self.weights["/".join(path)]

    def embed(self, side, ids):
        d = self.model.hidden_dim
        name = "" if self.model.share_embeddings else f"{side}_"
        x = self.get(f"{name}embedding", "embeddings")[ids]
        if self.model.embedding_scale:
            x = x * np.sqrt(d)
        for t in range(len(ids)):
            for i in range(d // 2):
                angle = t / 10000 ** (2 * i / d)
                places = (2 * i, 2 * i + 1)
                if self.model.position_layout == "halves":
                    places = (i, d // 2 + i)
                x[t, places[0]] += np.sin(angle)
                x[t, places[1]] += np.cos(angle)
        return x

    def norm(self, x, *path):
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        x = (x - mean) / np.sqrt(variance + self.model.layer_norm_epsilon)
        return x * self.get(*path, "gamma") + self.get(*path, "beta")

    def attention(self, x, y, causal, *path):
        """Each position of x reads those of y; scores of all heads too."""
        heads = {
            name: np.einsum("td,dnh->tnh", z, self.get(*path, name, "kernel"))
            + self.get(*path, name, "bias")
            for name, z in (("query", x), ("key", y), ("value", y))
        }
        size = heads["query"].shape[-1]
        output, all_scores = 0, []
        for n in range(self.model.num_heads):
            q, k, v = (heads[name][:, n] for name in ("query", "key", "value"))
            logits = q @ k.T / np.sqrt(size)
            if causal:
                logits[np.triu_indices(len(x), 1)] = -np.inf
            scores = np.exp(logits - logits.max(-1, keepdims=True))
            scores /= scores.sum(-1, keepdims=True)
            kernel = self.get(*path, "attention_output", "kernel")[n]
            output = output + scores @ v @ kernel
            all_scores.append(scores)
        bias = self.get(*path, "attention_output", "bias")
        return output + bias, np.array(all_scores)

    def feed_forward(self, x, *path):
        x = x @ self.get(*path, "intermediate", "kernel")
        x = np.maximum(x + self.get(*path, "intermediate", "bias"), 0)
        x = x @ self.get(*path, "output", "kernel")
        return x + self.get(*path, "output", "bias")

    def part(self, x, function, *norm):
        if self.model.normalize_first:
            return x + function(self.norm(x, *norm))
        return self.norm(x + function(x), *norm)

    def block(self, x, memory, name):
        """A block, and the scores with which it read the memory."""
        causal = memory is not None
        scores = None

        def read_memory(y):
            nonlocal scores
            y, scores = self.attention(
                y, memory, False, name, "cross_attention"
            )
            return y

        x = self.part(
            x,
            lambda y: self.attention(y, y, causal, name, "self_attention")[0],
            name,
            "self_attention_norm",
        )
        if memory is not None:
            x = self.part(x, read_memory, name, "cross_attention_norm")
        return self.part(
            x,
            lambda y: self.feed_forward(y, name, "feed_forward"),
            name,
            "feed_forward_norm",
        ), scores

    def __call__(self, source, target):
        """Logits `(T, U)`, and scores `(T, S)` of the last block but one."""
        model = self.model
        memory = self.embed("encoder", source[source != model.pad_token_id])
        for i in range(model.num_layers):
            memory, _ = self.block(memory, None, f"encoder_block_{i}")
        if model.final_norm:
            memory = self.norm(memory, "encoder_norm")
        x, shown = self.embed("decoder", target), None
        for i in range(model.num_decoder_layers):
            x, scores = self.block(x, memory, f"decoder_block_{i}")
            if i == model.num_decoder_layers - 2:
                shown = scores.mean(0)
        if model.final_norm:
            x = self.norm(x, "decoder_norm")
        if not model.tie_output:
            x = x @ self.get("output", "kernel")
            return x + self.get("output", "bias"), shown
        name = "" if model.share_embeddings else "decoder_"
        x = x @ self.get(f"{name}embedding", "embeddings").T
        if model.output_bias:
            x = x + self.get("output_bias", "bias")
        return x, shown


OPTIONS = {
    "the paper's": {},
    "pre-norm": dict(normalize_first=True),
    "Marian's": dict(
        target_vocabulary_size=V,
        share_embeddings=True,
        position_layout="halves",
        output_bias=True,
        layer_norm_epsilon=1e-5,
    ),
    "an output of its own": dict(
        tie_output=False, output_bias=True, embedding_scale=False
    ),
    "post-norm, normalized at the end": dict(final_norm=True),
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_it_computes_what_the_paper_says(options):
    model, inputs = small_model(**options), token_ids()
    inputs["decoder_token_ids"] %= model.target_vocabulary_size
    logits = ops.convert_to_numpy(model(inputs))
    scores = ops.convert_to_numpy(
        model.forced_scores(*map(ops.array, inputs.values()))
    )
    reference = Reference(model)
    for b in range(B):
        source, target = (x[b] for x in inputs.values())
        expected, expected_scores = reference(source, target)
        np.testing.assert_allclose(logits[b], expected, atol=2e-5)
        length = np.count_nonzero(source)
        np.testing.assert_allclose(
            scores[b, :, :length], expected_scores, atol=1e-5
        )
        assert not scores[b, :, length:].any()


def test_what_pads_a_source_changes_nothing():
    model, inputs = small_model(), token_ids()
    expected = ops.convert_to_numpy(model(inputs))
    source = np.pad(inputs["encoder_token_ids"], [(0, 0), (0, 4)])
    longer = ops.convert_to_numpy(
        model({**inputs, "encoder_token_ids": source})
    )
    np.testing.assert_allclose(longer, expected, atol=1e-5)


def test_a_pad_token_of_its_own_is_never_read():
    model, inputs = small_model(pad_token_id=V - 1), token_ids()
    source = inputs["encoder_token_ids"] % (V - 1)  # 0 is a word here
    expected = ops.convert_to_numpy(
        model({**inputs, "encoder_token_ids": source})
    )
    source = np.pad(source, [(0, 0), (0, 2)], constant_values=V - 1)
    padded = ops.convert_to_numpy(
        model({**inputs, "encoder_token_ids": source})
    )
    np.testing.assert_allclose(padded, expected, atol=1e-5)


@pytest.mark.parametrize("num_beams", [1, 3])
def test_searches_over_caches_find_what_the_whole_call_scores(
    num_beams, monkeypatch
):
    """Through several segments, with hypotheses that change places."""
    monkeypatch.setattr(hypothesis_cache, "FIRST", 2)
    model, inputs = small_model(output_bias=True), token_ids()
    length, start, end = 11, 2, 3
    bias = ops.convert_to_numpy(model.output_layer.bias).copy()
    bias[end] -= 9  # or sentences would be too short to tell
    model.output_layer.bias.assign(bias)

    def search(source):
        memory, state = model.start(source, length, num_beams)
        options: dict = dict(
            start_token=start, end_token=end, max_length=length
        )
        if num_beams == 1:
            decoded = greedy(model.step, memory, state, **options)
            return decoded.token_ids, decoded.lengths, decoded.log_probabilities
        decoded = beam_search(
            model.step, memory, state, num_beams=num_beams, **options
        )
        found = decoded.token_ids, decoded.lengths, decoded.log_probabilities
        return tuple(x[:, 0] for x in found)

    found = compiled(search)(ops.array(inputs["encoder_token_ids"]))
    ids, lengths, totals = map(ops.convert_to_numpy, found)
    assert lengths.max() > 4  # or one segment would have been enough
    shifted = np.concatenate([np.full((B, 1), start), ids[:, :-1]], 1)
    logits = model({**inputs, "decoder_token_ids": shifted.astype("int32")})
    log_probs = ops.convert_to_numpy(ops.log_softmax(logits, -1))
    for b in range(B):
        words = np.arange(lengths[b])
        gains = log_probs[b, words, ids[b, : lengths[b]]]
        np.testing.assert_allclose(gains.sum(), totals[b], atol=1e-4)
        if num_beams == 1:
            best = log_probs[b, : lengths[b]].argmax(-1)
            np.testing.assert_array_equal(ids[b, : lengths[b]], best)


def test_saved_models_answer_alike(tmp_path):
    model, inputs = small_model(output_bias=True), token_ids()
    expected = ops.convert_to_numpy(model(inputs))
    model.save(tmp_path / "model.keras")
    model.save_to_preset(tmp_path / "preset")
    for again in (
        keras.models.load_model(tmp_path / "model.keras"),
        Transformer.from_preset(tmp_path / "preset"),
    ):
        assert again.get_config() == model.get_config()
        np.testing.assert_allclose(
            ops.convert_to_numpy(again(inputs)), expected, atol=1e-6
        )


def test_low_rank_updates_train_alone():
    model, inputs = small_model(), token_ids()
    model.enable_lora(2)
    assert {w.path.split("/")[-2] for w in model.trainable_weights} == {
        "query",
        "key",
        "value",
        "attention_output",
    }
    assert not any(w.name == "kernel" for w in model.trainable_weights)
    model.compile("adam", SparseCategoricalCrossentropy())
    before = ops.convert_to_numpy(model(inputs))
    model.fit(inputs, inputs["decoder_token_ids"], verbose=0)
    assert np.abs(ops.convert_to_numpy(model(inputs)) - before).max() > 1e-6


def test_the_papers_sizes_are_those_of_its_table():
    """Vaswani et al., 2017, table 3, with a vocabulary of some 37,000."""
    base = Transformer.from_preset("transformer_base_vaswani_2017")
    assert abs(base.count_params() / 65e6 - 1) < 0.04
    big = PRESETS["transformer_big_vaswani_2017"]
    table = dict(hidden_dim=1024, num_heads=16, intermediate_dim=4096)
    assert {name: big[name] for name in table} == table
    assert big["dropout"] == 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(hidden_dim=23), "must be a multiple of `num_heads`"),
        (dict(num_layers=0), "`num_layers` must be a positive integer"),
        (dict(share_embeddings=True), "one vocabulary for both sides"),
        (dict(source_vocabulary_size=None), "neither source_vocabulary_size"),
        (dict(position_layout="thirds"), "`layout` must be"),
        (dict(dropout=1.5), "`dropout` must be"),
        (dict(hiden_dim=8), "hiden_dim"),
    ],
)
def test_bad_arguments_are_told(options, message):
    with pytest.raises(ValueError, match=message):
        Transformer(**{**SIZES, **options})


@pytest.mark.one_backend
def test_it_learns_to_reverse_and_answers_alike_after_a_reload(tmp_path):
    """Compiled by XLA, from strings to strings; needs every position."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    letters = "abcdefghij"

    def pairs(number):
        rows = [
            [letters[i] for i in rng.integers(0, 10, rng.integers(4, 9))]
            for _ in range(number)
        ]
        return [(" ".join(row), " ".join(row[::-1])) for row in rows]

    training, test = pairs(6400), pairs(100)
    tokenizer = WordTokenizer.train(list(letters))
    model = Transformer.from_preset(
        "transformer_tiny",
        dropout=0.0,
        share_embeddings=True,
        source_tokenizer=tokenizer,
        target_tokenizer=tokenizer,
    )
    batches = TranslationBatches.from_text(
        training, tokenizer, tokenizer, num_buckets=1
    )
    epochs = 5
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(
                2e-3, epochs * batches.num_batches
            )
        ),
        SparseCategoricalCrossentropy(),
        jit_compile=True,
    )
    model.fit(batches, epochs=epochs, shuffle=False, verbose=0)
    sources, expected = zip(*test, strict=True)
    found = model.translate(sources)
    right = [x.text == y for x, y in zip(found, expected, strict=True)]
    assert sum(right) >= 97
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for one, other in zip(found, again.translate(sources), strict=True):
        assert one.text == other.text
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
