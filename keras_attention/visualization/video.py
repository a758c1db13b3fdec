"""Pictures of what a video Transformer reads, over space and time."""

import html
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from keras_attention.extras import require
from keras_attention.ops import checks
from keras_attention.ops.frames import uniform_frames
from keras_attention.visualization.pages import png_url
from keras_attention.visualization.vision import (
    COLOURS,
    OPACITY,
    TINY,
    as_array,
    fused_heads,
    overlay,
    passed_on,
    saved,
    stretched,
)

JOINT, ENCODER = "spatio_temporal", "factorized_encoder"
DOT_PRODUCT = "factorized_dot_product"
AXES = {"space": 2, "time": 1}  # of shares (B, T, S)
FRAMES_PER_LINE = 8
PIXELS = 240  # that the longer side of a saved frame has, at least
PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>$title</title>
<style>
  body { font-family: sans-serif; margin: 2rem; }
  input { width: 15rem; }
</style>
<h1>$title</h1>
<p>
  <label for="frame">Frame</label>
  <input id="frame" type="range" min="0" max="$last" value="0">
  <output id="shown" for="frame"></output>
  <button id="play" type="button">Play</button>
</p>
$images
<script>
  const frames = document.querySelectorAll("img");
  const slider = document.getElementById("frame");
  const button = document.getElementById("play");
  let timer = null;
  function show() {
    const shown = slider.valueAsNumber;
    frames.forEach((frame, i) => { frame.hidden = i !== shown; });
    document.getElementById("shown").value = shown + " of $last";
  }
  button.onclick = () => {
    button.textContent = timer ? "Play" : "Pause";
    timer = timer ? clearInterval(timer) : setInterval(() => {
      slider.value = (slider.valueAsNumber + 1) % frames.length;
      show();
    }, $milliseconds);
  };
  slider.oninput = show;
  show();
</script>
</html>
""")


def video_rollout(
    model,
    video,
    head_fusion: str = "mean",
    discard_ratio: float = 0.0,
    residual: bool = True,
) -> np.ndarray:
    """How much of each tubelet the answer of a ViViT is made of.

    Attention rollout (Abnar and Zuidema, 2020, section 3.1), as
    `attention_rollout`, carried to attention that is factorized. From the
    class token, or from all tokens alike where their mean is classified, back
    through the blocks, each a matrix A whose rows sum to 1,

        spatio_temporal            A = normalize(A_joint + I)
        factorized_encoder         rollout of the frames x rollout of a frame
        factorized_self_attention  A = normalize(A_time + I)
                                       normalize(A_space + I)
        factorized_dot_product     A = normalize((A_space + A_time) / 2 + I)

    with A_space between the tokens of a frame, A_time between those of a
    place, in the model's `order`. An encoder without blocks over time takes
    the mean over its frames. The scores of all blocks are held at once.

    Args:
        model: A `ViViT`, of any variant.
        video: `(B, frames, height, width, channels)`, scaled as the model
            expects.
        head_fusion: How the heads of an attention are put together: "mean",
            "max" or "min"; of a factorized dot product each half by itself.
        discard_ratio: Share of each fused map, the least of it, that is set
            to zero first, except what is read of a class token.
        residual: Whether the residual connections, the I, count.

    Returns:
        `(B, T, rows, columns)`. A clip's sum to 1 where the mean of tokens is
        classified; class tokens are made of themselves too, and that share is
        left out. So is what passes through a token of which `discard_ratio`
        or "min" leave nothing, without `residual`.

    Raises:
        ValueError: The video is not of the model's shape, or an argument is
            not as above.

    Examples:
        >>> from keras_attention.models import ViViT
        >>> model = ViViT.from_preset(
        ...     "vivit_tiny", num_layers=2, pooling="average"
        ... )
        >>> video = np.random.uniform(-1, 1, (1, 16, 32, 32, 3))
        >>> rollout = video_rollout(model, video)
        >>> rollout.shape, float(rollout.sum().round(6))
        ((1, 8, 4, 4), 1.0)

    Reference:
        [Abnar and Zuidema, 2020](https://arxiv.org/abs/2005.00928), section
        3.1; [Arnab et al., 2021](https://arxiv.org/abs/2103.15691), section
        3.3
    """
    times, rows, columns = model.grid_shape
    scores = _scores(model, video)
    tokens = model.num_prefix_tokens

    def fused(name):
        heads = scores[name].astype("float64")
        return fused_heads(heads, head_fusion, discard_ratio, tokens)

    def rollout(name, number):
        """`(..., T)` through a row of blocks `(..., T, T)`."""
        blocks = [fused(f"{name}_{i}") for i in range(number)]
        return _of_tokens(blocks, residual, tokens)

    if model.variant == JOINT:
        shares = rollout("block", model.num_layers)
    elif model.variant == ENCODER:
        shares = rollout("block", model.num_layers)  # (B, T, S)
        over_time = np.full((1, times), 1 / times)
        if model.num_temporal_layers:
            over_time = rollout("temporal_block", model.num_temporal_layers)
        shares = over_time[..., None] * shares
    else:
        places = rows * columns
        shares = np.full((1, times, places), 1 / (times * places))
        for i in reversed(range(model.num_layers)):
            parts = {axis: fused(f"block_{i}/{axis}") for axis in AXES}
            shares = _through_block(model, shares, parts, residual)
    return shares.reshape(-1, times, rows, columns)


def _scores(model, video, blocks=None):
    """What `model.attention` returns, as NumPy arrays."""
    expected = tuple(model.video_shape)
    shape = tuple(np.shape(video))
    if shape[1:] != expected or len(shape) != 1 + len(expected):
        raise ValueError(
            "`video` must be a batch of clips of the model's shape, (batch, "
            f"*{expected}). Received: shape {shape}. Add the axis of the "
            "batch to a single clip, `video[None]`; `model.resize` fits a "
            "model to other clips."
        )
    found = model.attention(blocks)(video)
    return {name: as_array(scores) for name, scores in found.items()}


def _of_tokens(blocks, residual, num_prefix_tokens):
    """Shares `(..., T)` through fused scores `(..., T, T)` of blocks."""
    length = blocks[0].shape[-1]
    shares = np.full((1, length), 1 / length)
    if num_prefix_tokens:
        shares = np.eye(1, length)
    for block in reversed(blocks):
        shares = shares @ passed_on(block, residual)  # (..., 1, T)
    return shares[..., 0, num_prefix_tokens:]


def _through_block(model, shares, parts, residual):
    """Shares `(B, T, S)` of a block's inputs, of those of its outputs.

    Args:
        model: Tells the variant and the order.
        shares: Of the outputs, `(B, T, S)`.
        parts: Fused scores, "space" `(B, T, S, S)` and "time" `(B, S, T, T)`.
        residual: Whether residual connections count.
    """
    if model.variant != DOT_PRODUCT:
        for name in reversed(model.order.split("_")):
            mixed = passed_on(parts[name], residual)
            shares = _read(shares, mixed, AXES[name])
        return shares
    sums = parts["space"].sum(-1) + parts["time"].sum(-1).swapaxes(1, 2)
    shares = shares / np.maximum(sums / 2 + residual, TINY)
    read = sum(_read(shares, parts[x], axis) for x, axis in AXES.items())
    return read / 2 + residual * shares


def _read(shares, scores, axis):
    """Shares `(B, T, S)` of what those given read along an axis."""
    along = np.moveaxis(shares, axis, -1)[..., None, :] @ scores
    return np.moveaxis(along[..., 0, :], -1, axis)


def plot_video_rollout(
    model,
    video,
    path: str | Path | None = None,
    head_fusion: str = "mean",
    discard_ratio: float = 0.0,
    residual: bool = True,
    titles=None,
) -> Any:
    """Draws what a ViViT's answer is made of, over the frames of each clip.

    Args:
        model: A `ViViT`, of any variant.
        video: `(B, frames, height, width, channels)`, scaled as the model
            expects.
        path: If given, where to save the picture.
        head_fusion: As of `video_rollout`.
        discard_ratio: As of `video_rollout`.
        residual: As of `video_rollout`.
        titles: One line for each clip.

    Returns:
        The `matplotlib.figure.Figure`.

    Examples:
        >>> from keras_attention.models import ViViT
        >>> model = ViViT.from_preset("vivit_tiny", num_layers=2)
        >>> video = np.random.uniform(-1, 1, (1, 16, 32, 32, 3))
        >>> figure = plot_video_rollout(model, video)
        >>> len(figure.axes)  # 16 frames and the scale
        17
    """
    maps = video_rollout(model, video, head_fusion, discard_ratio, residual)
    return plot_frames(_looked_at(model, video), maps, path, titles)


def _looked_at(model, video):
    """The frames of clips that the model samples."""
    video = as_array(video)
    if model.sampled_frames is None:
        return video
    return video[:, uniform_frames(video.shape[1], model.sampled_frames)]


def token_attention(
    model,
    video,
    token: tuple[int, int, int],
    block: str = "block_0",
    over: str = "space_time",
    head: int | None = None,
) -> np.ndarray:
    """What one token of a clip reads of all others, in one block of a ViViT.

    Zero where the variant's factorization reads nothing:

    - spatio-temporal: its row of the scores;
    - factorized encoder: tokens of its own frame; in a block over time, how
      much its frame reads of each, spread evenly over that frame's tokens;
    - factorized self-attention: what the second attention of the block reads,
      through what that has read in the first;
    - factorized dot product: the mean over all heads, half of which read its
      frame and half its place.

    Args:
        model: A `ViViT`, of any variant.
        video: `(B, frames, height, width, channels)`, scaled as the model
            expects.
        token: Time, row and column in `model.grid_shape`.
        block: Name of the block, such as "block_0" or "temporal_block_0".
        over: "space_time" for all of that; "space" for what it reads in its
            own frame, "time" for what it reads at its own place: of
            factorized self-attention what one attention reads alone, of the
            others a part of the whole.
        head: Index of the head, of a factorized dot product the first half
            of them along time; None for the mean of all.

    Returns:
        `(B, T, rows, columns)`, of what sums to 1 together with what is read
        of a class token.

    Raises:
        ValueError: There is no such token, block or head, or the video is not
            of the model's shape.

    Examples:
        >>> from keras_attention.models import ViViT
        >>> model = ViViT.from_preset(
        ...     "vivit_tiny", num_layers=2, variant="factorized_dot_product"
        ... )
        >>> video = np.random.uniform(-1, 1, (1, 16, 32, 32, 3))
        >>> maps = token_attention(model, video, token=(5, 2, 1))
        >>> maps.shape, int((maps > 0).sum())  # 4 x 4 places, 7 other times
        ((1, 8, 4, 4), 23)
    """
    checks.one_of(over, "over", ("space_time", *AXES))
    time, place = _position(model, token)
    if head is not None and not 0 <= head < model.num_heads:
        raise ValueError(
            f"`head` must be from 0 to {model.num_heads - 1}, or None for the "
            f"mean of all. Received: {head=}."
        )
    times, rows, columns = model.grid_shape
    start = np.zeros((1, times, rows * columns))
    start[0, time, place] = 1
    scores = {
        name.rpartition("/")[2]: found
        for name, found in _scores(model, video, [block]).items()
    }
    if model.variant in (JOINT, ENCODER):
        maps = _of_row(model, block, scores[block], start, head)
    elif model.variant == DOT_PRODUCT:
        maps = _of_halves(scores, start, head)
    else:
        order = [over] if over in AXES else reversed(model.order.split("_"))
        maps = start
        for name in order:
            maps = _read(maps, _of_head(scores[name], head), AXES[name])
        over = "space_time"
    if over in AXES:
        own = start.any(AXES[over], keepdims=True)
        maps = np.where(own, maps, 0)
    return maps.reshape(-1, times, rows, columns)


def _position(model, token):
    """Time and place in its frame of a token of the grid, checked."""
    inside = np.shape(token) == (3,) and all(
        0 <= x < size for x, size in zip(token, model.grid_shape, strict=True)
    )
    if not inside:
        raise ValueError(
            "`token` must be (time, row, column) in the grid of tubelets "
            f"{tuple(model.grid_shape)}, from 0 on. Received: {token=}."
        )
    time, row, column = token
    return time, row * model.grid_shape[2] + column


def _of_head(scores, head):
    """Of scores `(..., N, T, T)` those of a head, or the mean of all."""
    return scores.mean(-3) if head is None else scores[..., head, :, :]


def _of_row(model, block, scores, start, head):
    """What the token at `start` reads by one attention, `(B, T, S)`."""
    _, times, places = start.shape
    tokens = model.num_prefix_tokens
    scores = _of_head(scores, head)[..., tokens:, tokens:]
    if model.variant == JOINT:
        read = start.reshape(1, 1, -1) @ scores  # (B, 1, T S)
        return read.reshape(-1, times, places)
    if not block.startswith("temporal"):
        return _read(start, scores, AXES["space"])
    read = start.sum(2)[:, None] @ scores  # (B, 1, T)
    return np.repeat(read[:, 0, :, None] / places, places, axis=2)


def _of_halves(scores, start, head):
    """What the token at `start` reads with heads of both kinds."""
    names = ["time", "space"]
    if head is not None:
        half, head = divmod(head, scores["time"].shape[-3])
        names = [names[half]]
    read = [_read(start, _of_head(scores[x], head), AXES[x]) for x in names]
    return np.mean(read, axis=0)


def plot_token_attention(
    model,
    video,
    token: tuple[int, int, int],
    block: str = "block_0",
    over: str = "space_time",
    head: int | None = None,
    path: str | Path | None = None,
    titles=None,
) -> Any:
    """Draws what one token reads, over the frames of each clip.

    The token, a square of the frames that its tubelet goes on for, is framed.

    Args:
        model: A `ViViT`, of any variant.
        video: `(B, frames, height, width, channels)`, scaled as the model
            expects.
        token: As of `token_attention`.
        block: As of `token_attention`.
        over: As of `token_attention`.
        head: As of `token_attention`.
        path: If given, where to save the picture.
        titles: One line for each clip.

    Returns:
        The `matplotlib.figure.Figure`.

    Examples:
        >>> from keras_attention.models import ViViT
        >>> model = ViViT.from_preset("vivit_tiny", num_layers=2)
        >>> video = np.random.uniform(-1, 1, (1, 16, 32, 32, 3))
        >>> figure = plot_token_attention(model, video, token=(5, 2, 1))
        >>> len(figure.axes)  # 16 frames and the scale
        17
    """
    maps = token_attention(model, video, token, block, over, head)
    video = _looked_at(model, video)
    figure, axes = _strip(video, maps, titles)
    time, row, column = token
    height, width = np.divide(video.shape[2:4], model.grid_shape[1:])
    x = (column + np.array([0, 1, 1, 0, 0])) * width - 0.5
    y = (row + np.array([0, 0, 1, 1, 0])) * height - 0.5
    for of_clip in axes:
        for axis in np.split(of_clip, model.grid_shape[0])[time]:
            axis.plot(x, y, color="cyan", linewidth=2)
    return saved(figure, path)


def plot_frames(
    video,
    maps=None,
    path: str | Path | None = None,
    titles=None,
) -> Any:
    """Draws clips frame by frame, and over them what was read.

    Eight frames to a line. The colours of a clip go from 0 to the most that
    was read in any of its frames, so that frames can be compared.

    Args:
        video: `(B, frames, height, width, channels)` with one or three
            channels, of any range: each clip is stretched to its own.
        maps: `(B, T, rows, columns)`, how much was read of each tubelet; T
            divides the number of frames, and each map lies over as many of
            them. None draws the frames alone.
        path: If given, where to save the picture.
        titles: One line for each clip.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: Shapes do not go together.

    Examples:
        >>> video = np.random.default_rng(0).uniform(size=(2, 6, 8, 8, 3))
        >>> maps = np.random.default_rng(1).uniform(size=(2, 3, 4, 4))
        >>> figure = plot_frames(video, maps)
        >>> len(figure.axes)  # twelve frames, a scale for each clip
        14
    """
    return saved(_strip(video, maps, titles)[0], path)


def _strip(video, maps, titles):
    """A figure of clips, and the axes `(B, frames)` of their frames."""
    video, maps = _checked(video, maps)
    number, frames = video.shape[:2]
    titles = [f"clip {i}" for i in range(number)] if titles is None else titles
    if len(titles) != number:
        raise ValueError(
            f"There must be a title for each of {number} clips. Received: "
            f"{len(titles)} titles."
        )
    per_line = min(frames, FRAMES_PER_LINE)
    lines = -(-frames // per_line)  # of a clip
    figures = require("matplotlib.figure", extra="applications")
    figure = figures.Figure(
        figsize=(1.15 * per_line + 1, 1.4 * lines * number + 0.2),
        layout="constrained",
    )
    axes = figure.subplots(number * lines, per_line, squeeze=False)
    axes = axes.reshape(number, -1)  # (B, places for frames)
    for clip, of_clip in enumerate(axes):
        pictures = stretched(video[clip])
        of_clip[0].set_ylabel(titles[clip], fontsize=9)
        for frame, axis in enumerate(of_clip[:frames]):
            axis.set(xticks=[], yticks=[])
            axis.set_title(f"frame {frame}", fontsize=8, pad=3)
            if maps is None:
                axis.imshow(pictures[frame])
            else:
                shown = overlay(
                    axis, pictures[frame], maps[clip, frame], maps[clip].max()
                )
        if maps is not None:
            figure.colorbar(
                shown, ax=list(of_clip), label="what was read", pad=0.01
            )
        for axis in of_clip[frames:]:
            axis.remove()
    return figure, axes[:, :frames]


def _checked(video, maps):
    """Clips `(B, frames, ...)` and their maps `(B, frames, rows, columns)`."""
    video = as_array(video)
    if video.ndim != 5 or video.shape[-1] not in (1, 3) or not video.size:
        raise ValueError(
            "Clips must be (batch, frames, height, width, 1 or 3). Received: "
            f"shape {video.shape}."
        )
    if maps is None:
        return video, None
    maps = as_array(maps)
    fits = maps.ndim == 4 and len(maps) == len(video) and maps.size
    if not fits or video.shape[1] % maps.shape[1]:
        raise ValueError(
            "`maps` must be (batch, T, rows, columns), of as many clips as "
            "`video`, T a divisor of their frames. Received: shapes "
            f"{maps.shape} for clips {video.shape}."
        )
    return video, np.repeat(maps, video.shape[1] // maps.shape[1], axis=1)


def save_frames(
    video,
    path: str | Path,
    maps=None,
    frames_per_second: float = 4.0,
) -> None:
    """Writes a clip that moves, and over it what was read.

    Small frames are enlarged, pixel by pixel. A GIF plays by itself; an HTML
    page, a single file that asks for no other, has a slider and a button.

    Args:
        video: One clip, `(frames, height, width, channels)` with one or three
            channels, of any range: it is stretched to its own.
        path: A file that ends in `.gif` or `.html`.
        maps: `(T, rows, columns)`, as of `plot_frames`, of this clip.
        frames_per_second: How fast it plays.

    Raises:
        ValueError: The path ends otherwise, or shapes do not go together.

    Examples:
        >>> import tempfile
        >>> video = np.random.default_rng(0).uniform(size=(6, 8, 8, 3))
        >>> maps = np.random.default_rng(1).uniform(size=(3, 4, 4))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "clip.gif"
        ...     save_frames(video, path, maps)
        ...     path.read_bytes()[:6]
        b'GIF89a'
    """
    path = Path(path)
    if path.suffix.lower() not in (".gif", ".html"):
        raise ValueError(
            "`path` must end in .gif, for an animation, or .html, for a page "
            f"with a slider. Received: {str(path)!r}."
        )
    if not frames_per_second > 0:
        raise ValueError(
            "`frames_per_second` must be positive. Received: "
            f"{frames_per_second=}."
        )
    video, maps = as_array(video), None if maps is None else as_array(maps)
    shapes = [video.shape] if maps is None else [video.shape, maps.shape]
    if [len(shape) for shape in shapes] not in ([4], [4, 3]):
        raise ValueError(
            "`video` must be one clip, (frames, height, width, channels), "
            f"`maps` (T, rows, columns). Received: shapes {shapes}. Take one "
            "of a batch, such as `video[0]`."
        )
    pictures = _pictures(video, maps)
    milliseconds = round(1000 / frames_per_second)
    if path.suffix.lower() == ".html":
        page = _page(pictures, path.stem, milliseconds)
        path.write_text(page, encoding="utf-8")
        return
    pictures[0].save(
        path,
        save_all=True,
        append_images=pictures[1:],
        duration=milliseconds,
        loop=0,
    )


def _pictures(video, maps):
    """Frames of a clip as Pillow's images, enlarged, maps laid over them."""
    images = require("PIL.Image", extra="applications")
    video, maps = _checked(video[None], None if maps is None else maps[None])
    frames = stretched(video[0])
    if maps is not None:
        frames = _blended(frames, maps[0])
    scale = -(-PIXELS // max(frames.shape[1:3]))
    frames = frames.repeat(scale, axis=1).repeat(scale, axis=2)
    frames = (255 * frames).round().astype("uint8")
    return [images.fromarray(frame) for frame in frames]


def _blended(frames, maps):
    """Frames in grey, coloured by what was read, as `overlay` draws them."""
    height, width = frames.shape[1:3]
    row = np.arange(height) * maps.shape[1] // height  # of each pixel
    column = np.arange(width) * maps.shape[2] // width
    colours = require("matplotlib", extra="applications").colormaps[COLOURS]
    read = colours(maps / max(maps.max(), TINY))[..., :3]
    read = read[:, row][:, :, column]
    grey = frames.mean(-1, keepdims=True)
    return OPACITY * read + (1 - OPACITY) * grey


def _page(pictures, title, milliseconds):
    """An HTML page that shows one of the pictures at a time."""
    lines = []
    for frame, picture in enumerate(pictures):
        hidden = " hidden" if frame else ""
        lines.append(
            f'<img alt="frame {frame}"{hidden} src="{png_url(picture)}">'
        )
    return PAGE.substitute(
        title=html.escape(title),
        last=len(pictures) - 1,
        images="\n".join(lines),
        milliseconds=milliseconds,
    )
