"""The choices that images and videos share."""

from dataclasses import dataclass

from applications.common import choices

AUGMENTATIONS = (
    "flip",
    "shift",
    "zoom",
    "rotate",
    "color",
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
    "trainable": ("all", "head", "lora"),
    "budget_clock": ("cpu", "wall"),
    "precision": ("float32", "mixed_bfloat16", "mixed_float16"),
    "jit_compile": (True, False, "auto"),
}


@dataclass(frozen=True)
class VisionRecipe:
    """The choices of one run.

    Args:
        dataset: Name of a generated set, or `"named"`, the one that `--data`
            names.
        train_examples: Generated examples to train on.
        validation_examples: Generated examples to choose the best epoch by.
        test_examples: Generated examples to test on.
        validation_share: Share of the training examples, of each class, that
            validate, where the data do not say which; as many test.
        system: Ours, or what it is compared with.
        preset: Size of the model, one of its presets; `--weights` names a
            trained one instead.
        image_size: Height and width, or one number for both; None is that of
            the preset or the weights, whose positions are resampled to any
            other.
        patch_size: Side of a patch; None is the preset's, here and below.
        num_layers: Blocks.
        hidden_dim: Size of a token; the feed-forward is four times as wide.
        num_heads: Heads.
        pooling: What is classified; see the model.
        position_stddev: Standard deviation that positions begin with, where
            no weights are read.
        head_initializer: What the head begins with, where none are read.
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
        batch_size: Examples per step.
        gradient_accumulation: Steps whose gradients are averaged for one
            update.
        epochs: Passes over the training examples.
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
        num_threads: Threads that read examples.
        jit_compile: Whether XLA compiles the training step; `"auto"` leaves
            it to Keras.
    """

    dataset: str = "named"
    train_examples: int = 20000
    validation_examples: int = 1000
    test_examples: int = 2000
    validation_share: float = 0.1
    system: str = ""
    preset: str = ""
    image_size: int | tuple | None = None
    patch_size: int | None = None
    num_layers: int | None = None
    hidden_dim: int | None = None
    num_heads: int | None = None
    pooling: str | None = None
    position_stddev: float = 0.3
    head_initializer: str = "glorot_uniform"
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


def check(recipe, own_choices: dict, own_ignored: dict):
    """Refuses what no part of a run would refuse in clearer words.

    Args:
        recipe: A `VisionRecipe`.
        own_choices: The values that fields of its class may have.
        own_ignored: Fields that this one has no use for, by the reason.
    """
    choices.check(recipe, CHOICES | own_choices, SHARES)
    unknown = [x for x in recipe.augmentation if x not in AUGMENTATIONS]
    if unknown:
        raise ValueError(
            f"`augmentation` must be names out of {', '.join(AUGMENTATIONS)}. "
            f"Received: {', '.join(map(str, unknown))}."
        )
    choices.refuse_unused(recipe, {**own_ignored, **ignored(recipe)})
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
                "Generated examples are square. Received: "
                f"image_size={size}, dataset={recipe.dataset}."
            )


def ignored(recipe):
    """Fields that any recipe like this has no use for, by the reason."""
    augmentation, named = {*recipe.augmentation}, recipe.dataset == "named"
    whole, lora = recipe.trainable == "all", recipe.trainable == "lora"
    counts = "train_examples", "validation_examples", "test_examples"
    return {
        "Where the head or low-rank updates are trained, blocks stay as they "
        "are.": () if whole else ("freeze_blocks", "layer_decay"),
        "Nothing is shifted.": () if "shift" in augmentation else ("shift",),
        "Nothing is blended.": (
            () if MIXING & augmentation else ("mixing_share",)
        ),
        "Only low-rank updates have a rank.": () if lora else ("lora_rank",),
        "Examples that are named are as many as there are.": (
            counts if named else ()
        ),
        "Generated examples come in parts.": (
            () if named else ("validation_share",)
        ),
    }
