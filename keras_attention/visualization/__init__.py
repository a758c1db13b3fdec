"""Pictures of what attention reads."""

from keras_attention.visualization.alignment import (
    plot_alignment,
    plot_alignments,
)
from keras_attention.visualization.vision import (
    attention_rollout,
    plot_attention_over_images,
    plot_heads,
    plot_patch_filters,
    plot_position_similarity,
    plot_rollout,
)

__all__ = [
    "attention_rollout",
    "plot_alignment",
    "plot_alignments",
    "plot_attention_over_images",
    "plot_heads",
    "plot_patch_filters",
    "plot_position_similarity",
    "plot_rollout",
]
