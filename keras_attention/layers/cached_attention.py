import keras
from keras import ops

from keras_attention.layers.attention import Attention
from keras_attention.ops import checks, hypothesis_cache
from keras_attention.ops.masks import agree, concrete_value


class CachedAttention(Attention):
    """Attention that reads its own sequence one position after the other.

    Like a memory, the cache of keys and values is a value that the caller
    keeps. A subclass says:

    - `cache_shapes()` returns the shapes of one position's key and value.
    - `project_positions(x, start)` returns query, key and value heads of
      positions from `start` on, `(B, T, heads, size)`.
    - `read_segments(x, query, segments, masks, position)` returns the output
      `(B, K, .)` of hypotheses that share a cache.
    - `read_cache(x, query, key, value, start, return_scores)` returns the
      output `(B, T, .)` and scores `(B, N, T, M)` or None, each query reading
      positions up to its own.
    """

    def cache_shapes(self) -> tuple:
        raise NotImplementedError

    def project_positions(self, x, start):
        raise NotImplementedError

    def read_cache(self, x, query, key, value, start, return_scores):
        raise NotImplementedError

    def initial_cache(self, batch_size: int, max_length: int):
        """An empty cache for `step_self`.

        Args:
            batch_size: Number of sequences, or of hypotheses in all.
            max_length: Number of positions the cache has room for, M.

        Returns:
            A dict of `key` and `value`, `(B, K, M, .)`, as the scores take
            them, and `position` `(B,)`, the number of positions held. All
            have the leading axis B, so `ops.take(x, index, axis=0)` of each
            reorders the sequences.
        """
        (groups, key_size), (_, value_size) = self.cache_shapes()
        room = (batch_size, groups, max_length)
        return {
            "key": ops.zeros((*room, key_size), self.compute_dtype),
            "value": ops.zeros((*room, value_size), self.compute_dtype),
            "position": ops.zeros((batch_size,), "int32"),
        }

    def step_self(self, query, cache, return_attention_scores=False):
        """Causal self-attention of the next positions, over a cache.

        Stepping over a sequence gives what the whole of it would at once
        with `use_causal_mask`.

        Args:
            query: `(B, D)`, the next position, or `(B, T, D)`, the next T.
            cache: What `initial_cache` or the last step returned. All
                sequences are at the same position.
            return_attention_scores: Whether `extras` holds `scores`.

        Returns:
            A tuple of output `(B, .)` or `(B, T, .)`, the cache with the
            positions added, and extras: a dict with `scores` `(B, N, M)` or
            `(B, N, T, M)` over the cache's room if asked for. On torch,
            without gradients, the buffers of the given cache are written.

        Raises:
            ValueError: The cache has no room left, or `query` is symbolic.
        """
        query, single = self._next_positions(query)
        position = self._check_cache(query, cache)
        heads, key, value = self.project_positions(query, position[0])
        cache = {
            "key": _write(cache["key"], position, key),
            "value": _write(cache["value"], position, value),
            "position": cache["position"] + ops.shape(query)[1],
        }
        output, scores = self.read_cache(
            query,
            heads,
            cache["key"],
            cache["value"],
            position[0],
            return_attention_scores,
        )
        if single:
            output = output[:, 0]
            scores = None if scores is None else scores[:, :, 0]
        extras = {"scores": scores} if return_attention_scores else {}
        return output, cache, extras

    def hypothesis_segments(
        self, batch_size: int, num_hypotheses: int, max_length: int
    ):
        """Empty segments for `step_hypotheses`; see `ops.hypothesis_cache`.

        Args:
            batch_size: Number of sources.
            num_hypotheses: Hypotheses of each, K.
            max_length: Number of positions there is room for.
        """
        key, value = self.cache_shapes()
        return hypothesis_cache.empty_segments(
            batch_size,
            num_hypotheses,
            max_length,
            key,
            value,
            self.compute_dtype,
        )

    def step_hypotheses(self, query, cache):
        """Causal self-attention of the next position of K hypotheses.

        Args:
            query: `(B, K, D)`.
            cache: A dict of `segments`, the `position` to write, and the
                `masks` of that position.

        Returns:
            A tuple of output `(B, K, .)` and the segments.
        """
        position, masks = cache["position"], cache["masks"]
        batch, hypotheses, features = ops.shape(query)
        rows = ops.reshape(query, (batch * hypotheses, 1, features))
        heads, key, value = (
            ops.reshape(x, (batch, hypotheses, *x.shape[2:]))
            for x in self.project_positions(rows, position)
        )
        segments = hypothesis_cache.write(
            cache["segments"], position, key, value
        )
        output = self.read_segments(query, heads, segments, masks, position)
        return output, segments

    def read_segments(self, x, query, segments, masks, position):
        """Output `(B, K, .)` of queries `(B, K, N, H)` over their past."""
        raise NotImplementedError(
            f"{type(self).__name__} must define how hypotheses read their "
            "past: `read_segments`."
        )

    def _next_positions(self, query):
        """The query as `(B, T, D)`, and whether T has to go again."""
        self._refuse_symbolic(query)
        query = self._float(query)
        if len(query.shape) not in (2, 3):
            raise ValueError(
                "`query` of `step_self` must have shape (B, D) or (B, T, D). "
                f"Received: shape {tuple(query.shape)}."
            )
        single = len(query.shape) == 2
        query = query[:, None] if single else query
        if not self.built:
            self.build(tuple(query.shape), tuple(query.shape))
        return query, single

    def _check_cache(self, query, cache):
        """The position `(1,)` of the query's first, if there is room."""
        batch = cache["key"].shape[0]
        if not agree(query.shape[0], batch):
            raise ValueError(
                "`query` must have the batch size of the cache. Received: "
                f"query of shape {tuple(query.shape)}, a cache of batch size "
                f"{batch}. Make it with `initial_cache(batch_size, ...)`."
            )
        length, room = ops.shape(query)[1], cache["key"].shape[2]
        position = cache["position"][:1]
        held = concrete_value(position)
        needed = length if held is None else held[0] + length
        if checks.known(length) and needed > room:
            raise ValueError(
                "The cache must have room for the positions to add. Received: "
                f"{length} to add, {0 if held is None else held[0]} held, "
                f"max_length={room}. Pass a larger `max_length` to "
                "`initial_cache`."
            )
        return position


def _write(buffer, position, new):
    """The buffer `(B, K, M, .)` with `(B, T, K, .)` from a position on."""
    new = heads_first(ops.cast(new, buffer.dtype))
    if keras.backend.backend() == "torch":
        import torch

        index = position + torch.arange(new.shape[2], device=new.device)
        if torch.is_grad_enabled() and new.requires_grad:
            return buffer.index_copy(2, index.long(), new)
        return buffer.index_copy_(2, index.long(), new)
    return ops.slice_update(buffer, (0, 0, position[0], 0), new)


def heads_first(x):
    """From `(B, S, K, H)` to `(B, K, S, H)`, or back.

    Memories and caches are kept as products read them: a step would else
    turn them around, each time anew.
    """
    return ops.transpose(x, (0, 2, 1, 3))
