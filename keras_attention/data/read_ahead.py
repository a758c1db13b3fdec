"""Threads that read what the next batch is made of."""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class ReadAhead:
    """Reads what batches are made of by threads, some before they are asked.

    Args:
        num_threads: The threads.
    """

    def __init__(self, num_threads: int):
        self._pool = ThreadPoolExecutor(num_threads)
        self._pending: dict[Any, list] = {}
        self._lock = threading.Lock()

    def read(
        self, keys: Sequence, parts: Callable[[Any], Iterable[tuple]]
    ) -> list:
        """What a batch is made of, while those that follow are begun.

        Args:
            keys: That of the batch, then those of batches to begin with. What
                was begun for other keys is given up.
            parts: From a key to the parts of its batch: for each a function
                and its arguments.
        """
        with self._lock:
            for key in keys:
                if key not in self._pending:
                    self._pending[key] = [
                        self._pool.submit(*part) for part in parts(key)
                    ]
            futures = self._pending.pop(keys[0])
            for key in [key for key in self._pending if key not in keys]:
                for future in self._pending.pop(key):
                    future.cancel()
        return [future.result() for future in futures]
