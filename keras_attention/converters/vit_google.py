"""Google's checkpoints of vision Transformers (.npz), and our `ViT`.

The original ones, AugReg's, and big_vision's, which may pool by attention and
have fixed positions.
"""

import math
import re
import zipfile
from pathlib import Path

import numpy as np

from keras_attention.converters.layouts import Table, to_ours
from keras_attention.converters.precision import from_bfloat16, widen
from keras_attention.converters.vit import add_block

PREFIXES = ("opt/target/", "params/", "img/")

# Layers of a block were numbered in one row before flax's linen.
OLD = {
    "LayerNorm_2": "LayerNorm_1",
    "MultiHeadDotProductAttention_1": "MultiHeadDotProductAttention_0",
    "MlpBlock_3": "MlpBlock_0",
}
ATTENTION = "MultiHeadDotProductAttention_0"
NAMES = {
    **{role: f"{ATTENTION}/{role}" for role in ("query", "key", "value")},
    "attention_output": f"{ATTENTION}/out",
    "self_attention_norm": "LayerNorm_0",
    "feed_forward_norm": "LayerNorm_1",
    "intermediate": "MlpBlock_0/Dense_0",
    "output": "MlpBlock_0/Dense_1",
}
BLOCK = "Transformer/encoderblock"
POSITIONS = "Transformer/posembed_input/pos_embedding"
# Pictures of the models whose files have no positions.
SIDE = 224


def read_npz(path: str | Path) -> dict:
    """The arrays of a file by name, under the names of today's files.

    Args:
        path: The file.

    Raises:
        ValueError: It is no .npz file, or holds objects, which only a pickle
            could make.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            "`preset` must be a .npz file of arrays, without pickled objects. "
            f"Received: {str(path)!r}: {error} Download it again, or another."
        ) from error
    arrays = modern({name: number(array) for name, array in arrays.items()})
    kernel = arrays.get("embedding/kernel", np.zeros(0))
    last = "Transformer/encoder_norm/scale"
    if POSITIONS not in arrays and last in arrays and kernel.ndim == 4:
        height, width, _, dim = kernel.shape
        arrays[POSITIONS] = fixed_positions(SIDE // height, SIDE // width, dim)
    return arrays


def fixed_positions(height, width, dim):
    """The positions of a grid that big_vision computes instead of learning.

    Sine and cosine of columns, then of rows, at wavelengths from 2 pi to
    10,000 times that.

    Args:
        height: Rows of the grid.
        width: Columns.
        dim: Size of a token, a multiple of 4.

    Returns:
        `(1, height * width, dim)`.
    """
    rates = 10_000.0 ** -np.linspace(0, 1, dim // 4)
    rows, columns = np.indices((height, width)).reshape(2, -1, 1) * rates
    parts = [f(x) for x in (columns, rows) for f in (np.sin, np.cos)]
    return np.concatenate(parts, axis=-1)[None].astype("float32")


def number(array):
    """bfloat16, which NumPy reads as bytes, and float16 as float32."""
    if array.dtype.kind == "V" and array.dtype.itemsize == 2:
        return from_bfloat16(array.view("<u2"))
    return widen(array)


def modern(arrays):
    """Arrays under the names of today's files, one for each block."""
    result = {}
    for name, array in arrays.items():
        for prefix in PREFIXES:
            name = name.removeprefix(prefix)
        if name == "pos_embedding":
            name = POSITIONS
        if name.startswith(f"{BLOCK}/"):  # all blocks at once
            rest = name.removeprefix(BLOCK)
            result |= {f"{BLOCK}_{i}{rest}": x for i, x in enumerate(array)}
        else:
            result[name] = array
    if any("/MlpBlock_3/" in name for name in result):
        pattern = re.compile("|".join(OLD))
        result = {
            pattern.sub(lambda match: OLD[match[0]], name): array
            for name, array in result.items()
        }
    return result


def constructor_arguments(weights: dict) -> dict:
    """The arguments of `ViT` that a checkpoint asks for.

    Args:
        weights: As of `read_npz`.

    Raises:
        ValueError: There are not the weights of a vision Transformer, or its
            positions form no square.
    """
    kernel = weights.get("embedding/kernel")
    query = weights.get(f"{BLOCK}_0/{ATTENTION}/query/kernel")
    wide = weights.get(f"{BLOCK}_0/MlpBlock_0/Dense_0/bias")
    positions = weights.get(POSITIONS)
    if any(x is None for x in (kernel, query, wide, positions)):
        raise ValueError(
            "The file must hold a vision Transformer as Google publishes it: "
            f"embedding, positions and {BLOCK}_0. Received: "
            f"{sorted(weights)[:8]} and others. Load another checkpoint."
        )
    *patch, channels, dim = kernel.shape
    token = "cls" in weights
    number = positions.shape[1]
    # big_vision adds positions before it adds the class token.
    prefixed = token and math.isqrt(number - 1) ** 2 == number - 1
    side = math.isqrt(number - prefixed)
    if side**2 != number - prefixed:
        raise ValueError(
            "The positions must be those of a square of patches. Received: "
            f"{number} positions. Load another checkpoint."
        )
    pooling = "token" if token else "average"
    if "MAPHead_0/probe" in weights:
        pooling = "attention"
    head, hidden = weights.get("head/bias"), weights.get("pre_logits/bias")
    return {
        "image_shape": (side * patch[0], side * patch[1], channels),
        "patch_size": tuple(patch),
        "num_layers": len(
            [
                x
                for x in weights
                if re.fullmatch(rf"{BLOCK}_\d+/LayerNorm_0/bias", x)
            ]
        ),
        "hidden_dim": dim,
        "num_heads": query.shape[1],
        "intermediate_dim": wide.shape[0],
        "num_classes": 0 if head is None else head.shape[0],
        "pooling": pooling,
        "class_token": token,
        "prefix_positions": prefixed,
        "representation_dim": None if hidden is None else hidden.shape[0],
        "activation": "gelu_tanh",
        "layer_norm_epsilon": 1e-6,
        "interpolation": "bilinear_align_corners",
    }


def entries(sizes: dict) -> Table:
    """The table of names of a model.

    Args:
        sizes: The arguments of `ViT`, and `num_positions`.
    """
    d, wide = sizes["hidden_dim"], sizes["intermediate_dim"]
    table = Table(flax=True)
    if sizes["class_token"]:
        table.one("cls", "prefix_tokens/tokens", (1, 1, d), "row")
    table.one(
        POSITIONS,
        "position_embedding/embeddings",
        (1, sizes["num_positions"], d),
        "row",
    )
    table.patches(
        "embedding",
        "patch_embedding/embedding",
        sizes["patch_size"],
        sizes["image_shape"][-1],
        d,
    )
    for i in range(sizes["num_layers"]):
        add_block(table, f"{BLOCK}_{i}/", f"block_{i}", sizes, NAMES)
    table.norm("Transformer/encoder_norm", "norm", d)
    if sizes["pooling"] == "attention":
        theirs, ours = "MAPHead_0", "attention_pooling"
        attention = f"{ours}/attention"
        heads = sizes["num_heads"]
        table.one(f"{theirs}/probe", f"{ours}/probe", (1, 1, d), "row")
        for role in ("query", "key", "value"):
            table.heads(
                f"{theirs}/{ATTENTION}/{role}", f"{attention}/{role}", d, heads
            )
        table.merged(
            f"{theirs}/{ATTENTION}/out",
            f"{attention}/attention_output",
            d,
            heads,
        )
        table.norm(f"{theirs}/LayerNorm_0", f"{ours}/norm", d)
        feed = f"{ours}/feed_forward"
        table.dense(
            f"{theirs}/MlpBlock_0/Dense_0", f"{feed}/intermediate", d, wide
        )
        table.dense(f"{theirs}/MlpBlock_0/Dense_1", f"{feed}/output", wide, d)
    width = d
    if sizes["representation_dim"] is not None:
        width = sizes["representation_dim"]
        table.dense("pre_logits", "representation", d, width)
    if sizes["num_classes"]:
        table.dense("head", "head", width, sizes["num_classes"])
    return table


def to_vit(weights: dict, sizes: dict) -> dict:
    """A checkpoint's weights, as those of our model.

    Args:
        weights: As of `read_npz`.
        sizes: As of `entries`.

    Returns:
        Arrays by the paths of our layers.

    Raises:
        ValueError: A weight is missing, left over, or has another shape.
    """
    return to_ours(weights, entries(sizes), sizes["num_heads"])
