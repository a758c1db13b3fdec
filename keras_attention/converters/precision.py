"""Numbers of 16 bits, which checkpoints hold and NumPy only half knows."""

import numpy as np


def from_bfloat16(bits):
    """The float32 numbers of bfloat16 bits, given as uint16.

    A bfloat16 is the upper half of a float32.

    Examples:
        >>> from_bfloat16(np.array([0x3F80, 0xC000], "uint16"))
        array([ 1., -2.], dtype=float32)
    """
    return (bits.astype("uint32") << 16).view("float32")


def widen(array):
    """float16 as float32; any other type as it is."""
    return array.astype("float32") if array.dtype == np.float16 else array
