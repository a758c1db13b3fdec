"""Marian's checkpoints, as Hugging Face keeps them, and our `Transformer`.

Names and layouts are those of `MarianMTModel` of the transformers library;
a kernel of torch is (out, in), ours (in, out), with the heads apart in
attention.
"""

from typing import NamedTuple

import numpy as np

from keras_attention.converters.layouts import Entry, to_ours, to_theirs

# Hugging Face's names of activations, and Keras's.
ACTIVATIONS = {
    "swish": "silu",
    "silu": "silu",
    "relu": "relu",
    "gelu": "gelu",
    "tanh": "tanh",
}

# The arguments of `Transformer` that decide which weights there are.
SIZES = (
    "source_vocabulary_size",
    "target_vocabulary_size",
    "num_layers",
    "num_decoder_layers",
    "hidden_dim",
    "num_heads",
    "intermediate_dim",
    "share_embeddings",
    "tie_output",
    "output_bias",
    "final_norm",
)

# Those that config.json holds.
ARGUMENTS = (
    *SIZES,
    "dropout",
    "attention_dropout",
    "activation",
    "normalize_first",
    "layer_norm_epsilon",
    "embedding_scale",
    "position_layout",
)

NEEDED = (
    "vocab_size",
    "d_model",
    "encoder_layers",
    "decoder_layers",
    "encoder_attention_heads",
    "decoder_attention_heads",
    "encoder_ffn_dim",
    "decoder_ffn_dim",
    "activation_function",
    "scale_embedding",
    "pad_token_id",
)

# What the Transformer does not have: the value that means it is not used.
UNUSED = {
    "static_position_embeddings": True,
    "normalize_embedding": False,
    "activation_dropout": 0,
    "encoder_layerdrop": 0,
    "decoder_layerdrop": 0,
}

# Constants that some files hold all the same.
POSITIONS = (
    "model.encoder.embed_positions.weight",
    "model.decoder.embed_positions.weight",
)


class SpecialIds(NamedTuple):
    """Ids that a checkpoint was trained with."""

    pad: int
    start: int
    end: int


def special_ids(config: dict, generation_config: dict) -> SpecialIds:
    """The ids that fill up, begin and end a sentence.

    Args:
        config: What `config.json` holds.
        generation_config: What `generation_config.json` holds, which counts
            where both say something; {} without one.

    Raises:
        ValueError: One is missing, or is not one integer.
    """
    merged = {**config, **_given(generation_config)}
    if merged.get("decoder_start_token_id") is None:
        merged["decoder_start_token_id"] = merged.get("pad_token_id")
    names = ("pad_token_id", "decoder_start_token_id", "eos_token_id")
    for name in names:
        if type(merged.get(name)) is not int or merged[name] < 0:
            raise ValueError(
                f"`{name}` of a Marian checkpoint must be one token. "
                f"Received: {name}={merged.get(name)!r}. Set it in config.json."
            )
    return SpecialIds(*(merged[name] for name in names))


def constructor_arguments(config: dict, generation_config: dict) -> dict:
    """The arguments of `Transformer` that a checkpoint's files ask for.

    Args:
        config: What `config.json` holds.
        generation_config: What `generation_config.json` holds, or {}.

    Raises:
        ValueError: A key is missing, or asks for what `Transformer` cannot
            do.
    """
    missing = [name for name in NEEDED if config.get(name) is None]
    if missing:
        raise ValueError(
            f"config.json of a Marian checkpoint must hold {missing}. "
            "Received: a file without. Download it again."
        )
    for name, value in UNUSED.items():
        if config.get(name, value) != value:
            raise ValueError(
                f"`{name}` must be {value!r}: the Transformer has no other "
                f"way. Received: {name}={config[name]!r} in config.json. Load "
                "another checkpoint."
            )
    for part in ("attention_heads", "ffn_dim"):
        sides = [f"{side}_{part}" for side in ("encoder", "decoder")]
        if config[sides[0]] != config[sides[1]]:
            raise ValueError(
                f"`{sides[0]}` and `{sides[1]}` must be equal: the "
                "Transformer has one size for both. Received: "
                f"{config[sides[0]]} and {config[sides[1]]} in config.json. "
                "Load another checkpoint."
            )
    activation = config["activation_function"]
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"`activation_function` must be one of {sorted(ACTIVATIONS)}. "
            f"Received: {activation!r} in config.json. Load another "
            "checkpoint."
        )
    share = config.get("share_encoder_decoder_embeddings", True)
    target_size = config["vocab_size"]
    if not share:
        target_size = config.get("decoder_vocab_size") or target_size
    return {
        "source_vocabulary_size": config["vocab_size"],
        "target_vocabulary_size": target_size,
        "num_layers": config["encoder_layers"],
        "num_decoder_layers": config["decoder_layers"],
        "hidden_dim": config["d_model"],
        "num_heads": config["encoder_attention_heads"],
        "intermediate_dim": config["encoder_ffn_dim"],
        "dropout": config.get("dropout", 0.1),
        "attention_dropout": config.get("attention_dropout", 0.0),
        "activation": ACTIVATIONS[activation],
        "normalize_first": config.get("normalize_before", False),
        "final_norm": config.get("add_final_layer_norm", False),
        "layer_norm_epsilon": 1e-5,
        "share_embeddings": share,
        "tie_output": config.get("tie_word_embeddings", True),
        "output_bias": True,
        "embedding_scale": config["scale_embedding"],
        "position_layout": "halves",
        "pad_token_id": special_ids(config, generation_config).pad,
    }


def huggingface_configs(
    arguments: dict, ids: SpecialIds, max_length: int = 512
) -> tuple[dict, dict]:
    """What config.json and generation_config.json of a model hold.

    Args:
        arguments: The `ARGUMENTS` of `Transformer`.
        ids: Its special ids.
        max_length: Most tokens that transformers writes.

    Returns:
        Both, as dicts.

    Raises:
        ValueError: The model does what `MarianMTModel` cannot.
    """
    needed = {
        "normalize_first": False,
        "final_norm": False,
        "layer_norm_epsilon": 1e-5,
        "position_layout": "halves",
    }
    for name, value in needed.items():
        if arguments[name] != value:
            raise ValueError(
                "MarianMTModel can hold a Transformer only with "
                f"{name}={value!r}. Received: {name}={arguments[name]!r}. "
                "Keep it as a preset, with `save_to_preset`."
            )
    names = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    names["swish"] = "swish"  # Keras has both names too
    if arguments["activation"] not in names:
        raise ValueError(
            f"MarianMTModel can hold the activations {sorted(names)}. "
            f"Received: activation={arguments['activation']!r}. Keep the "
            "model as a preset, with `save_to_preset`."
        )
    config = {
        "architectures": ["MarianMTModel"],
        "model_type": "marian",
        "is_encoder_decoder": True,
        "vocab_size": arguments["source_vocabulary_size"],
        "decoder_vocab_size": arguments["target_vocabulary_size"],
        "d_model": arguments["hidden_dim"],
        "encoder_layers": arguments["num_layers"],
        "num_hidden_layers": arguments["num_layers"],
        "decoder_layers": arguments["num_decoder_layers"],
        "encoder_attention_heads": arguments["num_heads"],
        "decoder_attention_heads": arguments["num_heads"],
        "encoder_ffn_dim": arguments["intermediate_dim"],
        "decoder_ffn_dim": arguments["intermediate_dim"],
        "activation_function": names[arguments["activation"]],
        "dropout": arguments["dropout"],
        "attention_dropout": arguments["attention_dropout"],
        "activation_dropout": 0.0,
        "scale_embedding": arguments["embedding_scale"],
        "normalize_before": False,
        "normalize_embedding": False,
        "add_final_layer_norm": False,
        "static_position_embeddings": True,
        # Rows of a table of constants: what transformers can read at most.
        "max_position_embeddings": max(max_length, 1024),
        "share_encoder_decoder_embeddings": arguments["share_embeddings"],
        "tie_word_embeddings": arguments["tie_output"],
        "use_cache": True,
        "dtype": "float32",
    }
    tokens = {
        "pad_token_id": ids.pad,
        "eos_token_id": ids.end,
        "decoder_start_token_id": ids.start,
        "forced_eos_token_id": ids.end,
    }
    generation = {
        **tokens,
        "bad_words_ids": [[ids.pad]],
        "max_length": max_length,
        "num_beams": 4,
    }
    return {**config, **tokens}, generation


def entries(sizes: dict) -> list[Entry]:
    """The table of names of a model.

    Args:
        sizes: The `SIZES` among the arguments of `Transformer`.
    """
    d, wide = sizes["hidden_dim"], sizes["intermediate_dim"]
    table = []

    def norm(theirs, ours):
        table.append(Entry(f"{theirs}.weight", f"{ours}/gamma", (d,), "same"))
        table.append(Entry(f"{theirs}.bias", f"{ours}/beta", (d,), "same"))

    def attention(theirs, ours):
        for name, role in (("q", "query"), ("k", "key"), ("v", "value")):
            there, here = f"{theirs}.{name}_proj", f"{ours}/{role}"
            table.append(
                Entry(f"{there}.weight", f"{here}/kernel", (d, d), "heads")
            )
            table.append(
                Entry(f"{there}.bias", f"{here}/bias", (d,), "head biases")
            )
        there, here = f"{theirs}.out_proj", f"{ours}/attention_output"
        table.append(
            Entry(f"{there}.weight", f"{here}/kernel", (d, d), "merged")
        )
        table.append(Entry(f"{there}.bias", f"{here}/bias", (d,), "same"))

    def dense(theirs, ours, shape):
        table.append(
            Entry(f"{theirs}.weight", f"{ours}/kernel", shape, "transposed")
        )
        table.append(Entry(f"{theirs}.bias", f"{ours}/bias", shape[:1], "same"))

    def block(theirs, ours, cross):
        attention(f"{theirs}.self_attn", f"{ours}/self_attention")
        norm(f"{theirs}.self_attn_layer_norm", f"{ours}/self_attention_norm")
        if cross:
            attention(f"{theirs}.encoder_attn", f"{ours}/cross_attention")
            norm(
                f"{theirs}.encoder_attn_layer_norm",
                f"{ours}/cross_attention_norm",
            )
        dense(f"{theirs}.fc1", f"{ours}/feed_forward/intermediate", (wide, d))
        dense(f"{theirs}.fc2", f"{ours}/feed_forward/output", (d, wide))
        norm(f"{theirs}.final_layer_norm", f"{ours}/feed_forward_norm")

    embeddings = {
        "model.shared": ("embedding", sizes["target_vocabulary_size"])
    }
    if not sizes["share_embeddings"]:
        embeddings = {
            f"model.{side}.embed_tokens": (f"{side}_embedding", sizes[size])
            for side, size in (
                ("encoder", "source_vocabulary_size"),
                ("decoder", "target_vocabulary_size"),
            )
        }
    for theirs, (ours, rows) in embeddings.items():
        table.append(
            Entry(f"{theirs}.weight", f"{ours}/embeddings", (rows, d), "same")
        )
    for side, number in (
        ("encoder", sizes["num_layers"]),
        ("decoder", sizes["num_decoder_layers"]),
    ):
        for i in range(number):
            block(
                f"model.{side}.layers.{i}",
                f"{side}_block_{i}",
                cross=side == "decoder",
            )
        if sizes["final_norm"]:
            norm(f"model.{side}.layer_norm", f"{side}_norm")
    tokens = sizes["target_vocabulary_size"]
    bias = "output_bias/bias"
    if not sizes["tie_output"]:
        bias = "output/bias"
        table.append(
            Entry("lm_head.weight", "output/kernel", (tokens, d), "transposed")
        )
    if sizes["output_bias"]:
        table.append(Entry("final_logits_bias", bias, (1, tokens), "row"))
    return table


def duplicates(sizes: dict) -> dict[str, tuple]:
    """Names that hold another weight once more, by that weight's name."""
    sides = tuple(
        f"model.{side}.embed_tokens.weight" for side in ("encoder", "decoder")
    )
    output = ("lm_head.weight",) if sizes["tie_output"] else ()
    if sizes["share_embeddings"]:
        return {"model.shared.weight": (*sides, *output)}
    return {sides[1]: output}


def to_transformer(weights: dict, sizes: dict) -> dict:
    """A checkpoint's weights, as those of our model.

    Args:
        weights: NumPy arrays by Hugging Face's names.
        sizes: The `SIZES` among the arguments of `Transformer`.

    Returns:
        Arrays by the paths of our layers.

    Raises:
        ValueError: A weight is missing, left over, or has another shape; or
            one that is there twice differs.
    """
    weights = {
        name: weight
        for name, weight in weights.items()
        if name not in POSITIONS
    }
    for name, others in duplicates(sizes).items():
        present = [x for x in (name, *others) if x in weights]
        for other in present[1:]:
            if not np.array_equal(weights[present[0]], weights[other]):
                raise ValueError(
                    f"{present[0]} and {other} must be equal in a checkpoint "
                    "that shares them. Received: arrays that differ. Correct "
                    "`share_encoder_decoder_embeddings` or "
                    "`tie_word_embeddings` in config.json."
                )
        if present:
            weights[name] = weights[present[0]]
        for other in others:
            weights.pop(other, None)
    table = entries(sizes)
    if sizes["output_bias"] and "final_logits_bias" not in weights:
        # transformers takes it for zeros, too.
        weights["final_logits_bias"] = np.zeros(table[-1].shape, "float32")
    return to_ours(weights, table, sizes["num_heads"])


def from_transformer(arrays: dict, sizes: dict) -> dict:
    """Our model's weights, as those of a checkpoint.

    Args:
        arrays: NumPy arrays by the paths of our layers.
        sizes: The `SIZES` among the arguments of `Transformer`.

    Returns:
        float32 arrays by Hugging Face's names.
    """
    table = entries(sizes)
    weights = to_theirs(arrays, table)
    if not sizes["output_bias"]:
        weights["final_logits_bias"] = np.zeros(
            (1, sizes["target_vocabulary_size"]), "float32"
        )
    if sizes["share_embeddings"] and not sizes["tie_output"]:
        # What ties the output in transformers also ties the two sides.
        for name in duplicates(sizes)["model.shared.weight"]:
            weights[name] = weights["model.shared.weight"].copy()
    return weights


def _given(config):
    return {name: x for name, x in config.items() if x is not None}
