"""Layers that compute again for the gradient instead of keeping results."""

import keras


def recomputed(layer, function, *inputs):
    """`function(*inputs)`, whose inner results are not kept for the gradient.

    Chen et al., 2016, section 3. What keras.RematScope does, for what it
    leaves wrong: the weights and the states of random numbers go in as
    tensors, so that the second run draws what the first one drew, and no more
    than the inputs is traced.

    Args:
        layer: Whose weights `function` reads, and whose dropouts draw in it.
        function: Takes tensors and returns one.
        *inputs: The tensors, all that have a gradient.
    """
    number = len(inputs)
    states = [x for x in layer.variables if x.name == "seed_generator_state"]
    weights = [x for x in layer.variables if x.name != "seed_generator_state"]

    def pure(*inputs_and_values):
        inputs = inputs_and_values[:number]
        values = inputs_and_values[number:]
        mapping = list(zip([*weights, *states], values, strict=True))
        scope = keras.StatelessScope(mapping, collect_losses=True)
        with scope:
            y = function(*inputs)
        updates = [scope.get_current_value(state) for state in states]
        return y, *updates, *scope.losses

    # Copied, since torch assigns in place.
    values = [keras.ops.copy(variable.value) for variable in states]
    values = [*(variable.value for variable in weights), *values]
    y, *rest = keras.remat(pure)(*inputs, *values)
    for state, update in zip(states, rest, strict=False):
        state.assign(update)
    for loss in rest[len(states) :]:
        layer.add_loss(loss)
    return y
