"""Checks of arguments that the searches share."""

import numbers
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_attention.ops.checks import known, positive_int
from keras_attention.ops.masks import concrete_value, is_traced


def check_tokens(
    start_token: int,
    end_token: int,
    banned_tokens: Sequence[int],
    pad_token: int,
) -> dict[str, int]:
    """Returns `{argument name: token}` for what `step` sees, or raises.

    Whether they are in the vocabulary is known once `step` has run.
    """
    if not isinstance(pad_token, numbers.Integral):
        raise ValueError(
            "`pad_token` must be an integer, as token ids are. Received: "
            f"pad_token={pad_token!r}."
        )
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


def check_max_length(max_length: Any) -> Any:
    """Returns T as an int, or the int32 scalar of a TensorFlow graph.

    Such a graph serves sources of any length, as one that is exported does;
    other backends must know T.
    """
    if keras.backend.backend() == "tensorflow" and is_traced(max_length):
        return ops.cast(max_length, "int32")
    return positive_int(max_length, "max_length")


def check_max_lengths(max_lengths: Any, max_length: int, batch: Any) -> Any:
    """Returns the limit of each sentence, `(B,)` int32, or raises.

    Args:
        max_lengths: `(B,)` ints, or None for `max_length`.
        max_length: The highest limit, or a tensor.
        batch: B, an int or a scalar tensor.
    """
    if max_lengths is None:
        return ops.full((batch,), max_length, dtype="int32")
    values = concrete_value(max_lengths)
    limits = ops.convert_to_tensor(max_lengths)
    shape = tuple(limits.shape)
    fits = len(shape) == 1 and (
        None in shape or not isinstance(batch, int) or shape[0] == batch
    )
    whole = "int" in keras.backend.standardize_dtype(limits.dtype)
    inside = values is None or (
        (values > 0).all()
        and not (known(max_length) and (values > max_length).any())
    )
    if not (fits and whole and inside):
        raise ValueError(
            "`max_lengths` must be one integer per sentence, each from 1 to "
            f"`max_length`. Received: shape {shape}, dtype {limits.dtype}, "
            f"max_lengths={values}, max_length={max_length}."
        )
    return ops.cast(limits, "int32")


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
