"""Checkpoints of vision Transformers, and our `ViT`: Hugging Face's.

ViT, DeiT and DINOv2 of the transformers library. What is called differently
in memory and on disk is read under both names.
"""

import re

import numpy as np

from keras_attention.converters.layouts import Table, to_ours, to_theirs

# Hugging Face's names of activations, and ours.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_fast": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
MODEL_TYPES = ("vit", "deit", "dinov2")

NEEDED = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "hidden_act",
    "layer_norm_eps",
    "image_size",
    "patch_size",
    "num_channels",
)

# How transformers calls layers in memory, and on disk.
IN_MEMORY = (
    (r"(^|\.)layers\.(\d+)\.", r"\1encoder.layer.\2."),
    (r"\.attention\.(q|k|v)_proj\.", r".attention.attention.\1_proj."),
    (r"\.q_proj\.", ".query."),
    (r"\.k_proj\.", ".key."),
    (r"\.v_proj\.", ".value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
)
IN_MEMORY_OF_VIT = (
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
)

# The two tokens of DeiT are one weight of ours, in this order.
TOKENS = "embeddings.cls_token", "embeddings.distillation_token"

# What the layers in a block are called.
ATTENTION = {
    role: f"attention.attention.{role}" for role in ("query", "key", "value")
} | {"attention_output": "attention.output.dense"}
NAMES_OF_VIT = ATTENTION | {
    "self_attention_norm": "layernorm_before",
    "feed_forward_norm": "layernorm_after",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
}
NAMES_OF_DINOV2 = ATTENTION | {
    "self_attention_norm": "norm1",
    "feed_forward_norm": "norm2",
    "intermediate": "mlp.fc1",
    "output": "mlp.fc2",
    "self_attention_scale": "layer_scale1.lambda1",
    "feed_forward_scale": "layer_scale2.lambda1",
}


def constructor_arguments(config: dict, names) -> dict:
    """The arguments of `ViT` that a checkpoint's files ask for.

    Args:
        config: What `config.json` holds.
        names: The names of its weights.

    Raises:
        ValueError: A key is missing, or asks for what `ViT` cannot do.
    """
    check_config(config, NEEDED)
    names = {on_disk(name, config["model_type"]) for name in names}
    heads = [name for name in names if name.endswith("classifier.weight")]
    dinov2 = config["model_type"] == "dinov2"
    dim = config["hidden_size"]
    wide = config.get("intermediate_size")
    if dinov2:
        wide = int(dim * config.get("mlp_ratio", 4))
    return {
        "image_shape": (*pair(config["image_size"]), config["num_channels"]),
        "patch_size": pair(config["patch_size"]),
        "num_layers": config["num_hidden_layers"],
        "hidden_dim": dim,
        "num_heads": config["num_attention_heads"],
        "intermediate_dim": wide,
        "num_classes": number_of_classes(config) if heads else 0,
        "pooling": "token_and_average" if dinov2 and heads else "token",
        "distillation_token": config["model_type"] == "deit",
        "distillation_head": len(heads) > 1,
        "representation_dim": (
            config.get("pooler_output_size") or dim
            if any(name.endswith("pooler.dense.weight") for name in names)
            else None
        ),
        "qkv_bias": config.get("qkv_bias", True),
        "layer_scale": config.get("layerscale_value", 1.0) if dinov2 else None,
        "stochastic_depth": config.get("drop_path_rate", 0.0),
        "dropout": config.get("hidden_dropout_prob", 0.0),
        "attention_dropout": config.get("attention_probs_dropout_prob", 0.0),
        "activation": ACTIVATIONS[config["hidden_act"]],
        "layer_norm_epsilon": config["layer_norm_eps"],
        "interpolation": "bicubic",
    }


def check_config(config, needed):
    """Raises unless a config has these keys, and an activation of ours."""
    missing = [name for name in needed if config.get(name) is None]
    if missing:
        raise ValueError(
            f"config.json of a vision Transformer must hold {missing}. "
            "Received: a file without. Download it again."
        )
    if config.get("use_swiglu_ffn"):
        raise ValueError(
            "The feed-forward layers of a ViT have one activation. Received: "
            "use_swiglu_ffn=true in config.json. Load another checkpoint."
        )
    if config["hidden_act"] not in ACTIVATIONS:
        raise ValueError(
            f"`hidden_act` must be one of {sorted(ACTIVATIONS)}. Received: "
            f"{config['hidden_act']!r} in config.json. Load another checkpoint."
        )


def number_of_classes(config):
    labels = config.get("id2label")
    return len(labels) if labels else config.get("num_labels", 2)


def pair(size):
    return tuple(size) if isinstance(size, (list, tuple)) else (size, size)


def on_disk(name, model_type):
    """A weight's name as files have it, without the model's prefix."""
    for prefix in MODEL_TYPES:
        name = name.removeprefix(f"{prefix}.")
    changes = IN_MEMORY
    if model_type != "dinov2":
        changes = (*changes, *IN_MEMORY_OF_VIT)
    for pattern, replacement in changes:
        name = re.sub(pattern, replacement, name)
    return name


def entries(sizes: dict) -> Table:
    """The table of names of a model, the tokens as one weight.

    Args:
        sizes: The arguments of `ViT`, and `num_positions`.
    """
    d = sizes["hidden_dim"]
    scaled = model_type_of(sizes) == "dinov2"
    table = Table()
    prefix = 1 + sizes["distillation_token"]
    table.one("tokens", "prefix_tokens/tokens", (prefix, d))
    table.one(
        "embeddings.position_embeddings",
        "position_embedding/embeddings",
        (1, sizes["num_positions"], d),
        "row",
    )
    table.patches(
        "embeddings.patch_embeddings.projection",
        "patch_embedding/embedding",
        pair(sizes["patch_size"]),
        sizes["image_shape"][-1],
        d,
    )
    names = NAMES_OF_DINOV2 if scaled else NAMES_OF_VIT
    for i in range(sizes["num_layers"]):
        add_block(table, f"encoder.layer.{i}.", f"block_{i}", sizes, names)
    table.norm("layernorm", "norm", d)
    width = d
    if sizes["representation_dim"] is not None:
        width = sizes["representation_dim"]
        table.dense("pooler.dense", "representation", d, width)
    if sizes["pooling"] == "token_and_average":
        width = 2 * d
    if sizes["num_classes"]:
        heads = {"classifier": "head"}
        if sizes["distillation_token"] and sizes["distillation_head"]:
            heads = {
                "cls_classifier": "head",
                "distillation_classifier": "distillation_head",
            }
        for theirs, ours in heads.items():
            table.dense(theirs, ours, width, sizes["num_classes"])
    return table


def add_block(table, theirs, ours, sizes, names):
    """The entries of one block, which is called alike everywhere here.

    Args:
        table: Gets the entries.
        theirs: What all their names begin with.
        ours: Our block.
        sizes: The arguments of `ViT`.
        names: Their names of the layers in a block, by ours.
    """
    d, heads = sizes["hidden_dim"], sizes["num_heads"]
    wide = sizes["intermediate_dim"]
    for role in ("query", "key", "value"):
        table.heads(
            theirs + names[role],
            f"{ours}/self_attention/{role}",
            d,
            heads,
            sizes["qkv_bias"],
        )
    output = "attention_output"
    table.merged(
        theirs + names[output], f"{ours}/self_attention/{output}", d, heads
    )
    for part in ("self_attention", "feed_forward"):
        table.norm(theirs + names[f"{part}_norm"], f"{ours}/{part}_norm", d)
        if sizes["layer_scale"] is not None:
            table.one(
                theirs + names[f"{part}_scale"], f"{ours}/{part}_scale", (d,)
            )
    feed = f"{ours}/feed_forward"
    table.dense(theirs + names["intermediate"], f"{feed}/intermediate", d, wide)
    table.dense(theirs + names["output"], f"{feed}/output", wide, d)


def to_vit(weights: dict, sizes: dict) -> dict:
    """A checkpoint's weights, as those of our model.

    Args:
        weights: NumPy arrays by Hugging Face's names.
        sizes: As of `entries`.

    Returns:
        Arrays by the paths of our layers.

    Raises:
        ValueError: A weight is missing, left over, or has another shape.
    """
    kind = model_type_of(sizes)
    weights = {on_disk(name, kind): x for name, x in weights.items()}
    # What only pretraining by masked patches reads.
    weights.pop("embeddings.mask_token", None)
    tokens = TOKENS[: 1 + sizes["distillation_token"]]
    if all(name in weights for name in tokens):
        parts = [weights.pop(name)[0] for name in tokens]
        weights["tokens"] = np.concatenate(parts)
    table = entries(sizes)
    return to_ours(weights, table, sizes["num_heads"])


def from_vit(arrays: dict, sizes: dict) -> dict:
    """Our model's weights, as those of a checkpoint.

    Args:
        arrays: NumPy arrays by the paths of our layers.
        sizes: As of `entries`.

    Returns:
        float32 arrays by Hugging Face's names.
    """
    weights = to_theirs(arrays, entries(sizes))
    tokens = weights.pop("tokens")
    for name, token in zip(TOKENS, tokens, strict=False):
        weights[name] = token[None, None]
    model_type = model_type_of(sizes)
    if model_type == "dinov2":
        weights["embeddings.mask_token"] = np.zeros_like(tokens[:1])
    # A model without a head has no prefix.
    if not sizes["num_classes"]:
        return weights
    outside = re.compile("(cls_|distillation_)?classifier")
    return {
        name if outside.match(name) else f"{model_type}.{name}": array
        for name, array in weights.items()
    }


def huggingface_config(arguments: dict, labels=None) -> dict:
    """What config.json of a model holds.

    Args:
        arguments: Those of `ViT`.
        labels: Names of the classes.

    Raises:
        ValueError: The model does what none of theirs can.
    """
    names = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    check_arguments(arguments, names)
    model_type = model_type_of(arguments)
    height, width, channels = arguments["image_shape"]
    rows, columns = pair(arguments["patch_size"])
    classes = arguments["num_classes"]
    kind = {"vit": "ViT", "deit": "DeiT", "dinov2": "Dinov2"}[model_type]
    suffix = "ForImageClassification" if classes else "Model"
    if classes and arguments["distillation_token"]:
        suffix += "WithTeacher" if arguments["distillation_head"] else ""
    config = {
        "architectures": [kind + suffix],
        "model_type": model_type,
        "hidden_size": arguments["hidden_dim"],
        "num_hidden_layers": arguments["num_layers"],
        "num_attention_heads": arguments["num_heads"],
        "hidden_act": names[arguments["activation"]],
        "layer_norm_eps": arguments["layer_norm_epsilon"],
        "image_size": height if height == width else [height, width],
        "patch_size": rows if rows == columns else [rows, columns],
        "num_channels": channels,
        "qkv_bias": arguments["qkv_bias"],
        "hidden_dropout_prob": arguments["dropout"],
        "attention_probs_dropout_prob": arguments["attention_dropout"],
        "dtype": "float32",
    }
    if model_type == "dinov2":
        ratio = arguments["intermediate_dim"] / arguments["hidden_dim"]
        config |= {
            "mlp_ratio": int(ratio) if ratio == int(ratio) else ratio,
            "layerscale_value": arguments["layer_scale"],
            "drop_path_rate": arguments["stochastic_depth"],
            "use_swiglu_ffn": False,
        }
    else:
        config["intermediate_size"] = arguments["intermediate_dim"]
        if arguments["representation_dim"] is not None:
            config["pooler_output_size"] = arguments["representation_dim"]
            config["pooler_act"] = "tanh"
    if classes:
        labels = labels or [f"LABEL_{i}" for i in range(classes)]
        config["id2label"] = dict(enumerate(labels))
        config["label2id"] = {label: i for i, label in enumerate(labels)}
    return config


def model_type_of(arguments):
    """The `model_type` that has the weights of a model with these arguments."""
    if arguments["layer_scale"] is not None:
        return "dinov2"
    return "deit" if arguments["distillation_token"] else "vit"


def check_arguments(arguments, activations):
    """Raises unless transformers computes what these arguments ask for."""
    scaled = arguments["layer_scale"] is not None
    head = bool(arguments["num_classes"])
    needed = {
        "pooling": "token_and_average" if scaled and head else "token",
        "prefix_positions": True,
        "norm_after_pooling": False,
    }
    if scaled:
        needed |= {"distillation_token": False, "representation_dim": None}
    if head or arguments["distillation_token"]:
        needed["representation_dim"] = None
    for name, value in needed.items():
        if arguments[name] != value:
            raise ValueError(
                f"Hugging Face's models can hold this ViT only with {name}="
                f"{value!r}. Received: {name}={arguments[name]!r}. Keep it as "
                "a preset, with `save_to_preset`."
            )
    if arguments["activation"] not in activations:
        raise ValueError(
            f"Hugging Face's models can hold the activations "
            f"{sorted(activations)}. Received: activation="
            f"{arguments['activation']!r}. Keep the model as a preset, with "
            "`save_to_preset`."
        )
