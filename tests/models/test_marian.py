"""Marian checkpoints, beside the transformers library's own models."""

import json

import keras
import numpy as np
import pytest
import torch
import transformers
from keras import ops

from keras_attention.data import TranslationBatches, WordTokenizer
from keras_attention.decoding import beam_search
from keras_attention.models import RNNSearch, Transformer
from tests.data.marian_files import ENGLISH, write_tokenizers
from tests.models.marian_models import (
    logits_of,
    marian,
    pegasus,
    that_ends,
    token_ids,
)

pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install")


def our_logits(model, source, target, **kwargs):
    inputs = {"encoder_token_ids": source, "decoder_token_ids": target}
    return ops.convert_to_numpy(ops.cast(model(inputs, **kwargs), "float32"))


def save_bin(model, folder):
    """As in the older repositories: a pickle, and every name in it."""
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")


def save_shards(model, folder):
    model.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1


def save(model, folder):
    model.save_pretrained(folder)


VARIANTS = {
    "shared": (marian, dict(), save),
    "a pickle": (marian, dict(activation_function="relu"), save_bin),
    "shards": (marian, dict(scale_embedding=False), save_shards),
    "separate": (
        marian,
        dict(
            share_encoder_decoder_embeddings=False,
            decoder_vocab_size=29,
            pad=28,
        ),
        save,
    ),
    "separate, a pickle": (
        marian,
        dict(
            share_encoder_decoder_embeddings=False,
            decoder_vocab_size=37,
            activation_function="gelu",
        ),
        save_bin,
    ),
    "not tied": (marian, dict(tie_word_embeddings=False), save_bin),
    "pre-norm": (pegasus, dict(), save),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_are_those_of_transformers(variant, tmp_path):
    make, sizes, keep = VARIANTS[variant]
    reference = make(**sizes)
    keep(reference, tmp_path)
    if make is pegasus:
        # Marian has the words for it, and transformers no model of that name.
        path = tmp_path / "config.json"
        config = json.loads(path.read_text())
        config |= dict(
            model_type="marian",
            normalize_before=True,
            add_final_layer_norm=True,
        )
        path.write_text(json.dumps(config))
    model = Transformer.from_preset(tmp_path)
    assert model.normalize_first == model.final_norm == (make is pegasus)
    pad = model.pad_token_id
    source, target = token_ids(
        pad, model.source_vocabulary_size, model.target_vocabulary_size
    )
    expected = logits_of(reference, source, target, pad)
    assert expected.std() > 0.3
    np.testing.assert_allclose(
        our_logits(model, source, target), expected, atol=2e-5
    )
    if variant == "shared" and keras.backend.backend() != "torch":
        model.compile(jit_compile=True)
        inputs = {"encoder_token_ids": source, "decoder_token_ids": target}
        np.testing.assert_allclose(
            model.predict(inputs, verbose=0), expected, atol=2e-5
        )


def test_half_precision_on_disk_and_in_memory(tmp_path):
    reference = marian()
    with torch.no_grad():
        for name, tensor in reference.state_dict().items():
            if "embed_positions" not in name:  # computed anew, and exactly
                tensor.copy_(tensor.half())
    source, target = token_ids(30)
    expected = logits_of(reference, source, target, 30)
    save_bin(reference.half(), tmp_path)
    model = Transformer.from_preset(tmp_path)
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    np.testing.assert_allclose(
        our_logits(model, source, target), expected, atol=2e-5
    )
    model = Transformer.from_preset(tmp_path, dtype="bfloat16", dropout=0.5)
    assert {v.dtype for v in model.trainable_variables} == {"bfloat16"}
    assert model.dropout == 0.5
    # In one graph: JAX would compile each operation for another type.
    logits = model.compile_function(
        "logits",
        lambda *ids: model(dict(zip(model.input, ids, strict=True))),
    )(*map(ops.convert_to_tensor, (source, target)))
    logits = ops.convert_to_numpy(ops.cast(logits, "float32"))
    assert np.abs(logits - expected).mean() < 0.05 * expected.std()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A folder with tokenizers, its reference, and our model of it."""
    folder = tmp_path_factory.mktemp("checkpoint")
    size, _ = write_tokenizers(folder, languages=(">>deu<<",), sizes=(71, 97))
    reference = that_ends(size - 1)
    reference.save_pretrained(folder)
    return folder, reference, Transformer.from_preset(folder)


SOURCES = [*ENGLISH, ">>deu<< a dog", "cats", "the house is small"]


def generated(checkpoint, **kwargs):
    """What transformers writes, without start and padding, and its scores."""
    folder, reference, _ = checkpoint
    tokenizer = transformers.MarianTokenizer.from_pretrained(folder)
    inputs = tokenizer(SOURCES, return_tensors="pt", padding=True)
    outputs = reference.generate(
        **inputs,
        do_sample=False,
        max_length=None,
        return_dict_in_generate=True,
        output_scores=True,
        **kwargs,
    )
    rows = [
        [x for x in row if x != tokenizer.pad_token_id]
        for row in outputs.sequences.tolist()
    ]
    return rows, outputs


def ids_of(model, result):
    return [
        model.target_tokenizer.vocabulary.index(x) for x in result.target_tokens
    ]


def test_greedy_writes_what_transformers_writes(checkpoint):
    _, _, model = checkpoint
    rows, _ = generated(checkpoint, num_beams=1, max_new_tokens=17)
    results = model.translate(SOURCES, max_length=17, batch_size=8)
    ours = [ids_of(model, result) for result in results]
    # At the limit transformers forces an end, where we cut.
    lengths = {len(row) for row in ours if row[-1] == 0}
    assert len(lengths) >= 2 and min(lengths) > 1
    for row, expected in zip(ours, rows, strict=True):
        if row[-1] != 0:
            expected[-1] = row[-1]
        assert row == expected


@pytest.fixture
def unforced(checkpoint):
    """The reference without an end forced at the limit, at no cost: it would
    outrank what ends by itself. Both then cut there, and rank alike."""
    generation_config = checkpoint[1].generation_config
    generation_config.forced_eos_token_id = None
    yield checkpoint
    generation_config.forced_eos_token_id = 0


def test_a_beam_writes_what_transformers_writes(unforced):
    _, _, model = unforced
    rows, outputs = generated(
        unforced,
        num_beams=4,
        max_new_tokens=17,
        length_penalty=1.0,
        early_stopping="never",
    )
    results = model.translate(SOURCES, num_beams=4, max_length=17, batch_size=8)
    lengths = {len(result.target_tokens) for result in results}
    assert len(lengths) >= 4 and 17 in lengths
    assert [ids_of(model, result) for result in results] == rows
    np.testing.assert_allclose(
        [result.hypothesis_score for result in results],
        outputs.sequences_scores.numpy(),
        atol=1e-5,
    )


def test_all_hypotheses_are_those_of_transformers(unforced):
    _, _, model = unforced
    limit = 7
    rows, outputs = generated(
        unforced,
        num_beams=4,
        num_return_sequences=4,
        max_new_tokens=limit,
        length_penalty=1.0,
        early_stopping="never",
    )
    ids = model.source_tokenizer.tokenize(SOURCES)
    pad = model.pad_token_id
    padded = np.full((len(ids), max(map(len, ids))), pad)
    for row, source in zip(padded, ids, strict=True):
        row[: len(source)] = source

    def search(token_ids):
        return beam_search(
            model.step,
            *model.start(token_ids, limit, 4),
            start_token=pad,
            end_token=0,
            max_length=limit,
            num_beams=4,
            num_results=4,
            length_penalty="average",
            length_alpha=1.0,
            banned_tokens=(pad,),
            pad_token=pad,
        )

    decoded = model.compile_function(("search", limit), search)(
        ops.convert_to_tensor(padded.astype("int32"))
    )
    ours = ops.convert_to_numpy(decoded.token_ids).reshape(len(rows), -1)
    assert [[x for x in row if x != pad] for row in ours.tolist()] == rows
    np.testing.assert_allclose(
        ops.convert_to_numpy(decoded.hypothesis_scores).ravel(),
        outputs.sequences_scores.numpy(),
        atol=1e-5,
    )
    cut = [row[-1] != 0 for row in rows]
    assert any(cut) and not all(cut)


def test_a_saved_model_keeps_its_tokenizers(checkpoint, tmp_path):
    _, _, model = checkpoint
    source, target = token_ids(model.pad_token_id)
    expected = our_logits(model, source, target)
    model.save_to_preset(tmp_path / "preset")
    model.save(tmp_path / "model.keras")
    for again in (
        Transformer.from_preset(tmp_path / "preset"),
        keras.saving.load_model(tmp_path / "model.keras"),
    ):
        np.testing.assert_allclose(
            our_logits(again, source, target), expected, atol=1e-6
        )
        assert again.get_config() == model.get_config()
        assert again.pad_token_id == again.source_tokenizer.pad_id
        ids = model.source_tokenizer.tokenize(SOURCES)
        assert again.source_tokenizer.tokenize(SOURCES) == ids
        assert again.target_tokenizer.start_id == model.pad_token_id


def test_transformers_loads_what_is_written(checkpoint, tmp_path):
    folder, reference, model = checkpoint
    model.to_huggingface(tmp_path / "model")
    again = transformers.MarianMTModel.from_pretrained(tmp_path / "model")
    weights = again.state_dict()
    for name, tensor in reference.state_dict().items():
        if "embed_positions" not in name:  # longer than they were
            np.testing.assert_array_equal(weights[name], tensor, name)
    source, target = token_ids(model.pad_token_id)
    np.testing.assert_allclose(
        logits_of(again.eval(), source, target, model.pad_token_id),
        logits_of(reference, source, target, model.pad_token_id),
        atol=1e-6,
    )
    tokenizers = [
        transformers.MarianTokenizer.from_pretrained(x)
        for x in (folder, tmp_path / "model")
    ]
    assert tokenizers[0](SOURCES).input_ids == tokenizers[1](SOURCES).input_ids
    ours = Transformer.from_preset(tmp_path / "model", name=model.name)
    assert ours.get_config() == model.get_config()


@pytest.mark.parametrize(
    "sizes",
    [
        dict(share_encoder_decoder_embeddings=False),
        dict(tie_word_embeddings=False, scale_embedding=False),
    ],
    ids=["separate", "not tied"],
)
def test_other_kinds_come_back_from_transformers_too(sizes, tmp_path):
    separate = not sizes.get("share_encoder_decoder_embeddings", True)
    (tmp_path / "first").mkdir()
    size, target_size = write_tokenizers(
        tmp_path / "first", separate, sizes=(71, 97)
    )
    pad = min(size, target_size) - 1
    reference = marian(
        pad, vocab_size=size, decoder_vocab_size=target_size, **sizes
    )
    if separate:
        # The smaller vocabulary's <pad> is the start of both.
        assert pad == size - 1 < target_size - 1
    save_bin(reference, tmp_path / "first")
    model = Transformer.from_preset(tmp_path / "first")
    model.to_huggingface(tmp_path / "second")
    again = transformers.MarianMTModel.from_pretrained(tmp_path / "second")
    source, target = token_ids(pad)
    np.testing.assert_allclose(
        logits_of(again.eval(), source, target, pad),
        logits_of(reference, source, target, pad),
        atol=1e-6,
    )
    ours = Transformer.from_preset(tmp_path / "second", name=model.name)
    assert ours.get_config() == model.get_config()


@pytest.mark.one_backend
def test_ctranslate2_converts_what_is_written(checkpoint, tmp_path):
    ctranslate2 = pytest.importorskip("ctranslate2")
    folder, _, _ = checkpoint
    model = Transformer.from_preset(folder)
    embeddings = model.encoder_embedding.embeddings
    # As in the published checkpoints: CTranslate2 starts from zeros.
    values = ops.convert_to_numpy(embeddings).copy()
    values[model.pad_token_id] = 0
    embeddings.assign(values)
    bias = ops.convert_to_numpy(model.output_layer.bias).copy()
    bias[model.pad_token_id] = -1e4  # it leaves this token out
    model.output_layer.bias.assign(bias)
    model.to_huggingface(tmp_path / "model")
    converter = ctranslate2.converters.TransformersConverter(
        str(tmp_path / "model")
    )
    converter.convert(tmp_path / "converted")
    translator = ctranslate2.Translator(str(tmp_path / "converted"), "cpu")
    tokenizer = model.source_tokenizer
    rows = tokenizer.tokenize(SOURCES)
    found = translator.translate_batch(
        [tokenizer.tokens(row) for row in rows],
        beam_size=1,
        max_decoding_length=11,
        min_decoding_length=0,
        return_scores=True,
    )
    results = model.translate(SOURCES, max_length=11, batch_size=8)
    for result, other in zip(results, found, strict=True):
        ours = [x for x in result.target_tokens if x != "</s>"]
        assert ours == other.hypotheses[0]
    assert any("</s>" in result.target_tokens for result in results)


def test_low_rank_updates_are_merged_into_what_is_written(checkpoint, tmp_path):
    folder, _, _ = checkpoint
    model = Transformer.from_preset(folder)
    source, target = token_ids(model.pad_token_id)
    before = our_logits(model, source, target)
    model.enable_lora(2)
    rng = np.random.default_rng(0)
    updates = [v for v in model.trainable_variables if "lora" in v.name]
    # Query, key, value and output, of 2 + 3 + 3 attentions, by two factors.
    assert len(updates) == 4 * (2 + 3 + 3) * 2
    for variable in updates:
        variable.assign(rng.normal(size=variable.shape, scale=0.3))
    expected = our_logits(model, source, target)
    assert np.abs(expected - before).max() > 0.1
    model.to_huggingface(tmp_path / "model")
    again = Transformer.from_preset(tmp_path / "model")
    np.testing.assert_allclose(
        our_logits(again, source, target), expected, atol=2e-5
    )


def test_it_is_fine_tuned_by_fit(tmp_path):
    size, _ = write_tokenizers(tmp_path, sizes=(71, 97))
    torch.manual_seed(0)
    fresh = transformers.MarianMTModel(
        marian(
            size - 1,
            vocab_size=size,
            decoder_vocab_size=size,
            encoder_layers=1,
            decoder_layers=1,
        ).config
    )
    fresh.save_pretrained(tmp_path)
    keras.utils.set_random_seed(0)
    model = Transformer.from_preset(tmp_path, dropout=0.0)
    pairs = [("the cats sleep", "die Katzen"), ("a dog", "über Nacht")] * 3
    batches = TranslationBatches.from_text(
        pairs,
        model.source_tokenizer,
        model.target_tokenizer,
        batch_size=6,
        num_buckets=1,
    )
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
    )
    history = model.fit(batches, epochs=60, shuffle=False, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < 0.2 < 4 < losses[0]
    assert model.generate([x for x, _ in pairs[:2]], max_length=17) == [
        x for _, x in pairs[:2]
    ]
    model.save_to_preset(tmp_path / "preset")
    again = Transformer.from_preset(tmp_path / "preset")
    source, target = token_ids(model.pad_token_id)
    np.testing.assert_allclose(
        our_logits(again, source, target),
        our_logits(model, source, target),
        atol=1e-6,
    )


def test_nothing_is_left_half_written(checkpoint, tmp_path, monkeypatch):
    folder, _, model = checkpoint

    def fails(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("keras_attention.models.marian.write_safetensors", fails)
        with pytest.raises(OSError, match="no space left"):
            model.to_huggingface(tmp_path / "model")
    assert not list(tmp_path.iterdir())

    # In a folder that is there, what has other names stays.
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "README.md").write_text("mine")
    model.to_huggingface(tmp_path / "model")
    model.to_huggingface(tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "source.spm",
        "target.spm",
        "tokenizer_config.json",
        "vocab.json",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    model.save_to_preset(tmp_path / "preset")
    with pytest.raises(ValueError, match="must not hold a preset"):
        model.to_huggingface(tmp_path / "preset")


def test_what_transformers_cannot_hold_is_not_written(checkpoint, tmp_path):
    folder, _, marian_model = checkpoint
    tokenizers = dict(
        source_tokenizer=marian_model.source_tokenizer,
        target_tokenizer=marian_model.target_tokenizer,
        pad_token_id=marian_model.pad_token_id,
    )
    fitting = dict(position_layout="halves", layer_norm_epsilon=1e-5)
    for arguments, message in (
        (fitting | dict(normalize_first=True), "normalize_first=False"),
        (fitting | dict(final_norm=True), "final_norm=False"),
        (fitting | dict(activation="elu"), "activation='elu'"),
        (fitting | dict(position_layout="interleaved"), "'interleaved'"),
        (fitting | dict(layer_norm_epsilon=1e-6), "layer_norm_epsilon=1e-06"),
    ):
        model = Transformer.from_preset(
            "transformer_tiny",
            **dict(num_layers=1, hidden_dim=8, normalize_first=False)
            | arguments,
            **tokenizers,
        )
        with pytest.raises(ValueError, match=message):
            model.to_huggingface(tmp_path / "model")
    words = WordTokenizer.train(["a b"])
    model = Transformer.from_preset(
        "transformer_tiny", source_tokenizer=words, target_tokenizer=words
    )
    with pytest.raises(ValueError, match="WordTokenizer and WordTokenizer"):
        model.to_huggingface(tmp_path / "model")
    model = Transformer.from_preset(folder)
    model.decoder_blocks[1].feed_forward.output_dense.quantize("int8")
    with pytest.raises(ValueError, match="is quantized to int8"):
        model.to_huggingface(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_folders_that_do_not_fit_are_refused(checkpoint, tmp_path):
    folder, reference, _ = checkpoint
    with pytest.raises(ValueError, match="RNNSearch must be given a check"):
        RNNSearch.from_preset(folder)
    with pytest.raises(ValueError, match="left over"):
        Transformer.from_preset(folder, num_decoder_layers=2)
    with pytest.raises(ValueError, match=r"fc1.weight is \(37, 26\), not"):
        Transformer.from_preset(folder, intermediate_dim=41)
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / "generation_config.json"
    generation = json.loads(path.read_text())
    path.write_text(json.dumps({**generation, "pad_token_id": 5}))
    with pytest.raises(ValueError, match=r"pad_token_id=5, and \d+ in the"):
        Transformer.from_preset(tmp_path)
    path.unlink()  # config.json says the same as the one that was there
    Transformer.from_preset(tmp_path)
    (tmp_path / "source.spm").unlink()
    with pytest.raises(ValueError, match="without source.spm"):
        Transformer.from_preset(tmp_path)


def test_the_model_and_the_tokenizer_agree_on_padding(checkpoint):
    _, _, model = checkpoint
    tokenizers = dict(
        source_tokenizer=model.source_tokenizer,
        target_tokenizer=model.target_tokenizer,
    )
    with pytest.raises(ValueError, match="fill up with the id that RNNSearch"):
        RNNSearch.from_preset("rnn_search_tiny", **tokenizers)
    with pytest.raises(ValueError, match="pad_token_id=0, but a tokenizer"):
        Transformer.from_preset("transformer_tiny", **tokenizers)
