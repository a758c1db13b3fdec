"""Pictures of what a vision Transformer reads, and of what it has learned."""

from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from keras_attention.extras import require

FUSIONS = {"mean": np.mean, "max": np.max, "min": np.min}
COLOURS, OPACITY = "inferno", 0.65  # of what is drawn over pictures
TINY = 1e-12  # a row or a picture of zeros is divided by this


def attention_rollout(
    scores,
    head_fusion: str = "mean",
    discard_ratio: float = 0.0,
    residual: bool = True,
) -> np.ndarray:
    """How much of each input each output of a stack of blocks is made of.

    The scores of each block, its heads put together, with half of each
    position passed on by the residual connection, multiplied from the last
    block to the first (Abnar and Zuidema, 2020, section 3.1):

        A_l     = normalize_rows(fused scores_l + I)
        rollout = A_L ... A_2 A_1

    Args:
        scores: The scores `(B, N, T, T)` of each block, from the first on: a
            list, or what the model of `ViT.attention` returns.
        head_fusion: How heads are put together: "mean", "max" or "min".
        discard_ratio: Share of a block's fused scores, the least of each
            example, that are set to zero first, except what a position reads
            of position 0, the class token.
        residual: Whether the residual connection counts.

    Returns:
        `(B, T, T)`; rows sum to 1.

    Raises:
        ValueError: There are no scores, they have other shapes, or an
            argument is not as above.

    Examples:
        >>> uniform = [np.full((1, 2, 5, 5), 0.2)] * 3
        >>> rollout = attention_rollout(uniform)
        >>> rollout.shape, float(rollout[0, 0].sum().round(6))
        ((1, 5, 5), 1.0)

    Reference:
        [Abnar and Zuidema, 2020](https://arxiv.org/abs/2005.00928), section
        3.1
    """
    if hasattr(scores, "values"):
        scores = scores.values()
    maps = [np.asarray(as_array(block), "float64") for block in scores]
    shapes = {block.shape for block in maps}
    if len(shapes) != 1 or len(maps[0].shape) != 4:
        raise ValueError(
            "`scores` must be the scores of blocks, (batch, heads, length, "
            f"length), all of one shape. Received: shapes {sorted(shapes)}."
        )
    rollout = np.eye(maps[0].shape[-1])[None]
    for block in maps:
        fused = fused_heads(block, head_fusion, discard_ratio)
        rollout = passed_on(fused, residual) @ rollout
    return rollout


def fused_heads(scores, head_fusion, discard_ratio, kept_tokens=1):
    """Scores `(..., N, T, T)` of heads put together: `(..., T, T)`.

    The share `discard_ratio` of each of these maps that is least is zero,
    except what is read of the first `kept_tokens` positions.
    """
    if head_fusion not in FUSIONS or not 0 <= discard_ratio < 1:
        raise ValueError(
            f"`head_fusion` must be one of {sorted(FUSIONS)}, `discard_ratio` "
            f"in [0, 1). Received: {head_fusion=}, {discard_ratio=}."
        )
    fused = FUSIONS[head_fusion](scores, axis=-3)
    if not discard_ratio:
        return fused
    flat = fused.reshape(*fused.shape[:-2], -1)
    count = int(flat.shape[-1] * discard_ratio)
    least = np.argsort(flat, axis=-1, kind="stable")[..., :count]
    kept = np.ones_like(flat, bool)
    np.put_along_axis(kept, least, False, axis=-1)
    kept = kept.reshape(fused.shape)
    kept[..., :kept_tokens] = True
    return np.where(kept, fused, 0)


def passed_on(fused, residual):
    """What positions are made of: `normalize_rows(fused + I)`, `(..., T, T)`.

    Without `+ I` if not `residual`.
    """
    mixed = fused + residual * np.eye(fused.shape[-1])
    return mixed / np.maximum(mixed.sum(-1, keepdims=True), TINY)


def plot_rollout(
    model,
    images,
    path: str | Path | None = None,
    head_fusion: str = "mean",
    discard_ratio: float = 0.0,
    residual: bool = True,
) -> Any:
    """Draws what a ViT's answer is made of, beside each picture.

    The rollout of all blocks (`attention_rollout`) for the class token, or,
    without one, for the mean of all patches.

    Args:
        model: A `ViT`.
        images: `(B, height, width, channels)`, scaled as the model expects.
        path: If given, where to save the picture.
        head_fusion: As of `attention_rollout`.
        discard_ratio: As of `attention_rollout`.
        residual: As of `attention_rollout`.

    Returns:
        The `matplotlib.figure.Figure`.

    Examples:
        >>> from keras_attention.models import ViT
        >>> model = ViT.from_preset("vit_tiny", num_layers=2)
        >>> images = np.random.uniform(-1, 1, (3, 32, 32, 3))
        >>> figure = plot_rollout(model, images)
        >>> len(figure.axes)
        6

    Reference:
        [Abnar and Zuidema, 2020](https://arxiv.org/abs/2005.00928), section
        3.1
    """
    scores = model.attention()(images)
    rollout = attention_rollout(scores, head_fusion, discard_ratio, residual)
    maps = _over_patches(rollout, model)
    return plot_attention_over_images(images, maps, path, ["rollout"])


def plot_heads(
    model,
    images,
    block: int = -1,
    path: str | Path | None = None,
) -> Any:
    """Draws what the heads of a ViT's block read, beside each picture.

    What the class token reads; without one, what is read of each patch by all
    others together (Caron et al., 2021, figure 1).

    Args:
        model: A `ViT`.
        images: `(B, height, width, channels)`, scaled as the model expects.
        block: Index of the block, from the end if negative.
        path: If given, where to save the picture.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: There is no such block.

    Examples:
        >>> from keras_attention.models import ViT
        >>> model = ViT.from_preset("vit_tiny", num_layers=2)
        >>> images = np.random.uniform(-1, 1, (3, 32, 32, 3))
        >>> figure = plot_heads(model, images, block=0)
        >>> len(figure.axes)  # three pictures, four heads
        15

    Reference:
        [Caron et al., 2021](https://arxiv.org/abs/2104.14294), figure 1
    """
    (scores,) = model.attention([block])(images).values()
    maps = _over_patches(as_array(scores), model)
    titles = [f"head {head}" for head in range(maps.shape[1])]
    return plot_attention_over_images(images, maps, path, titles)


def _over_patches(scores, model):
    """Of `(..., T, T)`, what is read of each patch: `(..., rows, columns)`."""
    before = model.num_prefix_tokens
    read = scores[..., 0, before:] if before else scores.mean(-2)
    return read.reshape(*read.shape[:-1], *model.grid_shape)


def plot_attention_over_images(
    images,
    maps,
    path: str | Path | None = None,
    titles=None,
) -> Any:
    """Draws pictures, and beside each what was read of it.

    Args:
        images: `(B, height, width, channels)` with one or three channels, of
            any range: each picture is stretched to its own.
        maps: `(B, rows, columns)`, how much was read of each patch; or `(B,
            M, rows, columns)`, M maps for each picture, such as one for each
            head.
        path: If given, where to save the picture.
        titles: One line for each of the M maps.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: Shapes do not go together.

    Examples:
        >>> images = np.random.default_rng(0).uniform(size=(2, 8, 8, 3))
        >>> maps = np.random.default_rng(1).uniform(size=(2, 3, 4, 4))
        >>> figure = plot_attention_over_images(
        ...     images, maps, titles=["head 0", "head 1", "head 2"]
        ... )
        >>> len(figure.axes)
        8
    """
    images, maps = as_array(images), as_array(maps)
    if maps.ndim == 3:
        maps = maps[:, None]
    number = maps.shape[1] if maps.ndim == 4 else 0
    fits = images.ndim == 4 and images.shape[-1] in (1, 3)
    if not fits or not number or len(images) != len(maps) or not len(images):
        raise ValueError(
            "`images` must be (batch, height, width, 1 or 3), `maps` (batch, "
            "rows, columns) or (batch, maps, rows, columns), of as many "
            f"pictures. Received: shapes {images.shape} and {maps.shape}."
        )
    if titles is not None and len(titles) != number:
        raise ValueError(
            f"There must be a title for each of {number} maps. Received: "
            f"{len(titles)} titles."
        )
    figures = require("matplotlib.figure", extra="applications")
    figure = figures.Figure(
        figsize=(2.1 * (1 + number), 2.2 * len(images)), layout="constrained"
    )
    axes = figure.subplots(len(images), 1 + number, squeeze=False)
    names = ["what was read"] * number if titles is None else titles
    for index, row in enumerate(axes):
        picture = stretched(images[index])
        row[0].imshow(picture)
        for axis, found in zip(row[1:], maps[index], strict=True):
            overlay(axis, picture, found)
        for axis, title in zip(row, [f"picture {index}", *names], strict=True):
            axis.set(xticks=[], yticks=[])
            axis.set_title(title, fontsize=9)
    return saved(figure, path)


def plot_position_similarity(
    embeddings,
    grid: tuple[int, int],
    path: str | Path | None = None,
    num_prefix_tokens: int = 0,
) -> Any:
    """Draws how alike the learned positions of patches are.

    A map for each patch, placed as the patch lies in the image: the cosine of
    its position with that of every other (Dosovitskiy et al., 2021, figure 7,
    middle).

    Args:
        embeddings: `(num_prefix_tokens + rows * columns, D)`.
        grid: Rows and columns.
        path: If given, where to save the picture.
        num_prefix_tokens: How many vectors come before those of the grid.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: The number of vectors is not that of the grid.

    Examples:
        >>> table = np.random.default_rng(0).normal(size=(3 * 4, 8))
        >>> figure = plot_position_similarity(table, (3, 4))
        >>> len(figure.axes)  # and the bar
        13

    Reference:
        [Dosovitskiy et al., 2021](https://arxiv.org/abs/2010.11929), figure 7
    """
    table = as_array(embeddings)[num_prefix_tokens:]
    rows, columns = grid
    if table.ndim != 2 or len(table) != rows * columns:
        raise ValueError(
            "`embeddings` must hold the prefix tokens and one vector for each "
            f"entry of the grid. Received: shape {as_array(embeddings).shape} "
            f"for {grid=} and {num_prefix_tokens=}."
        )
    table = table / np.maximum(
        np.linalg.norm(table, axis=1, keepdims=True), TINY
    )
    cosines = (table @ table.T).reshape(rows, columns, rows, columns)
    figures = require("matplotlib.figure", extra="applications")
    figure = figures.Figure(
        figsize=(0.9 * columns + 1.2, 0.9 * rows + 0.6), layout="constrained"
    )
    axes = figure.subplots(rows, columns, squeeze=False)
    for row in range(rows):
        for column in range(columns):
            axis = axes[row, column]
            shown = axis.imshow(cosines[row, column], vmin=-1, vmax=1)
            axis.set(xticks=[], yticks=[])
            axis.set_title(f"{row}, {column}", fontsize=7, pad=2)
    figure.colorbar(shown, ax=axes, label="cosine")
    figure.suptitle("the patch's row, column", fontsize=9)
    return saved(figure, path)


def plot_patch_filters(
    kernel,
    patch_size: tuple[int, int],
    path: str | Path | None = None,
    number: int = 28,
) -> Any:
    """Draws what the embedding of patches looks for.

    The main components of its filters, most important first, each stretched
    to the range of colours (Dosovitskiy et al., 2021, figure 7, left).

    Args:
        kernel: `(height * width * channels, D)`, of a `PatchEmbedding`, with
            one or three channels.
        patch_size: Height and width of a patch.
        path: If given, where to save the picture.
        number: How many are drawn, at most.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: The kernel is not that of patches of this size.

    Examples:
        >>> kernel = np.random.default_rng(0).normal(size=(4 * 4 * 3, 32))
        >>> figure = plot_patch_filters(kernel, (4, 4), number=10)
        >>> len(figure.axes)
        10

    Reference:
        [Dosovitskiy et al., 2021](https://arxiv.org/abs/2010.11929), figure 7
    """
    kernel = as_array(kernel)
    height, width = patch_size
    channels = kernel.shape[0] / (height * width)
    if kernel.ndim != 2 or channels not in (1, 3):
        raise ValueError(
            "`kernel` must be (height * width * channels, D) with one or three "
            f"channels. Received: shape {kernel.shape} for {patch_size=}."
        )
    centred = kernel.T - kernel.T.mean(0)
    components = np.linalg.svd(centred, full_matrices=False)[2][:number]
    figures = require("matplotlib.figure", extra="applications")
    columns = min(7, len(components))
    rows = -(-len(components) // columns)
    figure = figures.Figure(
        figsize=(1.1 * columns, 1.1 * rows + 0.3), layout="constrained"
    )
    for index, component in enumerate(components):
        axis = figure.add_subplot(rows, columns, index + 1)
        axis.imshow(stretched(component.reshape(height, width, int(channels))))
        axis.set(xticks=[], yticks=[])
        axis.set_title(str(index), fontsize=7, pad=2)
    return saved(figure, path)


def stretched(images):
    """Pictures `(..., 1 or 3)` in colours from 0 to 1, as they reach."""
    low, high = images.min(), images.max()
    pictures = (images - low) / max(high - low, TINY)
    return np.broadcast_to(pictures, (*pictures.shape[:-1], 3))


def overlay(axis, picture, found, highest=None):
    """Draws a picture in grey, and over it how much was read of each patch."""
    height, width = picture.shape[:2]
    axis.imshow(picture.mean(-1), cmap="gray", vmin=0, vmax=1)
    return axis.imshow(
        found,
        cmap=COLOURS,
        alpha=OPACITY,
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        interpolation="nearest",
        vmin=0,
        vmax=highest,
    )


def as_array(values):
    """A NumPy array of a tensor of any backend, or of an array.

    bfloat16 becomes float32, which matplotlib can draw.
    """
    if not isinstance(values, np.ndarray):
        values = ops.convert_to_numpy(values)
    return values.astype("float32") if values.dtype.kind == "V" else values


def saved(figure, path):
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure
