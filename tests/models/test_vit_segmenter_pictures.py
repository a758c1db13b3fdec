"""Segmenters of published encoders, of photos, and what they learn."""

import keras
import numpy as np
import pytest

from keras_attention.data import ImageProcessor, synthetic
from keras_attention.models import ViTSegmenter
from keras_attention.models.vit_segmenter import class_map
from tests.models.segmenter_reference import (
    D,
    K,
    N,
    P,
    Paper,
    interpolated,
    made,
    numpy,
    objective,
    on_jax,
    pictures,
)


def test_a_published_encoder_gets_a_decoder(tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.Dinov2Config(
        hidden_size=D,
        num_hidden_layers=2,
        num_attention_heads=N,
        image_size=12,
        patch_size=P,
        mlp_ratio=2,
    )
    theirs = transformers.Dinov2Model(config).eval()
    theirs.save_pretrained(tmp_path)
    transformers.BitImageProcessor(
        size={"shortest_edge": 14}, crop_size={"height": 12, "width": 12}
    ).save_pretrained(tmp_path)
    images = pictures(12, 12)
    with torch.no_grad():
        states = theirs(torch.tensor(images.transpose(0, 3, 1, 2)))
    model = ViTSegmenter.from_preset(
        tmp_path, num_classes=K, decoder="linear", stochastic_depth=0.1
    )
    assert model.encoder.stochastic_depth == 0.1
    patches = states.last_hidden_state[0, 1:].numpy()
    masks = Paper(model).linear(patches).reshape(3, 3, K)
    np.testing.assert_allclose(
        numpy(model(images))[0], interpolated(masks, 12, 12), atol=1e-5
    )
    # All of a picture is seen, and scaled as the weights expect.
    processor = model.image_processor
    assert (processor.size, processor.crop_size) == ((12, 12), None)
    assert processor.mean == model.encoder.image_processor.mean
    wider = ViTSegmenter.from_preset(
        tmp_path, image_shape=(12, 20, 3), num_classes=K
    )
    assert wider.image_processor.size == (12, 20)
    (found,) = wider.segment(np.zeros((31, 23, 3), "uint8"))
    assert found.shape == (31, 23)
    with pytest.raises(ValueError, match="`num_classes` must be given"):
        ViTSegmenter.from_preset(tmp_path)


def test_pictures_get_maps_of_their_own_sizes():
    model = made("linear")
    with pytest.raises(ValueError, match="`image_processor`"):
        model.segment(np.zeros((5, 7, 3), "uint8"))
    model.image_processor = ImageProcessor(14, (10, 10))
    rng = np.random.default_rng(0)
    sizes = (31, 17), (12, 20), (7, 40)
    photos = [rng.integers(256, size=(*x, 3)).astype("uint8") for x in sizes]
    # No class shall be the largest everywhere.
    logits = numpy(model(model.image_processor(photos)))
    head = model.get_layer("head")
    head.bias.assign(numpy(head.bias) - logits.mean((0, 1, 2)))
    maps = model.segment(photos, batch_size=2)
    assert [x.shape for x in maps] == list(sizes)
    logits = numpy(model(model.image_processor(photos)))
    for found, values, size in zip(maps, logits, sizes, strict=True):
        expected = interpolated(values.astype(float), *size)
        np.testing.assert_array_equal(found, expected.argmax(-1))
        assert len({*found.ravel()}) > 2


def test_a_large_map_is_made_a_few_rows_at_a_time(monkeypatch):
    logits = np.random.default_rng(0).normal(size=(5, 3, K))
    expected = interpolated(logits, 23, 31).argmax(-1)
    name = "keras_attention.models.vit_segmenter.VALUES_AT_ONCE"
    for values in (1, 31 * K * 4, 10**6):
        monkeypatch.setattr(name, values)
        np.testing.assert_array_equal(class_map(logits, 23, 31), expected)


@on_jax
def test_loss_and_metric_of_keras_leave_out_what_nobody_labelled():
    """A class that neither occurs nor is predicted is not in the mean."""
    rng = np.random.default_rng(0)
    loss, (metric,) = objective(4).values()
    matrix = np.zeros((4, 4))
    for _ in range(3):
        truth = rng.choice([0, 1, 2, 255], size=(2, 5, 7)).astype("uint8")
        logits = rng.normal(size=(2, 5, 7, 4)).astype("float32")
        logits[..., 3] = -9
        metric.update_state(truth, logits)
        entropies = []
        for place in zip(*np.nonzero(truth != 255), strict=True):
            matrix[truth[place], logits[place].argmax()] += 1
            values = logits[place]
            entropies.append(
                np.log(np.exp(values).sum()) - values[truth[place]]
            )
        found = float(loss(truth, logits))
        np.testing.assert_allclose(found, np.mean(entropies), rtol=1e-5)
    unions = matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
    assert unions[3] == 0
    expected = (np.diag(matrix)[:3] / unions[:3]).mean()
    np.testing.assert_allclose(float(metric.result()), expected, rtol=1e-6)


@pytest.mark.one_backend
def test_it_learns_what_shapes_are(tmp_path):
    """First with a linear decoder; then another one on the same encoder."""
    processor = ImageProcessor((24, 24))
    keras.utils.set_random_seed(0)
    linear = ViTSegmenter.from_preset(
        "vit_tiny",
        num_classes=4,
        decoder="linear",
        image_shape=(24, 24, 3),
        num_layers=2,
        hidden_dim=32,
        intermediate_dim=64,
        image_processor=processor,
    )
    images, masks = synthetic.shapes(1500, seed=0, size=24)
    unseen, truth = synthetic.shapes(200, seed=1, size=24)
    # Who tells shapes from the background, and no shape from another.
    matrix = np.zeros((4, 4))
    np.add.at(matrix, (truth, np.int64(truth > 0)), 1)
    right = np.diag(matrix)
    blind = (right / (matrix.sum(0) + matrix.sum(1) - right)).mean()
    assert blind < 0.4

    def learned(model, learning_rate, epochs):
        optimizer = keras.optimizers.Adam(learning_rate)
        model.compile(optimizer, **objective(4), jit_compile=False)
        pixels = model.image_processor(images)
        model.fit(pixels, masks, batch_size=25, epochs=epochs, verbose=0)
        pixels = model.image_processor(unseen)
        scores = model.evaluate(pixels, truth, return_dict=True, verbose=0)
        return scores["iou"]

    assert learned(linear, 6e-3, 6) > blind + 0.15
    model = ViTSegmenter(linear.encoder, 4, num_decoder_layers=1)
    model.freeze()
    assert learned(model, 5e-3, 3) > blind + 0.1
    model.save_to_preset(tmp_path)
    again = ViTSegmenter.from_preset(tmp_path)
    for a, b in zip(*(x.segment(unseen) for x in (model, again)), strict=True):
        np.testing.assert_array_equal(a, b)
