import keras
from keras import ops

from keras_attention.ops.cells import steps_of
from keras_attention.ops.loops import scan_with_kernels


@keras.saving.register_keras_serializable(package="keras_attention")
class BidirectionalGRU(keras.layers.Bidirectional):
    """`Bidirectional(GRU(...))`, both directions in one loop.

    The annotations of an encoder (Bahdanau et al., 2015, appendix A.2.1).
    Weights and results are Keras's. It is faster: inputs are projected before
    the loop, and the kernels get their gradients after it.

    Args:
        units: Size of the state of each direction.
        reset_after: As of `keras.layers.GRU`; False is the paper's.
        dtype: Policy of the layer.
        **kwargs: `name` and `trainable` of `keras.layers.Layer`.

    Call arguments:
        sequences: `(B, S, D)`.
        mask: Booleans `(B, S)`; a step at False keeps the state and gives
            zeros.

    Returns:
        Both directions' states `(B, S, 2 * units)`, the last state of the
        forward GRU and that of the backward GRU (which has read the whole
        sequence when it is at the first position), `(B, units)` each.
    """

    def __init__(
        self, units: int, reset_after: bool = False, dtype=None, **kwargs
    ):
        gru = keras.layers.GRU(
            units,
            reset_after=reset_after,
            return_sequences=True,
            return_state=True,
            dtype=dtype,
        )
        super().__init__(gru, dtype=dtype, **kwargs)
        self.units = units
        self.reset_after = reset_after

    def call(self, sequences, initial_state=None, mask=None, training=None):
        if initial_state is not None:
            return super().call(sequences, initial_state, mask, training)
        sides = {"forward": self.forward_layer, "backward": self.backward_layer}
        x = ops.transpose(sequences, (1, 0, 2))  # (S, B, D)
        inputs, kernels, added = {}, {}, {}
        steps = {}
        for side, layer in sides.items():
            steps[side] = steps_of(layer.cell, features=x.shape[-1])
            for name, rows in steps[side].added(x).items():
                added[f"{side} {name}"] = in_order(rows, side)
            for name, kernel in steps[side].kernels.items():
                kernels[f"{side} {name}"] = kernel
            if mask is not None:
                keep = ops.expand_dims(ops.transpose(mask), -1)  # (S, B, 1)
                inputs[side] = in_order(keep, side)

        def step(affine, states, keep, constants):
            new_states, outputs = {}, {}
            for side, old in states.items():
                state, _ = steps[side](
                    lambda name, x, side=side: affine(f"{side} {name}", x),
                    [],
                    [old],
                )
                new_states[side] = outputs[side] = state
                if mask is not None:
                    new_states[side] = ops.where(keep[side], state, old)
                    outputs[side] = ops.where(keep[side], state, 0)
            return new_states, outputs

        zeros = ops.zeros((ops.shape(x)[1], self.units), self.compute_dtype)
        last, states = scan_with_kernels(
            step,
            dict.fromkeys(sides, zeros),
            inputs,
            {},
            kernels,
            added,
            bool(training),
        )
        annotations = ops.concatenate(
            [in_order(states[side], side) for side in sides], -1
        )
        annotations = ops.transpose(annotations, (1, 0, 2))  # (B, S, 2n)
        return annotations, last["forward"], last["backward"]

    def get_config(self):
        return {
            **keras.layers.Layer.get_config(self),
            "units": self.units,
            "reset_after": self.reset_after,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


def in_order(x, side):
    """`(S, ...)` in the order in which a side reads, or back."""
    return x if side == "forward" else ops.flip(x, axis=0)
