"""How hypotheses of different lengths are ranked.

With L the number of tokens, end token included and start token not:

    length(L) = 1                        none
    length(L) = ((5 + L) / 6) ** alpha   "gnmt": Wu et al., 2016, equation 14
    length(L) = L ** alpha               "average"
    coverage  = beta * sum_s log min(sum_t scores[t, s], 1)

    score = log_probability / length(L) - word_penalty * L + coverage
"""

import numbers
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_attention.decoding.loop import select
from keras_attention.ops.checks import known, one_of
from keras_attention.ops.masks import as_mask, check_mask_shape

LENGTH_PENALTIES = (None, "gnmt", "average")

# A source word that was never read costs 23 beta, and not infinitely much.
LEAST_COVERAGE = 1e-10


class Ranking(NamedTuple):
    """How hypotheses are scored, with tables over the positions 0 to T - 1.

    Entry t concerns hypotheses of t + 1 tokens. The `best` tables hold, for
    the same entry, the most favorable value among the lengths still to come.
    """

    divisor: Any
    bonus: Any
    best_divisor: Any
    best_bonus: Any
    coverage_beta: float
    coverage_mask: Any

    def score(self, totals, position, coverage, beams=None):
        """Scores hypotheses whose last token is at `position`.

        Args:
            totals: `(B, N)`, log probabilities.
            position: Where they end.
            coverage: `(B, K, S)`, what each beam has read. Unused if it has
                no weight.
            beams: `(B, N)`, the beam that each belongs to; None if they are
                the beams.
        """
        scores = totals / self.divisor[position] + self.bonus[position]
        if not self.coverage_beta:
            return scores
        penalty = coverage_penalty(
            coverage, self.coverage_beta, self.coverage_mask
        )  # (B, K)
        return scores + (penalty if beams is None else select(penalty, beams))

    def bound(self, totals, position):
        """What no continuation of these hypotheses can exceed.

        A log probability only falls, so it counts at most as what it is now,
        divided by the largest divisor; coverage adds at most zero. This holds
        in floats too, since division and addition are monotonic.
        """
        return totals / self.best_divisor[position] + self.best_bonus[position]


def make_ranking(
    max_length,
    length_penalty,
    length_alpha,
    word_penalty,
    coverage_beta,
    coverage_mask,
):
    """Returns the `Ranking` of hypotheses of up to `max_length` tokens."""
    one_of(length_penalty, "length_penalty", LENGTH_PENALTIES)
    _finite(length_alpha, "length_alpha")
    _finite(word_penalty, "word_penalty")
    _finite(coverage_beta, "coverage_beta", least=0)
    if coverage_mask is not None and not coverage_beta:
        raise ValueError(
            "`coverage_mask` must come with a `coverage_beta` above 0. "
            f"Received: coverage_beta={coverage_beta}. Leave the mask out, or "
            "give coverage a weight."
        )
    if coverage_mask is not None:
        coverage_mask = as_mask(coverage_mask, "coverage_mask")

    def tables(lengths):
        if length_penalty == "gnmt":
            divisor = ((5 + lengths) / 6) ** length_alpha
        elif length_penalty == "average":
            divisor = lengths**length_alpha
        else:
            divisor = lengths**0
        return divisor, -word_penalty * lengths

    # In float64: NumPy's, or that of a TensorFlow graph.
    library = np if known(max_length) else ops
    lengths = library.arange(1, max_length + 1, dtype="float64")
    longest = lengths[-1:]
    # Neither table turns around, so that the best of the lengths to come is
    # that of the next one or of the longest.
    to_come = (
        library.maximum(following, last)
        for following, last in zip(
            tables(library.minimum(lengths + 1, longest)),
            tables(longest),
            strict=True,
        )
    )
    return Ranking(
        *(ops.cast(x, "float32") for x in (*tables(lengths), *to_come)),
        coverage_beta=coverage_beta,
        coverage_mask=coverage_mask,
    )


def length_score(
    log_probabilities, lengths, max_length, length_penalty, length_alpha
):
    """Scores of `(B,)` hypotheses of known lengths, without coverage."""
    ranking = make_ranking(
        max_length, length_penalty, length_alpha, 0.0, 0.0, None
    )
    return log_probabilities / ops.take(ranking.divisor, lengths - 1)


def _finite(value, name, least=-np.inf):
    if (
        not isinstance(value, numbers.Real)
        or not np.isfinite(float(value))
        or value < least
    ):
        wanted = "a finite number" + (", 0 or more" if least == 0 else "")
        raise ValueError(
            f"`{name}` must be {wanted}. "
            f"Received: {name}={value!r}. Pass 0 for no effect."
        )


def coverage_penalty(coverage, beta, mask=None):
    """Punishes source positions that were read too little; 0 at best.

        beta * sum_s log min(coverage[s], 1)

    Wu et al., 2016, equation 14. Coverage below 1e-10 counts as 1e-10.

    Args:
        coverage: `(B, K, S)`, the scores of each position summed over time.
        beta: Its weight, 0 or more.
        mask: `(B, S)`, True for real source positions.

    Returns:
        `(B, K)`.

    Examples:
        >>> import numpy as np
        >>> halves = np.array([[[0.5, 1.5, 0.0]]], "float32")
        >>> mask = np.array([[True, True, False]])
        >>> round(float(coverage_penalty(halves, 1.0, mask)[0, 0]), 4)
        -0.6931
    """
    logs = ops.log(ops.clip(coverage, LEAST_COVERAGE, 1.0))
    if mask is not None:
        mask = as_mask(mask, "coverage_mask")
        sizes = coverage.shape[0], coverage.shape[2]
        check_mask_shape(mask, "coverage_mask", {"(B, S)": sizes})
        logs = ops.where(ops.expand_dims(mask, 1), logs, 0.0)
    return beta * ops.sum(logs, axis=-1)
