"""32 frames of a video file of 300, and what it takes to read all of them."""

import tempfile
from pathlib import Path

import numpy as np

from keras_attention.data import VideoFile
from keras_attention.extras import require
from keras_attention.ops.frames import (
    last_offset,
    strided_frames,
    uniform_frames,
)

LENGTH, HEIGHT, WIDTH, FRAMES, CLIPS = 300, 240, 320, 32, 8
KEY_FRAMES = {30: "one a second", 250: "one in 250, x264's default"}


def write_video(path, key_frames):
    """H.264 as x264 makes it by default: a view that pans, a square in it."""
    av = require("av", extra="bench")
    rng = np.random.default_rng(0)
    view = rng.integers(0, 256, (160, 180, 3), "uint8")
    view = view.repeat(4, axis=0).repeat(4, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=30, options={"g": str(key_frames)}
        )
        stream.height, stream.width = HEIGHT, WIDTH
        stream.pix_fmt = "yuv420p"
        for t in range(LENGTH):
            top, y, x = round(100 + 80 * np.sin(t / 40)), 3 * t % 200, 5 * t
            pixels = view[top : top + HEIGHT, t : t + WIDTH].copy()
            pixels[y : y + 40, x % 280 : x % 280 + 40] = t % 256
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def dense(stride):
    """Clips that begin anywhere: eight places from first to last."""
    last = last_offset(LENGTH, FRAMES, stride)
    return [
        strided_frames(LENGTH, FRAMES, stride, int(offset))
        for offset in np.linspace(0, last, CLIPS).round()
    ]


SAMPLINGS = {
    "stride-1": ("that follow each other, from anywhere", dense(1)),
    "stride-2": ("of every second, from anywhere", dense(2)),
    "uniform": ("spread over all", [uniform_frames(LENGTH, FRAMES)] * CLIPS),
}


def sampled(path, positions):
    return VideoFile(path).frames(positions)


def wanted_converted(path, positions):
    """All are decoded, those that are wanted become arrays."""
    av = require("av", extra="bench")
    wanted, found = set(positions.tolist()), []
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                found.append(frame.to_ndarray(format="rgb24"))
    return np.stack(found)


def all_converted(path, positions):
    """All are decoded and become arrays."""
    av = require("av", extra="bench")
    with av.open(str(path)) as container:
        frames = [
            frame.to_ndarray(format="rgb24")
            for frame in container.decode(video=0)
        ]
    return np.stack([frames[i] for i in positions])


PEERS = {
    "wanted": ("of which the 32 become arrays", wanted_converted),
    "all": ("each of which becomes an array", all_converted),
}


def reading(read, key_frames, clips):
    """A step that reads each of the clips from the file."""

    def make():
        folder = tempfile.TemporaryDirectory()
        path = Path(folder.name) / "clip.mp4"
        write_video(path, key_frames)

        def step(folder=folder):  # the file is there as long as the step
            for positions in clips:
                read(path, positions)

        return step

    return make
