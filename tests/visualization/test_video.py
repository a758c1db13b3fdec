import base64
import functools
import io
import itertools
import re

import numpy as np
import pytest
from keras import ops

from keras_attention.models import ViViT
from keras_attention.visualization import (
    plot_frames,
    plot_token_attention,
    plot_video_rollout,
    save_frames,
    token_attention,
    video_rollout,
)

SHAPE = 6, 8, 20, 3
T, ROWS, COLUMNS, N, L = 3, 2, 5, 4, 2
S = ROWS * COLUMNS
TOKEN, TIME, PLACE = (1, 1, 3), 1, COLUMNS + 3
CASES = {
    "joint": dict(variant="spatio_temporal"),
    "joint average": dict(variant="spatio_temporal", pooling="average"),
    "encoder": dict(variant="factorized_encoder"),
    "encoder average": dict(variant="factorized_encoder", pooling="average"),
    "frames averaged": dict(
        variant="factorized_encoder", num_temporal_layers=0
    ),
    "space first": dict(variant="factorized_self_attention"),
    "time first": dict(variant="factorized_self_attention", order="time_space"),
    "dot product": dict(variant="factorized_dot_product"),
}


def made(name, **options):
    model = ViViT(
        **{
            **dict(
                video_shape=SHAPE,
                tubelet_size=(2, 4, 4),
                num_layers=L,
                num_temporal_layers=2,
                hidden_dim=8,
                num_heads=N,
                intermediate_dim=12,
                num_classes=0,
            ),
            **CASES[name],
            **options,
        }
    )
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if "seed" not in weight.path:
            weight.assign(0.5 * rng.normal(size=weight.shape))
    return model


def clips(number=2):
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (number, *SHAPE)).astype("float32")


def scores_of(model, video):
    """Scores of the first clip, by block."""
    found = model.attention()(video[:1])
    return {k: ops.convert_to_numpy(v)[0] for k, v in found.items()}


def over_clip(space, time):
    """Maps between all T S tokens of maps of frames and of places."""
    maps = np.zeros((2, T, S, T, S))
    for t, s, t2, s2 in np.ndindex(T, S, T, S):
        if t == t2:
            maps[0, t, s, t2, s2] = space[t][s, s2]
        if s == s2:
            maps[1, t, s, t2, s2] = time[s][t, t2]
    return maps.reshape(2, T * S, T * S)


def step(scores, residual):
    """Abnar and Zuidema, 2020, section 3.1."""
    mixed = scores + np.eye(len(scores)) * residual
    return mixed / mixed.sum(-1, keepdims=True)


def answer(matrix, tokens):
    """What is classified, of a matrix between tokens."""
    return matrix[0, tokens:] if tokens else matrix.mean(0)


def expected_rollout(model, video, fuse, residual):
    scores = scores_of(model, video)
    tokens = model.num_prefix_tokens

    def product(maps):
        matrix = np.eye(len(maps[0]))
        for found in maps:
            matrix = step(found, residual) @ matrix
        return answer(matrix, tokens)

    if model.variant == "spatio_temporal":
        return product([fuse(scores[f"block_{i}"]) for i in range(L)])
    if model.variant == "factorized_encoder":
        frames = np.full(T, 1 / T)
        if model.num_temporal_layers:
            names = [f"temporal_block_{i}" for i in range(2)]
            frames = product([fuse(scores[name]) for name in names])
        blocks = [scores[f"block_{i}"] for i in range(L)]
        return np.concatenate(
            [
                frames[t] * product([fuse(block[t]) for block in blocks])
                for t in range(T)
            ]
        )
    matrix = np.eye(T * S)
    for i in range(L):
        space, time = over_clip(
            *(
                [fuse(x) for x in scores[f"block_{i}/{axis}"]]
                for axis in ("space", "time")
            )
        )
        if model.variant == "factorized_dot_product":
            matrix = step((space + time) / 2, residual) @ matrix
            continue
        space, time = step(space, residual), step(time, residual)
        block = space @ time if model.order == "time_space" else time @ space
        matrix = block @ matrix
    return answer(matrix, 0)


@pytest.mark.parametrize("name", CASES)
def test_rollout_is_the_product_of_whole_matrices(name):
    model, video = made(name), clips()
    for fusion, residual in itertools.product(("mean", "max"), (True, False)):
        found = video_rollout(model, video, fusion, residual=residual)
        assert found.shape == (2, T, ROWS, COLUMNS)
        fuse = functools.partial(getattr(np, fusion), axis=0)
        expected = expected_rollout(model, video, fuse, residual)
        np.testing.assert_allclose(found[0].ravel(), expected, atol=1e-6)
        sums = found.sum((1, 2, 3))
        if model.num_prefix_tokens:
            assert (sums < 1 - 1e-3).all()
        else:
            np.testing.assert_allclose(sums, 1, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_the_least_scores_are_discarded_but_for_class_tokens(name):
    model, video = made(name), clips()

    def fuse(heads):
        fused = heads.mean(0)
        lowest = np.sort(fused, axis=None)[int(0.4 * fused.size)]
        kept = fused >= lowest
        kept[:, : model.num_prefix_tokens] = True
        return np.where(kept, fused, 0)

    found = video_rollout(model, video, discard_ratio=0.4)
    expected = expected_rollout(model, video, fuse, True)
    np.testing.assert_allclose(found[0].ravel(), expected, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["joint average", "encoder average", "time first", "dot product"]
)
def test_where_all_is_read_alike_all_is_in_the_answer(name):
    model = made(name)
    for weight in model.weights:
        if "/query/" in weight.path:
            weight.assign(np.zeros(weight.shape))
    found = video_rollout(model, clips())
    np.testing.assert_allclose(found, 1 / (T * S), atol=1e-6)


def test_without_blocks_over_time_frames_count_alike_and_by_themselves():
    model = made("frames averaged", pooling="average")
    video = clips(1)
    before = video_rollout(model, video)
    np.testing.assert_allclose(before.sum((2, 3)), 1 / T, atol=1e-6)
    video[:, 2:4] += 1  # of tubelets of time 1
    after = video_rollout(model, video)
    changed = abs(after - before).max((0, 2, 3)) > 1e-4
    assert changed.tolist() == [False, True, False]


def own_row(model, scores, head=None):
    """What `TOKEN` reads in block 0, in its frame, place and both."""
    tokens = model.num_prefix_tokens

    def of(maps):
        return maps.mean(0) if head is None else maps[head]

    if model.variant == "spatio_temporal":
        row = of(scores["block_0"])[tokens + TIME * S + PLACE, tokens:]
        return dict(space_time=row.reshape(T, S))
    both = np.zeros((T, S))
    if model.variant == "factorized_encoder":
        both[TIME] = of(scores["block_0"][TIME])[tokens + PLACE, tokens:]
        return dict(space_time=both)
    space, time = (scores[f"block_0/{axis}"] for axis in ("space", "time"))
    if model.variant == "factorized_dot_product":
        for h in range(N) if head is None else [head]:
            if h < N // 2:
                both[:, PLACE] += time[PLACE, h, TIME]
            else:
                both[TIME] += space[TIME, h - N // 2, PLACE]
        return dict(space_time=both / (N if head is None else 1))
    found = dict(space=np.zeros((T, S)), time=np.zeros((T, S)))
    found["space"][TIME] = of(space[TIME])[PLACE]
    found["time"][:, PLACE] = of(time[PLACE])[TIME]
    for t, s in np.ndindex(T, S):
        if model.order == "time_space":
            both[t, s] = of(space[TIME])[PLACE, s] * of(time[s])[TIME, t]
        else:
            both[t, s] = of(time[PLACE])[TIME, t] * of(space[t])[PLACE, s]
    return dict(space_time=both, **found)


@pytest.mark.parametrize("name", CASES)
def test_a_token_reads_its_row_of_the_scores(name):
    model, video = made(name), clips()
    scores = scores_of(model, video)
    own_frame, own_place = np.zeros((2, T, S), bool)
    own_frame[TIME], own_place[:, PLACE] = True, True
    for head in (None, 1, 3):
        expected = own_row(model, scores, head)
        both = expected["space_time"]
        expected = {"space": both * own_frame, "time": both * own_place} | (
            expected
        )
        for over, maps in expected.items():
            found = token_attention(model, video, TOKEN, over=over, head=head)
            assert found.shape == (2, T, ROWS, COLUMNS)
            np.testing.assert_allclose(found[0].reshape(T, S), maps, atol=1e-6)
        if not model.num_prefix_tokens:
            np.testing.assert_allclose(both.sum(), 1, atol=1e-6)


@pytest.mark.parametrize("name", ["encoder", "encoder average"])
def test_over_time_a_frame_is_read_evenly(name):
    model, video = made(name), clips()
    found = token_attention(model, video, TOKEN, "temporal_block_1")[0]
    scores = scores_of(model, video)["temporal_block_1"].mean(0)
    tokens = model.num_prefix_tokens
    row = scores[tokens + TIME, tokens:]
    np.testing.assert_allclose(found.sum((1, 2)), row, atol=1e-6)
    assert np.ptp(found, axis=(1, 2)).max() < 1e-9


def test_frames_lie_in_lines_under_the_map_of_their_tubelet(tmp_path):
    rng = np.random.default_rng(0)
    video = rng.uniform(-3, 3, (2, 10, 4, 6, 1))
    maps = rng.uniform(size=(2, 5, 2, 3))
    path = tmp_path / "a.png"
    figure = plot_frames(video, maps, path, titles=["first", "second"])
    assert path.stat().st_size > 1000
    frames = [x for x in figure.axes if x.get_label() != "<colorbar>"]
    assert len(frames) == 20 and len(figure.axes) == 22
    assert frames[0].get_ylabel() == "first"
    assert frames[10].get_ylabel() == "second"
    for index, axis in enumerate(frames):
        clip, frame = divmod(index, 10)
        picture, read = axis.images
        assert axis.get_title() == f"frame {frame}"
        shown = (video[clip, frame] - video[clip].min()) / np.ptp(video[clip])
        np.testing.assert_allclose(picture.get_array(), shown[..., 0])
        np.testing.assert_array_equal(read.get_array(), maps[clip, frame // 2])
        # One scale for the clip, so that its frames can be compared.
        assert read.get_clim() == (0, maps[clip].max())
    assert len(plot_frames(video).axes[0].images) == 1


def test_the_token_is_framed_where_it_lies():
    figure = plot_token_attention(made("dot product"), clips(), TOKEN)
    framed = [bool(axis.lines) for axis in figure.axes[: SHAPE[0]]]
    assert framed == [False, False, True, True, False, False]
    x, y = figure.axes[2].lines[0].get_data()
    assert (min(x), max(x)) == (11.5, 15.5)  # pixels 12 to 15
    assert (min(y), max(y)) == (3.5, 7.5)


def test_rollout_is_drawn_over_the_frames_that_are_sampled():
    model = made("encoder", video_shape=(9, *SHAPE[1:]), sampled_frames=6)
    video = np.random.default_rng(0).uniform(size=(1, 9, *SHAPE[1:]))
    figure = plot_video_rollout(model, video)
    assert len(figure.axes) == 6 + 1
    shown = figure.axes[5].images[0].get_array()  # frame 8 of 9
    grey = (video[0, 8].mean(-1) - video.min()) / np.ptp(video)
    assert abs(shown - grey).max() < 0.1
    np.testing.assert_allclose(
        figure.axes[5].images[1].get_array(), video_rollout(model, video)[0, 2]
    )


def saved_clip():
    rng = np.random.default_rng(0)
    return rng.uniform(size=(6, 8, 12, 3)), rng.uniform(size=(3, 2, 3))


def gif_frames(path):
    images = pytest.importorskip("PIL.Image")
    sequence = pytest.importorskip("PIL.ImageSequence")
    with images.open(path) as file:
        assert file.info["loop"] == 0 and file.info["duration"] == 200
        return [
            np.asarray(frame.convert("RGB"))
            for frame in sequence.Iterator(file)
        ]


def test_a_gif_moves_and_shows_what_was_read(tmp_path):
    video, maps = saved_clip()
    plain, covered = tmp_path / "plain.gif", tmp_path / "covered.GIF"
    save_frames(video, plain, frames_per_second=5)
    save_frames(video, str(covered), maps, frames_per_second=5)
    plain, covered = gif_frames(plain), gif_frames(covered)
    assert len(plain) == len(covered) == 6
    assert plain[0].shape == (160, 240, 3)
    pixels = (video - video.min()) / np.ptp(video) * 255
    centre = np.stack(plain)[:, 10::20, 10::20]  # a pixel of each square
    assert abs(centre - pixels).mean() < 12  # 256 colours
    # The lightest where most was read, in both frames of that tubelet.
    time, row, column = np.unravel_index(maps.argmax(), maps.shape)
    for frame in covered[2 * time : 2 * time + 2]:
        squares = frame.astype(int).reshape(2, 80, 3, 80, 3).mean((1, 3))
        assert squares.sum(-1).argmax() == row * 3 + column
    assert abs(np.stack(plain) - covered).mean() > 20


def test_a_page_has_all_frames_and_asks_for_no_other_file(tmp_path):
    images = pytest.importorskip("PIL.Image")
    video, maps = saved_clip()
    path = tmp_path / "a & b.html"
    save_frames(video, path, maps, frames_per_second=5)
    text = path.read_text("utf-8")
    found = re.findall(r'<img alt="frame (\d)"( hidden)? src="([^"]+)">', text)
    assert [frame for frame, *_ in found] == list("012345")
    assert [bool(hidden) for _, hidden, _ in found] == [False] + [True] * 5
    start = "data:image/png;base64,"
    for _, _, source in found:
        assert source.startswith(start)
        data = base64.b64decode(source.removeprefix(start))
        assert images.open(io.BytesIO(data)).size == (240, 160)
    assert "http" not in text and "$" not in text
    assert 'max="5"' in text and "}, 200);" in text
    assert "<h1>a &amp; b</h1>" in text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda model: video_rollout(model, clips()[0]),
            r"\(6, 8, 20, 3\).*`video\[None\]`",
        ),
        (lambda model: video_rollout(model, clips()[:, :4]), "4, 8, 20, 3"),
        (lambda model: video_rollout(model, clips(), "sum"), "fusion='sum'"),
        (
            lambda model: token_attention(model, clips(), TOKEN, "block_9"),
            "The blocks are block_0, block_1. Received: 'block_9'",
        ),
        (
            lambda model: token_attention(model, clips(), (3, 0, 0)),
            r"\(3, 2, 5\), from 0 on. Received: token=\(3, 0, 0\)",
        ),
        (lambda model: token_attention(model, clips(), (1, 2)), r"\(1, 2\)"),
        (
            lambda model: token_attention(model, clips(), TOKEN, head=4),
            "from 0 to 3.*head=4",
        ),
        (
            lambda model: token_attention(model, clips(), TOKEN, over="all"),
            "over='all'",
        ),
        (lambda _: plot_frames(clips()[0]), r"\(batch, .*\(6, 8, 20, 3\)"),
        (
            lambda _: plot_frames(clips(), np.ones((2, 4, 2, 2))),
            "T a divisor",
        ),
        (lambda _: plot_frames(clips(), np.ones((1, 3, 2, 2))), "as many"),
        (lambda _: plot_frames(clips(), titles=["a"]), "1 titles"),
        (
            lambda _: save_frames(clips()[0], "clip.mp4"),
            r"end in .gif.*Received: 'clip.mp4'",
        ),
        (lambda _: save_frames(clips(), "a.gif"), r"`video\[0\]`"),
        (
            lambda _: save_frames(clips()[0], "a.gif", np.ones((3, 2))),
            r"\(3, 2\)",
        ),
        (
            lambda _: save_frames(clips()[0], "a.gif", frames_per_second=0),
            "per_second=0",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(made("dot product"))


def test_half_precision_is_taken():
    model = made("dot product", dtype="bfloat16")
    found = video_rollout(model, clips())
    np.testing.assert_allclose(found.sum((1, 2, 3)), 1, atol=1e-6)
