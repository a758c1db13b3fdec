"""Checkpoints of timm's vision Transformers, and our `ViT`."""

import re

import numpy as np

from keras_attention.converters.layouts import Table, to_ours
from keras_attention.converters.vit import add_block, pair

# timm's files do not tell the number of heads, but the name of the size does.
HEADS = {"tiny": 3, "small": 6, "base": 12, "large": 16, "huge": 16}
POOLINGS = {"token": "token", "avg": "average", "map": "attention"}

# What the layers in a block are called.
NAMES = {
    "query": "attn.q",
    "key": "attn.k",
    "value": "attn.v",
    "attention_output": "attn.proj",
    "self_attention_norm": "norm1",
    "feed_forward_norm": "norm2",
    "self_attention_scale": "ls1.gamma",
    "feed_forward_scale": "ls2.gamma",
    "intermediate": "mlp.fc1",
    "output": "mlp.fc2",
}


def constructor_arguments(config: dict, weights: dict) -> dict:
    """The arguments of `ViT` that a checkpoint's files ask for.

    Args:
        config: What `config.json` holds, as timm writes it.
        weights: NumPy arrays by timm's names.

    Raises:
        ValueError: The files are not those of a vision Transformer, do not
            tell a size, or ask for what `ViT` cannot do.
    """
    name = config["architecture"]
    kernel = weights.get("patch_embed.proj.weight")
    wide = weights.get("blocks.0.mlp.fc1.bias")
    if kernel is None or wide is None or "quickgelu" in name:
        raise ValueError(
            "A ViT reads timm's `vit_*` and `deit_*` models, but those with "
            f"QuickGELU. Received: architecture={name!r} in config.json. Load "
            "another checkpoint."
        )
    given, pretrained = (
        config.get(key) or {} for key in ("model_args", "pretrained_cfg")
    )
    size = given.get("img_size") or (pretrained.get("input_size") or [])[1:]
    heads = given.get("num_heads") or next(
        (n for word, n in HEADS.items() if f"_{word}_" in f"{name}_"), None
    )
    pooling = given.get("global_pool") or config.get("global_pool", "token")
    if not size or heads is None or pooling not in POOLINGS:
        raise ValueError(
            "config.json of a timm model must tell the size of images, the "
            "number of heads, or by its architecture's name, and a "
            f"`global_pool` out of {list(POOLINGS)}. Received: img_size={size}"
            f", num_heads={heads}, global_pool={pooling!r}, architecture="
            f"{name!r}. Add `model_args` to it."
        )
    dim, channels, *patch = kernel.shape
    rows, columns = (n // p for n, p in zip(pair(size), patch, strict=True))
    head = weights.get("head.weight")
    positions = weights["pos_embed"].shape[1]
    return {
        "image_shape": (*pair(size), channels),
        "patch_size": tuple(patch),
        "num_layers": len(
            [x for x in weights if re.fullmatch(r"blocks\.\d+\.norm1\.bias", x)]
        ),
        "hidden_dim": dim,
        "num_heads": heads,
        "intermediate_dim": wide.shape[0],
        "num_classes": 0 if head is None else head.shape[0],
        "pooling": POOLINGS[pooling],
        "class_token": "cls_token" in weights,
        "distillation_token": "dist_token" in weights,
        "distillation_head": "head_dist.weight" in weights,
        "prefix_positions": positions > rows * columns,
        "qkv_bias": "blocks.0.attn.qkv.bias" in weights,
        "layer_scale": 1e-5 if "blocks.0.ls1.gamma" in weights else None,
        "activation": "gelu",
        "layer_norm_epsilon": 1e-6,
        "norm_after_pooling": "fc_norm.weight" in weights,
        "interpolation": "bicubic_antialias",
    }


def entries(sizes: dict) -> Table:
    """The table of names of a model, what is fused there in parts.

    Args:
        sizes: The arguments of `ViT`, and `num_positions`.
    """
    d = sizes["hidden_dim"]
    table = Table()
    prefix = sizes["class_token"] + sizes["distillation_token"]
    if prefix:
        table.one("tokens", "prefix_tokens/tokens", (prefix, d))
    table.one(
        "pos_embed",
        "position_embedding/embeddings",
        (1, sizes["num_positions"], d),
        "row",
    )
    table.patches(
        "patch_embed.proj",
        "patch_embedding/embedding",
        pair(sizes["patch_size"]),
        sizes["image_shape"][-1],
        d,
    )
    for i in range(sizes["num_layers"]):
        add_block(table, f"blocks.{i}.", f"block_{i}", sizes, NAMES)
    table.norm("fc_norm" if sizes["norm_after_pooling"] else "norm", "norm", d)
    if sizes["pooling"] == "attention":
        add_attention_pooling(table, sizes)
    if sizes["num_classes"]:
        table.dense("head", "head", d, sizes["num_classes"])
        if sizes["distillation_token"] and sizes["distillation_head"]:
            table.dense(
                "head_dist", "distillation_head", d, sizes["num_classes"]
            )
    return table


def add_attention_pooling(table, sizes):
    d, heads, wide = (
        sizes[x] for x in ("hidden_dim", "num_heads", "intermediate_dim")
    )
    ours = "attention_pooling"
    table.one("attn_pool.latent", f"{ours}/probe", (1, 1, d), "row")
    for role, name in (("query", "q"), ("key", "k"), ("value", "v")):
        table.heads(f"attn_pool.{name}", f"{ours}/attention/{role}", d, heads)
    table.merged(
        "attn_pool.proj", f"{ours}/attention/attention_output", d, heads
    )
    table.norm("attn_pool.norm", f"{ours}/norm", d)
    feed = f"{ours}/feed_forward"
    table.dense("attn_pool.mlp.fc1", f"{feed}/intermediate", d, wide)
    table.dense("attn_pool.mlp.fc2", f"{feed}/output", wide, d)


def to_vit(weights: dict, sizes: dict) -> dict:
    """A checkpoint's weights, as those of our model.

    Args:
        weights: NumPy arrays by timm's names.
        sizes: As of `entries`.

    Returns:
        Arrays by the paths of our layers.

    Raises:
        ValueError: A weight is missing, left over, or has another shape.
    """
    parts = {}
    for name, array in weights.items():
        match = re.fullmatch(r"(.*\.)(qkv|kv)(\.\w+)", name)
        if match is None:
            parts[name] = array
            continue
        before, fused, kind = match.groups()
        for role, part in zip(fused, np.split(array, len(fused)), strict=True):
            parts[before + role + kind] = part
    tokens = [parts.pop(x) for x in ("cls_token", "dist_token") if x in parts]
    if tokens:
        parts["tokens"] = np.concatenate(tokens, axis=1)[0]
    return to_ours(parts, entries(sizes), sizes["num_heads"])
