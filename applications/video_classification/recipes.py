"""What was chosen for each training run. Change a choice with `--set`."""

from dataclasses import dataclass, replace

from applications.vision import recipe as vision
from applications.vision.application import Application


@dataclass(frozen=True)
class Recipe(vision.VisionRecipe):
    """The choices of one run, beside those of a `VisionRecipe`.

    Args:
        dataset: `"roll_motion"`, generated, or `"named"`.
        hold: Frames that a generated glyph stays for.
        system: `"vivit"`; or what it is compared with: `"bag_of_frames"`, a
            ViT on each frame, whose features are averaged.
        preset: One of the presets of `ViViT`.
        variant: Which of the four; see `ViViT`. None is that of the weights,
            begun from an image model `"factorized_encoder"`, else the first.
        frames: Frames of a clip; None is the preset's or the weights', whose
            positions are resampled to any other.
        stride: Frames of the video from one of a clip to the next, which then
            begins anywhere; None spreads the clip over the whole video.
        tubelet_frames: Frames of a tubelet.
        num_temporal_layers: Blocks over time of a factorized encoder.
        inflation: How patches of `--image-weights` become tubelets:
            `"central_frame"` or `"average"`.
        random_crop: Whether the training clips are cut out of their frames
            anywhere, and not in the middle.
        views: With a `stride`, clips of each video that are tested and whose
            logits are averaged.
        crops: Of each of them, 1 or 3 squares along the longer side.
        recompute: Whether blocks compute again for the gradient what they
            would otherwise keep.
    """

    dataset: str = "roll_motion"
    hold: int = 1
    system: str = "vivit"
    preset: str = "vivit_tiny"
    variant: str | None = None
    frames: int | None = None
    stride: int | None = None
    tubelet_frames: int | None = None
    num_temporal_layers: int | None = None
    inflation: str = "central_frame"
    random_crop: bool = False
    views: int = 1
    crops: int = 1
    recompute: bool = False


# A small ViViT for clips of 12 by 12 pixels.
SMALL = dict(
    train_examples=4000,
    validation_examples=400,
    frames=16,
    image_size=12,
    tubelet_frames=2,
    patch_size=4,
    num_layers=2,
    num_temporal_layers=2,
    hidden_dim=32,
    num_heads=4,
    pooling="average",
    batch_size=48,
)

# Videos of your own, from nothing; as the paper trains on small sets (table
# 7): RandAugment, MixUp, label smoothing, stochastic depth.
SCRATCH = Recipe(
    dataset="named",
    variant="factorized_encoder",
    frames=16,
    stride=2,
    random_crop=True,
    image_size=64,
    patch_size=8,
    tubelet_frames=2,
    hidden_dim=192,
    num_heads=3,
    num_layers=6,
    num_temporal_layers=2,
    pooling="average",
    stochastic_depth=0.1,
    augmentation=("flip", "zoom", "rand_augment", "mixup"),
    label_smoothing=0.1,
    batch_size=16,
    epochs=100,
    learning_rate=1e-3,
    warmup_steps=500,
    ema=0.999,
    views=4,
    num_threads=2,
)

# From weights of images or of videos. The paper takes SGD without decay;
# AdamW with rates that fall with depth is what ViT is fine-tuned with here.
FINE_TUNE = Recipe(
    dataset="named",
    preset="vivit_b_16x2",
    stride=2,
    random_crop=True,
    augmentation=("flip", "zoom", "color"),
    stochastic_depth=0.1,
    label_smoothing=0.1,
    batch_size=8,
    epochs=10,
    learning_rate=1e-4,
    warmup_steps=100,
    layer_decay=0.75,
    views=4,
    num_threads=2,
)

RECIPES = {
    # Two minutes on two cores: which way does the glyph roll?
    "demo": Recipe(epochs=12, learning_rate=3e-3, **SMALL),
    # Seconds.
    "smoke": Recipe(
        epochs=9,
        learning_rate=3e-3,
        **{
            **SMALL,
            "train_examples": 1500,
            "validation_examples": 100,
            "test_examples": 200,
            "frames": 8,
            "num_temporal_layers": 1,
        },
    ),
    # Each step of the glyph lasts as long as a tubelet: what does not read
    # one tubelet beside another cannot tell.
    "hold": Recipe(
        hold=2,
        epochs=12,
        variant="factorized_self_attention",
        learning_rate=2e-3,
        warmup_steps=200,
        **{**SMALL, "train_examples": 20000},
    ),
    # Which way, and how fast, are films played? See playback.py.
    "playback": Recipe(
        dataset="named",
        frames=8,
        image_size=48,
        tubelet_frames=2,
        patch_size=8,
        num_layers=4,
        num_temporal_layers=2,
        hidden_dim=96,
        num_heads=4,
        pooling="average",
        stride=1,
        crops=3,
        random_crop=True,
        # No flips: which way things go tells how a film is played.
        augmentation=("color",),
        batch_size=32,
        epochs=20,
        learning_rate=1e-3,
        warmup_steps=200,
        stochastic_depth=0.1,
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
}
VARIANTS = (
    "spatio_temporal",
    "factorized_encoder",
    "factorized_self_attention",
    "factorized_dot_product",
)
CHOICES = {
    "dataset": ("roll_motion", "named"),
    "system": ("vivit", "bag_of_frames"),
    "variant": (None, *VARIANTS),
    "inflation": ("central_frame", "average"),
    "crops": (1, 3),
}


def check_recipe(recipe):
    """Refuses what no part of a run would refuse in clearer words."""
    vision.check(recipe, CHOICES, ignored(recipe))
    if recipe.stride is None and (recipe.views, recipe.crops) != (1, 1):
        raise ValueError(
            "Clips that are spread over the whole video are all there is to "
            f"see. Received: views={recipe.views}, crops={recipe.crops}, "
            "stride=None. Add --set stride=2, or leave these out."
        )


def ignored(recipe):
    """Fields that a recipe has no use for, by the reason."""
    parts = "trainable", "freeze_blocks", "layer_decay", "recompute"
    return {
        "A bag of frames has no variants, is trained as a whole and keeps "
        "what it computes.": (
            () if recipe.system == "vivit" else (*parts, "variant")
        ),
        "Only what is generated is held.": (
            ("hold",) if recipe.dataset == "named" else ()
        ),
        "What is generated is not cropped.": (
            () if recipe.dataset == "named" else ("random_crop", "crops")
        ),
    }


APPLICATION = Application(
    name="video_classification",
    examples="videos",
    recipes=RECIPES,
    check_recipe=check_recipe,
    weights="hf://google/vivit-b-16x2-kinetics400",
)
# `make_recipe("demo", ["epochs=3"])`: one of `RECIPES`, changed and checked.
make_recipe = APPLICATION.make_recipe
