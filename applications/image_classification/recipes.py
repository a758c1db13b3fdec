"""What was chosen for each training run. Change a choice with `--set`."""

from dataclasses import dataclass, replace

from applications.vision import recipe as vision
from applications.vision.application import Application


@dataclass(frozen=True)
class Recipe(vision.VisionRecipe):
    """The choices of one run, beside those of a `VisionRecipe`.

    Args:
        dataset: `"corner_match"`, `"glyphs"` or `"shapes"`, generated, or
            `"named"`.
        task: `"classification"`, or `"segmentation"`: a class for each pixel.
        system: `"vit"`; or what it is compared with: `"bag_of_patches"`, the
            same without attention, or `"keras_hub"`, keras-hub's ViT.
        preset: One of the presets of `ViT`.
        decoder: Of a segmentation: `"mask_transformer"` or `"linear"`.
        num_classes: Classes in the masks that `--data` names.
    """

    dataset: str = "corner_match"
    task: str = "classification"
    system: str = "vit"
    preset: str = "vit_tiny"
    decoder: str = "mask_transformer"
    num_classes: int | None = None


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
        train_examples=2000,
        validation_examples=200,
        test_examples=200,
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
        train_examples=4000,
        validation_examples=400,
        test_examples=400,
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
CHOICES = {
    "dataset": ("corner_match", "glyphs", "shapes", "named"),
    "task": ("classification", "segmentation"),
    "system": ("vit", "bag_of_patches", "keras_hub"),
    "decoder": ("mask_transformer", "linear"),
}


def check_recipe(recipe):
    """Refuses what no part of a run would refuse in clearer words."""
    vision.check(recipe, CHOICES, ignored(recipe))
    segments = recipe.task == "segmentation"
    if segments != (recipe.dataset == "shapes") and recipe.dataset != "named":
        raise ValueError(
            "The generated set `shapes` has masks, the others have labels. "
            f"Received: task={recipe.task}, dataset={recipe.dataset}."
        )
    if vision.MIXING & {*recipe.augmentation} and segments:
        raise ValueError(
            "MixUp and CutMix blend labels. Received: task=segmentation, "
            f"augmentation={recipe.augmentation}. Leave them out."
        )


def ignored(recipe):
    """Fields that a recipe has no use for, by the reason."""
    segments, ours = recipe.task == "segmentation", recipe.system == "vit"
    parts = "trainable", "freeze_blocks", "layer_decay"
    return {
        "Only the blocks of a ViT of ours are trained in parts.": (
            () if ours else (*parts, "stochastic_depth")
        ),
        "A bag of patches drops nothing.": (
            ("dropout",) if recipe.system == "bag_of_patches" else ()
        ),
        "A segmentation has no such choice.": (
            ("label_smoothing", "system", "pooling") if segments else ()
        ),
        "A classification has no such choice.": (
            () if segments else ("decoder", "num_classes")
        ),
        "The classes of generated pictures are known.": (
            () if recipe.dataset == "named" else ("num_classes",)
        ),
    }


APPLICATION = Application(
    name="image_classification",
    examples="pictures",
    recipes=RECIPES,
    check_recipe=check_recipe,
    weights="hf://google/vit-base-patch16-224",
)
# `make_recipe("demo", ["epochs=3"])`: one of `RECIPES`, changed and checked.
make_recipe = APPLICATION.make_recipe
