"""Transformer, and the same sizes in keras-hub, transformers, CTranslate2."""

import tempfile
from functools import partial

import keras
import numpy as np
from keras import ops

from keras_attention.decoding import beam_search, greedy
from keras_attention.models import Transformer

BATCH, SOURCE, TARGET, VOCABULARY = 32, 20, 32, 8000
LAYERS, HIDDEN, HEADS, INTERMEDIATE = 6, 512, 8, 2048
START, END = 1, 2
TOKENS = BATCH * TARGET


def source():
    rng = np.random.default_rng(0)
    return rng.integers(4, VOCABULARY, (BATCH, SOURCE), dtype="int32")


def search(num_beams, quantize=None):
    """All sentences take all steps: the end is never likely enough."""
    return lambda: partial(decoder(num_beams, TARGET, quantize), TARGET)


def some_of(length, max_length):
    """A greedy search that ends after `length` of `max_length` tokens."""
    return lambda: partial(decoder(1, max_length), length)


def tokens_from(position, make_decode, number=20):
    """So many tokens from a position on, by what they add to a search.

    Args:
        position: Where they begin.
        make_decode: Returns a search, which takes the number of its tokens.
        number: How many they are.
    """

    def make():
        decode = make_decode()

        def step():
            decode(position + number)

        def times(clock, steps):
            return [
                time_of(clock, decode, position + number)
                - time_of(clock, decode, position)
                for _ in range(steps)
            ]

        step.times = times
        return step

    return make


def time_of(clock, function, argument):
    start = clock()
    function(argument)
    return clock() - start


def decoder(num_beams, max_length, quantize=None):
    """Takes the length at which all sentences are cut."""
    model = Transformer(
        VOCABULARY,
        VOCABULARY,
        num_layers=LAYERS,
        hidden_dim=HIDDEN,
        num_heads=HEADS,
        intermediate_dim=INTERMEDIATE,
        share_embeddings=True,
        output_bias=True,
    )
    model.output_layer.bias.assign(no_end())
    if quantize is not None:
        model.quantize(quantize)
    model.compile(jit_compile=keras.backend.backend() != "torch")
    options: dict = dict(
        start_token=START, end_token=END, max_length=max_length
    )

    def decode(ids, limits):
        memory, state = model.start(ids, max_length, num_beams)
        arguments = (model.step, memory, state)
        if num_beams == 1:
            decoded = greedy(*arguments, max_lengths=limits, **options)
        else:
            decoded = beam_search(
                *arguments,
                num_beams=num_beams,
                max_lengths=limits,
                **options,
            )
        return decoded.token_ids

    compiled = model.compile_function("decode", decode)
    ids = ops.convert_to_tensor(source())

    def run(length):
        limits = ops.full((BATCH,), length, "int32")
        return ops.convert_to_numpy(compiled(ids, limits))

    return run


def no_end():
    bias = np.zeros(VOCABULARY, "float32")
    bias[END] = -1e9
    return bias


def transformers_search(num_beams):
    def make():
        import torch
        from transformers import MarianConfig, MarianMTModel

        model = MarianMTModel(
            MarianConfig(
                vocab_size=VOCABULARY,
                d_model=HIDDEN,
                encoder_layers=LAYERS,
                decoder_layers=LAYERS,
                encoder_attention_heads=HEADS,
                decoder_attention_heads=HEADS,
                encoder_ffn_dim=INTERMEDIATE,
                decoder_ffn_dim=INTERMEDIATE,
                activation_function="relu",
                pad_token_id=0,
                decoder_start_token_id=START,
                eos_token_id=END,
                forced_eos_token_id=None,
            )
        ).eval()
        ids = torch.tensor(source(), dtype=torch.long)

        def step():
            with torch.no_grad():
                return model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    num_beams=num_beams,
                    do_sample=False,
                    min_new_tokens=TARGET,
                    max_new_tokens=TARGET,
                )

        return step

    return make


def long_decoder():
    return decoder(1, max_length=256)


def ctranslate2_search(num_beams, compute_type="float32"):
    return lambda: partial(ctranslate2_decoder(num_beams, compute_type), TARGET)


def ctranslate2_decoder(num_beams=1, compute_type="float32"):
    """Random weights, put into CTranslate2's own description of a model."""
    import ctranslate2

    spec = ctranslate2.specs.TransformerSpec.from_config(
        (LAYERS, LAYERS), HEADS, pre_norm=False
    )
    rng = np.random.default_rng(0)
    fill(spec, rng)
    words = ["<pad>", "<s>", "</s>", "<unk>"]
    words += [f"w{i}" for i in range(len(words), VOCABULARY)]
    spec.register_source_vocabulary(words)
    spec.register_target_vocabulary(words)
    spec.config.add_source_bos = spec.config.add_source_eos = False
    spec.validate()
    with tempfile.TemporaryDirectory() as folder:
        spec.save(folder)
        translator = ctranslate2.Translator(
            folder,
            compute_type=compute_type,
            inter_threads=1,
            intra_threads=1,
        )
    rows = [[words[i] for i in row] for row in source()]

    def run(length):
        return translator.translate_batch(
            rows,
            beam_size=num_beams,
            min_decoding_length=length,
            max_decoding_length=length,
            length_penalty=0.6,
        )

    return run


def fill(spec, rng):
    """Gives every variable of a specification random values."""

    def draw(*shape):
        return (0.05 * rng.standard_normal(shape)).astype("float32")

    embeddings = draw(VOCABULARY, HIDDEN)
    spec.encoder.embeddings[0].weight = embeddings
    spec.decoder.embeddings.weight = embeddings
    spec.decoder.projection.weight = embeddings
    for side in (spec.encoder, spec.decoder):
        side.scale_embeddings = True
        side.position_encodings.encodings = draw(512, HIDDEN)
        for layer in side.layer:
            attentions = [(layer.self_attention, [3 * HIDDEN, HIDDEN])]
            if side is spec.decoder:
                sizes = [HIDDEN, 2 * HIDDEN, HIDDEN]
                attentions.append((layer.attention, sizes))
            for attention, sizes in attentions:
                for linear, size in zip(attention.linear, sizes, strict=True):
                    linear.weight = draw(size, HIDDEN)
                    linear.bias = draw(size)
                norm(attention.layer_norm)
            feed = layer.ffn
            feed.linear_0.weight = draw(INTERMEDIATE, HIDDEN)
            feed.linear_0.bias = draw(INTERMEDIATE)
            feed.linear_1.weight = draw(HIDDEN, INTERMEDIATE)
            feed.linear_1.bias = draw(HIDDEN)
            norm(feed.layer_norm)


def norm(spec):
    spec.gamma = np.ones(HIDDEN, "float32")
    spec.beta = np.zeros(HIDDEN, "float32")


def keras_hub_search(num_beams):
    def make():
        import keras_hub

        backbone = keras_hub.models.BartBackbone(
            vocabulary_size=VOCABULARY,
            num_layers=LAYERS,
            num_heads=HEADS,
            hidden_dim=HIDDEN,
            intermediate_dim=INTERMEDIATE,
            max_sequence_length=64,
        )
        model = keras_hub.models.BartSeq2SeqLM(backbone, preprocessor=None)
        sampler = "greedy"
        if num_beams > 1:
            sampler = keras_hub.samplers.BeamSampler(num_beams)
        model.compile(sampler=sampler, jit_compile=True)
        target = np.zeros((BATCH, TARGET + 1), "int32")
        target[:, 0] = START
        inputs = {
            "encoder_token_ids": source(),
            "encoder_padding_mask": np.ones((BATCH, SOURCE), "bool"),
            "decoder_token_ids": target,
            "decoder_padding_mask": target > 0,
        }
        return lambda: model.generate(inputs, stop_token_ids=None)

    return make


# Row, peer, its step, our backends, the backend of the peer's process.
PEERS = (
    (
        "keras-hub",
        "keras_hub's BartSeq2SeqLM of these sizes with XLA",
        keras_hub_search,
        ("tensorflow",),
        None,
    ),
    (
        "transformers",
        "transformers' MarianMTModel.generate of these sizes",
        transformers_search,
        ("tensorflow", "jax", "torch"),
        "torch",
    ),
    (
        "ctranslate2",
        "CTranslate2 of these sizes, float32",
        ctranslate2_search,
        ("tensorflow", "jax", "torch"),
        "torch",
    ),
)
