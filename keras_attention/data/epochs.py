"""Batches whose order is a function of a seed and the epoch alone."""

import keras


class EpochBatches(keras.utils.PyDataset):
    """Counts epochs for batches that differ from one to the next.

    A subclass calls `set_epoch` at the end of its `__init__` and defines
    `make_batch(index)`, the batch `index` of `self.epoch`. Call
    `fit(batches, shuffle=False)`: Keras would otherwise shuffle once more,
    with Python's global random generator.

    Args:
        num_batches: Batches per epoch.
    """

    def __init__(self, num_batches: int):
        # One worker: more would read epochs out of order.
        super().__init__()
        self._num_batches = num_batches

    @property
    def num_batches(self) -> int:
        """Batches per epoch."""
        return self._num_batches

    @property
    def epoch(self) -> int:
        """The epoch whose batches are served."""
        return self._epoch

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose batches are served from now on.

        Args:
            epoch: Counted from 0.
        """
        if epoch < 0:
            raise ValueError(
                f"The epoch must not be negative. Received: epoch={epoch}."
            )
        self._epoch = int(epoch)
        self._served = set()

    def on_epoch_begin(self) -> None:
        self._served = set()

    def on_epoch_end(self) -> None:
        # `fit` also calls this when it has merely peeked at a batch to build
        # the model, so only an epoch read to its last batch counts.
        if len(self._served) == self._num_batches:
            self.set_epoch(self._epoch + 1)

    def __getitem__(self, index):
        if not 0 <= index < self._num_batches:
            raise IndexError(f"No batch {index} among {self._num_batches}.")
        self._served.add(index)
        return self.make_batch(index)

    def make_batch(self, index):
        """Batch `index` of this epoch."""
        raise NotImplementedError
