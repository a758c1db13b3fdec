"""Several clips of each video, whose logits are averaged."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_attention.data.image_processor import ImageProcessor, one_size
from keras_attention.data.picture_files import room
from keras_attention.data.video_files import open_video
from keras_attention.ops import checks
from keras_attention.ops.frames import last_offset, strided_frames


class VideoViews(keras.utils.PyDataset):
    """Clips from several times and places of each video, for testing.

    Each batch holds the clips of one video: of `views` times, evenly from its
    beginning to its end, `crops` squares along the longer side of its frames,
    left, middle and right or top, middle and bottom. `average` makes of their
    logits those of the videos (Arnab et al., 2021, section 4.2; the paper's
    code averages logits, not probabilities).

    Args:
        examples: Pairs of a video and its label, as of `VideoBatches`; the
            label may be None, or a dict of label sets.
        frames: Frames of a clip.
        stride: Frames of the video from one of the clip to the next. A video
            that is too short begins again.
        views: Times.
        crops: Places, 1 or 3.
        image_processor: Resizes and scales each frame; its `crop_size` is
            that of the crops. With several, it must resize to less than the
            whole: a `size` of the shorter side.

    Raises:
        ValueError: An argument is not as above.

    Examples:
        >>> from keras_attention.data import ImageProcessor, VideoViews
        >>> from keras_attention.data import synthetic
        >>> videos, labels = synthetic.roll_motion(2, frames=20)
        >>> views = VideoViews(
        ...     list(zip(videos, labels)),
        ...     frames=8,
        ...     views=2,
        ...     crops=3,
        ...     image_processor=ImageProcessor(crop_size=(8, 8)),
        ... )
        >>> len(views), views[0][0].shape
        (2, (6, 8, 8, 8, 3))
        >>> views.average(np.ones((12, 4))).shape
        (2, 4)
    """

    def __init__(
        self,
        examples: Sequence,
        frames: int = 16,
        stride: int = 1,
        views: int = 4,
        crops: int = 1,
        image_processor: ImageProcessor | None = None,
    ):
        super().__init__()
        if not len(examples):
            raise ValueError(
                "There must be videos to look at. Received: no examples."
            )
        for name, value in (
            ("frames", frames),
            ("stride", stride),
            ("views", views),
        ):
            checks.positive_int(value, name)
        checks.one_of(crops, "crops", (1, 3))
        processor = image_processor or ImageProcessor()
        if crops > 1 and processor.crop_size is None:
            raise ValueError(
                "Several crops need a size. Received: crops=3 and a processor "
                "without `crop_size`. Give it one, and as `size` the shorter "
                "side."
            )
        self.examples, self.frames, self.stride = examples, frames, stride
        self.views, self.crops, self.image_processor = views, crops, processor
        self._whole = processor.without_crop()

    def __len__(self):
        return len(self.examples)

    def offsets(self, length: int) -> np.ndarray:
        """Where the clips of a video begin.

        Args:
            length: Frames of the video.
        """
        last = last_offset(length, self.frames, self.stride)
        return np.linspace(0, last, self.views).astype(int)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"No video {index} among {len(self)}.")
        video, label = self.examples[index]
        length, read = open_video(video)
        clips = []
        for offset in self.offsets(length):
            positions = strided_frames(
                length, self.frames, self.stride, int(offset)
            )
            pictures = read(positions)
            if self.crops == 1:
                pixels = [self.image_processor.pixels(x) for x in pictures]
                clips.append(one_size(pixels))
                continue
            pixels = one_size([self._whole.pixels(x) for x in pictures])
            clips += self._crops(pixels)
        clips = self.image_processor.normalize(np.stack(clips))
        if label is None:
            return (clips,)
        return clips, keras.tree.map_structure(
            lambda label: np.full(len(clips), label, "int32"), label
        )

    def _crops(self, pixels):
        """Three crops of frames `(T, height, width, 3)`."""
        size = self.image_processor.crop_size or (0, 0)
        rest = room(pixels, size)
        places = []
        for third in range(3):
            # Along the longer rest, in the middle of the other.
            top, left = rest[0] // 2, rest[1] // 2
            if rest[0] > rest[1]:
                top = third * rest[0] // 2
            else:
                left = third * rest[1] // 2
            places.append(pixels[:, top : top + size[0], left : left + size[1]])
        return places

    def average(self, logits) -> np.ndarray:
        """The mean of each video's logits.

        Args:
            logits: `(videos * views * crops, num_classes)`, as `predict`
                returns them; or a dict of such, of several label sets.

        Returns:
            `(videos, num_classes)`, or a dict of such.
        """
        return keras.tree.map_structure(self._average, logits)

    def _average(self, logits):
        logits = np.asarray(logits)
        each = self.views * self.crops
        if len(logits) != each * len(self):
            raise ValueError(
                f"There must be {each} rows for each of {len(self)} videos. "
                f"Received: {len(logits)} rows."
            )
        return logits.reshape(len(self), each, -1).mean(1)
