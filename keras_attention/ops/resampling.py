"""Learned positions of a grid, brought to a grid of another size.

A table made for one size of image (or number of frames) serves another by
interpolation. Published checkpoints were each evaluated under a rule of
their own, and the rules differ visibly:

    "bilinear_align_corners"  Google's .npz files, scenic, big_vision:
                              `scipy.ndimage.zoom(order=1)`, which maps the
                              first entry to the first, the last to the last
    "bilinear"                timm, when it reads Google's .npz files
    "bicubic_antialias"       timm, its own checkpoints: a = -0.5, and a wider
                              kernel where the grid shrinks, as in Pillow
    "bicubic"                 ViT and DINOv2 of Hugging Face: a = -0.75, as
                              `torch.nn.functional.interpolate`

All but the first place entry i at `i + 1/2` of an axis of the old size. Each
is a small matrix per axis.
"""

import math
import numbers

import numpy as np
from keras import ops

from keras_attention.ops import checks
from keras_attention.ops.softmax import wide_dtype

INTERPOLATIONS = (
    "bilinear_align_corners",
    "bilinear",
    "bicubic_antialias",
    "bicubic",
)


def resample_positions(
    table, old_grid, new_grid, interpolation=None, num_prefix_tokens=0
):
    """Learned positions of one grid, for tokens that form another.

    A new grid with an axis of frames that the old one lacks gets the table
    once for each frame. So ViViT's ways from a table of images to one of
    videos (Arnab et al., 2021, section 3.4) are told apart by the grids:

        resize       (h, w) -> (h', w')
        tile         (h, w) -> (frames, h, w)
        resize_tile  (h, w) -> (frames, h', w')

    Args:
        table: `(..., N, D)`, one vector for each prefix token, then one for
            each entry of the grid, the last axis running fastest. With a
            NumPy array the work is done in NumPy, in float64: for
            checkpoints.
        old_grid: The grid that the table was made for: `(length,)`,
            `(height, width)` or `(frames, height, width)`.
        new_grid: The grid that is needed; sizes may be scalar tensors.
        interpolation: One of `INTERPOLATIONS`, the rule of the table's
            source. None will do where no size changes.
        num_prefix_tokens: How many vectors come before those of the grid,
            for class tokens and the like; they stay as they are.

    Returns:
        `(..., N', D)` in the table's kind and dtype; the table itself if the
        grids are equal.

    Raises:
        ValueError: The table does not fit the old grid, the new grid has
            other axes, a size is not positive, `interpolation` is unknown,
            or None and needed.

    Examples:
        >>> import numpy as np
        >>> from keras_attention.ops.resampling import resample_positions
        >>> table = np.random.normal(size=(1, 1 + 14 * 14, 8))
        >>> larger = resample_positions(
        ...     table, (14, 14), (24, 16), "bicubic", num_prefix_tokens=1
        ... )
        >>> larger.shape
        (1, 385, 8)
    """
    old_grid = grid_sizes(old_grid, "old_grid")
    new_grid = grid_sizes(new_grid, "new_grid")
    check_resampling(old_grid, new_grid, interpolation)
    _check_table(table, old_grid, num_prefix_tokens)
    if same(old_grid, new_grid):
        return table
    xp = np if isinstance(table, np.ndarray) else ops
    before, dim = table.shape[:-2], table.shape[-1]
    grid = table[..., num_prefix_tokens:, :]
    grid = xp.reshape(grid, (*before, *old_grid, dim))
    grid = resample_grid(grid, new_grid[-len(old_grid) :], interpolation)
    if len(new_grid) > len(old_grid):
        grid = xp.expand_dims(grid, -4)  # (..., 1, height, width, D)
        grid = xp.broadcast_to(grid, (*before, *new_grid, dim))
    grid = xp.reshape(grid, (*before, -1, dim))
    return xp.concatenate([table[..., :num_prefix_tokens, :], grid], axis=-2)


def resample_patches(kernel, old_size, new_size):
    """The kernel of a patch embedding, for patches of another size.

    Beyer et al., 2023, section 3.4, equation 4: with the matrix B that
    resizes a patch bilinearly, the kernel `(B^T)^+ kernel`. A patch that is
    enlarged gives the token that it gave before, to rounding.

    Args:
        kernel: NumPy array `(height * width * channels, D)`.
        old_size: Height and width of its patches.
        new_size: Those of the new ones.

    Returns:
        The kernel of the new size, in the kernel's dtype.
    """
    if tuple(old_size) == tuple(new_size):
        return kernel
    channels = kernel.shape[0] // math.prod(old_size)
    result = kernel.reshape(*old_size, channels, -1).astype("float64")
    for axis, (old, new) in enumerate(zip(old_size, new_size, strict=True)):
        resize = interpolation_matrix(old, new, "bilinear")  # (new, old)
        matrix = np.linalg.pinv(np.asarray(resize, "float64").T)
        result = np.moveaxis(np.tensordot(matrix, result, (1, axis)), 0, axis)
    return result.reshape(-1, kernel.shape[1]).astype(kernel.dtype)


def resample_grid(grid, sizes, interpolation):
    """A grid of vectors, interpolated along each of its axes.

    Args:
        grid: `(..., *old, D)`, with as many old sizes as there are new.
        sizes: The new sizes, ints or scalar tensors.
        interpolation: One of `INTERPOLATIONS`.

    Returns:
        `(..., *sizes, D)` in the grid's kind and dtype. A NumPy array is
        computed in float64, a tensor in float32 or wider.
    """
    sizes = grid_sizes(sizes, "sizes")
    xp = np if isinstance(grid, np.ndarray) else ops
    dtype = "float64" if xp is np else wide_dtype(grid.dtype)
    x = _cast(xp, grid, dtype)
    for axis, size in enumerate(sizes, start=-1 - len(sizes)):
        old = grid.shape[axis]
        if same((old,), (size,)):
            continue
        matrix = interpolation_matrix(old, size, interpolation)
        # An array stays one: a tensor in a model's graph would be an input
        # of what TensorFlow exports to ONNX.
        known_sizes = isinstance(matrix, np.ndarray)
        matrix = _cast(np if known_sizes else ops, matrix, dtype)
        x = xp.swapaxes(x, axis, -2)
        x = xp.matmul(matrix, x)
        x = xp.swapaxes(x, axis, -2)
    return _cast(xp, x, grid.dtype)


def interpolation_matrix(old, new, interpolation):
    """What each of `new` entries takes of each of `old`; rows sum to 1.

    Args:
        old: The old size, an int.
        new: The new size; an int, or a scalar tensor.
        interpolation: One of `INTERPOLATIONS`.

    Returns:
        `(new, old)`: a NumPy array of float64, or a float32 tensor if `new`
        has no value yet.
    """
    checks.one_of(interpolation, "interpolation", INTERPOLATIONS)
    xp, dtype = (np, "float64") if checks.known(new) else (ops, "float32")
    entries = xp.arange(new, dtype="int32")[:, None]
    new = _cast(xp, new, "int32")
    # New entry i is at rises[i] / run of the old axis: whole numbers, so that
    # nothing is rounded before the distance to an old entry is known.
    if interpolation == "bilinear_align_corners":
        rises, run = entries * (old - 1), xp.maximum(new - 1, 1)
    else:
        rises, run = (2 * entries + 1) * old - new, 2 * new
    # Entries beyond the ends are copies of the last; Pillow's rule has none.
    beyond = 0 if interpolation == "bicubic_antialias" else 2
    taps = np.arange(-beyond, old + beyond)
    distances = rises - run * _cast(xp, taps, "int32")
    distances = _cast(xp, distances, dtype) / _cast(xp, run, dtype)
    if interpolation == "bicubic_antialias":
        widening = xp.maximum(_cast(xp, old / new, dtype), 1)
        weights = _cubic(xp, distances / widening, a=-0.5)
        return weights / xp.sum(weights, axis=1, keepdims=True)
    if interpolation == "bicubic":
        weights = _cubic(xp, distances, a=-0.75)
    else:
        weights = xp.maximum(1 - xp.abs(distances), 0)
    copies = np.eye(old, dtype=dtype)[np.clip(taps, 0, old - 1)]
    return xp.matmul(weights, copies)  # (new, taps) by (taps, old)


def _cubic(xp, distances, a):
    """The kernel of cubic convolution (Keys, 1981, equation 4 for a = -1/2)."""
    x = xp.abs(distances)
    # As products: sums of powers would cancel near the zeros at 1 and 2.
    near = (x - 1) * ((a + 2) * x * x - x - 1)
    far = a * (x - 1) * (x - 2) ** 2
    return xp.where(x <= 1, near, xp.where(x < 2, far, 0))


def _cast(xp, x, dtype):
    return np.asarray(x, dtype) if xp is np else ops.cast(x, dtype)


def same(old, new):
    """Whether two grids are known to have equal sizes."""
    return checks.known(*new) and old == new


def grid_sizes(grid, name):
    """The sizes of a grid as a tuple of ints and, where unknown, tensors."""
    if not isinstance(grid, (tuple, list)) or not 1 <= len(grid) <= 3:
        raise ValueError(
            f"`{name}` must be the sizes of a grid: (length,), (height, width) "
            f"or (frames, height, width). Received: {name}={grid!r}."
        )
    return tuple(
        checks.positive_int(size, name)
        if size is None or isinstance(size, (numbers.Number, str))
        else size
        for size in grid
    )


def check_resampling(old_grid, new_grid, interpolation):
    """Raises unless positions of the old grid can serve the new one."""
    tiled = len(old_grid) == 2 and len(new_grid) == 3
    if len(new_grid) != len(old_grid) and not tiled:
        raise ValueError(
            "A grid of positions must have the axes of the one it is taken "
            "from, or (height, width) and an axis of frames before them. "
            f"Received: {new_grid} to be taken from {old_grid}."
        )
    if interpolation is None and not same(old_grid, new_grid[-len(old_grid) :]):
        raise ValueError(
            "Positions for a grid of another size must be interpolated, by "
            "the rule of the source of the weights. Received: a grid of "
            f"{new_grid} for positions of {old_grid}, interpolation=None. Pass "
            f"one of {', '.join(map(repr, INTERPOLATIONS))} as `interpolation`."
        )
    if interpolation is not None:
        checks.one_of(interpolation, "interpolation", INTERPOLATIONS)


def _check_table(table, grid, num_prefix_tokens):
    if len(table.shape) < 2 or (
        table.shape[-2] != num_prefix_tokens + math.prod(grid)
    ):
        raise ValueError(
            "`table` must have shape (..., N, features), N the number of "
            "prefix tokens and of entries of `old_grid` together. Received: "
            f"shape {tuple(table.shape)}, old_grid={grid}, "
            f"num_prefix_tokens={num_prefix_tokens}."
        )
