"""From pairs of sentences to batches that `fit` trains on."""

import functools
from collections.abc import Sequence

import numpy as np

from keras_attention.data.boxed_batches import (
    BoxedBatches,
    check_positive,
    fit_boxes,
    teacher_forced,
)
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


class TranslationBatches(BoxedBatches):
    """Batches for teacher-forced training, in few static shapes.

    Each batch is `(inputs, targets, sample_weight)`:

        inputs["encoder_token_ids"]  (B, S) int32    the source
        inputs["decoder_token_ids"]  (B, T) int32    [start] y1 y2 ... yn
        targets                      (B, T) int32    y1 y2 ... yn [end]
        sample_weight                (B, T) float32  1, and 0 on padding

    with `pad_id` as padding. Compile with
    `losses.SparseCategoricalCrossentropy()`, whose mean leaves padding out;
    one of Keras wants `reduction="mean_with_sample_weight"` for that.

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
        check_positive(
            batch_size=batch_size,
            tokens_per_batch=tokens_per_batch,
            num_buckets=num_buckets,
        )
        _check_sides(sources, targets)
        self.sources, self.targets = sources, targets
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
        super().__init__(
            lengths,
            fit_boxes(lengths, num_buckets, rows_of),
            rows_of,
            shuffle,
            seed,
            initial_epoch,
            steps_per_epoch,
        )

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

    def _batch(self, shape, rows):
        batch_size, source_length, target_length = shape
        # Filled-up rows repeat real ones: a row of padding alone could give a
        # NaN somewhere, and weight 0 would not hide it.
        filled = np.resize(rows, batch_size)
        source = np.full((batch_size, source_length), self.pad_id, "int32")
        for i, row in enumerate(filled):
            ids = self.sources[row]
            source[i, : len(ids)] = ids
        decoder, target, weight = teacher_forced(
            [self.targets[row] for row in filled],
            len(rows),
            target_length,
            self.target_pad_id,
            self.start_id,
            self.end_id,
        )
        inputs = {"encoder_token_ids": source, "decoder_token_ids": decoder}
        return inputs, target, weight


def _rows_per_batch(batch_size, tokens_per_batch, source_length, target_length):
    if tokens_per_batch is None:
        return batch_size
    return tokens_per_batch // np.maximum(source_length, target_length)


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
