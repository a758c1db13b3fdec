"""ViViT on clips whose frames, in any order, tell half of the answer."""

import keras
import numpy as np
import pytest

from keras_attention.data.synthetic import roll_motion
from keras_attention.models import ViViT

pytestmark = pytest.mark.one_backend


def accuracy_of(variant, shuffled=False, epochs=9):
    def clips(number, seed):
        videos, labels = roll_motion(number, seed=seed, frames=8)
        if shuffled:
            rng = np.random.default_rng(seed)
            videos = np.stack([x[rng.permutation(8)] for x in videos])
        return videos / np.float32(127.5) - 1, labels

    keras.utils.set_random_seed(0)
    model = ViViT(
        video_shape=(8, 12, 12, 3),
        tubelet_size=(2, 4, 4),
        variant=variant,
        num_layers=2,
        num_temporal_layers=1,
        hidden_dim=32,
        num_heads=4,
        intermediate_dim=64,
        num_classes=4,
        pooling="average",
        position_stddev=0.3,
        head_initializer="glorot_uniform",
    )
    model.compile(
        keras.optimizers.Adam(3e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=True,
    )
    model.fit(*clips(2000, 0), batch_size=50, epochs=epochs, verbose=0)
    return model.evaluate(*clips(400, 1), verbose=0)[1]


@pytest.mark.parametrize(
    "variant",
    [
        "factorized_encoder",
        pytest.param("spatio_temporal", marks=pytest.mark.slow),
        pytest.param("factorized_self_attention", marks=pytest.mark.slow),
        pytest.param("factorized_dot_product", marks=pytest.mark.slow),
    ],
)
def test_it_learns_which_way_a_glyph_rolls(variant):
    assert accuracy_of(variant) > 0.95


@pytest.mark.slow  # Tests of `roll_motion` say so of the clips themselves.
def test_without_the_order_of_frames_the_axis_is_all_there_is():
    assert accuracy_of("spatio_temporal", shuffled=True) < 0.6
