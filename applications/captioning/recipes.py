"""What was chosen for each training run. Change a choice with `--set`."""

from dataclasses import dataclass, replace

from applications.common import choices
from applications.vision.application import Application


@dataclass(frozen=True)
class Recipe:
    """The choices of one run.

    Args:
        dataset: `"grid_scenes"`, generated annotations, `"shape_scenes"`,
            generated pictures, or `"named"`, the pictures and captions that
            the command names.
        train_examples: Generated scenes to train on.
        validation_examples: Generated scenes to validate with.
        test_examples: Generated scenes of each split to test on; even.
        captions: What is said of a generated scene: `"listing"`, all objects
            in reading order, or `"relations"`, how two of them lie.
        validation_share: Share of the pictures that validate, where the data
            do not say which; as many test.
        tokenizer: `"word"`, or subwords: `"sentencepiece"` (unigram) or
            `"bpe"` (of bytes); made from the training captions alone.
        vocabulary_size: Tokens; None keeps all words.
        min_count: A word that comes less often is unknown.
        same_length: Whether all captions of a batch are of one length.
        encoder: What makes features of pictures: `"conv"`, a small network
            that is trained along, or a network of `keras.applications` and
            one of its layers, such as `"VGG19:block5_conv4"`. None for grid
            scenes, which are features.
        encoder_weights: `"imagenet"`, a file of weights, or None for random
            ones; of `keras.applications`.
        train_encoder: Whether the encoder learns, too.
        image_size: Height and width of what the encoder sees.
        coordinates: Whether each feature is told its row and column; of an
            `SCACNN` with a small network each pixel.
        preset: System and size of the model, one of the `presets` of
            `ShowAttendTell`, `SCACNN` or `TransformerCaptioner`.
        taps: Layers of the encoder whose maps an `SCACNN` weighs, with commas
            between their names.
        embedding_dim: Size of the word embeddings; None is the preset's, here
            and below.
        hidden_dim: Size of the LSTM, or of all of a Transformer.
        attention_dim: Size of the score network.
        attention: `"soft"`, `"hard"`, `"marginal"`, `"window"`, the square
            that a word predicts (`LocalAttention`), or `"mean"`, the plain
            mean of all features, what attention is compared with; of an
            `SCACNN` what its `attention` may be.
        window: How many places a window reaches to each side.
        estimator: How hard attention learns, see `HardAttention`.
        inference: What hard attention reads in validation and test,
            `"argmax"` or `"expectation"`; the test is of both.
        temperature: Of hard attention.
        semi_sampling: Share of the captions that read the expectation, while
            hard attention is trained.
        soft_share: Share of the training, at its begin, in which all do.
        baseline: What REINFORCE compares rewards with, see
            `losses.Reinforce`.
        num_samples: Samples of each caption in a step of REINFORCE.
        reward_to_go: Whether words before a place do not reward it.
        score_weight: Weight of REINFORCE's score term.
        entropy_weight: Weight of its entropy; None is none.
        doubly_stochastic: Weight of the doubly stochastic term; None is none.
        dropout: Share dropped.
        batch_size: Captions per step.
        num_buckets: Shapes of batches, each compiled once.
        steps: Training steps; without meaning if there is a budget.
        steps_per_epoch: Steps from one validation to the next.
        budget_minutes: Time to train for, instead of a number of steps.
        budget_clock: Whose time: `"cpu"`, of all threads together, or
            `"wall"`.
        learning_rate: Adam's highest; it rises linearly and then falls along
            a cosine to 0.
        warmup_steps: Steps until it is reached.
        clipnorm: Largest norm of all gradients together; None leaves them.
        select_by: By which log the epoch is chosen whose weights stay:
            `"val_loss"`, `"val_bleu_4"` or `"val_cider_d"`.
        captions_every: Epochs from one writing of validation captions to the
            next; None leaves it out.
        patience: Compared epochs without a gain until training stops; None
            goes on.
        num_beams: Width of the beam on the test pictures; 1 is greedy.
        max_length: Most tokens of a caption that is written.
        num_threads: Threads that read pictures.
        jit_compile: Whether XLA compiles the training step; `"auto"` leaves
            it to Keras.
    """

    dataset: str = "named"
    train_examples: int = 8000
    validation_examples: int = 500
    test_examples: int = 1000
    captions: str = "listing"
    validation_share: float = 0.1
    tokenizer: str = "word"
    vocabulary_size: int | None = None
    min_count: int = 1
    same_length: bool = False
    encoder: str | None = "conv"
    encoder_weights: str | None = None
    train_encoder: bool = True
    image_size: int = 64
    coordinates: bool = False
    preset: str = "show_attend_tell_small"
    taps: str | None = None
    embedding_dim: int | None = None
    hidden_dim: int | None = None
    attention_dim: int | None = None
    attention: str = "soft"
    window: int = 1
    estimator: str = "reinforce"
    inference: str = "argmax"
    temperature: float = 1.0
    semi_sampling: float = 0.0
    soft_share: float = 0.0
    baseline: str | None = "moving_average"
    num_samples: int = 1
    reward_to_go: bool = True
    score_weight: float = 1.0
    entropy_weight: float | None = None
    doubly_stochastic: float | None = None
    dropout: float = 0.0
    batch_size: int = 64
    num_buckets: int = 2
    steps: int = 800
    steps_per_epoch: int = 100
    budget_minutes: float | None = None
    budget_clock: str = "cpu"
    learning_rate: float = 2e-3
    warmup_steps: int = 50
    clipnorm: float | None = 1.0
    select_by: str = "val_loss"
    captions_every: int | None = None
    patience: int | None = None
    num_beams: int = 1
    max_length: int = 30
    num_threads: int = 1
    jit_compile: bool | str = "auto"


# Annotations of 4 x 4 cells: learning to attend, without learning to see.
GRID = Recipe(
    dataset="grid_scenes",
    encoder=None,
    hidden_dim=96,
    steps=1200,
    steps_per_epoch=100,
    learning_rate=5e-3,
)
GRID_HARD = replace(GRID, attention="hard", steps=2000)
GRID_REINFORCE = replace(GRID_HARD, semi_sampling=0.5)
# Pictures of 64 x 64 pixels and a small network that learns to see.
SHAPES = Recipe(
    dataset="shape_scenes",
    train_examples=6000,
    coordinates=True,
    batch_size=32,
    steps=2000,
    steps_per_epoch=200,
)
SHAPES_HARD = replace(
    SHAPES, attention="hard", semi_sampling=0.5, soft_share=0.5
)
# Weighs the map of that network's last layer, anew for every word.
SHAPES_SCA = replace(
    SHAPES,
    preset="sca_cnn_small",
    taps="relu_3",
    attention="channel_spatial",
)
# Pictures of your own: captions of people, and a network that has seen many.
NAMED = Recipe(
    encoder="VGG19:block5_conv4",
    encoder_weights="imagenet",
    train_encoder=False,
    image_size=224,
    vocabulary_size=10000,
    min_count=5,
    preset="show_attend_tell_coco_soft",
    doubly_stochastic=64 / 196,
    dropout=0.5,
    num_buckets=6,
    steps=60000,
    steps_per_epoch=2000,
    learning_rate=2e-4,
    warmup_steps=500,
    clipnorm=5.0,
    select_by="val_bleu_4",
    captions_every=1,
    patience=10,
    num_beams=5,
)

RECIPES = {
    # About two minutes of one core, and nothing to download.
    "demo": replace(SHAPES, steps=1200, captions_every=2),
    # Seconds: a few scenes, by a model just large enough.
    "smoke": replace(
        GRID,
        train_examples=2000,
        validation_examples=60,
        test_examples=60,
        hidden_dim=64,
        num_buckets=1,
        steps=240,
        steps_per_epoch=40,
        learning_rate=1e-2,
        warmup_steps=10,
        captions_every=3,
    ),
    "grid_soft": GRID,
    "grid_mean": replace(GRID, attention="mean"),
    "grid_marginal": replace(GRID, attention="marginal"),
    "grid_window": replace(GRID, attention="window"),
    # As the paper: the reward of the whole caption, its own moving average.
    "grid_paper": replace(GRID_REINFORCE, reward_to_go=False),
    "grid_hard": GRID_REINFORCE,
    "grid_no_baseline": replace(GRID_HARD, baseline=None),
    "grid_moving_average": GRID_HARD,
    "grid_leave_one_out": replace(
        GRID_HARD, baseline="leave_one_out", num_samples=4, batch_size=16
    ),
    "grid_self_critical": replace(GRID_HARD, baseline="self_critical"),
    "grid_straight_through": replace(GRID_HARD, estimator="straight_through"),
    "grid_gumbel_softmax": replace(GRID_HARD, estimator="gumbel_softmax"),
    "grid_gumbel": replace(GRID_HARD, estimator="gumbel_straight_through"),
    "shapes_soft": SHAPES,
    "shapes_mean": replace(SHAPES, attention="mean"),
    "shapes_marginal": replace(SHAPES, attention="marginal"),
    "shapes_window": replace(SHAPES, attention="window"),
    "shapes_doubly_stochastic": replace(SHAPES, doubly_stochastic=0.1),
    "shapes_relations": replace(SHAPES, captions="relations"),
    # Soft attention first, then hard: see `callbacks.SemiSamplingSchedule`.
    "shapes_scheduled": SHAPES_HARD,
    "shapes_from_scratch": replace(SHAPES_HARD, soft_share=0.0),
    "shapes_gumbel": replace(
        SHAPES_HARD, estimator="gumbel_straight_through", semi_sampling=0.0
    ),
    "shapes_channel_spatial": SHAPES_SCA,
    "shapes_spatial_channel": replace(SHAPES_SCA, attention="spatial_channel"),
    # Of its last two layers, the last of which is run for every word.
    "shapes_two_taps": replace(SHAPES_SCA, taps="relu_2,relu_3"),
    "shapes_channel": replace(SHAPES_SCA, attention="channel"),
    "shapes_spatial": replace(SHAPES_SCA, attention="spatial"),
    "shapes_transformer": replace(
        SHAPES, preset="transformer_captioner_small", num_buckets=1
    ),
    "named_soft": NAMED,
    "named_hard": replace(
        NAMED,
        preset="show_attend_tell_coco_hard",
        attention="hard",
        semi_sampling=0.5,
        score_weight=0.1,
        entropy_weight=0.002,
        doubly_stochastic=None,
    ),
    # As the authors' code, for networks that fit into memory with it.
    "named_channel_spatial": replace(
        NAMED,
        encoder="ResNet152:conv5_block3_out",
        preset="sca_cnn_resnet152",
        taps="conv5_block3_2_relu,conv5_block3_out",
        attention="channel_spatial",
        doubly_stochastic=None,
    ),
    "named_transformer": replace(
        NAMED,
        preset="transformer_captioner_base",
        coordinates=True,
        dropout=0.1,
        doubly_stochastic=None,
    ),
    # A few hundred pictures, in minutes, and nothing to download.
    "named_small": Recipe(
        vocabulary_size=2000,
        coordinates=True,
        dropout=0.2,
        batch_size=32,
        num_buckets=4,
        steps=2000,
        captions_every=2,
    ),
    # Thousands of pictures of 64 x 64 pixels, see `emoji.py`.
    "named_emoji": Recipe(
        coordinates=True,
        dropout=0.2,
        batch_size=32,
        steps=4000,
        steps_per_epoch=200,
        select_by="val_cider_d",
        captions_every=2,
    ),
}
ESTIMATORS = (
    "reinforce",
    "straight_through",
    "gumbel_softmax",
    "gumbel_straight_through",
)
SHARES = ("validation_share", "semi_sampling", "soft_share", "dropout")
# What attention may be, by the system that the preset's name begins with.
ATTENTIONS = {
    "show_attend_tell": ("soft", "hard", "marginal", "window", "mean"),
    "sca_cnn": (
        "channel",
        "spatial",
        "channel_spatial",
        "spatial_channel",
    ),
    "transformer_captioner": ("soft",),
}
CHOICES = {
    "dataset": ("grid_scenes", "shape_scenes", "named"),
    "captions": ("listing", "relations"),
    "tokenizer": ("word", "sentencepiece", "bpe"),
    "attention": tuple(x for kinds in ATTENTIONS.values() for x in kinds),
    "estimator": ESTIMATORS,
    "inference": ("argmax", "expectation"),
    "baseline": ("moving_average", "leave_one_out", "self_critical", None),
    "budget_clock": ("cpu", "wall"),
    "select_by": ("val_loss", "val_bleu_4", "val_cider_d"),
    "jit_compile": (True, False, "auto"),
}
REINFORCE = (
    "baseline",
    "num_samples",
    "reward_to_go",
    "score_weight",
    "entropy_weight",
)
HARD = ("estimator", "inference", "temperature", "semi_sampling", "soft_share")
GENERATED = ("train_examples", "validation_examples", "test_examples")


def check_recipe(recipe):
    """Refuses what no part of a run would refuse in clearer words."""
    choices.check(recipe, CHOICES, SHARES)
    system = check_system(recipe)
    choices.refuse_unused(recipe, unused(recipe, system))
    check_encoder(recipe)
    if recipe.budget_minutes is None and recipe.steps % recipe.steps_per_epoch:
        raise ValueError(
            "`steps` must be a multiple of `steps_per_epoch`. Received: "
            f"steps={recipe.steps}, steps_per_epoch={recipe.steps_per_epoch}."
        )
    if recipe.budget_minutes is not None and recipe.soft_share:
        raise ValueError(
            "How long attention is soft is a share of the `steps`, which a "
            f"budget does not know. Received: soft_share={recipe.soft_share}, "
            f"budget_minutes={recipe.budget_minutes}. Leave one out."
        )
    if recipe.select_by != "val_loss" and recipe.captions_every is None:
        raise ValueError(
            "Captions are scored where they are written. Received: select_by="
            f"{recipe.select_by}, captions_every=None. Add --set "
            "captions_every=1."
        )
    if recipe.tokenizer != "word" and recipe.vocabulary_size is None:
        raise ValueError(
            "Subwords need a `vocabulary_size`. Received: "
            "vocabulary_size=None. Use for example --set vocabulary_size=4000."
        )
    if recipe.baseline == "leave_one_out" and recipe.num_samples < 2:
        raise ValueError(
            "A sample is compared with others of its caption. Received: "
            f"baseline=leave_one_out, num_samples={recipe.num_samples}. Add "
            "--set num_samples=4."
        )
    if recipe.dataset != "named" and recipe.test_examples % 2:
        raise ValueError(
            "Scenes that are swapped come in pairs. Received: test_examples="
            f"{recipe.test_examples}. Take an even number."
        )


def check_system(recipe):
    """The name of the system, whose attention and taps must suit it."""
    names = [x for x in ATTENTIONS if recipe.preset.startswith(x)]
    if not names:
        raise ValueError(
            "`preset` must be one of ShowAttendTell, SCACNN or "
            f"TransformerCaptioner. Received: preset={recipe.preset}. Use for "
            "example --set preset=show_attend_tell_small."
        )
    (system,) = names
    if recipe.attention not in ATTENTIONS[system]:
        raise ValueError(
            f"`attention` of a {system} must be one of "
            f"{', '.join(ATTENTIONS[system])}. Received: "
            f"attention={recipe.attention}, preset={recipe.preset}."
        )
    if (recipe.taps is None) == (system == "sca_cnn"):
        raise ValueError(
            "An SCA-CNN weighs maps at `taps`, and no other captioner does. "
            f"Received: preset={recipe.preset}, taps={recipe.taps}. Add "
            f"--set taps={'relu_3' if recipe.taps is None else None}."
        )
    return system


def check_encoder(recipe):
    grid, encoder = recipe.dataset == "grid_scenes", recipe.encoder
    if grid and recipe.taps is not None:
        raise ValueError(
            "An SCA-CNN looks at pictures, and grid scenes are features "
            f"already. Received: dataset={recipe.dataset}, "
            f"taps={recipe.taps}. Add --set dataset=shape_scenes."
        )
    if grid != (encoder is None):
        raise ValueError(
            "Pictures need an encoder, and grid scenes are features already. "
            f"Received: dataset={recipe.dataset}, encoder={encoder}. Add "
            f"--set encoder={None if grid else 'conv'}."
        )
    if not grid and encoder != "conv" and ":" not in encoder:
        raise ValueError(
            "`encoder` must be conv, or a network of keras.applications and "
            f"one of its layers. Received: encoder={encoder}. Use for example "
            "--set encoder=VGG19:block5_conv4."
        )
    if encoder == "conv" and not recipe.train_encoder:
        raise ValueError(
            "The small network begins with random weights, and has to learn. "
            "Received: encoder=conv, train_encoder=False. Take a network of "
            "keras.applications with encoder_weights=imagenet."
        )


def unused(recipe, system):
    """Fields that a recipe has no use for, by the reason.

    Args:
        recipe: A `Recipe`.
        system: One of the names in `ATTENTIONS`.
    """
    grid, named = recipe.dataset == "grid_scenes", recipe.dataset == "named"
    hard = recipe.attention == "hard"
    reinforce = hard and recipe.estimator == "reinforce"
    words = recipe.tokenizer == "word"
    conv = recipe.encoder in (None, "conv")
    return {
        "Only hard attention draws.": () if hard else HARD,
        "Only a window has a size.": (
            () if recipe.attention == "window" else ("window",)
        ),
        "Only REINFORCE has rewards.": () if reinforce else REINFORCE,
        "Pictures that are named are as many as there are.": (
            (*GENERATED, "captions") if named else ()
        ),
        "Generated scenes come in parts.": (
            () if named else ("validation_share",)
        ),
        "Only Show, Attend and Tell has a doubly stochastic term.": (
            () if system == "show_attend_tell" else ("doubly_stochastic",)
        ),
        "A Transformer has one size.": (
            ("embedding_dim", "attention_dim")
            if system == "transformer_captioner"
            else ()
        ),
        "Pixels are told where they are by the small network.": (
            () if conv or recipe.taps is None else ("coordinates",)
        ),
        "Grid scenes are no pictures.": (
            ("image_size", "coordinates", "captions", "train_encoder")
            if grid
            else ()
        ),
        "Only a network of keras.applications has trained weights.": (
            ("encoder_weights",) if conv else ()
        ),
        "Only words are counted.": () if words else ("min_count",),
        "Batches of one length have no buckets.": (
            ("num_buckets",) if recipe.same_length else ()
        ),
    }


APPLICATION = Application(
    name="captioning",
    examples="pictures",
    recipes=RECIPES,
    check_recipe=check_recipe,
    weights="hf://user/repo",
)
# `make_recipe("demo", ["dropout=0.1"])`: one of `RECIPES`, changed and checked.
make_recipe = APPLICATION.make_recipe
