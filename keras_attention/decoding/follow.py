from keras import ops, tree

from keras_attention.decoding import loop as loops
from keras_attention.decoding.arguments import (
    check_max_length,
    check_max_lengths,
    check_tokens,
)
from keras_attention.decoding.decoded import Decoded


def follow(
    step,
    memory,
    state,
    start_token,
    end_token,
    max_length,
    num_hypotheses,
    choose,
    pad_token=0,
    banned_tokens=(),
    return_extras=(),
    max_lengths=None,
):
    """Extends hypotheses by one token after another, each on its own.

    The loop of `greedy` and `sample`, which say how a token is chosen.

    Args:
        step: As in `greedy`.
        memory: As in `greedy`.
        state: As in `greedy`; expanded to `(B * K, ...)`.
        start_token: As in `greedy`.
        end_token: As in `greedy`.
        max_length: T.
        num_hypotheses: K, per source.
        choose: `choose(logits, position)` of `(B, K, V)`, -inf where a token
            is banned, returns tokens `(B, K)` and their logits.
        pad_token: As in `greedy`.
        banned_tokens: As in `greedy`.
        return_extras: As in `greedy`.
        max_lengths: As in `greedy`.

    Returns:
        A `Decoded` with an axis of K hypotheses after B.
    """
    max_length = check_max_length(max_length)
    tokens = check_tokens(start_token, end_token, banned_tokens, pad_token)
    needed = dict.fromkeys(return_extras, "`return_extras`")
    state = tree.map_structure(ops.convert_to_tensor, state)
    checked = loops.checked_step(step, memory, state, tokens, needed)
    batch = loops.batch_size(memory, state)
    limits = check_max_lengths(max_lengths, max_length, batch)
    places = (batch, num_hypotheses)

    def body(position, token_ids, leaves, lengths, total, chosen, seen):
        logits, leaves, extras = checked(token_ids, leaves)
        token_ids, best = choose(loops.ban(logits, banned_tokens), position)
        token_ids = ops.cast(token_ids, "int32")  # (B, K)
        gain = best - loops.log_normalizer(logits)[..., 0]
        ended = lengths <= position  # (B, K)
        ends = ops.logical_and(token_ids == end_token, ~ended)
        return (
            position + 1,
            token_ids,
            leaves,
            ops.where(ends, position + 1, lengths),
            total + ops.where(ended, 0.0, gain),
            loops.write(chosen, position, token_ids),
            loops.record(seen, position, extras, max_length),
        )

    def unfinished(position, token_ids, leaves, lengths, *_):
        return ops.logical_and(
            position < max_length, ops.any(lengths > position)
        )

    start = ops.full(places, start_token, dtype="int32")
    leaves = tuple(tree.flatten(state))
    if num_hypotheses > 1:
        rows = loops.flat_rows(ops.zeros(places, "int32"), 1)
        leaves = loops.reorder(leaves, rows, loops.shared_leaves(state))
    zeros = loops.extras_like(checked, start, leaves, batch) if needed else {}
    variables = (
        0,
        start,
        leaves,
        ops.repeat(limits[:, None], num_hypotheses, axis=1),
        ops.zeros(places, dtype="float32"),
        ops.zeros((max_length, *places), dtype="int32"),
        {n: loops.over_time(x, max_length) for n, x in zeros.items()},
    )
    variables = loops.loop(unfinished, body, variables, max_length)
    *_, lengths, total, chosen, seen = variables

    token_ids = ops.transpose(chosen, (1, 2, 0))  # (B, K, T)
    extras = {
        name: loops.zero_behind(ops.moveaxis(value, 0, 2), lengths)
        for name, value in seen.items()
    }
    token_ids = ops.where(
        loops.within(lengths, max_length), token_ids, pad_token
    )
    return Decoded(token_ids, lengths, total, total, extras)
