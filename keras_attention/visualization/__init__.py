"""Pictures of what attention reads."""

from keras_attention.visualization.alignment import (
    plot_alignment,
    plot_alignments,
)

__all__ = ["plot_alignment", "plot_alignments"]
