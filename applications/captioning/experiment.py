"""One run of a recipe: its tokenizer, its model, its batches, its training."""

from pathlib import Path

import keras

from applications.captioning import runs
from applications.captioning.encoders import make_encoder
from applications.captioning.recipes import Recipe
from applications.common import training
from applications.common.baselines import mean_attention
from applications.common.folders import MODEL_FOLDER
from keras_attention import data
from keras_attention.callbacks import (
    AttentionAlarm,
    BestWeights,
    SemiSamplingSchedule,
    ValidationCaptions,
)
from keras_attention.layers import HardAttention, LocalAttention
from keras_attention.losses import Reinforce, SparseCategoricalCrossentropy
from keras_attention.models import (
    SCACNN,
    ShowAttendTell,
    TransformerCaptioner,
)

TOKENIZERS = {
    "word": data.WordTokenizer,
    "sentencepiece": data.SentencePieceTokenizer,
    "bpe": data.BPETokenizer,
}
# Validation pictures that captions are written of while a model is trained.
WRITTEN = 100


def show_attend_tell(recipe, source):
    """Arguments of a `ShowAttendTell`.

    Args:
        recipe: A `Recipe`.
        source: Those that tell what it looks at.
    """
    preset = ShowAttendTell.presets[recipe.preset]
    return dict(
        coordinates=recipe.coordinates,
        dropout=recipe.dropout,
        doubly_stochastic=recipe.doubly_stochastic or 0.0,
        **sizes(recipe, "embedding_dim", "hidden_dim", "attention_dim"),
        **attention_options(recipe, preset, source),
        **source,
    )


def sca_cnn(recipe, source):
    """Arguments of an `SCACNN`, as those of a `ShowAttendTell`."""
    return dict(
        backbone=source["encoder"],
        image_processor=source["image_processor"],
        taps=tuple(recipe.taps.split(",")),
        attention=recipe.attention,
        dropout=recipe.dropout,
        **sizes(recipe, "embedding_dim", "hidden_dim", "attention_dim"),
    )


def transformer(recipe, source):
    """Arguments of a `TransformerCaptioner`, likewise."""
    return dict(
        coordinates=recipe.coordinates,
        dropout=recipe.dropout,
        **sizes(recipe, "hidden_dim"),
        **source,
    )


# Another captioner takes its place here, and its presets in the recipes.
SYSTEMS = {
    ShowAttendTell: show_attend_tell,
    SCACNN: sca_cnn,
    TransformerCaptioner: transformer,
}


def sizes(recipe, *names):
    """Sizes of a recipe that are not left to the preset."""
    found = {name: getattr(recipe, name) for name in names}
    return {name: size for name, size in found.items() if size is not None}


def system_of(preset):
    """The class that has a preset of this name."""
    for system in SYSTEMS:
        if preset in system.presets:
            return system
    names = [name for system in SYSTEMS for name in system.presets]
    raise ValueError(
        f"`preset` must be one of {', '.join(names)}. Received: "
        f"preset={preset}."
    )


def make_tokenizer(recipe: Recipe, examples):
    """The tokenizer of the captions of some examples."""
    texts = [text for x in examples for text in x.captions]
    options = {}
    if recipe.tokenizer == "word":
        options["min_count"] = recipe.min_count
    return TOKENIZERS[recipe.tokenizer].train(
        texts, recipe.vocabulary_size, **options
    )


def make_model(recipe: Recipe, tokenizer, feature_shape=None):
    """The compiled model of a recipe.

    Args:
        recipe: A `Recipe`.
        tokenizer: Of the captions.
        feature_shape: Of features that are there already; None makes an
            encoder.
    """
    if feature_shape is None:
        encoder, processor = make_encoder(recipe)
        source = dict(
            encoder=encoder, image_processor=processor, feature_shape=None
        )
    else:
        source = dict(feature_shape=feature_shape)
    system = system_of(recipe.preset)
    model = system.from_preset(
        recipe.preset, tokenizer=tokenizer, **SYSTEMS[system](recipe, source)
    )
    model.compile(
        keras.optimizers.Adam(
            training.make_learning_rate(recipe, recipe.steps),
            global_clipnorm=recipe.clipnorm,
        ),
        SparseCategoricalCrossentropy(),
        jit_compile=recipe.jit_compile,
    )
    return model


def attention_options(recipe, preset, source):
    """The arguments of a captioner that say how it attends."""
    units = recipe.attention_dim or preset["attention_dim"]
    if recipe.attention == "mean":
        return {"attention": mean_attention()}
    if recipe.attention == "window":
        shape = source["feature_shape"] or source["encoder"].output_shape[1:]
        attention = LocalAttention(
            recipe.window,
            "predictive",
            "concat",  # scores as those of soft attention
            units,
            grid_shape=shape[:-1],
            name="attention",
        )
        return {"attention": attention}
    if recipe.attention != "hard":
        return {"attention": recipe.attention}
    attention = HardAttention(
        units,
        recipe.estimator,
        recipe.inference,
        temperature=recipe.temperature,
        semi_sampling=recipe.semi_sampling,
        name="attention",
    )
    if recipe.estimator != "reinforce":
        return {"attention": attention}
    reinforce = Reinforce(
        recipe.baseline,
        recipe.num_samples,
        reward_to_go=recipe.reward_to_go,
        score_weight=recipe.score_weight,
        entropy_weight=recipe.entropy_weight or 0.0,
    )
    return {"attention": attention, "reinforce": reinforce}


def keep_features(recipe, splits, folder):
    """The examples with features in place of pictures, and their shape.

    Args:
        recipe: With an encoder that stays as it is.
        splits: A `Splits`.
        folder: Where features are kept.

    Returns:
        Examples to train on, those to validate with, and the shape.
    """
    encoder, processor = make_encoder(recipe)
    parts = [
        data.cache_features(
            encoder,
            examples,
            Path(folder) / name,
            processor,
            num_threads=recipe.num_threads,
        )
        for name, examples in (
            ("train", splits.train),
            ("validation", splits.validation),
        )
    ]
    return *parts, tuple(encoder.output_shape[1:])


def with_encoder(recipe, model):
    """A captioner of pictures, from one of the features of its encoder."""
    encoder, processor = make_encoder(recipe)
    whole = type(model).from_config(
        {
            **model.get_config(),
            "encoder": encoder,
            "image_processor": processor,
            "feature_shape": None,
        }
    )
    whole.decoder.set_weights(model.decoder.get_weights())
    if model.reinforce is not None:
        whole.reinforce.set_weights(model.reinforce.get_weights())
    return whole


def make_batches(recipe, model, training_examples, validation, seed, epoch):
    """Training batches, from an epoch on, and validation batches."""
    buckets = None if recipe.same_length else recipe.num_buckets
    shared = dict(
        batch_size=recipe.batch_size,
        same_length=recipe.same_length,
        num_buckets=buckets,
        image_processor=model.image_processor,
        input_name=model.source_name,
        num_threads=recipe.num_threads,
    )
    order = dict(
        seed=seed, initial_epoch=epoch, steps_per_epoch=recipe.steps_per_epoch
    )
    return [
        data.CaptionBatches(examples, model.tokenizer, **shared, **options)
        for examples, options in (
            (training_examples, order),
            (validation, {"shuffle": False}),
        )
    ]


def written_captions(recipe, validation, every):
    """What scores captions of validation pictures, every few epochs."""
    # Spread over the set, rather than the first ones.
    stride = -(-len(validation) // WRITTEN)
    return ValidationCaptions(
        [x.image for x in validation[::stride]],
        [x.captions for x in validation[::stride]],
        every=every,
        max_length=recipe.max_length,
    )


def make_callbacks(recipe, validation, folder):
    """Callbacks for `fit`; the last one resumes.

    Args:
        recipe: A `Recipe`.
        validation: Examples to validate with.
        folder: Of the run.
    """
    chosen = []
    if recipe.captions_every is not None:
        every = recipe.captions_every
        chosen.append(written_captions(recipe, validation, every))
    soft_epochs = 0
    if recipe.attention == "hard":
        chosen.append(AttentionAlarm())
    if recipe.soft_share:
        epochs = recipe.steps // recipe.steps_per_epoch
        soft_epochs = round(recipe.soft_share * epochs)
        chosen.append(
            SemiSamplingSchedule(
                lambda epoch: (
                    1.0 if epoch < soft_epochs else recipe.semi_sampling
                )
            )
        )
    best = BestWeights(
        recipe.select_by,
        mode="min" if recipe.select_by == "val_loss" else "max",
        patience=recipe.patience,
        # Weights that were never trained to look at one place are not hard
        # attention's, however well they do.
        start_from_epoch=soft_epochs,
    )
    return [*chosen, *training.make_callbacks(recipe, folder, best)]


def fit(recipe, model, batches, callbacks, verbose):
    """Trains, from where the last callback resumes; returns the logs."""
    epochs = recipe.steps // recipe.steps_per_epoch
    return training.fit(recipe, model, batches, epochs, callbacks, verbose)


def read_run(folder):
    """The model of a finished run, its recipe and its `recipe.json`."""
    about, recipe = runs.read_finished(folder)
    system = system_of(recipe.preset)
    return system.from_preset(Path(folder) / MODEL_FOLDER), recipe, about


def check_reload(recipe, folder, model, images):
    """Makes sure that the model read back from disk answers alike."""
    again, *_ = read_run(folder)
    options = dict(num_beams=recipe.num_beams, max_length=recipe.max_length)
    ours, theirs = (x.generate(images, **options) for x in (model, again))
    if ours != theirs:
        raise RuntimeError(
            "The model read back from its folder must write what the one that "
            f"was saved does. Received: {theirs} instead of {ours}."
        )
