"""A batched beam search in plain torch, which the peers share."""

import torch


@torch.no_grad()
def beam_search(step, state, max_length, start, end, num_beams):
    """The best sentence by the mean log probability of its words.

    Args:
        step: From ids `(B x K,)` and a list of states `(B x K, .)` to logits
            `(B x K, V)` and states.
        state: The first states, of all hypotheses.
        max_length: How many words there may be.
        start: The id that is read first.
        end: The id that ends a sentence.
        num_beams: K.
    """
    device, batch = state[0].device, len(state[0]) // num_beams
    first_row = torch.arange(batch, device=device)[:, None] * num_beams
    ids = torch.full((batch * num_beams,), start, device=device)
    written = ids.new_zeros(batch * num_beams, 0)
    totals = state[0].new_full((batch, num_beams), -torch.inf)
    totals[:, 0] = 0.0
    best = state[0].new_full((batch,), -torch.inf)
    result = ids.new_zeros(batch, max_length)
    for t in range(max_length):
        logits, state = step(ids, state)
        gains = torch.log_softmax(logits, -1).view(batch, num_beams, -1)
        vocabulary_size = gains.shape[-1]
        totals, places = (
            (totals[..., None] + gains).flatten(1).topk(2 * num_beams)
        )
        rows = first_row + places // vocabulary_size
        ids = places % vocabulary_size
        # Hypotheses that end, or all of them at the last word.
        may_end = (ids == end) | (t + 1 == max_length)
        scores = torch.where(may_end, totals / (t + 1), -torch.inf)
        score, i = scores[:, :num_beams].max(1, keepdim=True)
        ended = torch.cat(
            [written[rows.gather(1, i)[:, 0]], ids.gather(1, i)], 1
        )
        better = score[:, 0] > best
        best = torch.where(better, score[:, 0], best)
        result[:, : t + 1] = torch.where(
            better[:, None], ended, result[:, : t + 1]
        )
        totals, i = totals.masked_fill(ids == end, -torch.inf).topk(num_beams)
        rows, ids = rows.gather(1, i).flatten(), ids.gather(1, i).flatten()
        state = [x[rows] for x in state]
        written = torch.cat([written[rows], ids[:, None]], 1)
    return result
