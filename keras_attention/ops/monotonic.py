"""Monotonic alignments: Raffel et al., 2017, section 2.

Written for the last axis, the S positions of a memory; axes before it are
carried along.
"""

from keras import ops

from keras_attention.ops import checks
from keras_attention.ops.blocks import with_gradient
from keras_attention.ops.checks import known
from keras_attention.ops.loops import scan

MODES = ("parallel", "recursive", "hard")


def monotonic_scores(choose, previous, mode="parallel"):
    """How likely each position is attended, given the same a step before.

    A reader goes on from the position it attended last, and at position s
    stops with probability `choose[s]` or moves on to the next:

        arrive[s] = (1 - choose[s - 1]) arrive[s - 1] + previous[s]
        scores[s] = choose[s] * arrive[s]

    Raffel et al., 2017, equations 13 and 14. The scores sum to less than 1 by
    the probability that the reader passes the end, or passed it before.

    Args:
        choose: `(..., S)` floats in [0, 1]; only 0 and 1 for "hard".
        previous: `(..., S)`, the scores of the step before. Before the first
            step they are 1 where reading begins and 0 elsewhere.
        mode: "recursive" goes from position to position, "parallel" takes
            about `log2(S)` steps over all positions; both are exact. "hard"
            takes the first position at or after the previous one that
            chooses, and has no gradient.

    Returns:
        `(..., S)`, the scores.

    Raises:
        ValueError: The mode is none of these, or the two are not of the same
            number of positions.

    Examples:
        >>> from keras import ops
        >>> from keras_attention.ops import monotonic_scores
        >>> choose = ops.convert_to_tensor([[0.5, 0.5, 0.5, 0.5]])
        >>> first = ops.convert_to_tensor([[1.0, 0.0, 0.0, 0.0]])
        >>> ops.convert_to_numpy(monotonic_scores(choose, first)).tolist()
        [[0.5, 0.25, 0.125, 0.0625]]
    """
    checks.one_of(mode, "mode", ("parallel", "recursive", "hard"))
    sizes = choose.shape[-1], previous.shape[-1]
    if checks.known(*sizes) and sizes[0] != sizes[1]:
        raise ValueError(
            "`choose` and `previous` must be of the same positions. Received: "
            f"last axes of {sizes[0]} and {sizes[1]}."
        )
    if mode == "hard":
        reached = ops.cumsum(previous, axis=-1) > 0
        chosen = ops.where(reached, choose, 0.0)
        return ops.where(ops.cumsum(chosen, axis=-1) <= 1, chosen, 0.0)
    decay = shifted(1 - choose, 1)
    return choose * linear_recurrence(decay, previous, mode == "parallel")


def linear_recurrence(decay, added, parallel=True):
    """`x[s] = decay[s] * x[s - 1] + added[s]`, from `x[-1] = 0`.

    The closed form in Raffel et al., 2017, appendix C.1, divides by the
    product of all decays so far. However it is clipped, what is added behind
    a long way of small decays, or behind a single 0, is lost. Neither way
    here divides.

    Args:
        decay: `(..., S)`.
        added: `(..., S)`.
        parallel: Whether to join neighbours into pairs, pairs into fours and
            so on, instead of one position after the other.

    Returns:
        `(..., S)`. Only this is kept for the gradient.
    """
    solve = _by_doubling if parallel else _one_by_one

    def forward(decay, added):
        x = solve(decay, added)
        return x, (x,)

    def backward(inputs, saved, upstream):
        # The same recurrence from the other end.
        decay = shifted(ops.flip(inputs[0], axis=-1), 1)
        by_added = ops.flip(solve(decay, ops.flip(upstream, axis=-1)), axis=-1)
        return by_added * shifted(saved[0], 1), by_added

    return with_gradient(forward, backward)(decay, added)


def _by_doubling(decay, added):
    """Hillis and Steele's scan: each round reaches twice as far back."""

    def join(distance, decay, added):
        return (
            2 * distance,
            decay * shifted(decay, distance),
            added + decay * shifted(added, distance),
        )

    length = ops.shape(added)[-1]
    state = (1, decay, added)
    if known(length):
        while state[0] < length:
            state = join(*state)
    else:
        state = ops.while_loop(
            lambda distance, *_: distance < length, join, state
        )
    return state[-1]


def _one_by_one(decay, added):
    def step(x, inputs):
        x = inputs["decay"] * x + inputs["added"]
        return x, x

    inputs = {
        "decay": ops.moveaxis(decay, -1, 0),
        "added": ops.moveaxis(added, -1, 0),
    }
    _, x = scan(step, ops.zeros_like(added[..., 0]), inputs)
    return ops.moveaxis(x, 0, -1)


def shifted(x, distance):
    """`x` moved to later positions, zeros in front: `(..., S)`."""
    if known(distance):
        length = x.shape[-1]
        if known(length) and distance >= length:
            return ops.zeros_like(x)
        padding = [(0, 0)] * (len(x.shape) - 1) + [(distance, 0)]
        return ops.pad(x[..., :-distance], padding)
    source = ops.arange(0, ops.shape(x)[-1], dtype="int32") - distance
    moved = ops.take(x, ops.maximum(source, 0), axis=-1)
    return ops.where(source >= 0, moved, 0.0)
