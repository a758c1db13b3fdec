from collections.abc import Callable, Sequence
from typing import Any

from keras import ops, tree

from keras_attention.decoding import loop as loops
from keras_attention.decoding.arguments import (
    check_max_lengths,
    check_tokens,
)
from keras_attention.decoding.decoded import Decoded
from keras_attention.ops.checks import positive_int


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
        max_length: Tokens at most, the end token counted.
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
    max_length = positive_int(max_length, "max_length")
    tokens = check_tokens(start_token, end_token, banned_tokens, pad_token)
    needed = dict.fromkeys(return_extras, "`return_extras`")
    state = tree.map_structure(ops.convert_to_tensor, state)
    checked = loops.checked_step(step, memory, state, tokens, needed)
    batch = loops.batch_size(memory, state)
    limits = check_max_lengths(max_lengths, max_length, batch)

    def body(position, token_ids, leaves, lengths, total, chosen, seen):
        logits, leaves, extras = checked(token_ids, leaves)
        allowed = loops.ban(logits, banned_tokens)
        token_ids = ops.cast(ops.argmax(allowed, axis=-1), "int32")  # (B, 1)
        gain = ops.max(allowed, -1) - loops.log_normalizer(logits)[..., 0]
        ended = lengths <= position  # (B,)
        ends = ops.logical_and(token_ids[:, 0] == end_token, ~ended)
        seen_now = {name: value[:, 0] for name, value in extras.items()}
        return (
            position + 1,
            token_ids,
            leaves,
            ops.where(ends, position + 1, lengths),
            total + ops.where(ended, 0.0, gain[:, 0]),
            loops.write(chosen, position, token_ids[:, 0]),
            loops.record(seen, position, seen_now, max_length),
        )

    def unfinished(position, token_ids, leaves, lengths, *_):
        return ops.logical_and(
            position < max_length, ops.any(lengths > position)
        )

    start = ops.full((batch, 1), start_token, dtype="int32")
    leaves = tuple(tree.flatten(state))
    zeros = loops.extras_like(checked, start, leaves, batch) if needed else {}
    variables = (
        0,
        start,
        leaves,
        limits,
        ops.zeros((batch,), dtype="float32"),
        ops.zeros((max_length, batch), dtype="int32"),
        {n: loops.over_time(x[:, 0], max_length) for n, x in zeros.items()},
    )
    variables = loops.loop(unfinished, body, variables, max_length)
    *_, lengths, total, chosen, seen = variables

    token_ids = ops.transpose(chosen)  # (B, T)
    extras = {
        name: loops.zero_behind(ops.swapaxes(value, 0, 1), lengths)
        for name, value in seen.items()
    }
    token_ids = ops.where(
        loops.within(lengths, max_length), token_ids, pad_token
    )
    return Decoded(token_ids, lengths, total, total, extras)
