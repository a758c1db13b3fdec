"""The parts of a beam search.

B sources, K beams, N results, T positions. Hypotheses are never copied: each
position keeps its tokens and which beam they continue, and the results are
traced back at the end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_attention.decoding import loop as loops
from keras_attention.decoding.decoded import Decoded
from keras_attention.decoding.penalties import Ranking


class Alive(NamedTuple):
    """Hypotheses without an end token, likeliest first."""

    token_ids: Any  # (B, K), the last of each
    totals: Any  # (B, K), log probabilities; -inf where nothing is
    leaves: Any  # of the state, (B * K, ...)
    coverage: Any  # (B, K, S), scores summed over time, or ()


class Finished(NamedTuple):
    """The best finished hypotheses: last token, and the beam before it."""

    scores: Any  # (B, N), best first; -inf where nothing is
    totals: Any
    lengths: Any
    token_ids: Any
    beams: Any


class History(NamedTuple):
    """What happened at each position, to be traced back."""

    token_ids: Any  # (T, B, K), tokens chosen at t
    beams: Any  # (T, B, K), which beam before t each of them continues
    extras: Any  # {name: (T, B, K, ...)}, by the beam before t


@dataclass(frozen=True)
class Search:
    """The rules of one beam search, applied to the variables of its loop.

    They are `position, done, alive, finished, history`.
    """

    step: Callable
    ranking: Ranking
    num_beams: int
    num_results: int
    early_stopping: bool
    max_length: int
    limits: Any  # (B,), at most `max_length`
    end_token: int
    banned_tokens: Sequence[int]
    return_extras: Sequence[str]
    shared: Sequence[bool]  # which leaves all hypotheses of a source share

    def start(self, batch, start_token, leaves):
        """Returns variables with one hypothesis per source, the empty one."""
        places = (batch, self.num_beams)
        token_ids = ops.full(places, start_token, dtype="int32")
        only_first = np.where(np.arange(self.num_beams) == 0, 0.0, -np.inf)
        totals = ops.add(ops.zeros((batch, 1)), only_first.astype("float32"))
        of_source = ops.zeros(places, dtype="int32")
        leaves = loops.reorder(
            leaves, loops.flat_rows(of_source, 1), self.shared
        )
        extras = {}
        if self.return_extras or self.ranking.coverage_beta:
            extras = loops.extras_like(self.step, token_ids, leaves, batch)
        coverage = ()
        if self.ranking.coverage_beta:
            coverage = ops.cast(extras.get("scores", 0.0), "float32")
        history = History(
            loops.over_time(token_ids, self.max_length),
            loops.over_time(token_ids, self.max_length),
            {
                name: loops.over_time(value, self.max_length)
                for name, value in extras.items()
                if name in self.return_extras
            },
        )
        pool_size = self.num_beams if self.early_stopping else self.num_results
        nothing = ops.full((batch, pool_size), -np.inf, dtype="float32")
        zeros = ops.zeros((batch, pool_size), dtype="int32")
        finished = Finished(nothing, nothing, zeros, zeros, zeros)
        done = ops.zeros((batch,), dtype="bool")
        alive = Alive(token_ids, totals, leaves, coverage)
        return 0, done, alive, finished, history

    def unfinished(self, position, done, *_):
        """Can any sentence still find something better?"""
        return ops.logical_and(position < self.max_length, ops.any(~done))

    def advance(self, position, done, alive, finished, history):
        """Goes on by one token."""
        logits, leaves, extras = self.step(alive.token_ids, alive.leaves)
        coverage = alive.coverage
        if self.ranking.coverage_beta:
            coverage = coverage + ops.cast(extras["scores"], "float32")
        totals, token_ids, beams = best_extensions(
            logits, alive.totals, self.banned_tokens
        )  # (B, C) each, C = 2 K
        scores = self.ranking.score(totals, position, coverage, beams)
        ends = token_ids == self.end_token

        # The first K are all that a search with K candidates would see: an
        # end among them counts, as long as the sentence is not done.
        searched = ops.expand_dims(~done, 1)
        ending = (
            ops.where(ops.logical_and(ends, searched), scores, -np.inf),
            totals,
            token_ids,
            beams,
        )
        ending = [x[:, : self.num_beams] for x in ending]

        totals, best = ops.top_k(
            ops.where(ends, -np.inf, totals), self.num_beams
        )
        best = ops.cast(best, "int32")
        token_ids = loops.select(token_ids, best)  # (B, K)
        beams = loops.select(beams, best)  # (B, K)
        # At its limit a sentence is cut, whatever is alive.
        at_limit = position + 1 >= self.limits
        is_cut = ops.logical_and(searched, ops.expand_dims(at_limit, 1))
        scores = self.ranking.score(totals, position, coverage, beams)
        cut = (ops.where(is_cut, scores, -np.inf), totals, token_ids, beams)
        new_scores, new_totals, last, before = (
            ops.concatenate(pair, axis=1)
            for pair in zip(ending, cut, strict=True)
        )
        lengths = ops.zeros_like(last) + (position + 1)
        finished = best_of(
            finished, Finished(new_scores, new_totals, lengths, last, before)
        )
        shown = {name: extras[name] for name in self.return_extras}
        history = History(
            loops.write(history.token_ids, position, token_ids),
            loops.write(history.beams, position, beams),
            loops.record(history.extras, position, shown, self.max_length),
        )
        done = ops.logical_or(done, at_limit)
        done = ops.logical_or(
            done, self.is_done(finished.scores, totals, position)
        )
        rows = loops.flat_rows(beams, self.num_beams)
        if self.ranking.coverage_beta:
            coverage = reorder_beams(coverage, rows)
        leaves = loops.reorder(leaves, rows, self.shared)
        alive = Alive(token_ids, totals, leaves, coverage)
        return position + 1, done, alive, finished, history

    def is_done(self, scores, totals, position):
        """Returns `(B,)`: may the search of a source end here?

        Args:
            scores: Of what has finished, best first.
            totals: `(B, K)`, of what is alive after `position`, best first.
            position: Where the search is.
        """
        worst = scores[:, self.num_results - 1]
        done = self.ranking.bound(totals[:, 0], position) <= worst
        if self.early_stopping:
            full = scores[:, self.num_beams - 1] > -np.inf
            done = ops.logical_or(done, full)
        return done

    def results(self, pad_token, position, _done, _alive, finished, history):
        """Traces the best back to their start."""
        finished = Finished(*(x[:, : self.num_results] for x in finished))
        exists = finished.scores > -np.inf
        lengths = ops.where(exists, finished.lengths, 0)
        token_ids, beams = trace_back(
            finished, history, position, self.max_length
        )  # (B, N, T)
        extras = {
            name: loops.zero_behind(take_beams(values, beams), lengths)
            for name, values in history.extras.items()
        }
        return Decoded(
            ops.where(
                loops.within(lengths, self.max_length), token_ids, pad_token
            ),
            lengths,
            ops.where(exists, finished.totals, -np.inf),
            finished.scores,
            extras,
        )


def best_of(finished, new):
    """Keeps the best of both groups; of equals, what finished earlier."""
    scores, best = ops.top_k(
        ops.concatenate([finished.scores, new.scores], axis=1),
        finished.scores.shape[1],
    )
    best = ops.cast(best, "int32")
    rest = (
        loops.select(ops.concatenate(pair, axis=1), best)
        for pair in zip(finished[1:], new[1:], strict=True)
    )
    return Finished(scores, *rest)


def reorder_beams(values, rows):
    """Takes rows `(B * K,)` of values `(B, K, S)`."""
    _, num_beams, length = ops.shape(values)
    values = ops.take(ops.reshape(values, (-1, length)), rows, axis=0)
    return ops.reshape(values, (-1, num_beams, length))


def best_extensions(logits, totals, banned_tokens):
    """The likeliest ways to go on with K hypotheses by one token.

    Args:
        logits: `(B, K, V)` float32.
        totals: `(B, K)`, log probabilities of the hypotheses so far.
        banned_tokens: Tokens never to choose.

    Returns:
        `(totals, token_ids, beams)`, each `(B, C)`, best first. C is 2 K, so
        that K remain when K others end, or K V if that is less.
    """
    num_beams, vocabulary_size = logits.shape[1:]
    each = min(2 * num_beams, vocabulary_size)
    # Not more than 2 K of one beam are among the best 2 K, and within a beam
    # logits are in the order of probabilities: no log-softmax of (B, K, V).
    allowed = loops.ban(logits, banned_tokens)
    best, token_ids = ops.top_k(
        ops.reshape(allowed, (-1, vocabulary_size)), each
    )
    best = ops.reshape(best, (-1, num_beams, each))
    gains = best - loops.log_normalizer(logits)
    totals = ops.reshape(
        ops.expand_dims(totals, -1) + gains, (-1, num_beams * each)
    )
    totals, best = ops.top_k(totals, min(2, each) * num_beams)
    best = ops.cast(best, "int32")
    token_ids = ops.reshape(token_ids, (-1, num_beams * each))
    token_ids = loops.select(ops.cast(token_ids, "int32"), best)
    return totals, token_ids, best // each


def trace_back(finished, history, steps, max_length):
    """Follows finished hypotheses back to their start.

    Args:
        finished: `Finished`, `(B, N)` each.
        history: `History`.
        steps: Number of positions that the search went through.
        max_length: T.

    Returns:
        Token ids `(B, N, T)`, and the beam that each was chosen from,
        `(B, N, T)`; without meaning behind the end.
    """

    def body(position, beams, all_token_ids, all_beams):
        is_last = finished.lengths == position + 1
        token_ids = ops.where(
            is_last,
            finished.token_ids,
            loops.select(history.token_ids[position], beams),
        )
        beams = ops.where(
            is_last,
            finished.beams,
            loops.select(history.beams[position], beams),
        )
        return (
            position - 1,
            beams,
            loops.write(all_token_ids, position, token_ids),
            loops.write(all_beams, position, beams),
        )

    beams = ops.zeros_like(finished.beams)
    _, _, token_ids, beams = loops.loop(
        lambda position, *_: position >= 0,
        body,
        (
            steps - 1,
            beams,
            loops.over_time(beams, max_length),
            loops.over_time(beams, max_length),
        ),
        max_length,
    )
    return ops.transpose(token_ids, (1, 2, 0)), ops.transpose(beams, (1, 2, 0))


def take_beams(values, beams):
    """Returns `(B, N, T, ...)` of values `(T, B, K, ...)`, by the beams."""
    length, batch, num_beams, *rest = ops.shape(values)
    positions = ops.arange(0, length, dtype="int32")
    sources = ops.arange(0, batch, dtype="int32")[:, None, None]
    rows = (positions * batch + sources) * num_beams + beams
    return ops.take(ops.reshape(values, (-1, *rest)), rows, axis=0)
