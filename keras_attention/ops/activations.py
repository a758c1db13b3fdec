"""Activations that Keras has no name for."""

import keras


@keras.saving.register_keras_serializable(package="keras_attention")
def gelu_tanh(x):
    """GELU by its approximation with tanh.

        0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))

    Hendrycks and Gimpel, 2016, section 2. Google's ViT and ViViT were trained
    with it, while "gelu" is the exact one.
    """
    return keras.activations.gelu(x, approximate=True)


def get(identifier):
    """An activation by Keras's name, `"gelu_tanh"`, or itself."""
    if identifier == "gelu_tanh":
        return gelu_tanh
    return keras.activations.get(identifier)
