import keras
from keras import ops

from keras_attention.ops.layer_norm import layer_norm


@keras.saving.register_keras_serializable(package="keras_attention")
class LayerNormalization(keras.layers.LayerNormalization):
    """Keras's, of the last axis, with the gradient of `ops.layer_norm`.

    For use inside of our layers and models.
    """

    def call(self, inputs):
        if isinstance(inputs, keras.KerasTensor):
            return super().call(inputs)
        output = layer_norm(inputs, self.gamma, self.beta, self.epsilon)
        return ops.cast(output, self.compute_dtype)
