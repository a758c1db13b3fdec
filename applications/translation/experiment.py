"""One run of a recipe: its data, its model, its training, its folder."""

import importlib.util
from pathlib import Path

import keras

from applications.translation.recipes import Recipe
from applications.translation.run_folder import read_recipe
from keras_attention import data
from keras_attention.callbacks import (
    BestWeights,
    CPUBudget,
    SaveAndResume,
    ValidationBLEU,
)
from keras_attention.data.synthetic import english_french_splits
from keras_attention.layers import AdditiveAttention
from keras_attention.losses import SparseCategoricalCrossentropy
from keras_attention.models import RNNSearch

STATE_FILE = "training_state.npz"
MODEL_FOLDER = "model"


def read_splits(recipe: Recipe, path, seed, skip_bad_rows=False):
    """Training, validation and test pairs, and how many were left out.

    The sentences of a file are split into three blocks, in the order of the
    file, the test block last; pairs longer than `max_words` are left out of
    the first two.
    """
    if recipe.dataset == "english_french":
        splits = english_french_splits(
            recipe.train_pairs,
            recipe.validation_pairs,
            recipe.test_pairs,
            seed=seed,
            min_words=recipe.min_words,
            max_words=recipe.max_words,
        )
        return splits, 0
    pairs = read_pairs(path, skip_bad_rows)
    train, validation, test = data.split_blocks(
        pairs, recipe.validation_pairs, recipe.test_pairs
    )
    train, long_train = data.filter_by_length(train, recipe.max_words)
    validation, long_validation = data.filter_by_length(
        validation, recipe.max_words
    )
    for name, kept in (("training", train), ("validation", validation)):
        if not kept:
            raise ValueError(
                f"There must be {name} pairs of at most `max_words` words a "
                f"side. Received: none, with max_words={recipe.max_words}."
            )
    return (train, validation, test), long_train + long_validation


def read_pairs(path, skip_bad_rows=False):
    """The sentence pairs of a file; tells which of its rows are left out."""
    pairs, skipped = data.read_tsv(path, on_error="skip")
    if not skipped:
        return pairs
    lines = [f"line {row.line}: {row.reason}" for row in skipped]
    if not skip_bad_rows:
        more = f", and {len(lines) - 1} more" if len(lines) > 1 else ""
        raise ValueError(
            "Each line must be UTF-8 text with a source and a target "
            f"sentence, separated by one tab. Received: {path}, {lines[0]}"
            f"{more}. Correct that, or add --skip-bad-rows to leave such "
            "lines out."
        )
    if len(lines) > 10:
        lines[10:] = [f"and {len(lines) - 10} more"]
    print(f"rows of {path} left out: {len(skipped)}", *lines, sep="\n  ")
    return pairs


def two_sides(pairs):
    """Sources and targets of pairs, whether generated or from a file."""
    if isinstance(pairs[0], tuple):
        return [p[0] for p in pairs], [p[1] for p in pairs]
    return [p.source for p in pairs], [p.target for p in pairs]


def make_tokenizer(recipe, texts):
    if recipe.tokenizer == "words":
        return data.WordTokenizer.train(texts, recipe.vocabulary_size)
    return data.SentencePieceTokenizer.train(texts, recipe.vocabulary_size)


def check_tokens(model, splits):
    """Makes sure that no sentence is empty to its tokenizer.

    To SentencePiece, one of control characters alone is.
    """
    names = "training", "validation", "test"
    for split, pairs in zip(names, splits, strict=True):
        sources, targets = two_sides(pairs)
        for side, tokenizer, texts in (
            ("source", model.source_tokenizer, sources),
            ("target", model.target_tokenizer, targets),
        ):
            rows = tokenizer.tokenize(texts)
            if [] in rows:
                raise ValueError(
                    "Each sentence must hold at least one token. Received: "
                    f"{texts[rows.index([])]!r}, the {side} of a {split} "
                    "pair, without any. Remove its line from the file."
                )


def make_batches(recipe, model, splits, seed, first_epoch):
    """Training batches, from an epoch on, and validation batches."""
    training, validation, _ = splits
    order = dict(
        seed=seed,
        initial_epoch=first_epoch,
        steps_per_epoch=recipe.steps_per_epoch,
    )
    return [
        data.TranslationBatches.from_text(
            list(zip(*two_sides(pairs), strict=True)),
            model.source_tokenizer,
            model.target_tokenizer,
            batch_size=recipe.batch_size,
            num_buckets=recipe.num_buckets,
            **options,
        )
        for pairs, options in (
            (training, order),
            (validation, {"shuffle": False}),
        )
    ]


def make_model(recipe, train_pairs):
    source_tokenizer, target_tokenizer = (
        make_tokenizer(recipe, texts) for texts in two_sides(train_pairs)
    )
    sizes = {}
    if recipe.embedding_dim is not None:
        sizes["embedding_dim"] = recipe.embedding_dim
    if recipe.hidden_dim is not None:
        for name in ("hidden_dim", "alignment_dim", "maxout_dim"):
            sizes[name] = recipe.hidden_dim
    attention = None
    if recipe.attention == "mean":
        # A score network that stays at zero reads every word alike.
        attention = AdditiveAttention(
            1, score_initializer="zeros", trainable=False
        )
    model = RNNSearch.from_preset(
        recipe.preset,
        source_tokenizer=source_tokenizer,
        target_tokenizer=target_tokenizer,
        attention=attention,
        dropout=recipe.dropout,
        **sizes,
    )
    learning_rate = recipe.learning_rate
    if recipe.budget_cpu_minutes is None:
        warmup = min(recipe.warmup_steps, recipe.steps - 1)
        learning_rate = keras.optimizers.schedules.CosineDecay(
            0.0,
            recipe.steps - warmup,
            warmup_target=recipe.learning_rate,
            warmup_steps=warmup,
        )
    model.compile(
        keras.optimizers.Adam(learning_rate, clipnorm=1.0),
        SparseCategoricalCrossentropy(reduction="mean_with_sample_weight"),
        jit_compile=recipe.jit_compile,
    )
    return model


def make_callbacks(recipe, validation_pairs, folder):
    """Callbacks for `fit`; the last one resumes."""
    chosen = [BestWeights("val_loss")]
    if recipe.budget_cpu_minutes is not None:
        chosen.append(
            CPUBudget(
                recipe.budget_cpu_minutes,
                recipe.learning_rate,
                recipe.warmup_steps,
            )
        )
    resume = SaveAndResume(folder / STATE_FILE, chosen)
    others = []
    if recipe.validation_bleu_every is not None:
        # Every tenth or so, rather than the shortest or the first chapter.
        stride = -(-len(validation_pairs) // 100)
        others.append(
            ValidationBLEU(
                *two_sides(validation_pairs[::stride]),
                every=recipe.validation_bleu_every,
            )
        )
    if (
        keras.backend.backend() == "tensorflow"
        and importlib.util.find_spec("tensorboard") is not None
    ):
        others.append(
            keras.callbacks.TensorBoard(folder / "logs", write_graph=False)
        )
    return [*others, *chosen, resume]


def fit(recipe, model, batches, callbacks, verbose):
    """Trains, from where the last callback resumes; returns the logs."""
    training, validation = batches
    resume = callbacks[-1]
    first_epoch = len(resume.history)
    if recipe.budget_cpu_minutes is None:
        epochs = recipe.steps // recipe.steps_per_epoch
    else:
        epochs = 10**6  # the budget ends it
    model.fit(
        training,
        validation_data=validation,
        # A run that was killed behind its training has none left.
        epochs=first_epoch if resume.finished else epochs,
        initial_epoch=first_epoch,
        shuffle=False,  # the batches are shuffled by seed and epoch
        callbacks=callbacks,
        verbose=verbose,
    )
    return resume.history


def read_run(folder):
    """The model and the `recipe.json` of a run folder."""
    folder = Path(folder)
    about, recipe = read_recipe(folder)
    if not (folder / MODEL_FOLDER).is_dir():
        raise ValueError(
            "A run must be finished before its model is read. Received: "
            f"{folder}, which has no {MODEL_FOLDER}. Add --resume to the "
            "command that began it."
        )
    return RNNSearch.from_preset(folder / MODEL_FOLDER), recipe, about


def check_reload(folder, model, sources):
    """Makes sure that the model read back from disk answers alike."""
    reloaded, recipe, _ = read_run(folder)
    answers, again = (
        x.generate(sources, num_beams=recipe.num_beams)
        for x in (model, reloaded)
    )
    if again != answers:
        raise RuntimeError(
            "The model read back from its folder must translate as the one "
            f"that was saved. Received: {again} instead of {answers}."
        )
