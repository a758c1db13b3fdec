from collections.abc import Callable, Sequence
from typing import Any

from keras import ops, tree

from keras_attention.decoding import loop as loops
from keras_attention.decoding.arguments import (
    check_beams,
    check_max_length,
    check_max_lengths,
    check_tokens,
)
from keras_attention.decoding.beams import Search
from keras_attention.decoding.decoded import Decoded
from keras_attention.decoding.penalties import make_ranking


def beam_search(
    step: Callable,
    memory: Any,
    state: Any,
    start_token: int,
    end_token: int,
    max_length: int,
    num_beams: int = 4,
    num_results: int = 1,
    length_penalty: str | None = "gnmt",
    length_alpha: float = 0.6,
    word_penalty: float = 0.0,
    coverage_beta: float = 0.0,
    coverage_mask: Any = None,
    early_stopping: bool = False,
    pad_token: int = 0,
    banned_tokens: Sequence[int] = (),
    return_extras: Sequence[str] = (),
    max_lengths: Any = None,
) -> Decoded:
    """Finds likely sequences, a few hypotheses at a time, for a batch.

    Each step extends K alive hypotheses by every token and looks at the 2 K
    likeliest results, so that there are always K without an end token. An end
    token among the first K moves its hypothesis, with its score, to a pool of
    finished ones, where nothing changes any more. With L tokens, end token
    included, a hypothesis scores

        log_probability / length(L) - word_penalty * L + coverage

        length(L) = ((5 + L) / 6) ** length_alpha    "gnmt"
        length(L) = L ** length_alpha                "average"
        length(L) = 1                                None
        coverage  = coverage_beta * sum_s log min(sum_t scores[t, s], 1)

    A sentence is done when no alive hypothesis can reach the worst result
    any more, whatever its length, and the loop stops when all are. A
    hypothesis without an end at its limit is cut there and ranked among
    the finished ones by its score for that length. The penalties rank
    finished hypotheses; alive ones are kept by their log probability. Among
    equals the order is that of tokens, on torch any.

    Call it inside `tf.function` or `jax.jit`, which compile it once per shape.
    On torch it runs eagerly, without gradients. With `num_beams=1` and no
    penalties it finds what `greedy` does.

    Args:
        step: `step(token_ids, memory, state) -> logits, state, extras`; see
            `keras_attention.decoding`. K is `num_beams`.
        memory: Any nest of tensors `(B, ...)`, passed on as it is.
        state: Any nest of tensors `(B, ...)`, or `{}`. It is expanded to
            `(B * K, ...)` once, source by source, and its rows reordered with
            the hypotheses. `step` returns it with the same structure, shapes
            and dtypes. A scalar concerns all rows, and what a dict holds
            under `"shared"` all hypotheses of a source: it stays as it is.
        start_token: What the first step reads.
        end_token: Ends a hypothesis.
        max_length: Tokens at most, the end token counted. In a graph of
            TensorFlow also a scalar tensor.
        num_beams: Alive hypotheses per source, K. May exceed the vocabulary.
        num_results: Hypotheses to return per source, at most `num_beams`.
        length_penalty: `"gnmt"`, `"average"` or None.
        length_alpha: Its exponent: 0 for none, above 0 for longer results.
        word_penalty: Taken off the score for each token.
        coverage_beta: Weight of the coverage penalty, 0 or more. It reads
            `extras["scores"]` `(B, K, S)`.
        coverage_mask: `(B, S)`, True for the source positions to cover; None
            for all.
        early_stopping: Whether a sentence is also done once `num_beams`
            hypotheses have finished. A length penalty lets a hypothesis
            still win much later, so that a large `max_length` costs steps:
            this saves them, and may miss the best result.
        pad_token: Fills `token_ids` behind the end; `step` never sees it.
        banned_tokens: Tokens never to produce. The probabilities of the
            others stay what they were.
        return_extras: Names of extras to return, for example `("scores",)`.
        max_lengths: `(B,)` ints, the limit of each sentence, none of them
            above `max_length`; None if it is that for all.

    Returns:
        A `Decoded`, best result first: `token_ids` `(B, num_results, T)`;
        `lengths`, `log_probabilities` and `hypothesis_scores`
        `(B, num_results)`; extras `(B, num_results, T, ...)`. Where fewer
        hypotheses exist than were asked for, the length is 0 and the score
        -inf.

    Raises:
        ValueError: If a number is out of range, a penalty unknown, a token
            outside the vocabulary, `scores` missing for coverage, or `step`
            breaks its contract.

    Examples:
        After the start (3) come 1 (probability 0.6) and 2 (0.4). What 1 leads
        to is uncertain, but 2 is followed by the end (0), so that it wins:

        >>> import numpy as np
        >>> from keras import ops
        >>> table = np.log([
        ...     [0.25, 0.25, 0.25, 0.25], [0.4, 0.3, 0.2, 0.1],
        ...     [0.97, 0.01, 0.01, 0.01], [1e-9, 0.6, 0.4, 1e-9],
        ... ]).astype("float32")
        >>> def step(token_ids, memory, state):
        ...     return ops.take(memory[0], token_ids, axis=0), state, {}
        >>> decoded = beam_search(
        ...     step, table[None], {}, 3, 0, max_length=3, num_results=2,
        ...     length_penalty=None)
        >>> ops.convert_to_numpy(decoded.token_ids).tolist()
        [[[2, 0, 0], [1, 0, 0]]]
        >>> ops.convert_to_numpy(ops.exp(decoded.hypothesis_scores)).round(3)
        array([[0.388, 0.24 ]], dtype=float32)

    Reference:
        [Wu et al., 2016](https://arxiv.org/abs/1609.08144), section 7.
    """
    max_length = check_max_length(max_length)
    check_beams(num_beams, num_results)
    ranking = make_ranking(
        max_length,
        length_penalty,
        length_alpha,
        word_penalty,
        coverage_beta,
        coverage_mask,
    )
    tokens = check_tokens(start_token, end_token, banned_tokens, pad_token)
    needed = dict.fromkeys(return_extras, "`return_extras`")
    if coverage_beta:
        needed["scores"] = "`coverage_beta`"
    state = tree.map_structure(ops.convert_to_tensor, state)
    batch = loops.batch_size(memory, state)
    search = Search(
        loops.checked_step(step, memory, state, tokens, needed),
        ranking,
        num_beams,
        num_results,
        early_stopping,
        max_length,
        check_max_lengths(max_lengths, max_length, batch),
        end_token,
        tuple(banned_tokens),
        tuple(return_extras),
        loops.shared_leaves(state),
    )
    variables = loops.loop(
        search.unfinished,
        search.advance,
        search.start(batch, start_token, tuple(tree.flatten(state))),
        max_length,
    )
    return search.results(pad_token, *variables)
