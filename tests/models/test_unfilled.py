import threading

import keras
import numpy as np

from keras_attention.models.unfilled import unfilled_weights


def kernel():
    layer = keras.layers.Dense(3)
    layer.build((None, 5))
    return keras.ops.convert_to_numpy(layer.kernel)


def test_weights_are_zeros_in_here_alone():
    with unfilled_weights():
        assert not kernel().any()
    assert kernel().any()


def test_another_thread_draws_its_weights():
    found = []
    with unfilled_weights():
        thread = threading.Thread(target=lambda: found.append(kernel()))
        thread.start()
        thread.join()
    assert np.all(found[0] != 0)


def test_after_an_error_weights_are_drawn_again():
    try:
        with unfilled_weights():
            raise KeyError
    except KeyError:
        assert kernel().any()
