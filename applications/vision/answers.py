"""What a model says of files, as lines of text."""

import numpy as np


def tell(paths, logits, class_names, top):
    """Prints the likeliest classes of each file.

    Args:
        paths: The files.
        logits: `(len(paths), num_classes)`.
        class_names: Names of the classes.
        top: How many are told of.
    """
    logits = np.asarray(logits, "float64")
    shares = np.exp(logits - np.logaddexp.reduce(logits, -1, keepdims=True))
    for path, share in zip(paths, shares, strict=True):
        best = np.argsort(-share)[:top]
        told = ", ".join(
            f"{class_names[i]} {100 * share[i]:.1f} %" for i in best
        )
        print(f"{path}: {told}")
