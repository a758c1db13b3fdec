"""Frames of video files, read where they are asked for."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_attention.extras import require

# Decoding on is cheaper than seeking to a key frame nearer than this.
NEAR = 8
# Of these a decoder can leave out frames by which no other is predicted. In
# later codecs a layer in time may be predicted by those of the layer below.
DROPPING = ("h264", "mpeg2video", "mpeg4")
# These containers do not tell when a frame is shown. Of these codecs it is
# guessed, wrongly for frames that are stored in another order.
WITHOUT_TIMES = ("asf", "avi")
GUESSED = ("h264", "hevc")


class OutOfStep(Exception):
    """A container whose index does not lead to the frames it names."""


class VideoFile:
    """A video file whose frames can be read by their numbers.

    Frames are numbered in the order in which they are shown, whatever their
    rate. To open it is to read through its packets, without decoding. A frame
    is then decoded from the key frame before it, and between the two only
    what others are predicted from, so that a few frames of a long clip cost a
    part of the whole. Of a container that does not tell the times of its
    frames, or leads to others, all up to the last that is asked for are
    decoded. How a camera was held is not followed.

    Args:
        file: A path, or the bytes of a file.

    Raises:
        ValueError: It is no video, or no frame of it is there.
        ImportError: PyAV is not installed.

    Examples:
        >>> import io, av
        >>> import numpy as np
        >>> from keras_attention.data import VideoFile
        >>> file = io.BytesIO()
        >>> with av.open(file, "w", format="mp4") as container:
        ...     stream = container.add_stream("mpeg4", rate=10)
        ...     stream.width, stream.height = 32, 16
        ...     for t in range(20):
        ...         pixels = np.full((16, 32, 3), 10 * t, "uint8")
        ...         frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        ...         container.mux(stream.encode(frame))
        ...     container.mux(stream.encode())
        >>> video = VideoFile(file.getvalue())
        >>> video.num_frames, video.frames([3, 17]).shape
        (20, (2, 16, 32, 3))
    """

    def __init__(self, file: str | Path | bytes):
        self._file = file
        self.name = (
            f"{len(file)} bytes" if isinstance(file, bytes) else str(file)
        )
        with self._open() as container:
            stream = self._stream(container)
            self.height, self.width = stream.height, stream.width
            rate = stream.average_rate
            self.frames_per_second = None if rate is None else float(rate)
            times, keys, known = [], [], not self._guessed(container, stream)
            try:
                for packet in container.demux(stream):
                    if packet.is_discard or not packet.size:
                        continue
                    known &= packet.pts is not None
                    times.append(packet.pts)
                    if packet.is_keyframe:
                        keys.append(packet.pts)
            except self._errors() as error:
                # What is there of a file that was cut off is numbered.
                if not times:
                    raise self._unreadable(error) from error
        if not times:
            raise ValueError(
                f"A video must have frames. Received: {self.name} without."
            )
        known &= len(set(times)) == len(times)
        self._times = np.sort(times if known else [])
        self._keys = np.sort(
            np.searchsorted(self._times, keys if known else [])
        )
        self._number = len(times) if known else self._count()

    @property
    def num_frames(self) -> int:
        """How many frames there are."""
        return self._number

    def frames(self, positions: Sequence[int] | np.ndarray) -> np.ndarray:
        """Some of the frames.

        Args:
            positions: Their numbers, from 0, in any order; a number may come
                several times.

        Returns:
            Unsigned bytes `(len(positions), height, width, 3)`.

        Raises:
            ValueError: There is no such frame, or it cannot be decoded: the
                error tells the file and how many could.
        """
        numbers = np.asarray(positions, "int64")
        if numbers.ndim != 1 or not len(numbers):
            raise ValueError(
                "`positions` must be a list of numbers of frames. Received: "
                f"shape {numbers.shape}."
            )
        if numbers.min() < 0 or numbers.max() >= self.num_frames:
            raise ValueError(
                f"The frames of {self.name} are numbered from 0 to "
                f"{self.num_frames - 1}. Received: "
                f"{int(numbers.min())} to {int(numbers.max())}."
            )
        wanted = sorted(set(numbers.tolist()))
        found: dict[int, np.ndarray] = {}
        try:
            try:
                self._seek(wanted, found)
            except OutOfStep:
                self._follow(wanted, found)
        except self._errors() as error:
            raise self._unreadable(error, found, wanted) from error
        if len(found) < len(wanted):
            raise self._unreadable("it ends before", found, wanted)
        return np.stack([found[p] for p in numbers.tolist()])

    def _seek(self, wanted, found):
        """Fills `found` with wanted frames, each from a key frame before it."""
        if not len(self._times):
            raise OutOfStep
        with self._open() as container:
            # Without threads, which would decode more frames after each jump
            # than are asked for: those of a pipeline read a file each.
            stream = self._stream(container)
            decoded, reached = iter(()), -1
            for position in wanted:
                begin = self._keys[self._keys <= position][-1:]
                begin = int(begin[0]) if len(begin) else 0
                jumped = reached < 0 or begin > reached + NEAR
                if jumped:
                    container.seek(
                        int(self._times[begin]), stream=stream, backward=True
                    )
                    decoded = self._decoded(container, stream, wanted)
                for frame in decoded:
                    reached = self._number_of(frame)
                    if jumped and (reached > position or not frame.key_frame):
                        raise OutOfStep
                    jumped = False
                    if reached == position:
                        found[position] = frame.to_ndarray(format="rgb24")
                    if reached >= position:
                        break
                if position not in found:
                    raise OutOfStep

    def _decoded(self, container, stream, wanted):
        """The frames to come, wanted ones and those that others need."""
        context, times = stream.codec_context, set(self._times[wanted].tolist())
        for packet in container.demux(stream):
            if context.name in DROPPING:
                needed = packet.pts in times
                context.skip_frame = "DEFAULT" if needed else "NONREF"
            yield from packet.decode()

    def _number_of(self, frame):
        """Where a frame stands among all, by its time."""
        if frame.pts is None:
            raise OutOfStep
        number = int(np.searchsorted(self._times, frame.pts))
        if number == self._number or self._times[number] != frame.pts:
            raise OutOfStep
        return number

    def _follow(self, wanted, found):
        """Fills `found` with wanted frames, decoding all from the first."""
        left = set(wanted)
        with self._open() as container:
            stream = self._stream(container)
            stream.thread_type = "AUTO"
            for number, frame in enumerate(container.decode(stream)):
                if number in left:
                    found[number] = frame.to_ndarray(format="rgb24")
                    left.remove(number)
                if not left:
                    break

    def _count(self):
        """How many frames there are, by decoding them."""
        number = 0
        try:
            with self._open() as container:
                for _ in container.decode(self._stream(container)):
                    number += 1
        except self._errors() as error:
            if not number:
                raise self._unreadable(error) from error
        return number

    def _open(self):
        av = require("av", extra="video")
        file = self._file
        source = io.BytesIO(file) if isinstance(file, bytes) else str(file)
        try:
            return av.open(source)
        except self._errors() as error:
            raise self._unreadable(error) from error

    def _stream(self, container):
        if not container.streams.video:
            raise ValueError(
                "A file must have a stream of pictures. Received: "
                f"{self.name} without."
            )
        return container.streams.video[0]

    def _guessed(self, container, stream):
        """Whether the times that packets come with are not to be believed."""
        context = stream.codec_context
        without = container.format.name in WITHOUT_TIMES
        return without and context.name in GUESSED and context.has_b_frames

    def _errors(self):
        av = require("av", extra="video")
        return av.error.FFmpegError, OSError, EOFError

    def _unreadable(self, error, found=(), wanted=()):
        text = "nothing"
        if wanted:
            text = f"{len(found)} of {len(wanted)} frames that were asked for"
        return ValueError(
            f"A video must be readable. Received: {self.name}, of which {text} "
            f"could be decoded ({error}). Leave it out, or make it anew."
        )


def open_video(video):
    """The number of frames of a video, and what reads some of them.

    Args:
        video: A path, the bytes of a file, an array of unsigned bytes `(T,
            height, width, 3)`, or a row of the bytes of pictures, one for
            each frame.
    """
    if isinstance(video, (str, Path, bytes)):
        file = VideoFile(video)
        return file.num_frames, file.frames
    in_row = isinstance(video, (list, tuple)) or hasattr(video, "dtype")
    if in_row and len(video) and isinstance(video[0], bytes):
        return len(video), lambda positions: [video[p] for p in positions]
    video = np.asarray(video)
    if video.ndim != 4 or not len(video):
        raise ValueError(
            "A video must be a file, an array (frames, height, width, 3), "
            "channels last, or a list of encoded pictures. Received: shape "
            f"{video.shape}."
        )
    return len(video), video.__getitem__
