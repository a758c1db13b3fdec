import keras
import numpy as np
import pytest

from keras_attention.data import (
    CaptionBatches,
    CaptionedImage,
    ImageProcessor,
    WordTokenizer,
    synthetic,
)
from keras_attention.losses import SparseCategoricalCrossentropy
from keras_attention.models import TransformerCaptioner, ViT

CAPTIONS = ["a red ring and a blue cross", "a blue ring", "a red cross"]
B = len(CAPTIONS)
LOSS = SparseCategoricalCrossentropy()


def test_a_vit_is_read_frozen_and_thawed(tmp_path):
    """From pictures to strings, and after a reload."""
    keras.utils.set_random_seed(0)
    vit = ViT(
        image_shape=(32, 32, 3),
        patch_size=8,
        num_layers=1,
        hidden_dim=12,
        num_heads=2,
        intermediate_dim=24,
        num_classes=0,
        position_stddev=0.3,
    )
    encoder = vit.features(-1, grid=True)
    encoder.trainable = False
    words = WordTokenizer.train(CAPTIONS)
    model = TransformerCaptioner.from_preset(
        "transformer_captioner_small",
        encoder=encoder,
        tokenizer=words,
        image_processor=ImageProcessor((32, 32)),
        num_layers=1,
    )
    pictures = np.random.default_rng(0).integers(0, 256, (B, 40, 48, 3))
    pictures = list(pictures.astype("uint8"))
    examples = [
        CaptionedImage(picture, (caption,))
        for picture, caption in zip(pictures, CAPTIONS, strict=True)
    ]
    batches = CaptionBatches(
        examples, words, model.image_processor, batch_size=B, num_buckets=1
    )

    def moved():
        before = encoder.get_weights()
        model.compile(keras.optimizers.SGD(0.1), LOSS)
        model.fit(batches, verbose=0)
        return [
            np.abs(a - b).max() > 0
            for a, b in zip(before, encoder.get_weights(), strict=True)
        ]

    assert not any(moved())
    written = model.generate(pictures, max_length=6)
    assert model.caption(pictures)[0].scores.shape[1:] == (4, 4)
    model.save(tmp_path / "model.keras")
    model.save_to_preset(tmp_path / "preset")
    for again in (
        keras.saving.load_model(tmp_path / "model.keras"),
        TransformerCaptioner.from_preset(tmp_path / "preset"),
    ):
        assert (
            not again.encoder.trainable and not again.encoder.trainable_weights
        )
        assert len(again.trainable_weights) == len(model.trainable_weights)
        assert again.generate(pictures, max_length=6) == written
    encoder.trainable = True
    assert any(moved())


def scenes_and_batches(scenes, words, **options):
    features = scenes.inputs.reshape(len(scenes), 4, 4, 32)
    examples = [
        CaptionedImage(x, (caption,))
        for x, caption in zip(features, scenes.captions, strict=True)
    ]
    batches = CaptionBatches(
        examples, words, input_name="features", num_buckets=1, **options
    )
    return features, batches


def test_it_tells_apart_what_has_one_mean():
    """Pairs of scenes whose mean is the same: the mean alone fits neither."""
    keras.utils.set_random_seed(0)
    scenes = synthetic.grid_scenes(8, split="swap")
    words = WordTokenizer.train(scenes.captions)
    features, batches = scenes_and_batches(
        scenes, words, batch_size=8, steps_per_epoch=150
    )
    model = TransformerCaptioner.from_preset(
        "transformer_captioner_small",
        feature_shape=(4, 4, 32),
        num_layers=1,
        hidden_dim=32,
        tokenizer=words,
    )
    model.compile(keras.optimizers.Adam(0.005), LOSS)
    model.fit(batches, shuffle=False, verbose=0)
    score = synthetic.score_scene_captions(model.generate(features), scenes)
    assert score.exact == score.swap_pairs == 1


@pytest.mark.slow
@pytest.mark.one_backend
def test_it_learns_to_look():
    keras.utils.set_random_seed(0)
    scenes = synthetic.grid_scenes(8000)
    words = WordTokenizer.train(scenes.captions)
    steps = 500
    _, batches = scenes_and_batches(
        scenes, words, batch_size=32, steps_per_epoch=steps
    )
    model = TransformerCaptioner.from_preset(
        "transformer_captioner_small",
        feature_shape=(4, 4, 32),
        hidden_dim=64,
        tokenizer=words,
    )
    rate = keras.optimizers.schedules.CosineDecay(4e-3, steps)
    model.compile(keras.optimizers.Adam(rate), LOSS)
    model.fit(batches, shuffle=False, verbose=0)
    for split, least in (("train", 0.5), ("swap", 0.5)):
        test = synthetic.grid_scenes(200, seed=5, split=split)
        features, _ = scenes_and_batches(test, words)
        written = model.generate(features, batch_size=200)
        score = synthetic.score_scene_captions(written, test)
        assert score.exact > least
    assert score.swap_pairs > 0.4  # 0 for what reads the mean alone
