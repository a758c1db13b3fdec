"""Checkpoints of the paper's own code, scenic (msgpack), and our `ViViT`."""

import math
import re
from pathlib import Path

import numpy as np

from keras_attention.converters.layouts import Table, to_ours
from keras_attention.converters.precision import from_bfloat16, widen
from keras_attention.converters.vit import add_block
from keras_attention.converters.vit_google import NAMES
from keras_attention.converters.vivit import check_variant
from keras_attention.extras import require

# Where the weights lie in a file, the first that is there.
ROOTS = ("optimizer", "target"), ("params",), ()
# What flax packs an array as.
ARRAY, SCALAR = 1, 3
CHUNKED = "__msgpack_chunked_array__"
# Height and width, and frames, of the clips of the published models.
SIDE, FRAMES = 224, 32

JOINT, SPACE, TIME = "Transformer", "SpatialTransformer", "TemporalTransformer"
ATTENTION = "MultiHeadDotProductAttention"
OF_SPACE = f"{JOINT}/encoderblock_0/{ATTENTION}_space/query/kernel"
FACTORIZED = {
    **{role: f"{ATTENTION}_space/{role}" for role in ("query", "key", "value")},
    "attention_output": f"{ATTENTION}_space/out",
    "self_attention_norm": "LayerNorm_space",
    "feed_forward_norm": "LayerNorm_mlp",
    "intermediate": "MlpBlock/Dense_0",
    "output": "MlpBlock/Dense_1",
}


def read_msgpack(path: str | Path) -> dict:
    """The weights in a checkpoint file of flax, by name.

    Args:
        path: The file.

    Returns:
        float32 arrays; the names of nested layers are joined by "/".

    Raises:
        ValueError: It is no such file.
        ImportError: msgpack is not installed.
    """
    msgpack = require("msgpack", extra="hub")
    try:
        tree = msgpack.unpackb(
            Path(path).read_bytes(),
            ext_hook=unpack,
            raw=False,
            strict_map_key=False,
        )
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise ValueError(
            "`preset` must be a checkpoint of flax, packed by msgpack. "
            f"Received: {str(path)!r}: {error!r}. Download it again."
        ) from error
    for root in ROOTS:
        found = tree
        for name in root:
            found = found.get(name) if isinstance(found, dict) else None
        if isinstance(found, dict):
            break
    else:
        raise ValueError(
            "A checkpoint of flax must hold arrays by name. Received: "
            f"{str(path)!r} with {type(tree).__name__}."
        )
    return dict(flat(found.get("params", found), ""))


def unpack(kind, data):
    """An array or a NumPy scalar as flax packs it."""
    msgpack = require("msgpack", extra="hub")
    if kind not in (ARRAY, SCALAR):
        return msgpack.ExtType(kind, data)
    shape, dtype, values = msgpack.unpackb(data, raw=True)
    dtype = dtype.decode()
    if dtype == "bfloat16":
        array = from_bfloat16(np.frombuffer(values, "<u2"))
    else:
        array = np.frombuffer(values, dtype)
    array = array.reshape(shape)
    return array if kind == ARRAY else array[()]


def flat(tree, path):
    """Arrays by the names that lead to them."""
    if isinstance(tree, np.ndarray):
        yield path, widen(tree)
    elif isinstance(tree, dict) and CHUNKED in tree:
        parts, sizes = (
            [tree[name][str(i)] for i in range(len(tree[name]))]
            for name in ("chunks", "shape")
        )
        yield path, widen(np.concatenate(parts).reshape(sizes))
    elif isinstance(tree, dict):
        for name, value in tree.items():
            yield from flat(value, f"{path}/{name}" if path else str(name))


def constructor_arguments(weights: dict, variant: str | None = None) -> dict:
    """The arguments of `ViViT` that a checkpoint asks for.

    Args:
        weights: As of `read_msgpack`.
        variant: Which one it is, where the weights do not tell: without a
            class token those of "spatio_temporal", the default, and of
            "factorized_dot_product" have the same names.

    Raises:
        ValueError: There are not the weights of a video vision Transformer,
            or of this variant, or its positions are not those of published
            sizes.
    """
    row = SPACE if f"{SPACE}/encoder_norm/bias" in weights else JOINT
    kernel = weights.get("embedding/kernel")
    positions = weights.get(f"{row}/posembed_input/pos_embedding")
    if kernel is None or kernel.ndim != 5 or positions is None:
        raise ValueError(
            "The file must hold a ViViT as scenic keeps it: an embedding of "
            f"tubelets, positions and blocks. Received: {sorted(weights)[:8]} "
            "and others. Load another checkpoint."
        )
    *tubelet, channels, dim = kernel.shape
    token = "cls" in weights or f"cls_{SPACE}" in weights
    number = positions.shape[1] - token
    of_space = OF_SPACE in weights
    query, wide = f"{ATTENTION}_0/query/kernel", "MlpBlock_0/Dense_0/bias"
    if of_space:
        query, wide = f"{ATTENTION}_space/query/kernel", "MlpBlock/Dense_0/bias"
    if row == SPACE:
        side = math.isqrt(number)
        times = FRAMES // tubelet[0]  # where nothing tells
        found = "factorized_encoder"
        over_time = weights.get(f"{TIME}/posembed_input/pos_embedding")
        if over_time is not None:
            times = over_time.shape[1] - token
        height, width = side * tubelet[1], side * tubelet[2]
        fits = side**2 == number
    else:
        height = width = SIDE
        times, rest = divmod(
            number, (SIDE // tubelet[1]) * (SIDE // tubelet[2])
        )
        fits = not rest
        found = "spatio_temporal"
        if of_space:
            found = "factorized_self_attention"
        elif not token and variant == "factorized_dot_product":
            found = variant
    if not fits:
        raise ValueError(
            "The positions must be those of square frames, of "
            f"{SIDE} x {SIDE} pixels where space and time share them. "
            f"Received: {number} positions for tubelets of {tubelet}. Load "
            "another checkpoint."
        )
    check_variant(variant or found, found)
    head, hidden = (
        weights.get(f"{name}/bias")
        for name in ("output_projection", "pre_logits")
    )
    block = f"{row}/encoderblock_0/"
    return {
        "video_shape": (times * tubelet[0], height, width, channels),
        "tubelet_size": tuple(tubelet),
        "variant": found,
        "num_layers": number_of_blocks(weights, row),
        "num_temporal_layers": number_of_blocks(weights, TIME),
        "hidden_dim": dim,
        "num_heads": weights[block + query].shape[1],
        "intermediate_dim": weights[block + wide].shape[0],
        "num_classes": 0 if head is None else head.shape[0],
        "pooling": "token" if token else "average",
        "representation_dim": None if hidden is None else hidden.shape[0],
        "activation": "gelu_tanh",
        "layer_norm_epsilon": 1e-6,
        "interpolation": "bilinear_align_corners",
    }


def number_of_blocks(weights, row):
    pattern = rf"{row}/encoderblock_(\d+)/.*"
    found = (re.fullmatch(pattern, name) for name in weights)
    return len({match[1] for match in found if match})


def entries(sizes: dict) -> Table:
    """The table of names of a model.

    Args:
        sizes: The arguments of `ViViT`, and its `grid_shape`.
    """
    d = sizes["hidden_dim"]
    frames, height, width = sizes["grid_shape"]
    token = int(sizes["pooling"] == "token")
    table = Table(flax=True)
    table.patches(
        "embedding",
        "tubelet_embedding/embedding",
        sizes["tubelet_size"],
        sizes["video_shape"][-1],
        d,
    )

    def row(theirs, prefix, number, blocks, cls, names=NAMES):
        if token:
            table.one(cls, f"{prefix}prefix_tokens/tokens", (1, 1, d), "row")
        table.one(
            f"{theirs}/posembed_input/pos_embedding",
            f"{prefix}position_embedding/embeddings",
            (1, number + token, d),
            "row",
        )
        for i in range(blocks):
            block = f"{theirs}/encoderblock_{i}/"
            ours = f"{prefix}block_{i}"
            add_block(table, block, ours, sizes, names)
            if names is FACTORIZED:
                attention = f"{block}{ATTENTION}_time"
                for role in ("query", "key", "value"):
                    table.heads(
                        f"{attention}/{role}",
                        f"{ours}/time_attention/{role}",
                        d,
                        sizes["num_heads"],
                    )
                table.merged(
                    f"{attention}/out",
                    f"{ours}/time_attention/attention_output",
                    d,
                    sizes["num_heads"],
                )
                table.norm(
                    f"{block}LayerNorm_time", f"{ours}/time_attention_norm", d
                )
        table.norm(f"{theirs}/encoder_norm", f"{prefix}norm", d)

    layers = sizes["num_layers"]
    if sizes["variant"] == "factorized_encoder":
        row(SPACE, "", height * width, layers, f"cls_{SPACE}")
        over_time = sizes["num_temporal_layers"]
        if over_time:
            row(TIME, "temporal_", frames, over_time, f"cls_{TIME}")
    else:
        names = NAMES
        if sizes["variant"] == "factorized_self_attention":
            names = FACTORIZED
        row(JOINT, "", frames * height * width, layers, "cls", names)
    width = d
    if sizes["representation_dim"] is not None:
        width = sizes["representation_dim"]
        table.dense("pre_logits", "representation", d, width)
    if sizes["num_classes"]:
        classes = sizes["num_classes"]
        if isinstance(classes, dict):
            classes = sum(classes.values())
        table.dense("output_projection", "head", width, classes)
    return table


def to_vivit(weights: dict, sizes: dict) -> dict:
    """A checkpoint's weights, as those of our model.

    Args:
        weights: As of `read_msgpack`.
        sizes: As of `entries`.

    Returns:
        Arrays by the paths of our layers.

    Raises:
        ValueError: A weight is missing, left over, or has another shape.
    """
    return to_ours(weights, entries(sizes), sizes["num_heads"])
