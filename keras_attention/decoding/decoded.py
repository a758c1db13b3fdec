from typing import Any, NamedTuple


class Decoded(NamedTuple):
    """What a search found.

    B is the batch, T is `max_length`. `beam_search` puts an axis of
    `num_results`, best first, after B; `greedy` has no such axis.

    Attributes:
        token_ids: `(B, num_results, T)` int32. Without the start token, with
            the end token, then `pad_token`.
        lengths: `(B, num_results)` int32. Tokens before the padding, the end
            token counted. A hypothesis that never ended has T.
        log_probabilities: `(B, num_results)` float32. Sum over the tokens of
            their log probability.
        hypothesis_scores: `(B, num_results)` float32. The same after the
            penalties: what the results are sorted by.
        extras: A dict of `(B, num_results, T, ...)`: what `step` reported as
            each token of the hypothesis was chosen, zero behind its end.
            `extras["scores"][b, n, t]` is what token t of result n read.
    """

    token_ids: Any
    lengths: Any
    log_probabilities: Any
    hypothesis_scores: Any
    extras: dict[str, Any]
