from collections.abc import Callable, Sequence
from typing import Any

from keras import ops, tree

from keras_attention.decoding.decoded import Decoded
from keras_attention.decoding.follow import follow


def greedy(
    step: Callable,
    memory: Any,
    state: Any,
    start_token: int,
    end_token: int,
    max_length: int,
    pad_token: int = 0,
    banned_tokens: Sequence[int] = (),
    return_extras: Sequence[str] = (),
    max_lengths: Any = None,
) -> Decoded:
    """Takes the likeliest token at every position, for a batch of sources.

    The fastest search and the one to look at first; `beam_search` finds
    likelier sequences. It is one loop over positions, which stops once every
    sentence has ended. Call it inside `tf.function` or `jax.jit`, which
    compile it once per shape. On torch it runs eagerly, without gradients.

    Args:
        step: `step(token_ids, memory, state) -> logits, state, extras`; see
            `keras_attention.decoding`. Here K = 1: `token_ids` are `(B, 1)`,
            the logits `(B, 1, V)`.
        memory: Any nest of tensors `(B, ...)`, passed on as it is.
        state: Any nest of tensors `(B, ...)`, or `{}`. `step` returns it with
            the same structure, shapes and dtypes. A scalar concerns all rows.
        start_token: What the first step reads.
        end_token: Ends a sentence.
        max_length: Tokens at most, the end token counted. In a graph of
            TensorFlow also a scalar tensor.
        pad_token: Fills `token_ids` behind the end; `step` never sees it.
        banned_tokens: Tokens never to produce. The probabilities of the
            others stay what they were.
        return_extras: Names of extras to return, for example `("scores",)`.
        max_lengths: `(B,)` ints, the limit of each sentence, none of them
            above `max_length`; None if it is that for all. With limits of
            their own, sentences are decoded alike in any batch.

    Returns:
        A `Decoded`: `token_ids` `(B, T)`; `lengths`, `log_probabilities` and
        `hypothesis_scores` (the same here) `(B,)`; extras `(B, T, ...)`. A
        sentence that reaches its limit without an end is returned as it is.

    Raises:
        ValueError: If a limit is below 1 or above `max_length`, a token lies
            outside the vocabulary, or `step` breaks its contract.

    Examples:
        A model that counts down from a number, to the end token 0:

        >>> import numpy as np
        >>> from keras import ops
        >>> def step(token_ids, memory, state):
        ...     logits = 9.0 * ops.one_hot(state["next"], 5)  # (B, V)
        ...     state = {"next": ops.maximum(state["next"] - 1, 0)}
        ...     return logits[:, None, :], state, {}
        >>> numbers = {"next": np.array([2, 1], "int32")}
        >>> decoded = greedy(step, {}, numbers, 4, 0, max_length=5)
        >>> ops.convert_to_numpy(decoded.token_ids).tolist()
        [[2, 1, 0, 0, 0], [1, 0, 0, 0, 0]]
        >>> ops.convert_to_numpy(decoded.lengths).tolist()
        [3, 2]
    """
    decoded = follow(
        step,
        memory,
        state,
        start_token,
        end_token,
        max_length,
        1,
        likeliest,
        pad_token,
        banned_tokens,
        return_extras,
        max_lengths,
    )
    return tree.map_structure(lambda x: x[:, 0], decoded)


def likeliest(logits, position):
    """The tokens of the largest logits, and those logits."""
    return ops.argmax(logits, axis=-1), ops.max(logits, axis=-1)
