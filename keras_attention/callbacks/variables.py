import numpy as np
from keras import ops


def to_numpy(variable):
    """A copy of a variable in a type that NumPy's files know."""
    value = np.array(ops.convert_to_numpy(variable))
    # bfloat16 and its like are no types of NumPy's own; float32 holds them.
    return value.astype("float32") if value.dtype.kind == "V" else value
