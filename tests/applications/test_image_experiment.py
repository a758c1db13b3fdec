"""What a recipe trains with, on every backend."""

import numpy as np

from applications.image_classification import experiment, sources
from applications.image_classification.recipes import make_recipe

TINY = ["hidden_dim=24", "num_layers=1", "num_heads=2", "patch_size=8"]


def test_an_average_of_weights_is_what_is_tested(tmp_path):
    """With a momentum of 1 - epsilon it stays near where it began."""
    recipe = make_recipe("smoke", ["ema=0.9999", "train_examples=64"])
    splits = sources.read_splits(recipe, None, 0)
    model = experiment.make_model(recipe, 10, steps=10**6)
    before = [np.array(x) for x in model.get_weights()]
    batches = experiment.make_batches(recipe, model, splits.train, 10)
    swap, *_ = experiment.make_callbacks(recipe, tmp_path)
    model.fit(
        batches,
        validation_data=batches,
        epochs=2,
        verbose=0,
        shuffle=False,
        callbacks=[swap],
    )
    pairs = zip(model.get_weights(), before, strict=True)
    moved = max(abs(x - y).max() for x, y in pairs)
    assert 0 < moved < 1e-5
    # And is still there, with its optimizer, when it was used.
    for _ in range(2):
        model.predict_on_batch(batches[0][0])
    model.fit(batches, epochs=1, verbose=0, shuffle=False)


def test_the_rate_falls_over_all_steps_with_accumulation():
    changes = [*TINY, "gradient_accumulation=4", "warmup_steps=2"]
    model = experiment.make_model(make_recipe("smoke", changes), 10, steps=16)
    images = np.zeros((2, 32, 32, 3), "float32")
    labels = np.eye(10, dtype="float32")[:2]
    rates = []
    for _ in range(16):
        model.train_on_batch(images, labels)
        rates.append(float(model.optimizer.learning_rate))
    assert rates[12] > 1e-4 and rates[1] > rates[8] > rates[12]
