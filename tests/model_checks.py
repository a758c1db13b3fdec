"""Small models, a row for each program that a public model can be.

`docs.supported` tries each row in each way. A new public model gets a row in
`CASES`, and so does an option that makes another program of it; a test
compares the table with `models.__all__`.
"""

import dataclasses

import keras
import numpy as np

from keras_attention import models
from keras_attention.data import ImageProcessor, WordTokenizer
from keras_attention.models.translator import Translator

SOURCE = WordTokenizer.train(list("abcdefghij"))
TARGET = WordTokenizer.train(list("klmnopqr"))
WORDS = WordTokenizer.train(["a red ring and a blue cross is left of it"])
GRID, FEATURES = (2, 3), 6  # of a picture, as an encoder would make them
IMAGE, CLIP, CLASSES = (12, 20, 3), (4, 8, 12, 3), 6
PROCESSOR = ImageProcessor(IMAGE[:2], IMAGE[:2])


@dataclasses.dataclass(frozen=True)
class Case:
    """A model and its sizes.

    Args:
        kind: Its class.
        sizes: Arguments of the class.
        parts: From argument to a function that makes the model it takes.
    """

    kind: type
    sizes: dict
    parts: dict = dataclasses.field(default_factory=dict)

    def make(self, dtype=None, **options):
        """The model; a translator without vocabularies gets tokenizers."""
        parts = {name: part(dtype=dtype) for name, part in self.parts.items()}
        if issubclass(self.kind, Translator) and not options:
            options = dict(source_tokenizer=SOURCE, target_tokenizer=TARGET)
        return self.kind(dtype=dtype, **self.sizes, **parts, **options)


def translator(kind, **sizes):
    return Case(kind, dict(embedding_dim=6, hidden_dim=8, **sizes))


def captioner(kind, **sizes):
    shared = dict(tokenizer=WORDS, dropout=0.0)
    return Case(kind, {**shared, "hidden_dim": 12, **sizes})


def seer(attention):
    return captioner(
        models.ShowAttendTell,
        feature_shape=(*GRID, FEATURES),
        attention=attention,
        embedding_dim=8,
        attention_dim=4,
    )


BLOCKS = dict(
    num_layers=2,
    hidden_dim=16,
    num_heads=2,
    intermediate_dim=12,
)


def vit(**options):
    sizes = dict(image_shape=IMAGE, patch_size=4, num_classes=CLASSES)
    rest = dict(image_processor=PROCESSOR, head_initializer="glorot_uniform")
    return {**BLOCKS, **sizes, **rest, **options}


def segmenter(decoder):
    return Case(
        models.ViTSegmenter,
        dict(num_classes=CLASSES, decoder=decoder),
        {
            "encoder": lambda dtype: models.ViT(
                **vit(num_classes=0), dtype=dtype
            )
        },
    )


def vivit(variant, **options):
    sizes = dict(
        video_shape=CLIP,
        tubelet_size=(2, 4, 4),
        variant=variant,
        num_classes=CLASSES,
        head_initializer="glorot_uniform",
    )
    return Case(models.ViViT, {**BLOCKS, **sizes, **options})


CONVOLUTIONS = Case(
    models.ConvEncoder, dict(image_shape=(16, 24, 3), filters=(8, 10, 6))
)
CASES = {
    "RNNSearch": translator(models.RNNSearch, alignment_dim=10, maxout_dim=4),
    "LuongNMT, global": translator(models.LuongNMT, num_layers=2),
    "LuongNMT, local": translator(
        models.LuongNMT,
        num_layers=1,
        alignment="local_predictive",
        window=2,
    ),
    "LuongNMT, no input feeding": translator(
        models.LuongNMT, num_layers=1, input_feeding=False
    ),
    "Transformer": Case(
        models.Transformer,
        dict(num_layers=1, hidden_dim=12, num_heads=3, intermediate_dim=8),
    ),
    "Seq2SeqLSTM": translator(models.Seq2SeqLSTM, num_layers=2),
    "ShowAttendTell, soft": seer("soft"),
    "ShowAttendTell, hard": seer("hard"),
    "ShowAttendTell, marginal": seer("marginal"),
    "SCACNN": Case(
        models.SCACNN,
        dict(
            tokenizer=WORDS,
            taps=("relu_1", "relu_2"),
            embedding_dim=8,
            hidden_dim=12,
            attention_dim=4,
            dropout=0.0,
        ),
        {"backbone": CONVOLUTIONS.make},
    ),
    "TransformerCaptioner": captioner(
        models.TransformerCaptioner,
        feature_shape=(*GRID, FEATURES),
        num_layers=2,
        num_heads=3,
        intermediate_dim=10,
    ),
    "ConvEncoder": CONVOLUTIONS,
    "ViT, class token": Case(models.ViT, vit()),
    "ViT, average": Case(models.ViT, vit(pooling="average")),
    "ViT, attention pooling": Case(models.ViT, vit(pooling="attention")),
    "ViTSegmenter, linear": segmenter("linear"),
    "ViTSegmenter, mask transformer": segmenter("mask_transformer"),
    "ViViT, spatio-temporal": vivit("spatio_temporal"),
    "ViViT, factorized encoder": vivit(
        "factorized_encoder", num_temporal_layers=1
    ),
    "ViViT, factorized self-attention": vivit("factorized_self_attention"),
    "ViViT, factorized dot product": vivit("factorized_dot_product"),
}


def make(name, dtype=None, **options):
    """A model of a row, of weights that all matter: norms and biases too."""
    keras.utils.set_random_seed(3)
    model = CASES[name].make(dtype, **options)
    rng = np.random.default_rng(3)
    for weight in model.trainable_weights:
        noise = 0.4 * rng.normal(size=weight.shape)
        weight.assign(keras.ops.convert_to_numpy(weight) + noise)
    return model
