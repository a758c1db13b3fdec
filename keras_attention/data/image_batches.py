"""From pictures with labels or masks to batches that `fit` trains on."""

import warnings
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_attention.data.epochs import EpochBatches
from keras_attention.data.image_processor import ImageProcessor, one_size
from keras_attention.data.picture_files import read_mask, read_picture
from keras_attention.data.read_ahead import ReadAhead
from keras_attention.ops import checks

# They blend the targets of two pictures, which takes vectors of shares.
MIXING = (keras.layers.MixUp, keras.layers.CutMix)


class ImageBatches(EpochBatches):
    """Batches of pictures with their labels or masks, augmented.

    Each batch is `(images, targets)`:

        images   (B, height, width, 3) float32, scaled by the processor
        targets  (B,) int32                    labels
                 (B, num_classes) float32      labels, with `one_hot`
                 (B, height, width) int32      masks, with `masks`

    With several label sets the targets are a dict of such labels.

    Pictures are read and resized by threads while the model trains on the
    batches before. Augmentation then works on a whole batch, before it is
    scaled, with Keras's own layers; masks go through the same flips and
    shifts. All of it is a function of `seed`, the epoch and the batch alone,
    and so the same after a resume. Call `fit(batches, shuffle=False)`; a
    resumed run passes its first epoch as `initial_epoch` here and to `fit`.

    Args:
        examples: Pairs of a picture and its label, or its mask: a list, whose
            labels are checked at once, or anything that has a length and is
            indexed, whose labels are checked when they are read. Pictures as an
            `ImageProcessor` takes them, labels integers from 0.
        num_classes: How many classes there are; or a dict of label sets and
            how many each has, for labels that are dicts of the same names.
        image_processor: Resizes, crops and scales; `model.image_processor`
            does what a model's weights expect. None leaves sizes as they are
            and scales to [-1, 1].
        batch_size: Pictures per batch.
        masks: Whether the second of a pair is a mask.
        ignore_class: The class in masks that counts for none, beside those
            from 0.
        augmentation: Layers that are called on batches, values from 0 to 255,
            one after the other, such as `keras.layers.RandAugment()`. With
            `MixUp` and `CutMix`, `one_hot` must be set; of several of them a
            batch goes through one, by chance.
        mixing_share: Share of the batches that one of them blends.
        one_hot: Whether labels are vectors, for `CategoricalCrossentropy`.
        shuffle: Whether the order changes from epoch to epoch; the last batch
            is then filled up with pictures from the epoch's beginning, so
            that all batches have one shape.
        seed: Seed of order and augmentation.
        initial_epoch: The epoch to begin with.
        num_threads: Threads that read pictures.

    Raises:
        ValueError: There are no examples, a label is outside the classes (also
            in a mask, when its batch is read), a mask has another size than
            its picture, a file cannot be read (the error names it), or
            options do not go together.

    Examples:
        >>> import numpy as np
        >>> from keras_attention.data import ImageBatches, synthetic
        >>> pictures, labels = synthetic.glyphs(10)
        >>> batches = ImageBatches(
        ...     list(zip(pictures, labels)),
        ...     num_classes=10,
        ...     batch_size=4,
        ...     augmentation=[keras.layers.RandomFlip("horizontal")],
        ... )
        >>> batches.num_batches
        3
        >>> images, targets = batches[0]
        >>> images.shape, targets.shape
        ((4, 32, 32, 3), (4,))
    """

    def __init__(
        self,
        examples: Sequence,
        num_classes: int | dict[str, int],
        image_processor: ImageProcessor | None = None,
        batch_size: int = 64,
        masks: bool = False,
        ignore_class: int | None = 255,
        augmentation: Sequence[keras.layers.Layer] = (),
        mixing_share: float = 1.0,
        one_hot: bool = False,
        shuffle: bool = True,
        seed: int = 0,
        initial_epoch: int = 0,
        num_threads: int = 1,
    ):
        if isinstance(num_classes, dict):
            checks.label_sets(num_classes, "num_classes")
        else:
            checks.positive_int(num_classes, "num_classes")
        checks.positive_int(batch_size, "batch_size")
        checks.positive_int(num_threads, "num_threads")
        checks.non_negative_int(seed, "seed")
        if not len(examples):
            raise ValueError(
                "There must be pictures to make batches of. Received: no "
                "examples."
            )
        if masks and isinstance(num_classes, dict):
            raise ValueError(
                "Masks have one set of classes. Received: masks=True, "
                f"{num_classes=}."
            )
        if masks and one_hot:
            raise ValueError(
                "Labels become vectors, masks stay classes. Received: "
                "masks=True, one_hot=True. Use a sparse loss."
            )
        if not 0 <= mixing_share <= 1:
            raise ValueError(
                "`mixing_share` must be from 0 to 1. Received: mixing_share="
                f"{mixing_share}."
            )
        mixing = [x for x in augmentation if isinstance(x, MIXING)]
        if mixing_share != 1 and not mixing:
            raise ValueError(
                "`mixing_share` is for `MixUp` and `CutMix`. Received: "
                f"mixing_share={mixing_share} without them."
            )
        if mixing and masks:
            raise ValueError(
                "MixUp and CutMix blend labels. Received: masks=True. Leave "
                "them out of `augmentation`."
            )
        if mixing and not one_hot:
            raise ValueError(
                "MixUp and CutMix blend labels, which must be vectors. "
                "Received: one_hot=False. Pass one_hot=True and compile with "
                "`CategoricalCrossentropy`."
            )
        super().__init__(-(-len(examples) // batch_size))
        self.examples, self.num_classes = examples, num_classes
        self.image_processor = image_processor or ImageProcessor()
        self.batch_size, self.masks = batch_size, masks
        self.ignore_class, self.augmentation = ignore_class, augmentation
        self.mixing, self.mixing_share = mixing, mixing_share
        self.one_hot, self.shuffle, self.seed = one_hot, shuffle, seed
        self._generators = [
            generator
            for layer in augmentation
            for generator in generators_of(layer)
        ]
        if not masks and isinstance(examples, list):
            # Before any work is lost; of other sequences, when they are read.
            for index, (_, label) in enumerate(examples):
                self._check_label(label, index)
        self._read_ahead = ReadAhead(num_threads)
        self.set_epoch(initial_epoch)

    def rows(self, index: int) -> np.ndarray:
        """Which examples are in a batch of this epoch.

        Args:
            index: The batch.
        """
        order = np.arange(len(self.examples))
        if self.shuffle:
            rng = np.random.default_rng([self.seed, self._epoch])
            rng.shuffle(order)
        first = index * self.batch_size
        rows = order[first : first + self.batch_size]
        missing = self.batch_size - len(rows)
        if self.shuffle and missing:
            rows = np.concatenate([rows, np.resize(order, missing)])
        return rows

    def make_batch(self, index):
        epoch = self._epoch
        ahead = range(index, min(index + 2, self._num_batches))
        read = self._read_ahead.read(
            [(epoch, i) for i in ahead],
            lambda key: [
                (self._read, int(row), epoch) for row in self.rows(key[1])
            ],
        )
        pictures, targets = zip(*read, strict=True)
        images = one_size(list(pictures))
        targets = np.array(targets, "int32")  # (B, label sets), or masks
        if self.one_hot:
            # Side by side, so that they are blended alike.
            targets = np.concatenate(
                [
                    labels[:, None] == np.arange(size)
                    for labels, size in zip(targets.T, self._sizes, strict=True)
                ],
                axis=1,
                dtype="float32",
            )
        if self.augmentation:
            images, targets = self._augment(images, targets, index)
        if not self.masks:
            targets = self._by_set(targets)
        return self.image_processor.normalize(images), targets

    def _by_set(self, targets):
        """Labels or vectors side by side, apart."""
        if self.one_hot:
            ends = np.cumsum(self._sizes)[:-1]
            parts = np.split(targets, ends, axis=1)
        else:
            parts = list(targets.T)
        if isinstance(self.num_classes, dict):
            return dict(zip(self.num_classes, parts, strict=True))
        return parts[0]

    def _read(self, row, epoch):
        """What a batch holds of an example, of videos in this epoch."""
        picture, target = self.examples[row]
        processor = self.image_processor
        if not self.masks:
            return processor.pixels(picture), self._check_label(target, row)
        picture, mask = read_picture(picture), read_mask(target)
        if picture.size != mask.size:
            raise ValueError(
                "A mask must have the size of its picture. Received: "
                f"{mask.size} for {picture.size} (width, height), example "
                f"{row}."
            )
        classes = processor.mask(mask, self.ignore_class)
        (size,) = self._sizes
        known = (classes >= 0) & (classes < size)
        if self.ignore_class is not None:
            known |= classes == self.ignore_class
        if not known.all():
            raise ValueError(
                f"A mask must hold classes from 0 to {size - 1}, "
                f"or {self.ignore_class} for none. Received: "
                f"{np.unique(classes[~known])[:5].tolist()} in example {row}."
            )
        return processor.pixels(picture), classes

    @property
    def _sizes(self):
        """The number of classes of each label set."""
        if isinstance(self.num_classes, dict):
            return list(self.num_classes.values())
        return [self.num_classes]

    def _check_label(self, label, row):
        """The labels of an example, one of each set."""
        if not isinstance(self.num_classes, dict):
            return [checked(label, self.num_classes, f"example {row}")]
        names = list(self.num_classes)
        if not isinstance(label, dict) or set(label) != set(names):
            raise ValueError(
                "An example must have a label of each set, as a dict of "
                f"{', '.join(names)}. Received: {label!r}, of example {row}."
            )
        return [
            checked(label[name], size, f"{name!r} in example {row}")
            for name, size in self.num_classes.items()
        ]

    def _layers(self, index):
        """What a batch goes through: of those that blend one, or none."""
        # Another stream than those of the layers' generators.
        stream = len(self._generators)
        rng = np.random.default_rng([self.seed, self._epoch, index, stream])
        chosen = None
        if self.mixing and rng.random() < self.mixing_share:
            chosen = self.mixing[rng.integers(len(self.mixing))]
        for layer in self.augmentation:
            if layer is chosen or not isinstance(layer, MIXING):
                yield layer

    def _transformed(self, layer, data):
        return layer(data, training=True)

    def _augment(self, images, targets, index):
        seed_generators(self._generators, [self.seed, self._epoch, index])
        name = "segmentation_masks" if self.masks else "labels"
        data = {
            "images": images.astype("float32"),
            # From 1, so that 0 is where a layer has moved nothing to.
            name: np.float32(1) + targets[..., None].astype("float32")
            if self.masks
            else targets,
        }
        with warnings.catch_warnings():
            # Keras asks JAX for int64 in MixUp, and gets int32.
            warnings.filterwarnings(
                "ignore", message=r"(?s).*requested dtype int64"
            )
            for layer in self._layers(index):
                data = self._transformed(layer, data)
        images, targets = map(ops.convert_to_numpy, data.values())
        if self.masks:
            targets = targets[..., 0].round() - 1
            empty = targets < 0
            if empty.any() and self.ignore_class is None:
                raise ValueError(
                    "Augmentation that leaves a part of a mask empty needs a "
                    "class for it. Received: ignore_class=None."
                )
            targets[empty] = self.ignore_class or 0
        dtype = "float32" if self.one_hot else "int32"
        return images.clip(0, 255), targets.astype(dtype)


def checked(label, num_classes, where):
    """A label as an int, or raises unless it is one of the classes."""
    array = np.asarray(label)
    whole = array.ndim == 0 and array.dtype.kind in "iu"
    if not whole or not 0 <= label < num_classes:
        raise ValueError(
            f"Labels must be integers from 0 to {num_classes - 1}. Received: "
            f"{label!r}, of {where}. Check `num_classes`, or how labels were "
            "read; vectors become labels by argmax."
        )
    return int(label)


def generators_of(layer):
    """The generators of random numbers that a layer draws from."""
    return [
        part.generator
        for part in layer._flatten_layers()
        if hasattr(part, "generator")
    ]


def seed_generators(generators, key):
    """Makes what generators draw a function of some numbers.

    Args:
        generators: What `generators_of` returns, of one or more layers.
        key: The numbers, such as a seed, the epoch and the batch.
    """
    for i, generator in enumerate(generators):
        rng = np.random.default_rng([*key, i])
        state = rng.integers(2**32, size=2, dtype="uint32")
        generator.state.assign(state)
