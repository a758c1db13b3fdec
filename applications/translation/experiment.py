"""One run of a recipe: its data, its model, its training, its folder."""

from pathlib import Path

import keras

from applications.common import training
from applications.common.baselines import mean_attention
from applications.common.folders import MODEL_FOLDER
from applications.translation.recipes import Recipe
from applications.translation.reversal import reversal_splits
from applications.translation.run_folder import (
    TFDS,
    files_of,
    is_tfds,
    read_finished,
)
from keras_attention import data
from keras_attention.callbacks import (
    AverageWeights,
    BestWeights,
    ValidationBLEU,
)
from keras_attention.data.synthetic import english_french_splits
from keras_attention.data.tfds_sets import find_builder, make_available
from keras_attention.losses import SparseCategoricalCrossentropy
from keras_attention.models import (
    LuongNMT,
    RNNSearch,
    Seq2SeqLSTM,
    Transformer,
)
from keras_attention.schedules import TransformerSchedule

GENERATORS = {
    "english_french": english_french_splits,
    "reversal": reversal_splits,
}
SYSTEMS = (Seq2SeqLSTM, RNNSearch, LuongNMT, Transformer)
TOKENIZERS = {
    "word": data.WordTokenizer,
    "sentencepiece": data.SentencePieceTokenizer,
    "bpe": data.BPETokenizer,
    "character": data.CharacterTokenizer,
}


def read_splits(recipe: Recipe, source, seed, skip_bad_rows=False):
    """Training, validation and test pairs, and how many were left out.

    Pairs of files are split into three blocks, in their order, the test block
    last, and so is a set of tensorflow-datasets that does not come in three.
    Pairs longer than `max_words` are left out of the first two.
    """
    if recipe.dataset in GENERATORS:
        splits = GENERATORS[recipe.dataset](
            recipe.train_pairs,
            recipe.validation_pairs,
            recipe.test_pairs,
            seed=seed,
            min_words=recipe.min_words,
            max_words=recipe.max_words,
        )
        return splits, 0
    if splits_of(source) >= {"train", "validation", "test"}:
        train, validation, test = (
            read_pairs(source, skip_bad_rows, split)
            for split in ("train", "validation", "test")
        )
    else:
        train, validation, test = data.split_blocks(
            read_pairs(source, skip_bad_rows),
            recipe.validation_pairs,
            recipe.test_pairs,
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


def splits_of(source):
    """The splits that the pairs come in, none for files."""
    if not is_tfds(source):
        return set()
    builder = find_builder(parse_tfds(source)[0])
    make_available(builder)
    return set(builder.info.splits)


def parse_tfds(source):
    """Name, source and target language of `tfds:NAME[,SOURCE,TARGET]`."""
    name, *languages = source.removeprefix(TFDS).split(",")
    if len(languages) not in (0, 2) or not all([name, *languages]):
        raise ValueError(
            "A set of tensorflow-datasets is tfds:NAME, or "
            f"tfds:NAME,SOURCE,TARGET. Received: {source}."
        )
    return name, *(languages or (None, None))


def read_pairs(source, skip_bad_rows=False, split="train"):
    """The sentence pairs that are named; tells which rows are left out."""
    if is_tfds(source):
        name, *languages = parse_tfds(source)
        pairs, skipped = data.read_tfds(
            name, split, *languages, on_error="skip"
        )
        where, unit = f"{source}, {split}", "example"
    else:
        files = files_of(source)
        read = data.read_tsv if len(files) == 1 else data.read_aligned
        pairs, skipped = read(*files, on_error="skip")
        where, unit = " and ".join(map(str, files)), "line"
    if not skipped:
        return pairs
    rows = [f"{unit} {row.line}: {row.reason}" for row in skipped]
    if not skip_bad_rows:
        more = f", and {len(rows) - 1} more" if len(rows) > 1 else ""
        raise ValueError(
            f"Each {unit} must hold a source and a target sentence, UTF-8 "
            f"text. Received: {where}, {rows[0]}{more}. Correct that, or add "
            f"--skip-bad-rows to leave such {unit}s out."
        )
    if len(rows) > 10:
        rows[10:] = [f"and {len(rows) - 10} more"]
    print(f"rows of {where} left out: {len(skipped)}", *rows, sep="\n  ")
    return pairs


def read_test_pairs(source, skip_bad_rows=False):
    """All pairs of files, or the test split of a set if it has one."""
    split = "test" if "test" in splits_of(source) else "train"
    return read_pairs(source, skip_bad_rows, split)


def two_sides(pairs):
    """Sources and targets of pairs, whether generated or from a file."""
    if isinstance(pairs[0], tuple):
        return [p[0] for p in pairs], [p[1] for p in pairs]
    return [p.source for p in pairs], [p.target for p in pairs]


def make_tokenizers(recipe, pairs):
    """The tokenizers of source and target, one and the same if joint."""
    sources, targets = two_sides(pairs)
    train = TOKENIZERS[recipe.tokenizer].train
    if recipe.joint_vocabulary:
        return [train([*sources, *targets], recipe.vocabulary_size)] * 2
    return [train(x, recipe.vocabulary_size) for x in (sources, targets)]


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
            tokens_per_batch=recipe.tokens_per_batch,
            num_buckets=recipe.num_buckets,
            **options,
        )
        for pairs, options in (
            (training, order),
            (validation, {"shuffle": False}),
        )
    ]


def system_of(preset):
    """The class that has a preset of this name."""
    for system in SYSTEMS:
        if preset in system.presets:
            return system
    names = sorted(name for system in SYSTEMS for name in system.presets)
    raise ValueError(
        f"`preset` must be one of {', '.join(names)}. Received: "
        f"preset={preset}."
    )


def make_model(recipe, splits):
    source_tokenizer, target_tokenizer = make_tokenizers(recipe, splits[0])
    system = system_of(recipe.preset)
    names = "embedding_dim", "score", "alignment", "window", "input_feeding"
    options = {
        name: getattr(recipe, name)
        for name in names
        if getattr(recipe, name) is not None
    }
    if recipe.hidden_dim is not None:
        options["hidden_dim"] = recipe.hidden_dim
        if system is RNNSearch:
            options["alignment_dim"] = recipe.hidden_dim
            options["maxout_dim"] = recipe.hidden_dim
    if recipe.attention == "mean":
        options["attention"] = mean_attention()
    if recipe.score == "location":
        # It scores positions, and learns as many as there are to read.
        sources = [text for pairs in splits for text in two_sides(pairs)[0]]
        options["max_length"] = max(
            map(len, source_tokenizer.tokenize(sources))
        )
    if system is Transformer:
        options["share_embeddings"] = recipe.joint_vocabulary
    model = system.from_preset(
        recipe.preset,
        source_tokenizer=source_tokenizer,
        target_tokenizer=target_tokenizer,
        dropout=recipe.dropout,
        **options,
    )
    model.compile(
        keras.optimizers.Adam(
            make_learning_rate(recipe), clipnorm=recipe.clipnorm
        ),
        SparseCategoricalCrossentropy(recipe.label_smoothing),
        jit_compile=recipe.jit_compile,
    )
    return model


def make_learning_rate(recipe):
    """A schedule, or a number that `TimeBudget` changes."""
    if recipe.schedule == "transformer":
        # The paper's scale ties the rate to the model's size; here the rate
        # at the top is chosen, and a size of 1 leaves it at that.
        return TransformerSchedule(
            1,
            recipe.warmup_steps,
            scale=recipe.learning_rate * recipe.warmup_steps**0.5,
        )
    return training.make_learning_rate(recipe, recipe.steps)


def make_callbacks(recipe, validation_pairs, folder):
    """Callbacks for `fit`; the last one resumes."""
    if recipe.average_last is None:
        last = BestWeights("val_loss")
    else:
        last = AverageWeights(recipe.average_last)
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
    return [*others, *training.make_callbacks(recipe, folder, last)]


def fit(recipe, model, batches, callbacks, verbose):
    """Trains, from where the last callback resumes; returns the logs."""
    epochs = recipe.steps // recipe.steps_per_epoch
    return training.fit(recipe, model, batches, epochs, callbacks, verbose)


def target_tokens(batches):
    """Target tokens in one epoch of batches, about the same in any."""
    return sum(float(weights.sum()) for _, _, weights in batches)


def nats_per_word(model, batches, pairs):
    """Cross-entropy of the targets, over their words.

    Over words, and not smoothed, so that it compares models of other tokens
    and losses.
    """
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction="sum"
    )
    total = sum(
        float(loss(targets, model.predict_on_batch(inputs), weights))
        for inputs, targets, weights in batches
    )
    return total / sum(len(data.split_words(x)) for x in two_sides(pairs)[1])


def read_run(folder):
    """The model and the `recipe.json` of a run folder."""
    about, recipe = read_finished(folder)
    system = system_of(recipe.preset)
    return system.from_preset(Path(folder) / MODEL_FOLDER), recipe, about


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
