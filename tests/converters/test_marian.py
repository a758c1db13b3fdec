"""Names, layouts and configs; that they are right is in tests/models."""

import numpy as np
import pytest

from keras_attention.converters import marian
from tests.models.marian_models import SIZES as CONFIG_SIZES

CONFIG = {**CONFIG_SIZES, "pad_token_id": 30}
SIZES = dict(
    source_vocabulary_size=31,
    target_vocabulary_size=31,
    num_layers=2,
    num_decoder_layers=3,
    hidden_dim=26,
    num_heads=2,
    intermediate_dim=37,
    share_embeddings=True,
    tie_output=True,
    output_bias=True,
    final_norm=False,
)
KINDS = [
    {},
    dict(share_embeddings=False, source_vocabulary_size=29),
    dict(tie_output=False),
    dict(share_embeddings=False, tie_output=False),
    dict(final_norm=True),
]


def random_weights(sizes):
    rng = np.random.default_rng(0)
    return {
        entry.theirs: rng.normal(size=entry.shape).astype("float32")
        for entry in marian.entries(sizes)
    }


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_weights_that_go_and_come_are_the_same(kind):
    sizes = {**SIZES, **kind}
    weights = random_weights(sizes)
    back = marian.from_transformer(marian.to_transformer(weights, sizes), sizes)
    for name, weight in weights.items():
        np.testing.assert_array_equal(back[name], weight, name)
    others = set(back) - set(weights)
    assert not others or others == {
        "model.encoder.embed_tokens.weight",
        "model.decoder.embed_tokens.weight",
    }


def test_heads_are_apart_where_the_kernel_says():
    """Row h * 13 + j of torch's weight makes feature j of head h."""
    weights = random_weights(SIZES)
    arrays = marian.to_transformer(weights, SIZES)
    there = "model.decoder.layers.2.encoder_attn"
    here = "decoder_block_2/cross_attention"
    head, j, i = 1, 5, 7
    for name, role in (("q", "query"), ("k", "key"), ("v", "value")):
        kernel = arrays[f"{here}/{role}/kernel"]
        assert kernel.shape == (26, 2, 13)
        weight = weights[f"{there}.{name}_proj.weight"]
        assert kernel[i, head, j] == weight[head * 13 + j, i]
        bias = weights[f"{there}.{name}_proj.bias"]
        assert arrays[f"{here}/{role}/bias"][head, j] == bias[head * 13 + j]
    kernel = arrays[f"{here}/attention_output/kernel"]
    weight = weights[f"{there}.out_proj.weight"]
    assert kernel[head, j, i] == weight[i, head * 13 + j]


def test_what_is_missing_or_left_over_is_named():
    weights = random_weights(SIZES)
    del weights["model.encoder.layers.1.fc2.bias"]
    weights["model.encoder.layers.2.fc2.bias"] = np.ones(26)
    with pytest.raises(ValueError) as error:
        marian.to_transformer(weights, SIZES)
    assert "none called ['model.encoder.layers.1.fc2.bias']" in str(error.value)
    assert "left over: ['model.encoder.layers.2.fc2.bias']" in str(error.value)


def test_wrong_shapes_are_named():
    weights = random_weights(SIZES)
    name = "model.encoder.layers.1.fc2.weight"
    weights[name] = weights[name].T
    with pytest.raises(ValueError, match=r"fc2.weight is \(37, 26\), not"):
        marian.to_transformer(weights, SIZES)


def test_weights_that_are_there_twice_must_agree():
    weights = random_weights(SIZES)
    shared = weights["model.shared.weight"]
    expected = marian.to_transformer(weights, SIZES)["embedding/embeddings"]
    weights["lm_head.weight"] = shared.copy()
    weights["model.encoder.embed_positions.weight"] = np.ones((64, 26))
    arrays = marian.to_transformer(weights, SIZES)
    np.testing.assert_array_equal(arrays["embedding/embeddings"], expected)
    # Any of the names will do.
    del weights["model.shared.weight"]
    arrays = marian.to_transformer(weights, SIZES)
    np.testing.assert_array_equal(arrays["embedding/embeddings"], expected)
    weights["model.encoder.embed_tokens.weight"] = shared + 1
    with pytest.raises(ValueError, match="embed_tokens.weight and lm_head"):
        marian.to_transformer(weights, SIZES)


def test_no_bias_of_the_output_is_one_of_zeros():
    weights = random_weights(SIZES)
    del weights["final_logits_bias"]
    arrays = marian.to_transformer(weights, SIZES)
    np.testing.assert_array_equal(arrays["output_bias/bias"], np.zeros(31))
    without = {**SIZES, "output_bias": False}
    del arrays["output_bias/bias"]
    back = marian.from_transformer(arrays, without)
    np.testing.assert_array_equal(back["final_logits_bias"], np.zeros((1, 31)))


def test_a_published_config_is_understood():
    # The keys of Helsinki-NLP's models, some of which say nothing to us.
    config = CONFIG | dict(
        add_bias_logits=False,
        add_final_layer_norm=False,
        bos_token_id=0,
        classifier_dropout=0.0,
        decoder_start_token_id=30,
        decoder_vocab_size=31,
        dropout=0.3,
        extra_pos_embeddings=31,
        model_type="marian",
        normalize_before=False,
        normalize_embedding=False,
        num_beams=4,
        static_position_embeddings=True,
        activation_dropout=0.0,
    )
    arguments = marian.constructor_arguments(config, {})
    assert {name: arguments[name] for name in SIZES} == SIZES
    assert {x: arguments[x] for x in set(arguments) - set(SIZES)} == dict(
        dropout=0.3,
        attention_dropout=0.0,
        activation="silu",
        normalize_first=False,
        layer_norm_epsilon=1e-5,
        embedding_scale=True,
        position_layout="halves",
        pad_token_id=30,
    )
    assert marian.special_ids(config, {}) == (30, 30, 0)
    generation = {"pad_token_id": 29, "eos_token_id": None}
    assert marian.special_ids(config, generation) == (29, 30, 0)
    assert (
        marian.constructor_arguments(config, generation)["pad_token_id"] == 29
    )


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(d_model=None), r"must hold \['d_model'\]"),
        (dict(static_position_embeddings=False), "must be True"),
        (dict(normalize_embedding=True), "`normalize_embedding` must be False"),
        (dict(activation_dropout=0.1), "activation_dropout=0.1"),
        (dict(encoder_layerdrop=0.2), "encoder_layerdrop=0.2"),
        (dict(activation_function="gelu_new"), "one of.*'gelu_new'"),
        (dict(decoder_attention_heads=13), "must be equal.*2 and 13"),
        (dict(decoder_ffn_dim=41), "must be equal.*37 and 41"),
        (dict(pad_token_id=-1), "`pad_token_id` of a Marian"),
        (dict(decoder_start_token_id=[3]), "decoder_start_token_id=.3."),
    ],
)
def test_a_config_that_cannot_be_honoured_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        marian.constructor_arguments({**CONFIG, **change}, {})


def test_an_end_must_be_one_token():
    with pytest.raises(ValueError, match=r"eos_token_id=\[0, 1\]"):
        marian.special_ids({**CONFIG, "eos_token_id": [0, 1]}, {})


@pytest.mark.parametrize("kind", KINDS[:-1], ids=str)
def test_configs_that_go_and_come_are_the_same(kind):
    arguments = dict(
        **{**SIZES, **kind},
        dropout=0.3,
        attention_dropout=0.2,
        activation="silu",
        normalize_first=False,
        layer_norm_epsilon=1e-5,
        embedding_scale=False,
        position_layout="halves",
    )
    ids = marian.SpecialIds(28, 28, 0)
    configs = marian.huggingface_configs(arguments, ids)
    back = marian.constructor_arguments(*configs)
    assert back == {**arguments, "pad_token_id": 28}
    assert marian.special_ids(*configs) == ids
    assert configs[1]["bad_words_ids"] == [[28]]
