"""Layers that compute again for the gradient instead of keeping results."""

import keras


def recomputed(layer, function, x):
    """`function(x)`, whose inner results are not kept for the gradient.

    Chen et al., 2016, section 3. What keras.RematScope does, for what it
    leaves wrong: the weights and the states of random numbers go in as
    tensors, so that the second run draws what the first one drew, and `x` is
    all that JAX traces.

    Args:
        layer: Whose weights `function` reads, and whose dropouts draw in it.
        function: Takes one tensor and returns one.
        x: The tensor.
    """
    states = [x for x in layer.variables if x.name == "seed_generator_state"]
    weights = [x for x in layer.variables if x.name != "seed_generator_state"]

    def pure(x, *values):
        mapping = list(zip([*weights, *states], values, strict=True))
        with keras.StatelessScope(state_mapping=mapping) as scope:
            y = function(x)
        return y, *(scope.get_current_value(state) for state in states)

    # Copied, since torch assigns in place.
    values = [keras.ops.copy(variable.value) for variable in states]
    values = [*(variable.value for variable in weights), *values]
    y, *updates = keras.remat(pure)(x, *values)
    for state, update in zip(states, updates, strict=True):
        state.assign(update)
    return y
