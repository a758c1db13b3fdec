"""What was chosen for each training run. Change a choice with `--set`."""

import functools
from dataclasses import dataclass, replace

from applications.common import choices


@dataclass(frozen=True)
class Recipe:
    """The choices of one run.

    Args:
        dataset: `"corner_match"`, `"glyphs"` or `"shapes"`, generated, or
            `"named"`, the one that `--data` names.
        task: `"classification"`, or `"segmentation"`: a class for each pixel.
        train_images: Generated pictures to train on.
        validation_images: Generated pictures to choose the best epoch by.
        test_images: Generated pictures to test on.
        validation_share: Share of the training pictures, of each class, that
            validate, where the data do not say which; as many test.
        system: `"vit"`; or what it is compared with: `"bag_of_patches"`, the
            same without attention, or `"keras_hub"`, keras-hub's ViT.
        preset: Size of the model, one of the presets of `ViT`; `--weights`
            names a trained one instead.
        image_size: Height and width, or one number for both; None is that of
            the preset or the weights, whose positions are resampled to any
            other.
        patch_size: Side of a patch; None is the preset's, here and below.
        num_layers: Blocks.
        hidden_dim: Size of a token; the feed-forward is four times as wide.
        num_heads: Heads.
        pooling: What is classified; see `ViT`.
        position_stddev: Standard deviation that the positions of a `"vit"`
            begin with, where no weights are read.
        head_initializer: What the head of one begins with, where none are
            read; of no segmentation.
        decoder: Of a segmentation: `"mask_transformer"` or `"linear"`.
        num_classes: Classes in the masks that `--data` names.
        stochastic_depth: Rate of the last block.
        dropout: Share dropped in the blocks.
        trainable: `"all"`, `"head"` (a linear probe) or `"lora"` (low-rank
            updates of the attention, and the head).
        freeze_blocks: So many blocks, and the embeddings, stay as they are.
        lora_rank: Rank of the updates.
        layer_decay: Factor of the learning rate from a block to the one
            before it.
        augmentation: Names out of `AUGMENTATIONS`, in their order; of mixup
            and cutmix together a batch gets one.
        shift: Longest of its shifts, a share of height and width.
        mixing_share: Share of the batches that mixup or cutmix blends.
        label_smoothing: Share of each label that goes to all classes alike.
        batch_size: Pictures per step.
        gradient_accumulation: Steps whose gradients are averaged for one
            update.
        epochs: Passes over the training pictures.
        budget_minutes: Time to train for, instead of `epochs`.
        budget_clock: Whose time: `"cpu"`, of all threads together, or
            `"wall"`.
        learning_rate: AdamW's highest; it rises linearly and then falls along
            a cosine to 0.
        warmup_steps: Steps until it is reached.
        weight_decay: AdamW's; kernels alone decay.
        clipnorm: Largest norm of all gradients together.
        ema: Momentum, in each step, of the average of weights that validation
            and test take; less where the steps are few. None takes the
            weights of the best epoch.
        precision: `"float32"`, `"mixed_bfloat16"` or `"mixed_float16"`.
        num_threads: Threads that read pictures.
        jit_compile: Whether XLA compiles the training step; `"auto"` leaves
            it to Keras.
    """

    dataset: str = "corner_match"
    task: str = "classification"
    train_images: int = 20000
    validation_images: int = 1000
    test_images: int = 2000
    validation_share: float = 0.1
    system: str = "vit"
    preset: str = "vit_tiny"
    image_size: int | tuple | None = None
    patch_size: int | None = None
    num_layers: int | None = None
    hidden_dim: int | None = None
    num_heads: int | None = None
    pooling: str | None = None
    position_stddev: float = 0.3
    head_initializer: str = "glorot_uniform"
    decoder: str = "mask_transformer"
    num_classes: int | None = None
    stochastic_depth: float = 0.0
    dropout: float = 0.0
    trainable: str = "all"
    freeze_blocks: int | None = None
    lora_rank: int = 8
    layer_decay: float | None = None
    augmentation: tuple[str, ...] = ()
    shift: float = 0.1
    mixing_share: float = 1.0
    label_smoothing: float = 0.0
    batch_size: int = 64
    gradient_accumulation: int | None = None
    epochs: int = 8
    budget_minutes: float | None = None
    budget_clock: str = "cpu"
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    weight_decay: float = 0.05
    clipnorm: float | None = 1.0
    ema: float | None = None
    precision: str = "float32"
    num_threads: int = 1
    jit_compile: bool | str = "auto"


# A small ViT for pictures of 32 by 32 pixels.
SMALL = dict(
    patch_size=8, num_layers=4, hidden_dim=64, num_heads=4, pooling="average"
)

# Pictures of your own, from nothing: strong augmentation stands in for the
# millions of pictures that a ViT otherwise needs (Touvron et al., 2021, table
# 9; Steiner et al., 2022).
SCRATCH = Recipe(
    dataset="named",
    preset="vit_tiny",
    image_size=64,
    patch_size=8,
    hidden_dim=192,
    num_heads=3,
    num_layers=6,
    pooling="average",
    stochastic_depth=0.1,
    augmentation=("flip", "shift", "rand_augment", "mixup", "cutmix"),
    label_smoothing=0.1,
    epochs=100,
    learning_rate=1e-3,
    warmup_steps=500,
    ema=0.999,
)

# From published weights, as Steiner et al. (2022, section 3.3) fine-tune, but
# with AdamW.
FINE_TUNE = Recipe(
    dataset="named",
    preset="vit_b_16",
    augmentation=("flip",),
    batch_size=32,
    epochs=10,
    learning_rate=1e-4,
    warmup_steps=100,
    layer_decay=0.75,
    label_smoothing=0.1,
)

RECIPES = {
    # Two minutes on two cores: the marks in two corners, the same or not?
    "demo": Recipe(epochs=4, **SMALL),
    # Seconds.
    "smoke": Recipe(
        dataset="glyphs",
        train_images=2000,
        validation_images=200,
        test_images=200,
        patch_size=8,
        num_layers=2,
        hidden_dim=48,
        num_heads=4,
        epochs=6,
        batch_size=32,
        warmup_steps=30,
    ),
    # Ten signs anywhere in the picture.
    "glyphs": Recipe(dataset="glyphs", **SMALL),
    # Discs, squares and triangles, and the pixels that they cover.
    "shapes": Recipe(
        dataset="shapes",
        task="segmentation",
        train_images=4000,
        validation_images=400,
        test_images=400,
        **{**SMALL, "patch_size": 4, "pooling": None},
    ),
    # Small pictures of your own in an hour on one core.
    "hour": Recipe(
        dataset="named",
        patch_size=8,
        num_layers=6,
        hidden_dim=128,
        num_heads=4,
        pooling="average",
        stochastic_depth=0.1,
        augmentation=("flip", "shift", "cutmix"),
        shift=0.05,
        mixing_share=0.5,
        label_smoothing=0.1,
        budget_minutes=60.0,
        learning_rate=1e-3,
        warmup_steps=200,
    ),
    # A few hundred pictures; see transfer.py.
    "transfer": Recipe(
        dataset="named",
        image_size=48,
        patch_size=12,
        num_layers=4,
        hidden_dim=96,
        num_heads=4,
        pooling="average",
        augmentation=("flip", "shift"),
        label_smoothing=0.1,
        batch_size=32,
        epochs=30,
        learning_rate=1e-3,
    ),
    "scratch": SCRATCH,
    "fine_tune": FINE_TUNE,
    "linear_probe": replace(
        FINE_TUNE,
        trainable="head",
        layer_decay=None,
        learning_rate=1e-3,
        weight_decay=1e-4,
    ),
    # The same weights at a larger size; less is left to learn.
    "resolution": replace(
        FINE_TUNE, image_size=384, epochs=3, learning_rate=3e-5
    ),
    "segment": replace(
        FINE_TUNE,
        task="segmentation",
        label_smoothing=0.0,
        learning_rate=3e-4,
        stochastic_depth=0.1,
    ),
}
AUGMENTATIONS = (
    "flip",
    "shift",
    "zoom",
    "rotate",
    "rand_augment",
    "erasing",
    "mixup",
    "cutmix",
)
MIXING = {"mixup", "cutmix"}
SHARES = (
    "validation_share",
    "shift",
    "stochastic_depth",
    "dropout",
    "label_smoothing",
    "weight_decay",
)
CHOICES = {
    "dataset": ("corner_match", "glyphs", "shapes", "named"),
    "task": ("classification", "segmentation"),
    "system": ("vit", "bag_of_patches", "keras_hub"),
    "decoder": ("mask_transformer", "linear"),
    "trainable": ("all", "head", "lora"),
    "budget_clock": ("cpu", "wall"),
    "precision": ("float32", "mixed_bfloat16", "mixed_float16"),
    "jit_compile": (True, False, "auto"),
}


def check_recipe(recipe):
    """Refuses what no part of a run would refuse in clearer words."""
    choices.check(recipe, CHOICES, SHARES)
    unknown = [x for x in recipe.augmentation if x not in AUGMENTATIONS]
    if unknown:
        raise ValueError(
            f"`augmentation` must be names out of {', '.join(AUGMENTATIONS)}. "
            f"Received: {', '.join(map(str, unknown))}."
        )
    segments = recipe.task == "segmentation"
    if segments != (recipe.dataset == "shapes") and recipe.dataset != "named":
        raise ValueError(
            "The generated set `shapes` has masks, the others have labels. "
            f"Received: task={recipe.task}, dataset={recipe.dataset}."
        )
    for reason, fields in ignored(recipe).items():
        for field in fields:
            value = getattr(recipe, field)
            if value != getattr(Recipe, field):
                raise ValueError(
                    f"{reason} Received: {field}={value}. Add --set "
                    f"{field}={getattr(Recipe, field)}."
                )
    if MIXING & {*recipe.augmentation} and segments:
        raise ValueError(
            "MixUp and CutMix blend labels. Received: task=segmentation, "
            f"augmentation={recipe.augmentation}. Leave them out."
        )
    for field in ("ema", "layer_decay"):
        value = getattr(recipe, field)
        if value is not None and not value < 1:
            raise ValueError(
                f"`{field}` must be less than 1. Received: {field}={value}."
            )
    size = recipe.image_size
    if isinstance(size, tuple):
        whole = [x for x in size if type(x) is int and x > 0]
        if len(whole) != 2 or len(size) != 2:
            raise ValueError(
                "`image_size` must be a number of pixels, or (height, width). "
                f"Received: image_size={size}."
            )
        if recipe.dataset != "named":
            raise ValueError(
                "Generated pictures are square. Received: "
                f"image_size={size}, dataset={recipe.dataset}."
            )


# `make_recipe("demo", ["epochs=3"])`: one of `RECIPES`, changed and checked.
make_recipe = functools.partial(choices.choose, RECIPES, check_recipe)


def ignored(recipe):
    """Fields that a recipe has no use for, by the reason."""
    segments, ours = recipe.task == "segmentation", recipe.system == "vit"
    augmentation = {*recipe.augmentation}
    parts = "trainable", "freeze_blocks", "layer_decay"
    return {
        "Only the blocks of a ViT of ours are trained in parts.": (
            () if ours else (*parts, "stochastic_depth")
        ),
        "A bag of patches drops nothing.": (
            ("dropout",) if recipe.system == "bag_of_patches" else ()
        ),
        "Where the head or low-rank updates are trained, blocks stay as they "
        "are.": (
            ()
            if recipe.trainable == "all"
            else ("freeze_blocks", "layer_decay")
        ),
        "A segmentation has no such choice.": (
            ("label_smoothing", "system", "pooling") if segments else ()
        ),
        "A classification has no such choice.": (
            () if segments else ("decoder", "num_classes")
        ),
        "Nothing is shifted.": () if "shift" in augmentation else ("shift",),
        "Nothing is blended.": (
            () if MIXING & augmentation else ("mixing_share",)
        ),
        "Only low-rank updates have a rank.": (
            () if recipe.trainable == "lora" else ("lora_rank",)
        ),
        "Pictures that are named are as many as there are.": (
            ("train_images", "validation_images", "test_images")
            if recipe.dataset == "named"
            else ()
        ),
        "Generated pictures come in parts, their classes are known.": (
            ()
            if recipe.dataset == "named"
            else ("validation_share", "num_classes")
        ),
    }
