import fractions
import io
import os

import av
import numpy as np
import pytest

from keras_attention.data import VideoFile


def pictures(number, height=48, width=64):
    """Each of its own grey, with a bar that moves: a frame tells its number."""
    frames = np.zeros((number, height, width, 3), "uint8")
    for t, frame in enumerate(frames):
        frame[:] = 40 + 2 * t
        frame[:, t % width] = 255
    return frames


def encode(
    frames,
    times=None,
    pix_fmt="yuv420p",
    movflags="",
    container_format="mp4",
    codec="libx264",
    **options,
):
    """A file of frames, which are shown at `times` (of 25 in a second)."""
    file = io.BytesIO()
    muxing = {"movflags": movflags} if movflags else {}
    with av.open(
        file, "w", format=container_format, options=muxing
    ) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.pix_fmt = pix_fmt
        stream.height, stream.width = frames.shape[1:3]
        ticks = fractions.Fraction(1, 25)
        stream.codec_context.time_base = ticks
        for t, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = t if times is None else int(times[t])
            frame.time_base = ticks
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    if hasattr(os, "sched_setscheduler"):
        # SVT-AV1 makes the process one of real time where it may, as root: it
        # would keep all others off its core until it ends.
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return file.getvalue()


HEVC = "log-level=none:bframes=4:temporal-layers=3"


def decode(data):
    """All frames, by PyAV alone."""
    with av.open(io.BytesIO(data)) as container:
        frames = container.decode(video=0)
        return np.stack([frame.to_ndarray(format="rgb24") for frame in frames])


FILES = {
    "few key frames": dict(g="60", bf="0"),
    "frames that need later ones": dict(g="12", bf="3"),
    "frames that such frames need": dict(g="60", bf="7", b_strategy="0"),
    "groups that need the one before": {
        "g": "12",
        "bf": "3",
        "x264-params": "open-gop=1",
    },
    "key frames alone": dict(g="1"),
    "MPEG-4": dict(codec="mpeg4", g="30", bf="2"),
    "MPEG-2": dict(
        codec="mpeg2video", container_format="matroska", g="30", bf="2"
    ),
    "HEVC": dict(codec="libx265", g="60", **{"x265-params": HEVC}),
    "VP9": dict(codec="libvpx-vp9", container_format="matroska", g="30"),
    "AV1": dict(codec="libsvtav1", g="30"),
}


@pytest.mark.parametrize("name", FILES)
def test_frames_are_those_of_reading_the_whole(name, tmp_path, monkeypatch):
    monkeypatch.delattr(VideoFile, "_follow")  # what does read the whole
    data = encode(pictures(60), **FILES[name])
    expected = decode(data)
    assert len(expected) == 60
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    for source in (data, path, str(path)):
        video = VideoFile(source)
        assert (video.num_frames, video.height, video.width) == (60, 48, 64)
        assert video.frames_per_second == 25
        for positions in (
            [0],
            [59],
            [50, 3, 4, 50, 30],
            range(7, 60, 5),
            range(41, 52),
            range(60),
        ):
            found = video.frames(positions)
            np.testing.assert_array_equal(found, expected[list(positions)])


OTHERS = {
    "mpegts": ("mpegts", "libx264"),
    "avi, frames that need later ones": ("avi", "mpeg4"),
    "avi, whose times are guessed": ("avi", "libx264"),
    "program stream": ("mpeg", "mpeg2video"),
    "matroska": ("matroska", "libx264"),
    "without times": ("h264", "libx264"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_containers_are_read_as_well(name):
    """Also where seeking leads elsewhere than it says."""
    container_format, codec = OTHERS[name]
    data = encode(
        pictures(60),
        container_format=container_format,
        codec=codec,
        g="12",
        bf="2",
    )
    expected = decode(data)
    video = VideoFile(data)
    assert video.num_frames == len(expected) == 60
    for positions in ([0], [59], [30], [50, 3, 31], range(1, 60, 3), range(60)):
        found = video.frames(positions)
        np.testing.assert_array_equal(found, expected[list(positions)])


def test_frames_are_numbered_whatever_their_rate():
    times = np.cumsum(np.random.default_rng(0).integers(1, 9, 30))
    data = encode(pictures(30), times=times, bf="2")
    video = VideoFile(data)
    assert video.num_frames == 30
    np.testing.assert_array_equal(
        video.frames([29, 7, 15]), decode(data)[[29, 7, 15]]
    )


def test_a_few_frames_cost_less_than_all(monkeypatch):
    data = encode(pictures(80), g="10", bf="0")
    others = encode(pictures(80), g="80", bf="3", b_strategy="0", refs="1")
    video, decoded = VideoFile(data), []
    needed_by_none = VideoFile(others)
    searchsorted = np.searchsorted
    monkeypatch.setattr(
        "keras_attention.data.video_files.np.searchsorted",
        lambda *x: decoded.append(1) or searchsorted(*x),
    )
    video.frames([5, 75])
    assert len(decoded) <= 12  # six from either key frame
    decoded.clear()
    needed_by_none.frames([5, 75])
    assert len(decoded) <= 80 / 2 + 2


def test_odd_sizes_are_read():
    frames = pictures(4, 31, 47)
    data = encode(frames, pix_fmt="yuv444p", qp="0")
    found = VideoFile(data).frames(range(4))
    # Of whole numbers of two spaces of colours.
    np.testing.assert_allclose(found.astype(int), frames, atol=3)


def test_what_is_no_video_is_named(tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    with pytest.raises(ValueError, match=r"text.mp4, of which nothing could"):
        VideoFile(path)
    with pytest.raises(ValueError, match="nowhere.mp4"):
        VideoFile(tmp_path / "nowhere.mp4")
    sound = io.BytesIO()
    with av.open(sound, "w", format="wav") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        samples = np.zeros((1, 800), "int16")
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(ValueError, match="stream of pictures. Received"):
        VideoFile(sound.getvalue())


def test_a_video_without_frames_is_refused(tmp_path):
    path = tmp_path / "empty.mp4"
    path.touch()
    with pytest.raises(ValueError, match=r"empty.mp4, of which nothing could"):
        VideoFile(path)
    file = io.BytesIO()
    with av.open(file, "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 64, 48
        container.start_encoding()
    with pytest.raises(ValueError, match="must have frames. .* bytes without"):
        VideoFile(file.getvalue())


def test_an_error_tells_how_many_frames_could_be_decoded(tmp_path):
    """Of a file that became shorter since it was opened."""
    data = encode(pictures(40), container_format="matroska", g="5")
    path = tmp_path / "clip.mkv"
    path.write_bytes(data)
    video = VideoFile(path)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"clip.mkv, of which 1 of 2 frames"):
        video.frames([0, 39])


def test_a_file_that_is_cut_off_tells_how_far_it_goes(tmp_path):
    data = encode(
        np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), "uint8"),
        movflags="frag_keyframe+empty_moov",
        g="5",
        bf="0",
    )
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: len(data) // 2])
    video = VideoFile(path)
    assert 5 < video.num_frames < 35
    assert video.frames([0, 4]).shape == (2, 48, 64, 3)
    # The index of another comes last: nothing can be read without.
    whole = encode(pictures(40))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut.mp4, of which nothing could"):
        VideoFile(path)


def test_frames_that_are_not_there_are_refused():
    video = VideoFile(encode(pictures(5)))
    for positions, message in (
        ([5], "from 0 to 4. Received: 5 to 5"),
        ([-1], "-1 to -1"),
        ([], r"shape \(0,\)"),
        ([[1]], r"shape \(1, 1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            video.frames(positions)
