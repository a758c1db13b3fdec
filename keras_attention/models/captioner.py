from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_attention.data.image_processor import one_size
from keras_attention.models.writer import Writer
from keras_attention.ops import checks

IMAGES, FEATURES = "images", "features"
DECODER_INPUT = "decoder_token_ids"


class Caption(NamedTuple):
    """One caption and what its words read.

    Attributes:
        text: The caption.
        tokens: T tokens that were written, the end token last (unless the
            caption was cut at the length limit).
        scores: `(T, height, width)` attention scores over the grid of
            features, or `(T, S)` over a sequence, as NumPy; of several heads
            the mean.
        samples: `(T,)`, the place that hard attention read at each token, row
            by row through the grid; -1 where it read the expectation. None of
            a model without hard attention.
        gates: `(T,)`, how much of what was read came through (of a gate per
            feature the mean); None of a model without a gate.
        log_probability: Sum over the tokens.
        hypothesis_score: The same after the length penalty.
        ended: Whether the last token is the end token.
    """

    text: str
    tokens: list[str]
    scores: np.ndarray
    samples: np.ndarray | None
    gates: np.ndarray | None
    log_probability: float
    hypothesis_score: float
    ended: bool


class Captioner(Writer):
    """A model that writes what is in an image.

    A subclass has inputs `images`, or `features` without an encoder, and
    `decoder_token_ids`; its output is the logits of the next token. It says
    how it decodes (`Writer`, the source being images or features) and how it
    reads given captions:

    - `forced(source, token_ids)` returns a dict with the `scores` `(B, T, S)`
      of all steps, and `sample` `(B, T)` and `gate` `(B, T)` if it has such.

    Args:
        encoder: What makes a grid or a sequence of features of images, or
            None.
        grid_shape: `(height, width)` or `(S,)` of the features.
        tokenizer: Turns ids into captions, or None.
        image_processor: Makes of pictures what the encoder expects, or None.
        **kwargs: Passed to `Model`.
    """

    def __init__(
        self,
        *args,
        encoder=None,
        grid_shape=None,
        tokenizer=None,
        image_processor=None,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self.encoder, self.grid_shape = encoder, grid_shape
        self.tokenizer = tokenizer
        self.image_processor = image_processor

    def forced(self, source, token_ids) -> dict[str, Any]:
        raise NotImplementedError("A captioner defines `forced`.")

    @property
    def source_name(self) -> str:
        """Name of the input that is looked at."""
        return FEATURES if self.encoder is None else IMAGES

    def generate(self, images, **kwargs) -> str | list[str]:
        """Writes captions.

        Args:
            images: An image or a list of images, as `caption` takes them.
            **kwargs: Those of `caption`.

        Returns:
            A string or a list of strings, in the order given.
        """
        if self._is_one(images):
            return self.caption([images], **kwargs)[0].text
        return [caption.text for caption in self.caption(images, **kwargs)]

    def caption(
        self,
        images,
        num_beams: int = 1,
        max_length: int = 50,
        length_penalty: str | None = "average",
        length_alpha: float = 1.0,
        early_stopping: bool = False,
        batch_size: int = 64,
    ) -> list[Caption]:
        """Writes captions and tells what each word read.

        Args:
            images: Images, a list or an array of them: what the
                `image_processor` takes (paths, Pillow images, unsigned
                bytes), or without one arrays as the encoder takes them;
                without an encoder, features.
            num_beams: Hypotheses per image; 1 decodes greedily.
            max_length: Most tokens, the end included.
            length_penalty: As in `decoding.beam_search`.
            length_alpha: As in `decoding.beam_search`.
            early_stopping: As in `decoding.beam_search`.
            batch_size: Images decoded at once.

        Returns:
            A `Caption` per image, of the best hypothesis.

        Raises:
            ValueError: The model has no tokenizer, there are no images, one
                cannot be read (the error names it), or its size is not the
                model's.
        """
        found = self.hypotheses(
            images,
            1,
            num_beams,
            max_length,
            length_penalty,
            length_alpha,
            early_stopping,
            batch_size,
        )
        return [hypotheses[0] for hypotheses in found]

    def hypotheses(
        self,
        images,
        num_results: int = 5,
        num_beams: int = 5,
        max_length: int = 50,
        length_penalty: str | None = "average",
        length_alpha: float = 1.0,
        early_stopping: bool = False,
        batch_size: int = 64,
    ) -> list[list[Caption]]:
        """Several captions of each image, best first.

        Args:
            images: As in `caption`.
            num_results: How many, at most `num_beams`.
            num_beams: As in `caption`.
            max_length: As in `caption`.
            length_penalty: As in `caption`.
            length_alpha: As in `caption`.
            early_stopping: As in `caption`.
            batch_size: As in `caption`.

        Returns:
            For each image a list of `Caption`, sorted by `hypothesis_score`;
            fewer than asked for where no more exist.

        Raises:
            ValueError: As in `caption`, or more results than beams.
        """
        options = self._search_options(
            num_beams,
            num_results,
            length_penalty,
            length_alpha,
            0.0,
            early_stopping,
        )
        return self._decode(
            images, self._searcher, options, max_length, batch_size
        )

    def sample(
        self,
        images,
        num_results: int = 1,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        max_length: int = 50,
        batch_size: int = 64,
    ) -> list[list[Caption]]:
        """Draws captions, as `decoding.sample` does.

        Args:
            images: As in `caption`.
            num_results: How many to draw for each.
            temperature: As in `decoding.sample`.
            top_k: As in `decoding.sample`.
            top_p: As in `decoding.sample`.
            seed: Draws the same words each time, given what is read; None
                draws anew.
            max_length: As in `caption`.
            batch_size: As in `caption`.

        Returns:
            For each image a list of `num_results`, each a `Caption`.

        Raises:
            ValueError: As in `decoding.sample` or in `caption`.
        """
        checks.positive_int(num_results, "num_results")
        rng = np.random.default_rng(seed)
        options: dict = dict(
            num_results=num_results,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
        )
        return self._decode(
            images,
            self._sampler,
            options,
            max_length,
            batch_size,
            lambda size: rng.random((max_length, size, num_results)).astype(
                "float32"
            ),
        )

    def align(
        self, images, captions: Sequence[str], batch_size: int = 64
    ) -> list[Caption]:
        """Tells what each word of given captions reads.

        Args:
            images: As in `caption`.
            captions: A string for each image.
            batch_size: Images at once.

        Returns:
            A `Caption` per pair, with the words that were given; its log
            probability and score are NaN.

        Raises:
            ValueError: As in `caption`, or there are not as many captions.
        """
        tokenizer = self._check_tokenizer()
        if len(images) != len(captions):
            raise ValueError(
                "There must be one caption per image. Received: "
                f"{len(images)} images, {len(captions)} captions."
            )
        rows = tokenizer.tokenize(list(captions))
        longest = 1 + max(map(len, rows), default=0)
        forced = self.compile_function("align", self.forced)
        results = []
        for first, source in self._batches(images, batch_size):
            given = rows[first : first + len(source)]
            ids = np.full((len(source), longest), tokenizer.pad_id, "int32")
            for row, words in zip(ids, given, strict=False):
                row[: len(words) + 1] = [tokenizer.start_id, *words]
            reads = forced(*map(ops.convert_to_tensor, (source, ids)))
            reads = {k: ops.convert_to_numpy(x) for k, x in reads.items()}
            for index, words in enumerate(given):
                written = np.array([*words, tokenizer.end_id])
                read = {name: x[index] for name, x in reads.items()}
                results.append(
                    self._caption(written, len(written), np.nan, np.nan, read)
                )
        return results

    def _decode(
        self, images, make, options, max_length, batch_size, draw_noise=None
    ):
        """Runs what `make(max_length, **options)` returns on batches."""
        self._check_tokenizer()
        checks.positive_int(max_length, "max_length")
        results = []
        for first, source in self._batches(images, batch_size):
            inputs = [source, np.full(len(source), max_length, "int32")]
            if draw_noise is not None:
                inputs.append(draw_noise(len(source)))
            decoded = self._run_decoder(make, options, max_length, *inputs)
            for row in range(min(len(source), len(images) - first)):
                results.append(
                    [
                        self._caption(
                            *(x[row, n] for x in decoded[:4]),
                            {k: x[row, n] for k, x in decoded.extras.items()},
                        )
                        for n in np.flatnonzero(decoded.lengths[row])
                    ]
                )
        return results

    def _caption(self, ids, length, log_probability, score, reads):
        ids, tokenizer = ids[:length], self.writing_tokenizer
        reads = {name: x[:length] for name, x in reads.items()}
        return Caption(
            tokenizer.detokenize([ids])[0],
            tokenizer.tokens(ids),
            reads["scores"].reshape(length, *self.grid_shape),
            reads.get("sample"),
            reads.get("gate"),
            float(log_probability),
            float(score),
            bool(ids[-1] == tokenizer.end_id),
        )

    def _batches(self, images, batch_size):
        """The first index and the source of each batch, all of one size.

        What the last batch lacks repeats its first image: another size would
        be compiled anew.
        """
        checks.positive_int(batch_size, "batch_size")
        if not len(images):
            raise ValueError("There must be images. Received: none.")
        batch_size = min(batch_size, len(images))
        for first in range(0, len(images), batch_size):
            rows = images[first : first + batch_size]
            source = self._source(rows)
            missing = batch_size - len(source)
            yield first, np.concatenate([source, *[source[:1]] * missing])

    def _source(self, images) -> np.ndarray:
        """What the model looks at, of images as `caption` takes them."""
        if self.encoder is not None and self.image_processor is not None:
            source = self.image_processor(list(images))
        else:
            source = one_size([np.asarray(x, "float32") for x in images])
        expected = tuple(self._source_shape())
        if len(source.shape) != len(expected) + 1 or any(
            a not in (None, b)
            for a, b in zip(expected, source.shape[1:], strict=True)
        ):
            raise ValueError(
                f"The model was made for {self.source_name} of shape "
                f"{expected}. Received: {source.shape[1:]}. "
                + (
                    "Resize them, or make a model of this `feature_shape`."
                    if self.encoder is None
                    else "Set an `image_processor` that resizes them."
                )
            )
        return source

    def _source_shape(self):
        return self.input[self.source_name].shape[1:]

    def _is_one(self, images):
        if isinstance(images, (list, tuple)):
            return False
        rank = getattr(images, "ndim", None)  # None of paths and pictures
        return rank is None or rank == len(self._source_shape())

    def _check_tokenizer(self):
        if self.tokenizer is None:
            raise ValueError(
                "Captions in words need a tokenizer. Received: a model "
                "without. Pass `tokenizer` to the model."
            )
        return self.tokenizer

    @classmethod
    def from_preset(cls, preset: str | Path, **overrides):
        if preset in cls.presets:
            if overrides.get("tokenizer") is not None:
                # A published size with a vocabulary of one's own.
                overrides.setdefault("vocabulary_size", None)
            if overrides.get("encoder") is not None:
                overrides.setdefault("feature_shape", None)
        return super().from_preset(preset, **overrides)

    @classmethod
    def from_config(cls, config):
        model = super().from_config(config)
        if model.encoder is not None:
            freeze_again(model.encoder)
        return model

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "encoder": serialize(self.encoder),
            "image_processor": serialize(self.image_processor),
        }


def freeze_again(layer):
    """Freezes what a layer is made of whose config said that it is frozen.

    Keras makes it with the mark alone, and a model around it would train its
    weights. A graph's layers have configs of their own.
    """
    if "layers" in layer.get_config():
        for part in layer.layers:
            freeze_again(part)
    elif not layer.trainable:
        # On TensorFlow, setting what is already so does nothing.
        layer.trainable = True
        layer.trainable = False


def source_of(encoder, feature_shape) -> tuple[Any, Any, tuple]:
    """The input of a captioner, its features `(B, S, D)` and their grid.

    Args:
        encoder: A `keras.Model` from images to a grid `(B, height, width, D)`
            or a sequence `(B, S, D)`; or None.
        feature_shape: `(height, width, D)` or `(S, D)` without an encoder.
    """
    if (encoder is None) == (feature_shape is None):
        raise ValueError(
            "A captioner looks at images through an `encoder`, or at features "
            "of a `feature_shape` that were computed before. Received: "
            f"encoder={encoder!r}, feature_shape={feature_shape}. Pass one of "
            "them."
        )
    if encoder is None:
        source = keras.Input(tuple(feature_shape), name=FEATURES)
        features, what = source, f"feature_shape={tuple(feature_shape)}"
    else:
        source = keras.Input(encoder.input_shape[1:], name=IMAGES)
        features = encoder(source)
        shape = keras.tree.map_structure(lambda x: tuple(x.shape), features)
        what = f"an encoder with outputs of shape {shape}"
    shape = () if isinstance(features, (list, dict)) else features.shape
    if len(shape) not in (3, 4) or None in shape[1:]:
        raise ValueError(
            "What is looked at must be a grid (height, width, features) or a "
            f"sequence (S, features) of a fixed size. Received: {what}. Leave "
            "out the pooling and the head of a classifier "
            "(`include_top=False`), and give it an `input_shape`."
        )
    return source, features, tuple(shape[1:-1])
