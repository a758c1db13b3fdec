"""Pictures of what attention reads."""

from keras_attention.visualization.alignment import (
    plot_alignment,
    plot_alignments,
)
from keras_attention.visualization.attention_view import AttentionView, Cells
from keras_attention.visualization.caption_view import CaptionView
from keras_attention.visualization.captions import plot_caption
from keras_attention.visualization.explorer import Explorer
from keras_attention.visualization.video import (
    plot_frames,
    plot_token_attention,
    plot_video_rollout,
    save_frames,
    token_attention,
    video_rollout,
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
    "AttentionView",
    "CaptionView",
    "Cells",
    "Explorer",
    "attention_rollout",
    "plot_alignment",
    "plot_alignments",
    "plot_attention_over_images",
    "plot_caption",
    "plot_frames",
    "plot_heads",
    "plot_patch_filters",
    "plot_position_similarity",
    "plot_rollout",
    "plot_token_attention",
    "plot_video_rollout",
    "save_frames",
    "token_attention",
    "video_rollout",
]
