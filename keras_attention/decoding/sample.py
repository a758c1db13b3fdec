import numbers
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_attention.decoding import loop as loops
from keras_attention.decoding.decoded import Decoded
from keras_attention.decoding.follow import follow
from keras_attention.ops import checks


def sample(
    step: Callable,
    memory: Any,
    state: Any,
    start_token: int,
    end_token: int,
    max_length: int,
    num_results: int = 1,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: Any = None,
    noise: Any = None,
    pad_token: int = 0,
    banned_tokens: Sequence[int] = (),
    return_extras: Sequence[str] = (),
    max_lengths: Any = None,
) -> Decoded:
    """Draws every token from what the model expects, for a batch of sources.

    For texts that vary, and for synthetic sources of back-translation. A
    token is drawn from `softmax(logits / temperature)`, first cut to the
    `top_k` likeliest tokens, then to the likeliest that together reach
    `top_p` (the nucleus; Holtzman et al., 2020, section 3.1).

    Call it inside `tf.function` or `jax.jit` as `greedy` is, with `noise`: a
    compiled function that draws by itself may draw the same each time.

    Args:
        step: As in `greedy`, with K = `num_results`.
        memory: As in `greedy`.
        state: Any nest of tensors `(B, ...)`, or `{}`; expanded to
            `(B * K, ...)` once, but for what a dict holds under `"shared"`.
        start_token: What the first step reads.
        end_token: Ends a sentence.
        max_length: Tokens at most, the end token counted, T.
        num_results: Sequences to draw per source, K.
        temperature: Above 0; below 1 for what is likely, above for variety.
        top_k: Number of tokens to choose from; None for all.
        top_p: Share of the probability to choose from, in (0, 1]; None for
            all of it.
        seed: An int or a `keras.random.SeedGenerator` to draw `noise` with.
        noise: `(T, B, K)`, uniform in [0, 1), what each token is drawn by;
            drawn if None.
        pad_token: As in `greedy`.
        banned_tokens: As in `greedy`.
        return_extras: As in `greedy`.
        max_lengths: As in `greedy`.

    Returns:
        A `Decoded` with `num_results` sequences per source, in the order in
        which they were drawn. `log_probabilities` are the model's own, before
        temperature and cuts.

    Raises:
        ValueError: If a number is out of range, `noise` has another shape,
            or for what `greedy` refuses.

    Examples:
        A coin that ends the sentence (0) or goes on (1):

        >>> import numpy as np
        >>> from keras import ops
        >>> coin = np.log([[[0.5, 0.5, 1e-9]] * 3]).astype("float32")
        >>> def step(token_ids, memory, state):
        ...     return ops.take(memory[0], token_ids, axis=0), state, {}
        >>> noise = np.array([0.7, 0.9, 0.2], "float32")[:, None, None]
        >>> decoded = sample(step, coin, {}, 2, 0, max_length=3, noise=noise)
        >>> ops.convert_to_numpy(decoded.token_ids).tolist()
        [[[1, 1, 0]]]

    Reference:
        [Holtzman et al., 2020](https://arxiv.org/abs/1904.09751).
    """
    checks.positive_int(max_length, "max_length")
    checks.positive_int(num_results, "num_results")
    checks.positive(temperature, "temperature")
    if top_k is not None:
        checks.positive_int(top_k, "top_k")
    if top_p is not None and not (
        isinstance(top_p, numbers.Real) and 0 < float(top_p) <= 1
    ):
        raise ValueError(
            "`top_p` must be a share of the probability, above 0 and at most "
            f"1. Received: top_p={top_p!r}. Pass None for all of it."
        )
    batch = loops.batch_size(memory, state)
    if noise is None:
        noise = keras.random.uniform(
            (max_length, batch, num_results), seed=seed
        )
    noise = ops.cast(ops.convert_to_tensor(noise), "float32")
    expected = (max_length, batch, num_results)
    if len(noise.shape) != 3 or any(
        isinstance(size, int) and given not in (None, size)
        for given, size in zip(noise.shape, expected, strict=True)
    ):
        raise ValueError(
            "`noise` must have shape (max_length, B, num_results). Received: "
            f"shape {tuple(noise.shape)} for {expected}. Draw one number for "
            "each token, or pass `seed`."
        )

    def choose(logits, position):
        kept = cut(logits / temperature, top_k, top_p)
        return draw(kept, logits, noise[position])

    return follow(
        step,
        memory,
        state,
        start_token,
        end_token,
        max_length,
        num_results,
        choose,
        pad_token,
        banned_tokens,
        return_extras,
        max_lengths,
    )


def cut(logits, top_k, top_p):
    """Logits `(B, K, V)` with -inf for what is not to be drawn."""
    if top_k is not None:
        best, _ = ops.top_k(logits, min(top_k, logits.shape[-1]))
        logits = ops.where(logits >= best[..., -1:], logits, -np.inf)
    if top_p is not None:
        best = ops.flip(ops.sort(logits, axis=-1), axis=-1)
        share = ops.softmax(best, axis=-1)
        before = ops.cumsum(share, axis=-1) - share
        # The last token that is still needed to reach the share.
        least = ops.min(
            ops.where(before < top_p, best, np.inf), axis=-1, keepdims=True
        )
        logits = ops.where(logits >= least, logits, -np.inf)
    return logits


def draw(kept, logits, noise):
    """Tokens `(B, K)` by the inverse of their distribution, and their logits.

    Args:
        kept: `(B, K, V)`, what is drawn from.
        logits: `(B, K, V)`, whose entries are returned.
        noise: `(B, K)`, uniform in [0, 1).
    """
    reached = ops.cumsum(ops.softmax(kept, axis=-1), axis=-1)
    # Times what the sum came to, which rounding keeps from 1.
    threshold = noise[..., None] * reached[..., -1:]
    token_ids = ops.argmax(reached > threshold, axis=-1)
    own = ops.take_along_axis(logits, token_ids[..., None], axis=-1)
    return token_ids, own[..., 0]
