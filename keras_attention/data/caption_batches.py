"""From captioned images to batches that `fit` trains on."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from keras import ops

from keras_attention.data.boxed_batches import (
    BoxedBatches,
    fit_boxes,
    teacher_forced,
)
from keras_attention.data.captioned_images import CaptionedImage
from keras_attention.data.image_batches import (
    MIXING,
    generators_of,
    seed_generators,
)
from keras_attention.data.image_processor import ImageProcessor, one_size
from keras_attention.data.read_ahead import ReadAhead
from keras_attention.data.tokenizers import Tokenizer
from keras_attention.ops import checks

NUM_BUCKETS = 10


class CaptionBatches(BoxedBatches):
    """Batches of pictures and captions for teacher-forced training.

    Each batch is `(inputs, targets, sample_weight)`:

        inputs["images"]             (B, height, width, 3) float32
        inputs["decoder_token_ids"]  (B, T) int32    [start] y1 y2 ... yn
        targets                      (B, T) int32    y1 y2 ... yn [end]
        sample_weight                (B, T) float32  1, and 0 on padding

    Each caption of an image is a row with that image. Compile with
    `losses.SparseCategoricalCrossentropy()`, whose mean leaves padding out;
    one of Keras wants `reduction="mean_with_sample_weight"` for that.

    Captions are sorted into a few boxes of lengths, which pad little and have
    static shapes, or with `same_length` into batches of exactly one length, as
    Xu et al. (2015, 4.3) train. The last batch of a box is filled up with rows
    of weight 0. Pictures are read by threads while the model trains on the
    batch before.

    Order and augmentation are a function of `seed`, the epoch and the batch
    alone, and so are the same after a resume. Call `fit(batches,
    shuffle=False)`; a resumed run passes its first epoch as `initial_epoch`
    here and to `fit`.

    Args:
        examples: Captioned images, each with one caption or more.
        tokenizer: Makes ids of captions.
        image_processor: Resizes, crops and scales pictures. None leaves sizes
            as they are and scales to [-1, 1].
        batch_size: Captions per batch.
        same_length: Whether all captions of a batch have as many tokens, so
            that nothing is padded. That makes as many shapes as there are
            lengths, and a rare length gives a batch that is mostly rows of
            weight 0.
        num_buckets: Otherwise at most this many shapes; 10 if None.
        augmentation: Layers that are called on batches, values from 0 to 255,
            one after the other, such as `keras.layers.RandomBrightness(0.2)`.
            What moves or flips pictures makes captions with "left" wrong.
        input_name: `"images"` for pictures; `"features"` for arrays that an
            encoder made of them, all of one shape, which are neither
            processed nor augmented: `inputs["features"]` float32.
        shuffle: Whether the order changes from epoch to epoch.
        seed: Seed of order and augmentation.
        initial_epoch: The epoch to begin with.
        steps_per_epoch: If given, an epoch is this many batches of an endless
            stream of passes over the data. None makes an epoch one pass.
        num_threads: Threads that read pictures.

    Raises:
        ValueError: There are no examples, one has no captions or a caption
            without tokens, an argument is not as above, or options do not go
            together; when its batch is read, also if a picture cannot be
            read or has another size than others (the error names it).

    Examples:
        >>> import numpy as np
        >>> from keras_attention import data
        >>> picture = np.zeros((8, 8, 3), "uint8")
        >>> examples = [data.CaptionedImage(picture, ("a dog", "a big dog"))]
        >>> tokenizer = data.WordTokenizer.train(["a big dog"])
        >>> batches = data.CaptionBatches(examples, tokenizer, batch_size=2)
        >>> inputs, targets, weights = batches[0]
        >>> inputs["images"].shape, targets.shape
        ((2, 8, 8, 3), (2, 4))
        >>> weights.sum(1).tolist()
        [3.0, 4.0]

    Reference:
        [Xu et al., 2015](https://arxiv.org/abs/1502.03044), section 4.3
    """

    def __init__(
        self,
        examples: Sequence[CaptionedImage],
        tokenizer: Tokenizer,
        image_processor: ImageProcessor | None = None,
        batch_size: int = 64,
        same_length: bool = False,
        num_buckets: int | None = None,
        augmentation: Sequence[keras.layers.Layer] = (),
        input_name: str = "images",
        shuffle: bool = True,
        seed: int = 0,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        num_threads: int = 1,
    ):
        checks.positive_int(batch_size, "batch_size")
        checks.positive_int(num_threads, "num_threads")
        checks.one_of(input_name, "input_name", ("images", "features"))
        if num_buckets is not None:
            checks.positive_int(num_buckets, "num_buckets")
        _check_options(
            same_length, num_buckets, input_name, image_processor, augmentation
        )
        self.examples, self.tokenizer = examples, tokenizer
        self.captions, self.pairs = _rows_of(examples, tokenizer)
        self.image_processor = image_processor or ImageProcessor()
        self.augmentation, self.input_name = augmentation, input_name
        self._generators = [
            generator
            for layer in augmentation
            for generator in generators_of(layer)
        ]
        # [start] or [end] makes each caption one longer.
        lengths = np.array([[len(ids) + 1] for ids in self.captions])
        if same_length:
            every = np.unique(lengths)
            boxes = [np.flatnonzero(lengths == length) for length in every]
        else:
            boxes = fit_boxes(
                lengths, num_buckets or NUM_BUCKETS, lambda _: batch_size
            )
        self._read_ahead = ReadAhead(num_threads)
        super().__init__(
            lengths,
            boxes,
            lambda _: batch_size,
            shuffle,
            seed,
            initial_epoch,
            steps_per_epoch,
        )

    def rows(self, index: int) -> list[tuple[int, int]]:
        """Which captions are in a batch of this epoch, those that fill up not.

        Args:
            index: The batch.

        Returns:
            `(image, caption)` of each: indices of an example and of one of
            its captions.
        """
        _, rows = self._epoch_order(self._epoch)[index]
        return [self.pairs[row] for row in rows]

    def make_batch(self, index):
        epoch = self._epoch
        order = self._epoch_order(epoch)
        ahead = range(index, min(index + 2, self._num_batches))
        read = self._read_ahead.read(
            [(epoch, i) for i in ahead],
            lambda key: [
                (self._read, self.pairs[row][0]) for row in order[key[1]][1]
            ],
        )
        (batch_size, length), rows = order[index]
        # Filled-up rows repeat real ones: zeros could give a NaN somewhere.
        filled = np.resize(np.arange(len(rows)), batch_size)
        images = self._same_shape(read)[filled]
        if self.augmentation:
            images = self._augment(images, index)
        if self.input_name == "images":
            images = self.image_processor.normalize(images)
        decoder, targets, weight = teacher_forced(
            [self.captions[rows[i]] for i in filled],
            len(rows),
            length,
            self.tokenizer.pad_id,
            self.tokenizer.start_id,
            self.tokenizer.end_id,
        )
        inputs = {self.input_name: images, "decoder_token_ids": decoder}
        return inputs, targets, weight

    def _read(self, index):
        if self.input_name == "images":
            return pixels_of(self.examples[index], index, self.image_processor)
        image = self.examples[index].image
        if isinstance(image, (str, Path, bytes)):
            features = np.empty((), "uint8")
        else:
            features = np.asarray(image)
        if features.dtype.kind != "f":
            raise ValueError(
                "Features must be arrays of floats that an encoder made, such "
                f"as those of `cache_features`. Received: {type(image)} in "
                f'example {index}. Pass input_name="images" for pictures.'
            )
        return features.astype("float32")

    def _same_shape(self, arrays):
        """The pictures or features of a batch as one array."""
        if self.input_name == "images":
            return one_size(arrays)
        shapes = sorted({x.shape for x in arrays})
        if len(shapes) > 1:
            raise ValueError(
                "The features of a batch must have one shape. Received: "
                f"{shapes}. Make them with one encoder, of pictures of one "
                "size."
            )
        return np.stack(arrays)

    def _augment(self, images, index):
        seed_generators(self._generators, [self.seed, self._epoch, index])
        images = images.astype("float32")
        with warnings.catch_warnings():
            # Keras asks JAX for int64, and gets int32.
            warnings.filterwarnings(
                "ignore", message=r"(?s).*requested dtype int64"
            )
            for layer in self.augmentation:
                images = layer(images, training=True)
        return ops.convert_to_numpy(images).clip(0, 255)


def pixels_of(example, index, processor):
    """What a processor makes of an example's picture; an error names it."""
    try:
        return processor.pixels(example.image)
    except ValueError as error:
        name = f" ({example.name})" if example.name else ""
        raise ValueError(
            f"The picture of example {index}{name} must be one that can be "
            f"read. {error}"
        ) from error


def _check_options(
    same_length, num_buckets, input_name, image_processor, augmentation
):
    if same_length and num_buckets is not None:
        raise ValueError(
            "Batches of one length have as many shapes as there are lengths. "
            f"Received: same_length=True, num_buckets={num_buckets}. Pass one "
            "of the two."
        )
    if input_name == "features" and (image_processor or augmentation):
        raise ValueError(
            "Features are neither processed nor augmented: that is done to "
            "pictures before an encoder reads them. Received: input_name="
            f'"features" with {image_processor=}, {augmentation=}.'
        )
    if any(isinstance(layer, MIXING) for layer in augmentation):
        raise ValueError(
            "MixUp and CutMix blend labels, and captions cannot be blended. "
            f"Received: {augmentation=}. Leave them out."
        )


def _rows_of(examples, tokenizer):
    """The ids of all captions, and `(image, caption)` of each."""
    pairs = []
    for index, example in enumerate(examples):
        if isinstance(example.captions, str) or not len(example.captions):
            raise ValueError(
                "Each example must have a tuple of captions. Received: "
                f"captions={example.captions!r} in example {index}."
            )
        pairs += [(index, i) for i in range(len(example.captions))]
    if not pairs:
        raise ValueError(
            "There must be captioned images to make batches of. Received: no "
            "examples."
        )
    ids = tokenizer.tokenize([examples[x].captions[i] for x, i in pairs])
    for (index, i), tokens in zip(pairs, ids, strict=True):
        if not len(tokens):
            raise ValueError(
                "Each caption must have at least one token. Received: "
                f"{examples[index].captions[i]!r}, caption {i} of example "
                f"{index}. Leave it out."
            )
    return ids, pairs
