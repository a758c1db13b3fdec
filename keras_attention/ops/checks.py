"""Checks of constructor arguments that many layers share."""

import math
import numbers

import numpy as np


def known(*sizes):
    """Whether all sizes are known now, as ints.

    TensorFlow leaves an unknown size None, JAX exports one as a symbol.
    """
    return all(isinstance(size, int) for size in sizes)


def axes(number, **tensors):
    """Raises unless each tensor, by its name, has so many axes."""
    for name, tensor in tensors.items():
        if len(tensor.shape) != number:
            raise ValueError(
                f"`{name}` must have {number} axes. Received: shape "
                f"{tuple(tensor.shape)}. Axes are never added: reshape it."
            )


def shapes(**tensors):
    """Raises unless tensors have their axes, of equal sizes for equal letters.

    Args:
        **tensors: By its name, a tensor and a letter for each of its axes:
            `key=(key, "BSU")`. What is not known yet fits.
    """
    found = {}
    for name, (tensor, letters) in tensors.items():
        axes(len(letters), **{name: tensor})
        for letter, size in zip(letters, tensor.shape, strict=True):
            if not known(size):
                continue
            first, expected = found.setdefault(letter, (name, size))
            if size != expected:
                raise ValueError(
                    f"`{name}` must have shape ({', '.join(letters)}), with "
                    f"the {letter} of `{first}`. Received: `{name}` of shape "
                    f"{tuple(tensor.shape)}, `{first}` of shape "
                    f"{tuple(tensors[first][0].shape)}."
                )


def start_index(value):
    """Returns `value`, or raises unless it is one position."""
    if len(getattr(value, "shape", np.shape(value))):
        raise ValueError(
            "`start_index` must be one position for all sequences, an int or "
            "a scalar tensor. Received: shape "
            f"{tuple(getattr(value, 'shape', np.shape(value)))}. Sequences of "
            "one step are at the same position: pass `positions[0]`."
        )
    return value


def positive_int(value, name):
    """Returns `value` as an int, or raises unless it is a positive one."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value <= 0:
        raise ValueError(
            f"The argument `{name}` must be a positive integer. "
            f"Received: {name}={value!r}. Pass 1 or more."
        )
    return int(value)


def non_negative_int(value, name):
    """Returns `value` as an int, or raises unless it is one of at least 0."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < 0:
        raise ValueError(
            f"`{name}` must be a whole number, 0 or more. "
            f"Received: {name}={value!r}. Pass 0 for none."
        )
    return int(value)


def label_sets(value, name):
    """Returns a dict of numbers of classes, or raises unless it is one."""
    if not value:
        raise ValueError(
            f"`{name}` must name at least one label set. Received: {{}}."
        )
    return {
        key: positive_int(size, f"{name}[{key!r}]")
        for key, size in value.items()
    }


def sizes(value, name, axes, least=1):
    """One int per axis, from an int for all or one each.

    Args:
        value: An int, or a tuple or list of one per axis.
        name: What the caller calls it.
        axes: Names of the axes, for their number and the error message.
        least: The smallest size allowed.
    """
    given = value if isinstance(value, (tuple, list)) else [value] * len(axes)
    whole = all(
        isinstance(size, numbers.Integral) and not isinstance(size, bool)
        for size in given
    )
    if len(given) != len(axes) or not whole or min(given) < least:
        raise ValueError(
            f"`{name}` must be an integer of at least {least}, or one for "
            f"each of ({', '.join(axes)}). Received: {name}={value!r}."
        )
    return tuple(int(size) for size in given)


def positive(value, name):
    """Returns `value` as a float, or raises unless it is above 0."""
    if not isinstance(value, numbers.Real) or not float(value) > 0:
        raise ValueError(
            f"`{name}` must be positive. Received: {name}={value!r}. "
            "Pass a number above 0."
        )
    return float(value)


def number(value, name, lowest=-math.inf):
    """Returns `value` as a float, or raises unless it is a finite number."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or value < lowest:
        kind = "a finite number"
        if math.isfinite(lowest):
            kind += f" of at least {lowest}"
        raise ValueError(
            f"`{name}` must be {kind}. Received: {name}={value!r}."
        )
    return float(value)


def rate(value, name):
    """Returns `value` as a float, or raises unless it is in [0, 1)."""
    if not isinstance(value, numbers.Real) or not 0 <= float(value) < 1:
        raise ValueError(
            f"`{name}` must be a number in [0, 1), a share. "
            f"Received: {name}={value!r}. Pass 0 for none."
        )
    return float(value)


def share(value, name):
    """Returns `value` as a float, or raises unless it is in [0, 1]."""
    if not isinstance(value, numbers.Real) or not 0 <= float(value) <= 1:
        raise ValueError(
            f"`{name}` must be a share, from 0 for none to 1 for all. "
            f"Received: {name}={value!r}."
        )
    return float(value)


def one_of(value, name, choices):
    """Returns `value`, or raises unless it is one of `choices`."""
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, choices))}. "
            f"Received: {name}={value!r}."
        )
    return value
