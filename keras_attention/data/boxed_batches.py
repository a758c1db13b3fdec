"""Batches of sentences in few boxes of lengths, in the order of a seed."""

import functools
from collections.abc import Callable, Sequence

import numpy as np

from keras_attention.data.epochs import EpochBatches


class BoxedBatches(EpochBatches):
    """Batches that are each padded to the lengths of a box of rows.

    A row is an example, with a length for each of its padded sides. A
    subclass defines `_batch(shape, rows)`, which makes the batch of at most
    `shape[0]` rows, padded to the lengths `shape[1:]`; where rows are fewer it
    is filled up with rows of weight 0. `shapes` has the shape of each box.

    Args:
        lengths: `(rows, sides)`, the length of each side of each row.
        boxes: Arrays of the rows that are padded alike.
        rows_of: From the lengths of a box to its rows per batch.
        shuffle: Whether the order changes from epoch to epoch.
        seed: Seed of the order.
        initial_epoch: The epoch to begin with.
        steps_per_epoch: If given, an epoch is this many batches of an endless
            stream of passes over the data. None makes an epoch one pass.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        boxes: Sequence[np.ndarray],
        rows_of: Callable,
        shuffle: bool,
        seed: int,
        initial_epoch: int,
        steps_per_epoch: int | None,
    ):
        check_positive(steps_per_epoch=steps_per_epoch)
        if seed < 0 or initial_epoch < 0:
            raise ValueError(
                "`seed` and `initial_epoch` must not be negative. Received: "
                f"seed={seed}, initial_epoch={initial_epoch}."
            )
        self.shuffle, self.seed = shuffle, seed
        self._boxes = boxes
        self.shapes = []
        for box in boxes:
            sizes = [int(size) for size in lengths[box].max(0)]
            self.shapes.append((int(rows_of(*sizes)), *sizes))
        self._batches_per_pass = sum(
            -(-len(box) // shape[0])
            for box, shape in zip(self._boxes, self.shapes, strict=True)
        )
        self._steps = steps_per_epoch or self._batches_per_pass
        super().__init__(self._steps)
        if self._steps == 1 < len(self.shapes):
            raise ValueError(
                "`steps_per_epoch` must be at least 2 when batches differ in "
                f"shape. Received: steps_per_epoch=1, {len(self.shapes)} "
                "shapes. Use more steps, or a single shape: num_buckets=1."
            )
        self._real_tokens = int(lengths.sum())
        # Keras's data thread may still read the epoch before: keep both.
        self._epoch_order = functools.lru_cache(maxsize=2)(self._make_order)
        self.set_epoch(initial_epoch)

    @property
    def padding(self) -> float:
        """Share of padding, filled-up rows included, in one pass."""
        cells = sum(
            -(-len(box) // rows) * rows * sum(sizes)
            for box, (rows, *sizes) in zip(
                self._boxes, self.shapes, strict=True
            )
        )
        return 1 - self._real_tokens / cells

    def make_batch(self, index):
        return self._batch(*self._epoch_order(self._epoch)[index])

    def _make_order(self, epoch):
        """The `(shape, rows)` of each batch of an epoch."""
        first, order = epoch * self._steps, []
        while len(order) < self._steps:
            number, offset = divmod(first + len(order), self._batches_per_pass)
            order += self._make_pass(number)[offset:]
        return self._show_all_axes(order[: self._steps])

    def _make_pass(self, number):
        rng = np.random.default_rng([self.seed, number])
        batches = []
        for box, shape in zip(self._boxes, self.shapes, strict=True):
            rows = rng.permutation(box) if self.shuffle else box
            for start in range(0, len(rows), shape[0]):
                batches.append((shape, rows[start : start + shape[0]]))
        if self.shuffle:
            batches = [batches[i] for i in rng.permutation(len(batches))]
        return batches

    def _show_all_axes(self, order):
        """Puts two batches in front whose lengths differ wherever any do.

        On TensorFlow, Keras compares the first two batches and takes an axis
        that is equal in both for one that never changes.
        """
        varies = [
            len(set(sizes)) > 1 for sizes in zip(*self.shapes, strict=True)
        ][1:]
        if not any(varies):
            return order
        seen = {}
        for i, (shape, _) in enumerate(order):
            for other, j in seen.items():
                if all(
                    a != b
                    for a, b, vary in zip(
                        shape[1:], other[1:], varies, strict=True
                    )
                    if vary
                ):
                    rest = order[:j] + order[j + 1 : i] + order[i + 1 :]
                    return [order[j], order[i], *rest]
            seen.setdefault(shape, i)
        # An epoch of a few steps may lack such a pair: pad its second batch
        # further than any.
        (batch_size, *_), rows = order[1]
        longest = [max(sizes) + 1 for sizes in zip(*self.shapes, strict=True)][
            1:
        ]
        return [order[0], ((batch_size, *longest), rows), *order[2:]]


def teacher_forced(sentences, num_real, length, pad_id, start_id, end_id):
    """What a decoder reads, what it should say, and what counts.

    Args:
        sentences: Ids of a batch, without `[start]` and `[end]`.
        num_real: How many of them, from the first, have weight.
        length: Length to pad to.
        pad_id: Id that fills up.
        start_id: Id before a sentence.
        end_id: Id behind it.

    Returns:
        Inputs and targets `(B, length)` int32, and weights, float32.
    """
    target = np.full((len(sentences), length + 1), pad_id, "int32")
    weight = np.zeros((len(sentences), length), "float32")
    for i, ids in enumerate(sentences):
        target[i, : len(ids) + 2] = [start_id, *ids, end_id]
        if i < num_real:
            weight[i, : len(ids) + 1] = 1
    # The last input has no successor: padding or [end], never needed.
    decoder = target[:, :-1].copy()
    decoder[decoder == end_id] = pad_id
    return decoder, target[:, 1:], weight


def _num_cells(num_rows, *sizes, rows_of):
    """Positions that the batches of a box have, padding included."""
    rows = rows_of(*sizes)
    return -(-num_rows // rows) * rows * sum(sizes)


def fit_boxes(lengths, num_boxes, rows_of):
    """Sorts rows into boxes of lengths, so that little is padded.

    Greedy: of all cuts of one box in two, at one length of one side, the one
    that saves most is made, until the boxes are as many as allowed or no cut
    saves half a percent of the positions.
    """
    boxes = [np.arange(len(lengths))]
    cuts = [_best_cut(lengths, boxes[0], rows_of)]
    total = _num_cells(len(lengths), *lengths.max(0), rows_of=rows_of)
    while len(boxes) < num_boxes:
        saved, left = max(cuts, key=lambda cut: cut[0])
        if saved < 0.005 * total:
            break
        i = next(i for i, cut in enumerate(cuts) if cut[1] is left)
        box = boxes.pop(i)
        cuts.pop(i)
        for part in (box[left], box[~left]):
            boxes.append(part)
            cuts.append(_best_cut(lengths, part, rows_of))
        total -= saved
    return sorted(boxes, key=lambda box: tuple(lengths[box].max(0)))


def _best_cut(lengths, box, rows_of):
    """Positions saved by the best cut of a box, and who goes to the left."""
    sizes = lengths[box]  # (rows, sides)
    before = _num_cells(len(box), *sizes.max(0), rows_of=rows_of)
    best = 0, None
    for axis in range(sizes.shape[1]):
        ordered = sizes[np.argsort(sizes[:, axis], kind="stable")]
        ends = np.flatnonzero(np.diff(ordered[:, axis])) + 1
        if not len(ends):
            continue
        below = np.maximum.accumulate(ordered)[ends - 1].T
        above = np.maximum.accumulate(ordered[::-1])[::-1][ends].T
        after = _num_cells(ends, *below, rows_of=rows_of) + _num_cells(
            len(box) - ends, *above, rows_of=rows_of
        )
        i = int(np.argmin(after))
        if before - after[i] > best[0]:
            left = sizes[:, axis] <= ordered[ends[i] - 1, axis]
            best = before - after[i], left
    return best


def check_positive(**sizes):
    """Raises unless each size is at least 1, or None."""
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise ValueError(
                f"`{name}` must be at least 1. Received: {name}={size}."
            )
