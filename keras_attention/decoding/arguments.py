"""Checks of arguments that the searches share."""

import numbers
from collections.abc import Sequence

from keras_attention.ops.checks import positive_int


def check_tokens(
    start_token: int, end_token: int, banned_tokens: Sequence[int]
) -> dict[str, int]:
    """Returns `{argument name: token}` for all tokens, or raises.

    Whether they are in the vocabulary is known once `step` has run.
    """
    tokens = {"start_token": start_token, "end_token": end_token}
    if end_token in banned_tokens:
        raise ValueError(
            "`end_token` must not be among `banned_tokens`, or no sentence "
            f"ends. Received: end_token={end_token}, "
            f"banned_tokens={tuple(banned_tokens)}. Ban the others only."
        )
    for i, token in enumerate(banned_tokens):
        tokens[f"banned_tokens[{i}]"] = token
    for name, token in tokens.items():
        if not isinstance(token, numbers.Integral) or token < 0:
            raise ValueError(
                f"`{name}` must be an integer of the vocabulary, 0 or more. "
                f"Received: {name}={token!r}. Look it up in the tokenizer."
            )
    return tokens


def check_beams(num_beams: int, num_results: int) -> None:
    """Raises unless a beam search can have these sizes."""
    positive_int(num_beams, "num_beams")
    positive_int(num_results, "num_results")
    if num_results > num_beams:
        raise ValueError(
            "`num_results` must be at most `num_beams`. Received: "
            f"num_results={num_results}, num_beams={num_beams}. Search with "
            "more beams to get more results."
        )
