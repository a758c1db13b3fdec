import numpy as np
import pytest
from keras import ops

from keras_attention.models import ConvEncoder
from keras_attention.models.coordinates import Coordinates


def features(encoder, images):
    return ops.convert_to_numpy(encoder(images))


def test_each_layer_halves_the_image():
    encoder = ConvEncoder((24, 16, 3), (4, 5, 7))
    assert features(encoder, np.ones((2, 24, 16, 3))).shape == (2, 3, 2, 7)


def test_row_and_column_are_told_from_minus_one_to_one():
    grid = np.full((2, 3, 2, 1), 7.0, "float32")
    told = ops.convert_to_numpy(Coordinates()(grid))
    assert told.shape == (2, 3, 2, 3)
    np.testing.assert_array_equal(told[..., 0], 7)
    for example in told:
        np.testing.assert_array_equal(
            example[..., 1], [[-1] * 2, [0] * 2, [1] * 2]
        )
        np.testing.assert_array_equal(example[..., 2], [[-1, 1]] * 3)
    told = ops.convert_to_numpy(Coordinates()(grid[:, :, 0]))
    np.testing.assert_array_equal(told[0], [[7, -1], [7, 0], [7, 1]])


def test_only_with_coordinates_are_the_cells_of_a_plain_image_told_apart():
    # Far from the border, all that there is to see is the same.
    images, inner = np.ones((1, 64, 64, 3)), (0, slice(2, -2), slice(2, -2))
    plain, told = (
        features(ConvEncoder((64, 64, 3), (8, 8), coordinates=x), images)[inner]
        for x in (False, True)
    )
    assert np.ptp(plain, axis=(0, 1)).max() < 1e-5
    assert np.ptp(told, axis=(0, 1)).max() > 1e-2


def test_an_encoder_is_made_again_from_its_config():
    encoder = ConvEncoder((16, 8, 1), (4, 5), 5, coordinates=True)
    again = ConvEncoder.from_config(encoder.get_config())
    again.set_weights(encoder.get_weights())
    images = np.random.default_rng(0).normal(size=(2, 16, 8, 1))
    np.testing.assert_array_equal(
        features(again, images), features(encoder, images)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(image_shape=(20, 16, 3), filters=(4,) * 3), "multiples of 8"),
        (dict(filters=(4, 0)), "`filters` must be"),
        (dict(kernel_size=0), "`kernel_size` must be"),
    ],
)
def test_bad_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConvEncoder(**arguments)
