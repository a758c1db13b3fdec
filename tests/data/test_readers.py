import socket
import sys
import time

import pytest

from keras_attention.data import tfds_sets
from keras_attention.data.readers import (
    SkippedRow,
    read_aligned,
    read_tfds,
    read_tsv,
)


def write(tmp_path, data):
    path = tmp_path / "pairs.tsv"
    path.write_bytes(data)
    return path


def test_read_tsv_gives_stripped_pairs(tmp_path):
    data = "\ufeffone \tuno\r\ntwo cats\tdos gatos\n".encode()
    pairs, skipped = read_tsv(write(tmp_path, data))
    assert pairs == [("one", "uno"), ("two cats", "dos gatos")]
    assert skipped == []


BAD_ROWS = [
    (b"a\tb\none column\n", 2, "1 column instead of 2"),
    (b"a\tb\tc\n", 1, "3 columns instead of 2"),
    (b"a\tb\n\nc\td\n", 2, "1 column instead of 2"),
    (b"a\tb\nc\t \n", 2, "the target is empty"),
    (b"\tb\n", 1, "the source is empty"),
    (b"a\tb\nc\td\ne\tcaf\xe9\n", 3, "byte 0xe9 at column 5 is not UTF-8"),
]


@pytest.mark.parametrize("data, line, reason", BAD_ROWS)
def test_a_bad_row_is_named_by_its_line(tmp_path, data, line, reason):
    with pytest.raises(ValueError, match=f"line {line}: {reason}"):
        read_tsv(write(tmp_path, data))


def test_bad_rows_are_skipped_and_reported_on_request(tmp_path):
    data = b"a\tb\nbad\n\xff\tc\nd\te\n\tf\n"
    pairs, skipped = read_tsv(write(tmp_path, data), on_error="skip")
    assert pairs == [("a", "b"), ("d", "e")]
    assert skipped == [
        SkippedRow(2, "1 column instead of 2"),
        SkippedRow(3, "byte 0xff at column 0 is not UTF-8"),
        SkippedRow(5, "the source is empty"),
    ]


def test_a_file_without_pairs_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Received: an empty file"):
        read_tsv(write(tmp_path, b""))
    with pytest.raises(ValueError, match="2 lines, none of them usable"):
        read_tsv(write(tmp_path, b"a\nb\n"), on_error="skip")
    with pytest.raises(ValueError, match="none.tsv.*No such file"):
        read_tsv(tmp_path / "none.tsv")
    with pytest.raises(ValueError, match="directory"):
        read_tsv(tmp_path)
    with pytest.raises(ValueError, match="on_error='ignore'"):
        read_tsv(tmp_path, on_error="ignore")


def write_sides(tmp_path, source, target):
    paths = tmp_path / "text.en", tmp_path / "text.es"
    for path, data in zip(paths, (source, target), strict=True):
        path.write_bytes(data)
    return paths


def test_lines_of_two_files_become_pairs(tmp_path):
    paths = write_sides(
        tmp_path,
        "\ufeffone\r\ntwo\u2028cats\r\n".encode(),
        b"uno\n dos\tgatos",
    )
    pairs, skipped = read_aligned(*paths)
    assert pairs == [("one", "uno"), ("two\u2028cats", "dos\tgatos")]
    assert skipped == []


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize(
    ("source", "target", "longer"),
    [(b"a\nb\nc\n", b"d\n", "en"), (b"a\n", b"b\nc\n\n", "es")],
)
def test_files_of_unequal_length_are_refused(
    tmp_path, source, target, longer, on_error
):
    paths = write_sides(tmp_path, source, target)
    counts = f"text.en with {source.count(10)}, .*text.es with "
    counts += f"{target.count(10)}; line 2 of .*text.{longer} is the first"
    with pytest.raises(ValueError, match=counts):
        read_aligned(*paths, on_error=on_error)


def test_unusable_pairs_are_named_or_skipped_on_request(tmp_path):
    paths = write_sides(tmp_path, b"a\n\xff\nc\n \ne\n", b"A\nB\n\xc3\nD\n\n")
    with pytest.raises(ValueError, match="line 2: byte 0xff at column 0 is no"):
        read_aligned(*paths)
    pairs, skipped = read_aligned(*paths, on_error="skip")
    assert pairs == [("a", "A")]
    assert skipped == [
        SkippedRow(2, "byte 0xff at column 0 is not UTF-8 in the source"),
        SkippedRow(3, "byte 0xc3 at column 0 is not UTF-8 in the target"),
        SkippedRow(4, "the source is empty"),
        SkippedRow(5, "the target is empty"),
    ]
    paths = write_sides(tmp_path, b"a\n\n", b"\nb\n")
    with pytest.raises(
        ValueError, match="2 lines, none of them usable; line 1"
    ):
        read_aligned(*paths, on_error="skip")


def test_files_that_cannot_be_read_are_named_by_their_argument(tmp_path):
    source, target = write_sides(tmp_path, b"a\n", b"")
    with pytest.raises(ValueError, match="text.es must hold .*an empty file"):
        read_aligned(source, target)
    with pytest.raises(ValueError, match="target_path='.*none' .No such file"):
        read_aligned(source, tmp_path / "none")
    with pytest.raises(ValueError, match="`source_path` must be .*directory"):
        read_aligned(tmp_path, target)
    with pytest.raises(ValueError, match="on_error='ignore'"):
        read_aligned(source, target, on_error="ignore")


@pytest.fixture(scope="module")
def tfds():
    return pytest.importorskip("tensorflow_datasets")


@pytest.fixture(scope="module")
def tiny(tfds, tmp_path_factory):
    """A prepared set of three languages, and the folder it is in."""

    class TinyTranslate(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.Translation(
                    languages=["de", "en", "fr"]
                ),
                supervised_keys=("en", "de"),
            )

        def _split_generators(self, _):
            return {"train": self._generate_examples(7)}

        def _generate_examples(self, number):
            for i in range(number):
                texts = dict(
                    de=f" Hühner {i}", en=f"hens {i}", fr=f"poules {i}"
                )
                yield i, texts if i != 5 else {**texts, "de": " "}

    folder = tmp_path_factory.mktemp("sets")
    TinyTranslate(data_dir=str(folder)).download_and_prepare()
    return folder


def test_a_set_on_the_disk_is_read_by_its_name(tiny):
    pairs, skipped = read_tfds("tiny_translate", data_dir=tiny, on_error="skip")
    assert sorted(pairs) == [
        (f"hens {i}", f"Hühner {i}") for i in (0, 1, 2, 3, 4, 6)
    ]
    assert [row.reason for row in skipped] == ["the target is empty"]
    with pytest.raises(
        ValueError, match=r"0, train, example \d: the target is"
    ):
        read_tfds("tiny_translate", data_dir=tiny)
    again, _ = read_tfds("tiny_translate", data_dir=tiny, on_error="skip")
    assert again == pairs


def test_languages_and_parts_of_splits_are_chosen(tiny):
    pairs, _ = read_tfds(
        "tiny_translate", "train[:3]", "fr", "en", data_dir=tiny
    )
    assert [(a[:6], b[:4]) for a, b in pairs] == [("poules", "hens")] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(source="en", target="en"), "source='en', target='en'"),
        (dict(target="pt"), "target='pt' for tiny.*has de, en, fr"),
        (dict(split="test"), "split='test'.*Its splits are train;"),
        (dict(name="no_such_set"), "name='no_such_set'"),
        (dict(name="mnist"), "mnist/3.0.1 with .'image', 'label'"),
        (dict(name="opus", download=False), "opus/medical.* download=False"),
    ],
)
def test_what_a_set_does_not_have_is_refused(tiny, arguments, message):
    with pytest.raises(ValueError, match=message):
        read_tfds(**{"name": "tiny_translate", "data_dir": tiny, **arguments})


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("ted_hrlr_translate/pt_to_en", ("pt", "en")),
        ("wmt14_translate/de-en", ("de", "en")),
        ("opus", ("de", "en")),
        ("para_crawl/ende", ("en", "de")),
    ],
)
def test_the_sets_that_are_named_have_pairs(tfds, monkeypatch, name, sides):
    def as_dataset(self, *args, **kwargs):
        import tensorflow as tf

        texts = {language: [f"{language} text"] for language in sides}
        return tf.data.Dataset.from_tensor_slices(texts)

    monkeypatch.setattr(tfds_sets, "_answers", lambda host: True)
    with tfds.testing.mock_data(as_dataset_fn=as_dataset):
        pairs, _ = read_tfds(name)
        back, _ = read_tfds(name, source=sides[1])
    assert pairs == [tuple(f"{language} text" for language in sides)]
    assert back == [pairs[0][::-1]]


def test_random_examples_of_a_mocked_set_are_pairs(tfds, monkeypatch):
    monkeypatch.setattr(tfds_sets, "_answers", lambda host: True)
    with tfds.testing.mock_data(num_examples=5):
        pairs, skipped = read_tfds("opus", on_error="skip")
    assert len(pairs) + len(skipped) == 5


def test_a_folder_of_files_by_language_is_a_set(tfds, tmp_path):
    for name, text in (("en", "one\ntwo\n"), ("es", "uno\ndos\n")):
        (tmp_path / f"{name}.train.txt").write_text(text)
    builder = tfds.folder_dataset.TranslateFolder(str(tmp_path))
    pairs, _ = read_tfds(builder, source="en")
    assert pairs == [("one", "uno"), ("two", "dos")]
    with pytest.raises(ValueError, match="source=None, target=None"):
        read_tfds(builder)


def test_a_set_that_cannot_be_downloaded_fails_at_once(
    tfds, tmp_path, monkeypatch
):
    def no_network(*_, **__):
        raise socket.gaierror("no network")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    for variable in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    begin = time.monotonic()
    name = "ted_hrlr_translate/pt_to_en"
    with pytest.raises(ValueError, match="no answer from www.phontron.com"):
        read_tfds(name, data_dir=tmp_path)
    # The host answers, but not for the file.
    monkeypatch.setattr(tfds_sets, "_answers", lambda host: True)
    downloader = sys.modules["tensorflow_datasets.core.download.downloader"]
    retries = downloader.MAX_RETRIES
    with pytest.raises(ValueError, match=f"ConnectionError.*tfds build {name}"):
        read_tfds(name, data_dir=tmp_path)
    assert downloader.MAX_RETRIES == retries > 1
    assert time.monotonic() - begin < 10


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match=r"layers\[applications\]"):
        read_tfds("opus")
