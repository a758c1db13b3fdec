import keras
import numpy as np
import pytest

from keras_attention.data import ImageProcessor, WordTokenizer
from keras_attention.models import Caption, ConvEncoder, ShowAttendTell

WORDS = WordTokenizer.train(["a red ring and a blue cross is left of it"])
GRID, D = (2, 3), 5


def scattered(model, seed=0):
    """The model with weights that let it write something for each image."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_variables:
        weight.assign(rng.normal(0, 0.7, weight.shape))
    # An unknown word, written out, is not one token when it is read again.
    words = model.decoder.word_layer
    words.bias.assign(-50.0 * np.eye(words.units)[WORDS.unk_id])
    return model


def make(attention="soft", **options):
    return scattered(
        ShowAttendTell(
            tokenizer=WORDS,
            attention=attention,
            embedding_dim=7,
            hidden_dim=11,
            attention_dim=3,
            dropout=0.0,
            **options,
        )
    )


def features(count, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, *GRID, D)).astype("float32")


@pytest.fixture(scope="module")
def model():
    return make("hard", feature_shape=(*GRID, D))


@pytest.mark.parametrize("num_beams", [1, 3])
def test_captions_come_in_order_whatever_the_batch(model, num_beams):
    x = features(7)
    options = dict(num_beams=num_beams, max_length=6)
    captions = model.caption(x, **options)
    assert len({c.text for c in captions}) > 2
    for size in (1, 3):
        again = model.caption(list(x), batch_size=size, **options)
        for one, other in zip(captions, again, strict=True):
            assert one.tokens == other.tokens
            np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
            assert one.log_probability == pytest.approx(
                other.log_probability, abs=1e-4
            )
    assert model.generate(x, **options) == [c.text for c in captions]
    assert model.generate(x[2], **options) == captions[2].text


@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_caption_tells_what_its_own_words_read(model, num_beams):
    """The winner's, also where beams changed places on the way."""
    x = features(4)
    written = model.caption(x, num_beams=num_beams, max_length=6)
    assert all(isinstance(c, Caption) for c in written)
    given = model.align(x, [c.text for c in written])
    for found, forced in zip(written, given, strict=True):
        length = len(found.tokens)
        assert found.tokens == forced.tokens[:length]
        assert found.ended == (found.tokens[-1] == "[end]")
        assert found.scores.shape == (length, *GRID)
        np.testing.assert_allclose(
            found.scores, forced.scores[:length], atol=1e-5
        )
        np.testing.assert_allclose(
            found.scores.sum((1, 2)), np.ones(length), atol=1e-5
        )
        np.testing.assert_allclose(
            found.gates, forced.gates[:length], atol=1e-5
        )
        assert (found.samples == -1).all()  # inference by the expectation
        assert np.isnan(forced.log_probability)


def test_log_probabilities_are_those_of_the_words(model):
    x = features(3)
    for beams in (1, 2):
        captions = model.caption(x, num_beams=beams, max_length=6)
        for index, found in enumerate(captions):
            ids = [WORDS.start_id, *WORDS.tokenize([found.text])[0]]
            logits = keras.ops.convert_to_numpy(
                model(
                    {
                        "features": x[index : index + 1],
                        "decoder_token_ids": np.array([ids]),
                    }
                )
            )[0]
            logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
            written = ids[1:] + [WORDS.end_id] * found.ended
            expected = sum(logs[t, word] for t, word in enumerate(written))
            assert found.log_probability == pytest.approx(expected, abs=1e-3)


def test_hypotheses_are_sorted_and_differ(model):
    x = features(3)
    for row in model.hypotheses(x, num_results=3, num_beams=4, max_length=5):
        scores = [c.hypothesis_score for c in row]
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(c.tokens) for c in row}) == len(row) == 3


def test_samples_differ_and_a_seed_repeats_them(model):
    x = features(2)
    drawn = model.sample(x, num_results=5, seed=3, max_length=6)
    texts = [[c.text for c in row] for row in drawn]
    assert [len(row) for row in texts] == [5, 5]
    assert len(set(texts[0])) > 1
    again = model.sample(x, num_results=5, seed=3, max_length=6)
    assert texts == [[c.text for c in row] for row in again]
    cold = model.sample(x, temperature=1e-3, max_length=6)
    assert [row[0].text for row in cold] == model.generate(x, max_length=6)


def test_paths_pictures_and_bytes_are_read_by_the_processor(tmp_path):
    from PIL import Image

    encoder = ConvEncoder((16, 16, 3), (4, 5))
    model = make(encoder=encoder, image_processor=ImageProcessor((16, 16)))
    rng = np.random.default_rng(2)
    arrays = [rng.integers(0, 256, (20, 30, 3), "uint8") for _ in range(3)]
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, array in zip(paths, arrays, strict=True):
        Image.fromarray(array).save(path)
    expected = model.generate(arrays, max_length=5)
    assert model.generate(paths, max_length=5) == expected
    assert model.generate(str(paths[1]), max_length=5) == expected[1]
    assert model.generate(arrays[1], max_length=5) == expected[1]
    pictures = [Image.fromarray(x) for x in arrays]
    assert model.generate(pictures, max_length=5) == expected
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="broken.png"):
        model.generate([paths[0], tmp_path / "broken.png"])


def test_inputs_that_do_not_fit_are_refused(model):
    with pytest.raises(ValueError, match=r"features of shape \(2, 3, 5\)"):
        model.generate(np.zeros((2, 3, 3, 5)))
    with pytest.raises(ValueError, match="There must be images"):
        model.generate([])
    with pytest.raises(ValueError, match="one caption per image"):
        model.align(features(2), ["a ring"])
    with pytest.raises(ValueError, match="max_length"):
        model.generate(features(1), max_length=0)
    with pytest.raises(ValueError, match="num_results"):
        model.hypotheses(features(1), num_results=3, num_beams=2)
    silent = ShowAttendTell(
        9, feature_shape=(*GRID, D), embedding_dim=3, hidden_dim=3
    )
    with pytest.raises(ValueError, match="need a tokenizer"):
        silent.generate(features(1))
    encoder = ConvEncoder((16, 16, 3), (4, 5))
    other = make(encoder=encoder, image_processor=ImageProcessor((8, 8)))
    with pytest.raises(ValueError, match="Set an `image_processor`"):
        other.generate(np.zeros((1, 9, 9, 3), "uint8"))
