"""What was chosen for each training run. Change a choice with `--set`."""

import functools
from dataclasses import dataclass, replace

from applications.common import choices


@dataclass(frozen=True)
class Recipe:
    """The choices of one run.

    Args:
        dataset: `"english_french"` or `"reversal"`, generated, or `"pairs"`,
            those that `--data`, or `--source-file` and `--target-file`, name.
        train_pairs: Generated training pairs.
        validation_pairs: The block of pairs before the test's.
        test_pairs: The last block of pairs.
        min_words: Fewest words of a generated sentence.
        max_words: Most words of a generated sentence, or of a side of a pair
            to train on. Named test pairs all stay, however long.
        tokenizer: `"word"`, `"sentencepiece"` (unigram subwords), `"bpe"`
            (of bytes) or `"character"`; made from the training pairs alone.
        vocabulary_size: Tokens on each side; None keeps all words or
            characters.
        joint_vocabulary: Whether both sides share one tokenizer, made of
            both.
        preset: System and size of the model, one of the `presets` of
            `Seq2SeqLSTM`, `RNNSearch`, `LuongNMT` and `Transformer`.
        embedding_dim: Size of the embeddings; None is the preset's, and the
            Transformer has no other than `hidden_dim`.
        hidden_dim: Size of states and layers; None is the preset's.
        attention: `"additive"`, or `"mean"`: an RNNSearch without, its
            context fixed to the mean annotation.
        score: LuongNMT's; None is the preset's, here and below.
        alignment: LuongNMT's.
        window: LuongNMT's, of a local alignment.
        input_feeding: LuongNMT's.
        dropout: Share dropped, where the model drops.
        label_smoothing: Share of each target that goes to all tokens alike;
            0.1 for the Transformer.
        batch_size: Sentences per step.
        tokens_per_batch: Padded tokens per step at the longer side, instead
            of a number of sentences.
        num_buckets: Shapes of batches, each compiled once.
        steps: Training steps; without meaning if there is a budget.
        steps_per_epoch: Steps from one validation to the next.
        budget_minutes: Time to train for, instead of a number of steps.
        budget_clock: Whose time: `"cpu"`, of all threads together, or
            `"wall"`, for an accelerator.
        schedule: How Adam's learning rate falls from its highest: `"cosine"`,
            to 0 at the last step, or `"transformer"`, as one over the root
            of the step. Before, it rises linearly.
        learning_rate: The highest learning rate.
        warmup_steps: Steps until it is reached.
        clipnorm: Largest norm of the gradient of a weight; a longer one is
            scaled down. None leaves it.
        average_last: Epochs whose weights are averaged at the end; None takes
            those of the epoch with the least validation loss.
        jit_compile: Whether XLA compiles the training step; `"auto"` leaves
            it to Keras.
        validation_bleu_every: Epochs from one BLEU of 100 validation pairs to
            the next; None leaves it out.
        num_beams: Width of the beam on the test pairs; 1 is greedy.
        length_limits: Source lengths at which BLEU's ranges end.
    """

    dataset: str = "english_french"
    train_pairs: int = 30000
    validation_pairs: int = 500
    test_pairs: int = 500
    min_words: int = 4
    max_words: int = 18
    tokenizer: str = "word"
    vocabulary_size: int | None = None
    joint_vocabulary: bool = False
    preset: str = "rnn_search_tiny"
    embedding_dim: int | None = None
    hidden_dim: int | None = None
    attention: str = "additive"
    score: str | None = None
    alignment: str | None = None
    window: int | None = None
    input_feeding: bool | None = None
    dropout: float = 0.0
    label_smoothing: float = 0.0
    batch_size: int = 64
    tokens_per_batch: int | None = None
    num_buckets: int = 6
    steps: int = 800
    steps_per_epoch: int = 100
    budget_minutes: float | None = None
    budget_clock: str = "cpu"
    schedule: str = "cosine"
    learning_rate: float = 2e-3
    warmup_steps: int = 50
    clipnorm: float | None = 1.0
    average_last: int | None = None
    jit_compile: bool | str = "auto"
    validation_bleu_every: int | None = None
    num_beams: int = 1
    length_limits: tuple[int, ...] = (5, 8, 11)


# Real sentence pairs of your own and an hour of one core.
HOUR = Recipe(
    dataset="pairs",
    validation_pairs=1000,
    test_pairs=1000,
    max_words=40,
    tokenizer="sentencepiece",
    vocabulary_size=4000,
    preset="rnn_search_small",
    dropout=0.2,
    batch_size=32,
    num_buckets=6,
    steps_per_epoch=400,
    budget_minutes=55.0,
    learning_rate=1e-3,
    warmup_steps=100,
    validation_bleu_every=5,
    num_beams=5,
    length_limits=(10, 20, 30, 40),
)

RECIPES = {
    # Minutes on two cores, and nothing to download.
    "demo": Recipe(),
    # Seconds: four or five words, by a model just large enough.
    "smoke": Recipe(
        train_pairs=2000,
        validation_pairs=50,
        test_pairs=50,
        max_words=5,
        embedding_dim=32,
        hidden_dim=48,
        num_buckets=1,
        steps=240,
        steps_per_epoch=30,
        learning_rate=1e-2,
        warmup_steps=10,
        length_limits=(4,),
    ),
    # Generated sentences of 5 to 50 words: does attention hold up?
    "lengths": Recipe(
        min_words=5,
        max_words=50,
        num_buckets=8,
        batch_size=32,
        steps=1600,
        length_limits=(10, 20, 30, 40),
    ),
    # Twenty digits to be written backwards, by any system.
    "reverse": Recipe(
        dataset="reversal",
        train_pairs=9600,
        min_words=20,
        max_words=20,
        num_buckets=1,
        steps=450,
        steps_per_epoch=50,
        learning_rate=5e-3,
        length_limits=(20,),
    ),
    "rnn_search_small": HOUR,
    "seq2seq_lstm_small": replace(HOUR, preset="seq2seq_lstm_small"),
    "luong_nmt_small": replace(HOUR, preset="luong_nmt_small"),
    "transformer_small": replace(
        HOUR,
        preset="transformer_small",
        dropout=0.1,
        label_smoothing=0.1,
        joint_vocabulary=True,
        batch_size=64,
    ),
}
SHARES = ("dropout", "label_smoothing")
CHOICES = {
    "dataset": ("english_french", "reversal", "pairs"),
    "tokenizer": ("word", "sentencepiece", "bpe", "character"),
    "attention": ("additive", "mean"),
    "budget_clock": ("cpu", "wall"),
    "schedule": ("cosine", "transformer"),
    "jit_compile": (True, False, "auto"),
}


def check_recipe(recipe):
    """Refuses what no part of a run would refuse in clearer words."""
    choices.check(recipe, CHOICES, SHARES)
    limits = recipe.length_limits
    if list(limits) != sorted({n for n in limits if type(n) is int and n > 0}):
        raise ValueError(
            "`length_limits` must be positive integers that ascend. Received: "
            f"length_limits={limits}."
        )
    if recipe.budget_minutes is not None and recipe.schedule != "cosine":
        raise ValueError(
            "A budget lets the learning rate fall by a cosine. Received: "
            f"schedule={recipe.schedule}, budget_minutes="
            f"{recipe.budget_minutes}. Add --set budget_minutes=None "
            "to train for a number of `steps`."
        )
    if recipe.budget_minutes is None and (
        recipe.steps % recipe.steps_per_epoch
    ):
        raise ValueError(
            "`steps` must be a multiple of `steps_per_epoch`. Received: "
            f"steps={recipe.steps}, steps_per_epoch={recipe.steps_per_epoch}."
        )
    subwords = recipe.tokenizer in ("sentencepiece", "bpe")
    if subwords and recipe.vocabulary_size is None:
        raise ValueError(
            "Subwords need a `vocabulary_size`. Received: "
            "vocabulary_size=None. Use for example --set vocabulary_size=4000."
        )


# `make_recipe("demo", ["dropout=0.1"])`: one of `RECIPES`, changed and checked.
make_recipe = functools.partial(choices.choose, RECIPES, check_recipe)
