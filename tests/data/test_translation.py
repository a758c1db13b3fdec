import itertools
import warnings

import keras
import numpy as np
import pytest

from keras_attention.data.tokenizers import WordTokenizer
from keras_attention.data.translation import (
    TranslationBatches,
    filter_by_length,
    split_blocks,
)


def random_sentences(num, seed=0, longest=40):
    """Lengths like those of a text: many of 20 words, sides alike."""
    rng = np.random.default_rng(seed)
    sources = rng.gamma(5, 4, num).astype(int).clip(1, longest)
    targets = (sources * rng.normal(1, 0.15, num)).astype(int).clip(1, None)
    # The first id of a row is its number, so that rows can be told apart.
    return [
        [[4 + row, *rng.integers(4, 99, n - 1).tolist()] for row, n in sides]
        for sides in (enumerate(sources), enumerate(targets))
    ]


SOURCES, TARGETS = random_sentences(997)


def rows_of_epoch(batches):
    """Row numbers of an epoch in the order served, those of weight 0 out."""
    return [
        int(inputs["encoder_token_ids"][i, 0]) - 4
        for inputs, _, weights in (batches[k] for k in range(len_of(batches)))
        for i in np.flatnonzero(weights[:, 0])
    ]


def len_of(batches):
    return batches.num_batches


def test_blocks_are_contiguous_and_cover_everything():
    blocks = split_blocks(list(range(23)), validation=5, test=7)
    assert [len(block) for block in blocks] == [11, 5, 7]
    assert list(itertools.chain(*blocks)) == list(range(23))
    with pytest.raises(ValueError, match="12 pairs, validation=5, test=7"):
        split_blocks(list(range(12)), validation=5, test=7)


def test_the_length_filter_looks_at_both_sides_and_counts():
    pairs = [("a", "b c d"), ("a b", "c d"), ("a b c", "d"), ("a", "b")]
    assert filter_by_length(pairs, 2) == ([("a b", "c d"), ("a", "b")], 2)
    assert filter_by_length(pairs, 2, min_words=2) == ([("a b", "c d")], 3)
    with pytest.raises(ValueError, match="min_words=3, max_words=2"):
        filter_by_length(pairs, 2, min_words=3)


def test_long_sides_are_cut_on_request_and_counted():
    pairs = [("a b", "c"), ("a, cat's b", "niño  हिन्दी भाषा"), ("a", "")]
    cut = [("a b", "c"), ("a, cat", "niño  हिन्दी भाषा")]
    assert filter_by_length(pairs, 3, truncate=True) == (cut, 2)
    assert filter_by_length(pairs, 3) == (cut[:1], 2)
    cut = [("a", "c"), ("a", "niño"), ("a", "")]
    assert filter_by_length(pairs, 1, 0, truncate=True) == (cut, 2)
    cut = [("", "")] * 3
    assert filter_by_length(pairs, 0, 0, truncate=True) == (cut, 3)


def test_a_batch_teaches_each_next_token():
    batches = TranslationBatches(SOURCES, TARGETS, batch_size=13)
    for k in range(batches.num_batches):
        inputs, targets, weights = batches[k]
        source = inputs["encoder_token_ids"]
        decoder = inputs["decoder_token_ids"]
        assert source.dtype == decoder.dtype == targets.dtype == np.int32
        assert weights.dtype == np.float32
        for i in range(13):
            row = int(source[i, 0]) - 4
            s, t = SOURCES[row], TARGETS[row]
            pad = [0] * source.shape[1]
            assert source[i].tolist() == (s + pad)[: len(pad)]
            pad = [0] * targets.shape[1]
            assert decoder[i].tolist() == ([2] + t + pad)[: len(pad)]
            assert targets[i].tolist() == (t + [3] + pad)[: len(pad)]
            if weights[i].any():
                assert (
                    weights[i].tolist()
                    == ([1.0] * (len(t) + 1) + [0.0] * len(pad))[: len(pad)]
                )


def test_special_ids_may_be_others():
    batches = TranslationBatches(
        [[7, 0], [8]],
        [[4, 5, 6], [9]],
        batch_size=2,
        num_buckets=1,
        shuffle=False,
        pad_id=11,
        start_id=13,
        end_id=0,
        target_pad_id=17,
    )
    inputs, targets, _ = batches[0]
    assert inputs["encoder_token_ids"].tolist() == [[7, 0], [8, 11]]
    assert inputs["decoder_token_ids"].tolist() == [
        [13, 4, 5, 6],
        [13, 9, 17, 17],
    ]
    assert targets.tolist() == [[4, 5, 6, 0], [9, 0, 17, 17]]


@pytest.mark.parametrize("size", [{}, {"tokens_per_batch": 700}])
def test_shapes_are_static_and_at_most_as_many_as_asked(size):
    for num_buckets in (1, 2, 7):
        batches = TranslationBatches(
            SOURCES, TARGETS, 11, num_buckets=num_buckets, **size
        )
        assert len(batches.shapes) <= num_buckets
        served = {
            (*inputs["encoder_token_ids"].shape, targets.shape[1])
            for inputs, targets, _ in (
                batches[k] for k in range(batches.num_batches)
            )
        }
        assert served == set(batches.shapes)
        if size:
            assert all(b * max(s, t) <= 700 for b, s, t in batches.shapes)


def test_an_epoch_has_every_pair_once():
    for shuffle in (True, False):
        batches = TranslationBatches(
            SOURCES, TARGETS, batch_size=13, shuffle=shuffle
        )
        assert sorted(rows_of_epoch(batches)) == list(range(997))


def test_padding_is_at_most_a_quarter_and_is_reported_truly():
    batches = TranslationBatches(*random_sentences(5003), batch_size=64)
    real = cells = 0
    for k in range(batches.num_batches):
        inputs, _, weights = batches[k]
        filled = weights[:, :1] > 0
        real += ((inputs["encoder_token_ids"] > 0) * filled).sum()
        real += weights.sum()
        cells += inputs["encoder_token_ids"].size + weights.size
    assert batches.padding == pytest.approx(1 - real / cells)
    assert batches.padding < 0.25
    one = TranslationBatches(*random_sentences(5003), num_buckets=1)
    assert one.padding > 0.45


def test_a_resumed_epoch_is_the_one_that_would_have_come():
    batches = TranslationBatches(SOURCES, TARGETS, batch_size=31, seed=5)
    epochs = []
    for epoch in range(3):
        batches.set_epoch(epoch)
        epochs.append(rows_of_epoch(batches))
    assert epochs[0] != epochs[1] != epochs[2]
    resumed = TranslationBatches(
        SOURCES, TARGETS, batch_size=31, seed=5, initial_epoch=2
    )
    assert rows_of_epoch(resumed) == epochs[2]
    other = TranslationBatches(SOURCES, TARGETS, batch_size=31, seed=6)
    assert rows_of_epoch(other) != epochs[0]
    fixed = TranslationBatches(SOURCES, TARGETS, batch_size=31, shuffle=False)
    first = rows_of_epoch(fixed)
    fixed.set_epoch(1)
    assert rows_of_epoch(fixed) == first


def test_fixed_steps_stream_through_the_passes_without_a_gap():
    whole = TranslationBatches(SOURCES, TARGETS, batch_size=31)
    steps = whole.num_batches // 2 + 1
    parts = TranslationBatches(
        SOURCES, TARGETS, batch_size=31, steps_per_epoch=steps
    )
    assert parts.num_batches == steps
    streamed = []
    for epoch in range(2):
        parts.set_epoch(epoch)
        streamed += rows_of_epoch(parts)
    # The two half epochs hold the first pass once, and a bit of the second.
    assert set(streamed) == set(range(997))
    assert len(streamed) < 997 + 2 * 31 + 1


def test_the_first_two_batches_show_which_axes_change():
    """Keras on TensorFlow infers the shapes of an epoch from these two."""
    for epoch in range(9):
        batches = TranslationBatches(
            SOURCES, TARGETS, batch_size=31, initial_epoch=epoch
        )
        (one, y_one, _), (two, y_two, _) = batches[0], batches[1]
        assert (
            one["encoder_token_ids"].shape[1]
            != (two["encoder_token_ids"].shape[1])
        )
        assert y_one.shape[1] != y_two.shape[1]


def test_an_epoch_too_short_to_show_them_is_padded_once():
    seen = set()
    for epoch in range(20):
        batches = TranslationBatches(
            SOURCES, TARGETS, 31, steps_per_epoch=2, initial_epoch=epoch
        )
        assert batches[0][1].shape[1] != batches[1][1].shape[1]
        seen.add(batches[1][1].shape[1])
    longest = max(target for _, _, target in batches.shapes)
    assert longest + 1 in seen
    with pytest.raises(ValueError, match="at least 2 .*steps_per_epoch=1"):
        TranslationBatches(SOURCES, TARGETS, 31, steps_per_epoch=1)


def tiny_model(vocabulary_size):
    source = keras.Input((None,), dtype="int32", name="encoder_token_ids")
    target = keras.Input((None,), dtype="int32", name="decoder_token_ids")
    x = keras.layers.Embedding(vocabulary_size, 5)(source)
    x = keras.layers.GlobalAveragePooling1D(keepdims=True)(x)
    y = keras.layers.Embedding(vocabulary_size, 5)(target)
    outputs = keras.layers.Dense(vocabulary_size)(y + x)
    model = keras.Model([source, target], outputs)
    model.compile(
        optimizer="adam",
        loss=keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
        jit_compile=False,
    )
    return model


@pytest.mark.parametrize("steps_per_epoch", [None, 3])
def test_fit_reads_each_epoch_and_advances(steps_per_epoch):
    sources, targets = random_sentences(61, longest=9)
    batches = TranslationBatches(
        sources,
        targets,
        batch_size=7,
        num_buckets=4,
        steps_per_epoch=steps_per_epoch,
    )
    assert len(batches.shapes) > 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = tiny_model(101)
        history = model.fit(batches, epochs=2, shuffle=False, verbose=0)
    assert len(history.history["loss"]) == 2
    assert batches.epoch == 2


def test_evaluate_weighs_every_token_alike():
    sources, targets = random_sentences(23, longest=9)
    model = tiny_model(101)
    losses = [
        float(
            model.evaluate(
                TranslationBatches(sources, targets, batch_size=size), verbose=0
            )
        )
        for size in (23, 64)  # 64: rows of weight 0 beside the 23
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_text_becomes_batches_through_two_tokenizers():
    pairs = [("the cat sleeps", "le chat dort"), ("the cats", "les chats")]
    english = WordTokenizer.train([source for source, _ in pairs])
    french = WordTokenizer.train([target for _, target in pairs])
    batches = TranslationBatches.from_text(
        pairs, english, french, batch_size=2, num_buckets=1, shuffle=False
    )
    inputs, targets, _ = batches[0]
    assert english.detokenize(inputs["encoder_token_ids"]) == [
        source for source, _ in pairs
    ]
    assert french.detokenize(targets) == [target for _, target in pairs]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"sources": [], "targets": []}, "at least one pair.*Received: none"),
        ({"targets": [[5]]}, "2 sources, 1 targets"),
        ({"sources": [[5], []]}, "an empty source at index 1"),
        ({"targets": [[], [5]]}, "an empty target at index 0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"num_buckets": 0}, "num_buckets=0"),
        ({"steps_per_epoch": -1}, "steps_per_epoch=-1"),
        ({"seed": -1}, "seed=-1"),
        ({"initial_epoch": -2}, "initial_epoch=-2"),
        ({"tokens_per_batch": 3}, "tokens_per_batch=3, longest=4"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    good = {"sources": [[5], [6, 7]], "targets": [[5, 6, 7], [6]]}
    TranslationBatches(**good)
    with pytest.raises(ValueError, match=message):
        TranslationBatches(**{**good, **arguments})


def test_batches_end_where_they_say():
    batches = TranslationBatches([[5]], [[6]])
    with pytest.raises(IndexError):
        batches[1]
    with pytest.raises(ValueError, match="epoch=-1"):
        batches.set_epoch(-1)
