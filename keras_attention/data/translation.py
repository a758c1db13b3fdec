"""From pairs of sentences to batches that `fit` trains on."""

import functools
from collections.abc import Sequence

import numpy as np

from keras_attention.data.epochs import EpochBatches
from keras_attention.data.tokenizers import (
    END_ID,
    PAD_ID,
    START_ID,
    Tokenizer,
    first_words,
    split_words,
)


def split_blocks(
    pairs: Sequence, validation: int = 1000, test: int = 1000
) -> tuple[Sequence, Sequence, Sequence]:
    """Splits a text into contiguous blocks: training, validation, test.

    Neighboring sentences of a book resemble each other, so blocks are a
    fairer test than rows drawn at random.

    Args:
        pairs: The pairs, in the order of the text.
        validation: Size of the second block.
        test: Size of the last block.

    Returns:
        Training, validation and test pairs.

    Raises:
        ValueError: If nothing would be left to train on.

    Examples:
        >>> split_blocks("abcdefg", validation=2, test=1)
        ('abcd', 'ef', 'g')
    """
    if validation < 0 or test < 0 or validation + test >= len(pairs):
        raise ValueError(
            "`validation` and `test` must not be negative and must leave "
            f"pairs to train on. Received: {len(pairs)} pairs, "
            f"validation={validation}, test={test}."
        )
    first, second = len(pairs) - validation - test, len(pairs) - test
    return pairs[:first], pairs[first:second], pairs[second:]


def filter_by_length(
    pairs: Sequence[tuple[str, str]],
    max_words: int,
    min_words: int = 1,
    truncate: bool = False,
) -> tuple[list[tuple[str, str]], int]:
    """Keeps the pairs whose two sides have a number of words in a range.

    Args:
        pairs: Pairs of source and target sentence.
        max_words: Most words of a side, counted by `split_words`.
        min_words: Fewest words of a side.
        truncate: Whether to cut a side with more words behind the last one
            allowed, instead of dropping the pair. What is left of one side
            then need not translate what is left of the other: for long texts
            whose beginnings belong together, such as articles and summaries.

    Returns:
        The pairs kept, in their order, and how many were dropped or cut.

    Raises:
        ValueError: If the range is empty.

    Examples:
        >>> filter_by_length([("a b", "c"), ("a b c", "d e f")], max_words=2)
        ([('a b', 'c')], 1)
        >>> filter_by_length([("a, b c", "d")], max_words=2, truncate=True)
        ([('a,', 'd')], 1)
    """
    if not 0 <= min_words <= max_words:
        raise ValueError(
            "Lengths must satisfy 0 <= `min_words` <= `max_words`. Received: "
            f"min_words={min_words}, max_words={max_words}."
        )
    kept, affected = [], 0
    for pair in pairs:
        counts = [len(split_words(text)) for text in pair]
        fits = max(counts) <= max_words
        affected += not fits or min(counts) < min_words
        if min(counts) >= min_words and fits:
            kept.append(pair)
        elif min(counts) >= min_words and truncate:
            kept.append(tuple(first_words(text, max_words) for text in pair))
    return kept, affected


class TranslationBatches(EpochBatches):
    """Batches for teacher-forced training, in few static shapes.

    Each batch is `(inputs, targets, sample_weight)`:

        inputs["encoder_token_ids"]  (B, S) int32    the source
        inputs["decoder_token_ids"]  (B, T) int32    [start] y1 y2 ... yn
        targets                      (B, T) int32    y1 y2 ... yn [end]
        sample_weight                (B, T) float32  1, and 0 on padding

    with `pad_id` as padding. Compile with a loss whose reduction is
    `"mean_with_sample_weight"`, or padding dilutes it.

    Every shape `(B, S, T)` that a compiler sees costs it seconds, every
    padded position costs arithmetic. So the pairs are sorted into at most
    `num_buckets` boxes of lengths, cut one at a time where a cut saves the
    most padding, and each batch is padded to the exact shape of its box. The
    last batch of a box is filled up with rows of weight 0.

    The order is a function of `seed` and the epoch alone, and so is the same
    after a resume. Call `fit(batches, shuffle=False)`: Keras would otherwise
    shuffle once more, with Python's global random generator. The epoch
    advances by itself; a resumed run passes its first one as `initial_epoch`
    here and to `fit`.

    Args:
        sources: Source ids, one list per sentence.
        targets: Target ids likewise, without `[start]` and `[end]`.
        batch_size: Sentences per batch.
        tokens_per_batch: If given, a batch has instead as many sentences as
            fit, at the box's longer side, into this many padded tokens.
        num_buckets: At most this many shapes.
        shuffle: Whether the order changes from epoch to epoch. False keeps
            boxes and the sentences in them in order.
        seed: Seed of the order.
        initial_epoch: The epoch to begin with.
        steps_per_epoch: If given, an epoch is this many batches of an endless
            stream of passes over the data. None makes an epoch one pass.
        pad_id: Id that fills up sources, and targets if no other is given.
        start_id: Id before a target.
        end_id: Id behind a target.
        target_pad_id: Id that fills up targets; `pad_id` if None.

    Raises:
        ValueError: If there are no pairs, a side is empty or the numbers of
            sides differ; if a size is not positive or does not allow what it
            is for.

    Examples:
        >>> batches = TranslationBatches([[7, 8]], [[4, 5, 6]], batch_size=2)
        >>> inputs, targets, weights = batches[0]
        >>> inputs["encoder_token_ids"].tolist()
        [[7, 8], [7, 8]]
        >>> inputs["decoder_token_ids"].tolist()
        [[2, 4, 5, 6], [2, 4, 5, 6]]
        >>> targets.tolist()
        [[4, 5, 6, 3], [4, 5, 6, 3]]
        >>> weights.tolist()
        [[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]
    """

    def __init__(
        self,
        sources: Sequence[Sequence[int]],
        targets: Sequence[Sequence[int]],
        batch_size: int = 64,
        tokens_per_batch: int | None = None,
        num_buckets: int = 10,
        shuffle: bool = True,
        seed: int = 0,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        pad_id: int = PAD_ID,
        start_id: int = START_ID,
        end_id: int = END_ID,
        target_pad_id: int | None = None,
    ):
        _check_positive(
            batch_size=batch_size,
            tokens_per_batch=tokens_per_batch,
            num_buckets=num_buckets,
            steps_per_epoch=steps_per_epoch,
        )
        _check_sides(sources, targets)
        self.sources, self.targets = sources, targets
        self.shuffle, self.seed = shuffle, seed
        self.pad_id, self.start_id, self.end_id = pad_id, start_id, end_id
        self.target_pad_id = pad_id if target_pad_id is None else target_pad_id
        # [start] or [end] makes each target one longer.
        lengths = np.array(
            [
                (len(s), len(t) + 1)
                for s, t in zip(sources, targets, strict=True)
            ]
        )
        rows_of = functools.partial(
            _rows_per_batch, batch_size, tokens_per_batch
        )
        if tokens_per_batch is not None and tokens_per_batch < lengths.max():
            raise ValueError(
                "`tokens_per_batch` must hold the longest sentence, with its "
                f"[end]. Received: tokens_per_batch={tokens_per_batch}, "
                f"longest={lengths.max()}. Raise it, or leave out long "
                "sentences with `filter_by_length`."
            )
        if seed < 0 or initial_epoch < 0:
            raise ValueError(
                "`seed` and `initial_epoch` must not be negative. Received: "
                f"seed={seed}, initial_epoch={initial_epoch}."
            )
        self._boxes = _fit_boxes(lengths, num_buckets, rows_of)
        self.shapes = []
        for box in self._boxes:
            source, target = map(int, lengths[box].max(0))
            rows = int(rows_of(source, target))
            self.shapes.append((rows, source, target))
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
                "shapes. Use more steps, or num_buckets=1."
            )
        self._real_tokens = int(lengths.sum())
        # Keras's data thread may still read the epoch before: keep both.
        self._epoch_order = functools.lru_cache(maxsize=2)(self._make_order)
        self.set_epoch(initial_epoch)

    @classmethod
    def from_text(
        cls,
        pairs: Sequence[tuple[str, str]],
        source_tokenizer: Tokenizer,
        target_tokenizer: Tokenizer,
        **kwargs,
    ) -> "TranslationBatches":
        """Tokenizes pairs of sentences and makes batches of them.

        Args:
            pairs: Pairs of source and target sentence.
            source_tokenizer: Tokenizer of the source.
            target_tokenizer: Tokenizer of the target.
            **kwargs: The other arguments of the constructor; the special
                ids are those of the tokenizers.

        Returns:
            The batches.
        """
        sources, targets = zip(*pairs, strict=True) if len(pairs) else ((), ())
        ids = dict(
            pad_id=source_tokenizer.pad_id,
            start_id=target_tokenizer.start_id,
            end_id=target_tokenizer.end_id,
            target_pad_id=target_tokenizer.pad_id,
        )
        return cls(
            source_tokenizer.tokenize(sources),
            target_tokenizer.tokenize(targets),
            **{**ids, **kwargs},
        )

    @property
    def padding(self) -> float:
        """Share of padding, filled-up rows included, in one pass."""
        cells = sum(
            -(-len(box) // rows) * rows * (source + target)
            for box, (rows, source, target) in zip(
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

    def _batch(self, shape, rows):
        batch_size, source_length, target_length = shape
        source = np.full((batch_size, source_length), self.pad_id, "int32")
        target = np.full(
            (batch_size, target_length + 1), self.target_pad_id, "int32"
        )
        weight = np.zeros((batch_size, target_length), "float32")
        for i in range(batch_size):
            # Filled-up rows repeat real ones: a row of padding alone could
            # give a NaN somewhere, and weight 0 would not hide it.
            row = rows[i % len(rows)]
            s, t = self.sources[row], self.targets[row]
            source[i, : len(s)] = s
            target[i, : len(t) + 2] = [self.start_id, *t, self.end_id]
            if i < len(rows):
                weight[i, : len(t) + 1] = 1
        # The last input has no successor: padding or [end], never needed.
        decoder = target[:, :-1].copy()
        decoder[decoder == self.end_id] = self.target_pad_id
        inputs = {"encoder_token_ids": source, "decoder_token_ids": decoder}
        return inputs, target[:, 1:], weight


def _rows_per_batch(batch_size, tokens_per_batch, source_length, target_length):
    if tokens_per_batch is None:
        return batch_size
    return tokens_per_batch // np.maximum(source_length, target_length)


def _num_cells(num_rows, source_length, target_length, rows_of):
    """Positions that the batches of a box have, padding included."""
    rows = rows_of(source_length, target_length)
    return -(-num_rows // rows) * rows * (source_length + target_length)


def _fit_boxes(lengths, num_boxes, rows_of):
    """Sorts rows into boxes of lengths, so that little is padded.

    Greedy: of all cuts of one box in two, at one source or target length, the
    one that saves most is made, until the boxes are as many as allowed or no
    cut saves half a percent of the positions.
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
    sizes = lengths[box]  # (rows, 2)
    before = _num_cells(len(box), *sizes.max(0), rows_of=rows_of)
    best = 0, None
    for axis in (0, 1):
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


def _check_positive(**sizes):
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise ValueError(
                f"`{name}` must be at least 1. Received: {name}={size}."
            )


def _check_sides(sources, targets):
    if len(sources) != len(targets):
        raise ValueError(
            "Sources and targets must come in pairs. Received: "
            f"{len(sources)} sources, {len(targets)} targets."
        )
    if not len(sources):
        raise ValueError(
            "There must be at least one pair of sentences. Received: none."
        )
    for name, rows in (("source", sources), ("target", targets)):
        for i, row in enumerate(rows):
            if not len(row):
                raise ValueError(
                    "Each side of a pair must have at least one token. "
                    f"Received: an empty {name} at index {i}. Drop it, for "
                    "example with `filter_by_length(pairs, ...)`."
                )
