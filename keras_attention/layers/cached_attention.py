import keras
from keras import ops

from keras_attention.layers.attention import Attention
from keras_attention.ops import checks
from keras_attention.ops.masks import agree, concrete_value


class CachedAttention(Attention):
    """Attention that reads its own sequence one position after the other.

    Like a memory, the cache of keys and values is a value that the caller
    keeps. A subclass says:

    - `cache_shapes()` returns the shapes of one position's key and value.
    - `project_positions(x, start)` returns query, key and value heads of
      positions from `start` on, `(B, T, heads, size)`.
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
            A dict of `key` and `value`, `(B, M, K, .)`, as the scores take
            them, and `position` `(B,)`, the number of positions held. All
            have the leading axis B, so `ops.take(x, index, axis=0)` of each
            reorders the sequences.
        """
        room = (batch_size, max_length)
        key, value = self.cache_shapes()
        return {
            "key": ops.zeros((*room, *key), self.compute_dtype),
            "value": ops.zeros((*room, *value), self.compute_dtype),
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
        length, room = ops.shape(query)[1], cache["key"].shape[1]
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
    """The buffer `(B, M, ...)` with `(B, T, ...)` from a position on."""
    new = ops.cast(new, buffer.dtype)
    if keras.backend.backend() == "torch":
        import torch

        index = position + torch.arange(new.shape[1], device=new.device)
        if torch.is_grad_enabled() and new.requires_grad:
            return buffer.index_copy(1, index.long(), new)
        return buffer.index_copy_(1, index.long(), new)
    start = (0, position[0], *[0] * (len(buffer.shape) - 2))
    return ops.slice_update(buffer, start, new)
