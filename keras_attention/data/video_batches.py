"""From videos with labels to batches that `fit` trains on."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_attention.data.image_batches import ImageBatches, generators_of
from keras_attention.data.image_processor import ImageProcessor, one_size
from keras_attention.data.picture_files import room
from keras_attention.data.video_files import open_video
from keras_attention.ops import checks
from keras_attention.ops.frames import (
    last_offset,
    strided_frames,
    uniform_frames,
)


class VideoBatches(ImageBatches):
    """Batches of clips with their labels, sampled from videos and augmented.

    Each batch is `(clips, targets)`:

        clips    (B, frames, height, width, 3) float32, scaled by the processor
        targets  (B,) int32                    labels
                 (B, num_classes) float32      labels, with `one_hot`

    With several label sets the targets are a dict of such.

    Of a file only the frames that are sampled are decoded, by threads, while
    the model trains on the batches before. Augmentation draws once for a clip:
    all of its frames go through the same flip, crop and change of colours. All
    of it is a function of `seed`, the epoch and the batch alone, and so the
    same after a resume. Call `fit(batches, shuffle=False)`; a resumed run
    passes its first epoch as `initial_epoch` here and to `fit`.

    Args:
        examples: Pairs of a video and its label: a path, the bytes of a file,
            an array of unsigned bytes `(T, height, width, 3)`, or a list of
            the bytes of pictures, one for each frame; labels are integers
            from 0.
        num_classes: How many classes there are; or a dict of label sets and
            how many each has, such as `{"noun": 300, "verb": 97}`, for labels
            that are dicts of the same names.
        frames: Frames of a clip; always as many.
        stride: Frames of the video from one of the clip to the next. A video
            that is too short begins again. None spreads the frames evenly over
            the whole video instead, and repeats them if it is too short.
        random_offset: Whether a clip of a `stride` begins anywhere, another
            place in each epoch, or lies in the middle; as `shuffle` if None.
        image_processor: Resizes, crops and scales each frame;
            `model.image_processor` does what a model's weights expect. None
            leaves sizes as they are and scales to [-1, 1].
        random_crop: Whether the processor's `crop_size` is cut out anywhere,
            at another place of a clip in each epoch, or in the middle.
        batch_size: Clips per batch.
        augmentation: Keras's layers for images, called one after the other on
            values from 0 to 255. With `MixUp` and `CutMix`, `one_hot` must be
            set; of several of them a batch goes through one, by chance.
        mixing_share: Share of the batches that one of them blends.
        one_hot: Whether labels are vectors, for `CategoricalCrossentropy`.
        shuffle: Whether the order changes from epoch to epoch; the last batch
            is then filled up with videos from the epoch's beginning, so that
            all batches have one shape.
        seed: Seed of order, sampling and augmentation.
        initial_epoch: The epoch to begin with.
        num_threads: Threads that read videos.

    Raises:
        ValueError: There are no examples, a label is outside the classes, an
            array is no video, a file cannot be read (the error names it), or
            options do not go together.

    Examples:
        >>> from keras_attention.data import VideoBatches, synthetic
        >>> videos, labels = synthetic.roll_motion(10)
        >>> batches = VideoBatches(
        ...     list(zip(videos, labels)),
        ...     num_classes=4,
        ...     frames=8,
        ...     stride=1,
        ...     batch_size=5,
        ...     augmentation=[keras.layers.RandomBrightness(0.2)],
        ... )
        >>> clips, targets = batches[0]
        >>> clips.shape, targets.shape
        ((5, 8, 12, 12, 3), (5,))
    """

    def __init__(
        self,
        examples: Sequence,
        num_classes: int | dict[str, int],
        frames: int = 16,
        stride: int | None = None,
        random_offset: bool | None = None,
        image_processor: ImageProcessor | None = None,
        random_crop: bool = False,
        batch_size: int = 8,
        augmentation: Sequence[keras.layers.Layer] = (),
        mixing_share: float = 1.0,
        one_hot: bool = False,
        shuffle: bool = True,
        seed: int = 0,
        initial_epoch: int = 0,
        num_threads: int = 1,
    ):
        self.frames = checks.positive_int(frames, "frames")
        if stride is not None:
            checks.positive_int(stride, "stride")
        elif random_offset:
            raise ValueError(
                "Frames that are spread over the whole video have no offset. "
                "Received: random_offset=True, stride=None. Pass a `stride`."
            )
        if random_offset is None:
            random_offset = shuffle
        self.stride, self.random_offset = stride, random_offset
        self.random_crop = random_crop
        processor = image_processor or ImageProcessor()
        if random_crop and processor.crop_size is None:
            raise ValueError(
                "A random crop needs a size. Received: random_crop=True and a "
                "processor without `crop_size`. Give it one, and as `size` the "
                "shorter side."
            )
        self._whole = processor.without_crop() if random_crop else processor
        super().__init__(
            examples,
            num_classes,
            processor,
            batch_size,
            augmentation=augmentation,
            mixing_share=mixing_share,
            one_hot=one_hot,
            shuffle=shuffle,
            seed=seed,
            initial_epoch=initial_epoch,
            num_threads=num_threads,
        )

    def positions(self, length: int, row: int, epoch: int) -> np.ndarray:
        """Which frames of a video are in a clip.

        Args:
            length: Frames of the video.
            row: Its index in the examples.
            epoch: The epoch.
        """
        if self.stride is None:
            return uniform_frames(length, self.frames)
        last = last_offset(length, self.frames, self.stride)
        offset = last // 2
        if self.random_offset:
            rng = np.random.default_rng([self.seed, epoch, row])
            offset = int(rng.integers(last + 1))
        return strided_frames(length, self.frames, self.stride, offset)

    def _read(self, row, epoch):
        video, label = self.examples[row]
        length, read = open_video(video)
        frames = read(self.positions(length, row, epoch))
        pixels = one_size([self._whole.pixels(x) for x in frames])
        if self.random_crop:
            pixels = self._cropped(pixels, row, epoch)
        return pixels, self._check_label(label, row)

    def _cropped(self, pixels, row, epoch):
        """Frames `(T, height, width, 3)`, the same part of each."""
        size = self.image_processor.crop_size or (0, 0)
        # Another stream than that of `positions`.
        rng = np.random.default_rng([self.seed, epoch, row, 1])
        top, left = (rng.integers(n + 1) for n in room(pixels, size))
        return pixels[:, top : top + size[0], left : left + size[1]]

    def _transformed(self, layer, data):
        data = {name: ops.convert_to_tensor(x) for name, x in data.items()}
        frames: list = []
        generators = generators_of(layer)
        states = [ops.copy(x.state.value) for x in generators]
        for t in range(self.frames):
            # From the same state each frame gets the same draws.
            for generator, state in zip(generators, states, strict=True):
                generator.state.assign(state)
            frame = {**data, "images": data["images"][:, t]}
            done = layer(frame, training=True)
            frames.append(done["images"])
        return {**done, "images": ops.stack(frames, axis=1)}
