import pytest
from PIL import Image

from keras_attention.data import (
    CaptionedImage,
    SkippedFile,
    read_captions_tsv,
    read_flickr_tokens,
)
from tests.data.caption_files import captions_of, reasons, save_picture


@pytest.fixture
def flickr(tmp_path):
    folder = tmp_path / "Flicker8k_Dataset"
    for name in ("12_ab.jpg", "34_cd.jpg", "56_ef.jpg"):
        save_picture(folder / name)
    (tmp_path / "Flickr8k.token.txt").write_text(
        "34_cd.jpg#0\tA child in a pink dress .\n"
        "34_cd.jpg#1\tA girl going into a building .\n"
        "12_ab.jpg#0\tA black dog .\n"
        "56_ef.jpg#0\tTwo dogs .\n"
        "12_ab.jpg#1\tA dog # 2 runs .\n"
    )
    (tmp_path / "train.txt").write_text("12_ab.jpg\n34_cd.jpg\n\n")
    return tmp_path


def test_flickrs_tokens_are_grouped_by_picture(flickr):
    folder = flickr / "Flicker8k_Dataset"
    examples, skipped = read_flickr_tokens(
        flickr / "Flickr8k.token.txt", folder
    )
    assert skipped == []
    assert list(captions_of(examples).items()) == [
        (
            "34_cd.jpg",
            ("A child in a pink dress .", "A girl going into a building ."),
        ),
        ("12_ab.jpg", ("A black dog .", "A dog # 2 runs .")),
        ("56_ef.jpg", ("Two dogs .",)),
    ]
    assert examples[0].image == str(folder / "34_cd.jpg")
    some, _ = read_flickr_tokens(
        flickr / "Flickr8k.token.txt", folder, flickr / "train.txt"
    )
    assert some == [examples[1], examples[0]]


def test_lines_of_flickr_that_are_none_and_lone_pictures_are_told(flickr):
    path, folder = flickr / "Flickr8k.token.txt", flickr / "Flicker8k_Dataset"
    good = path.read_bytes()
    # The captions of one picture that Flickr8k lacks, as they are there.
    path.write_bytes(
        good
        + b"2258277193_586949ec62.jpg.1#0\tpeople waiting\n"
        + b"12_ab.jpg\tno number\n56_ef.jpg#x\tno number\nno tab\n"
        + b"56_ef.jpg#1\t \n56_ef.jpg#2\tcaf\xe9\n"
    )
    lone = save_picture(folder / "78_gh.jpg")
    (folder / "readme.txt").write_text("about these pictures")
    with pytest.raises(
        ValueError, match="line 7: '12_ab.jpg' is not a name, #"
    ):
        read_flickr_tokens(path, folder)
    examples, skipped = read_flickr_tokens(path, folder, on_error="skip")
    assert len(examples) == 3 and examples[2].captions == ("Two dogs .",)
    assert reasons(skipped) == {
        ("2258277193_586949ec62.jpg.1", "there is no such file"),
        (path.name, "line 7: '12_ab.jpg' is not a name, # and a number"),
        (path.name, "line 8: '56_ef.jpg#x' is not a name, # and a number"),
        (path.name, "line 9: 1 column instead of 2"),
        ("56_ef.jpg", "caption 2 is empty"),
        (path.name, "line 11: byte 0xe9 at column 15 is not UTF-8"),
        (lone.name, "it has no captions"),
    }
    # Of a split, others do not matter.
    path.write_bytes(good)
    names = flickr / "train.txt"
    examples, skipped = read_flickr_tokens(path, folder, names)
    assert len(examples) == 2 and skipped == []
    names.write_bytes(b"12_ab.jpg\n99_zz.jpg\ncaf\xe9.jpg\n")
    with pytest.raises(ValueError, match=r"99_zz\.jpg: it has no captions"):
        read_flickr_tokens(path, folder, names)
    _, skipped = read_flickr_tokens(path, folder, names, on_error="skip")
    assert reasons(skipped) == {
        ("99_zz.jpg", "it has no captions"),
        ("99_zz.jpg", "there is no such file"),
        ("train.txt", "line 3: byte 0xe9 at column 3 is not UTF-8"),
    }


def test_a_table_may_have_several_rows_for_a_picture(tmp_path):
    for name in ("dogs/1.png", "cats/1.png"):
        save_picture(tmp_path / name)
    table = tmp_path / "captions.tsv"
    table.write_bytes(
        b"\xef\xbb\xbfdogs/1.png\ta dog runs\r\n"
        b"cats/1.png\tzwei K\xc3\xa4tzchen\r\n"
        b"dogs/1.png\ta brown dog\r\n"
    )
    examples, skipped = read_captions_tsv(table)
    assert skipped == []
    assert examples == [
        CaptionedImage(
            str(tmp_path / "dogs" / "1.png"),
            ("a dog runs", "a brown dog"),
            name="dogs/1.png",
        ),
        CaptionedImage(
            str(tmp_path / "cats" / "1.png"),
            ("zwei Kätzchen",),
            name="cats/1.png",
        ),
    ]
    # Its paths may be of another folder.
    (tmp_path / "tables").mkdir()
    moved = table.rename(tmp_path / "tables" / "captions.tsv")
    assert read_captions_tsv(moved, tmp_path)[0] == examples


def test_rows_of_a_table_that_cannot_be_used_are_told(tmp_path):
    picture = save_picture(tmp_path / "1.png")
    table = tmp_path / "captions.tsv"
    table.write_text(
        "image\tcaption\n1.png\n1.png\ta\tb\n\ta caption\n"
        "1.png\t\n1.png\ta dog\n"
    )
    with pytest.raises(ValueError, match="line 2: 1 column instead of 2"):
        read_captions_tsv(table)
    (example,), skipped = read_captions_tsv(table, on_error="skip")
    assert example.captions == ("a dog",)
    assert reasons(skipped) == {
        ("image", "there is no such file"),
        ("captions.tsv", "line 2: 1 column instead of 2"),
        ("captions.tsv", "line 3: 3 columns instead of 2"),
        ("captions.tsv", "line 4: it names no picture"),
        ("1.png", "caption 1 is empty"),
    }
    assert all(type(file) is SkippedFile for file in skipped)
    table.write_text("1.png\t \n")
    with pytest.raises(ValueError, match="caption 1 is empty; .*no other capt"):
        read_captions_tsv(table, on_error="skip")
    Image.new("L", (4, 4)).save(picture)  # grey ones are pictures too
    table.write_text("1.png\ta dog\n")
    assert len(read_captions_tsv(table)[0]) == 1


def test_files_that_are_not_there_are_refused(tmp_path):
    for read in (read_flickr_tokens, read_captions_tsv):
        with pytest.raises(ValueError, match="a file of captions.*No such"):
            read(tmp_path / "nothing.txt", tmp_path)
        with pytest.raises(ValueError, match="`image_folder` must be a folder"):
            read(tmp_path / "nothing.txt", tmp_path / "nowhere")
