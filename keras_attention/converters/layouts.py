"""How arrays lie in checkpoints and in our layers.

A converter says for each weight, as an `Entry`, what it is called on both
sides and which layout it has there; the rest is here.
"""

from typing import NamedTuple

import numpy as np


class Entry(NamedTuple):
    """One weight: its name and shape there, its name here, the layout.

    Layouts, of torch's kernels (out, in) and convolutions:

        "same"           as ours
        "transposed"     a kernel
        "heads"          a kernel to heads
        "head biases"    the biases of heads
        "merged"         a kernel from heads
        "row"            with an axis of size 1 in front
        "patches"        the kernel of a convolution, (out, in, height, width),
                         with frames before the height for videos
        "flat"           as ours, but for how axes are put together

    flax keeps attention's kernels as we do ("same"), and a convolution's as
    (height, width, in, out) ("flat").
    """

    theirs: str
    ours: str
    shape: tuple
    layout: str


class Table(list):
    """Entries, added a layer at a time.

    Args:
        flax: Whether their names and layouts are flax's, or torch's.
    """

    def __init__(self, flax: bool = False):
        super().__init__()
        self.flax = flax
        self.kernel, self.gamma = "weight", "weight"
        if flax:
            self.kernel, self.gamma = "kernel", "scale"

    def one(self, theirs, ours, shape, layout="same"):
        """One weight."""
        self.append(Entry(theirs, ours, tuple(shape), layout))

    def _two(self, theirs, ours, weight, bias):
        dot = "/" if self.flax else "."
        kernel_name, our_kernel, shape, layout = weight
        self.one(
            f"{theirs}{dot}{kernel_name}", f"{ours}/{our_kernel}", shape, layout
        )
        if bias is not None:
            our_bias, shape, layout = bias
            self.one(f"{theirs}{dot}bias", f"{ours}/{our_bias}", shape, layout)

    def norm(self, theirs, ours, dim):
        """A normalization."""
        gamma = (self.gamma, "gamma", (dim,), "same")
        self._two(theirs, ours, gamma, ("beta", (dim,), "same"))

    def dense(self, theirs, ours, inputs, outputs):
        """A Dense layer."""
        weight = (self.kernel, "kernel", (outputs, inputs), "transposed")
        if self.flax:
            weight = (self.kernel, "kernel", (inputs, outputs), "same")
        self._two(theirs, ours, weight, ("bias", (outputs,), "same"))

    def heads(self, theirs, ours, dim, num_heads, use_bias=True):
        """What projects to the heads of attention."""
        size = (num_heads, dim // num_heads)
        weight = (self.kernel, "kernel", (dim, dim), "heads")
        bias = ("bias", (dim,), "head biases")
        if self.flax:
            weight = (self.kernel, "kernel", (dim, *size), "same")
            bias = ("bias", size, "same")
        self._two(theirs, ours, weight, bias if use_bias else None)

    def merged(self, theirs, ours, dim, num_heads):
        """What projects from the heads of attention."""
        weight = (self.kernel, "kernel", (dim, dim), "merged")
        if self.flax:
            size = (num_heads, dim // num_heads)
            weight = (self.kernel, "kernel", (*size, dim), "same")
        self._two(theirs, ours, weight, ("bias", (dim,), "same"))

    def patches(self, theirs, ours, size, channels, dim):
        """What embeds patches."""
        weight = (self.kernel, "kernel", (dim, channels, *size), "patches")
        if self.flax:
            weight = (self.kernel, "kernel", (*size, channels, dim), "flat")
        self._two(theirs, ours, weight, ("bias", (dim,), "same"))


def to_ours(weights: dict, table: list[Entry], num_heads: int) -> dict:
    """A checkpoint's weights by the paths of our layers.

    Args:
        weights: NumPy arrays by their names.
        table: All entries.
        num_heads: Heads of each attention.

    Raises:
        ValueError: A weight is missing, left over, or has another shape.
    """
    check_names(weights, [entry.theirs for entry in table])
    wrong = [
        f"{e.theirs} is {weights[e.theirs].shape}, not {e.shape}"
        for e in table
        if weights[e.theirs].shape != e.shape
    ]
    if wrong:
        raise ValueError(
            "The weights must have the shapes that their config and the "
            f"arguments ask for. Received: {'; '.join(wrong)}. Leave out the "
            "arguments that change sizes."
        )
    return {
        e.ours: to_layout(weights[e.theirs], e.layout, num_heads) for e in table
    }


def to_theirs(arrays: dict, table: list[Entry]) -> dict:
    """Our weights, float32, by their names.

    Args:
        arrays: NumPy arrays by the paths of our layers.
        table: All entries.
    """
    check_names(arrays, [entry.ours for entry in table])
    return {
        e.theirs: from_layout(np.asarray(arrays[e.ours], "float32"), e)
        for e in table
    }


def check_names(weights: dict, expected: list[str]) -> None:
    """Raises unless there are exactly these names."""
    missing = sorted(set(expected) - set(weights))
    extra = sorted(set(weights) - set(expected))
    if missing or extra:
        raise ValueError(
            "The weights must be those of the model that their config and the "
            f"arguments describe. Received: none called {missing}; left over: "
            f"{extra}. Use the files of one checkpoint, and leave out the "
            "arguments that change sizes."
        )


def to_layout(array, layout, num_heads):
    """An array of theirs in our layout."""
    if layout == "transposed":
        return array.T
    if layout == "heads":
        return array.T.reshape(array.shape[1], num_heads, -1)
    if layout == "head biases":
        return array.reshape(num_heads, -1)
    if layout == "merged":
        return array.T.reshape(num_heads, -1, array.shape[0])
    if layout == "patches":
        axes = range(2, array.ndim)
        return array.transpose(*axes, 1, 0).reshape(-1, array.shape[0])
    if layout == "flat":
        return array.reshape(-1, array.shape[-1])
    return array[0] if layout == "row" else array


def from_layout(array, entry):
    """An array of ours in their layout."""
    if entry.layout == "transposed":
        return array.T
    if entry.layout in ("heads", "merged"):
        # The sizes that stay together there are those of (in, out).
        return array.reshape(entry.shape[::-1]).T
    if entry.layout == "patches":
        made, channels, *size = entry.shape
        array = array.reshape(*size, channels, made)
        return array.transpose(-1, -2, *range(len(size)))
    return array.reshape(entry.shape)
