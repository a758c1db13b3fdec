"""Checkpoints of video vision Transformers, and our `ViViT`: Hugging Face's.

Those of the transformers library are of the spatio-temporal variant alone.
"""

from keras_attention.converters import vit
from keras_attention.converters.layouts import Table, to_ours

MODEL_TYPES = ("vivit",)
NEEDED = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "layer_norm_eps",
    "image_size",
    "num_frames",
    "tubelet_size",
    "num_channels",
)


def constructor_arguments(config: dict, names) -> dict:
    """The arguments of `ViViT` that a checkpoint's files ask for.

    Args:
        config: What `config.json` holds.
        names: The names of its weights.

    Raises:
        ValueError: A key is missing, or asks for what `ViViT` cannot do.
    """
    vit.check_config(config, NEEDED)
    names = {on_disk(name) for name in names}
    dim = config["hidden_size"]
    return {
        "video_shape": (
            config["num_frames"],
            *vit.pair(config["image_size"]),
            config["num_channels"],
        ),
        "tubelet_size": tuple(config["tubelet_size"]),
        "variant": "spatio_temporal",
        "num_layers": config["num_hidden_layers"],
        "hidden_dim": dim,
        "num_heads": config["num_attention_heads"],
        "intermediate_dim": config["intermediate_size"],
        "num_classes": (
            vit.number_of_classes(config) if "classifier.weight" in names else 0
        ),
        "pooling": "token",
        "representation_dim": dim if "pooler.dense.weight" in names else None,
        "qkv_bias": config.get("qkv_bias", True),
        "dropout": config.get("hidden_dropout_prob", 0.0),
        "attention_dropout": config.get("attention_probs_dropout_prob", 0.0),
        "activation": vit.ACTIVATIONS[config["hidden_act"]],
        "layer_norm_epsilon": config["layer_norm_eps"],
        # Its positions come from scenic, whose rule this is; transformers has
        # none that works.
        "interpolation": "bilinear_align_corners",
    }


def check_variant(asked, found):
    """Raises unless a model is of the variant that its weights are of."""
    if asked != found:
        raise ValueError(
            f"The weights are those of variant={found!r}. Received: variant="
            f"{asked!r}. Leave it out, or load another checkpoint."
        )


def on_disk(name):
    """A weight's name as files have it, without the model's prefix."""
    return vit.on_disk(name.removeprefix("vivit."), "vit")


def entries(sizes: dict) -> Table:
    """The table of names of a model.

    Args:
        sizes: The arguments of `ViViT`, and its `grid_shape`.
    """
    d = sizes["hidden_dim"]
    frames, height, width = sizes["grid_shape"]
    table = Table()
    table.one("embeddings.cls_token", "prefix_tokens/tokens", (1, 1, d), "row")
    table.one(
        "embeddings.position_embeddings",
        "position_embedding/embeddings",
        (1, 1 + frames * height * width, d),
        "row",
    )
    table.patches(
        "embeddings.patch_embeddings.projection",
        "tubelet_embedding/embedding",
        sizes["tubelet_size"],
        sizes["video_shape"][-1],
        d,
    )
    for i in range(sizes["num_layers"]):
        vit.add_block(
            table,
            f"encoder.layer.{i}.",
            f"block_{i}",
            sizes,
            vit.NAMES_OF_VIT,
        )
    table.norm("layernorm", "norm", d)
    if sizes["representation_dim"] is not None:
        width = sizes["representation_dim"]
        table.dense("pooler.dense", "representation", d, width)
    if sizes["num_classes"]:
        table.dense("classifier", "head", d, sizes["num_classes"])
    return table


def to_vivit(weights: dict, sizes: dict) -> dict:
    """A checkpoint's weights, as those of our model.

    Args:
        weights: NumPy arrays by Hugging Face's names.
        sizes: As of `entries`.

    Returns:
        Arrays by the paths of our layers.

    Raises:
        ValueError: A weight is missing, left over, or has another shape.
    """
    check_variant(sizes["variant"], "spatio_temporal")
    weights = {on_disk(name): array for name, array in weights.items()}
    return to_ours(weights, entries(sizes), sizes["num_heads"])
