import itertools
import json

import numpy as np
import pytest

from applications.captioning import emoji, emoji_scores, train
from keras_attention.data import CaptionedImage, read_karpathy, split_words
from tests.applications.commands import refusal

pytestmark = pytest.mark.one_backend

ROLES = {"cook": "Koch", "judge": "Jura", "pilot": "Flug", "": ""}
TONES = {"": "", "light": "hell", "medium-dark": "mitteldunkel"}
COLOURS = np.array([[250, 220, 60], [250, 210, 180], [140, 90, 60]], "uint8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """24 people, a man and a woman of each role and tone, and two things."""
    folder = tmp_path_factory.mktemp("emoji")
    images, lines = np.zeros((26, 16, 16, 3), "uint8"), []
    for i, (person, role, tone) in enumerate(
        itertools.product(("man", "woman"), ROLES, TONES)
    ):
        # The skin above, the role below, at one side or the other.
        half = slice(0, 8) if person == "man" else slice(8, 16)
        images[i, :8, half] = COLOURS[list(TONES).index(tone)]
        images[i, 8:, half] = 60 * list(ROLES).index(role) + 20
        english, german = f"{person} {role}".strip(), ROLES[role]
        german = f"{'Mann' if person == 'man' else 'Frau'} {german}".strip()
        # A word for both: no other tells of it.
        german = german.replace("Frau Koch", "Köchin")
        if tone:
            english += f": {tone} skin tone"
            german += f": Haut {TONES[tone]}"
        lines.append({"en": english, "de": german})
    lines += [{"en": "anchor", "de": "Anker"}, {"en": "flag: Chad", "de": "x"}]
    save(folder, images, lines)
    return folder


def save(folder, images, lines):
    np.savez(folder / "images.npz", images=images)
    text = "\n".join(json.dumps(x) for x in lines)
    (folder / "captions.jsonl").write_text(text + "\n", encoding="utf-8")


def make(folder, output, *arguments):
    emoji.main([str(folder), "--output", str(output), *arguments])
    text = (output / "dataset.json").read_text(encoding="utf-8")
    return json.loads(text)["images"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("woman cook: dark skin tone", ("cook", "woman", "dark", "")),
        ("man: light skin tone, bald", ("", "man", "light", "bald")),
        ("person: red hair", ("", "person", "", "red hair")),
        ("man: dark skin tone, beard", ("beard", "man", "dark", "")),
        (
            "kiss: woman, man, dark skin tone, medium-light skin tone",
            ("kiss", "woman man", "dark medium-light", ""),
        ),
        (
            "woman and man holding hands",
            ("and holding hands", "woman man", "", ""),
        ),
        ("flag: Isle of Man", ("flag Isle of Man", "", "", "")),
        ("man’s shoe", ("man’s shoe", "", "", "")),
    ],
)
def test_a_name_says_what_a_person_has(name, expected):
    assert tuple(emoji.attributes_of(name).values()) == expected


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("unseen", ["tone", "person"])
def test_no_combination_of_the_test_is_trained_on_but_all_it_has(
    folder, unseen, seed
):
    _, names = emoji.read(folder, "de")
    chosen = emoji.split(names, unseen, 0.2, seed)
    parts = {
        part: [x for x, name in zip(names, chosen, strict=True) if name == part]
        for part in ("train", "val", "test")
    }
    # A fifth of 26, by both people of a tone, or by all tones of a person.
    assert len(parts["test"]) == len(parts["val"]) == 6

    def combinations(part):
        found = [emoji.attributes_of(english) for english, _ in parts[part]]
        return {(x["role"], x[unseen]) for x in found}

    assert not combinations("test") & combinations("train")
    assert combinations("val") <= combinations("train")

    def contents(part):
        found = set()
        for english, caption in parts[part]:
            found |= {*emoji.attributes_of(english).items()}
            found |= {*split_words(caption)}
        return found

    assert contents("test") | contents("val") <= contents("train")
    # Things have no company to be seen in.
    assert {"anchor", "flag: Chad"} <= {
        english for english, _ in parts["train"]
    }


def test_the_reader_of_karpathy_reads_what_is_written(folder, tmp_path):
    records = make(folder, tmp_path / "en")
    assert records == make(folder, tmp_path / "again")
    others = make(folder, tmp_path / "other", "--seed", "1")
    assert records != others
    examples, _ = read_karpathy(
        tmp_path / "en" / "dataset.json", tmp_path / "en" / "images", "train"
    )
    train_records = [x for x in records if x["split"] == "train"]
    assert len(examples) == len(train_records)
    from PIL import Image

    images = np.load(folder / "images.npz")["images"]
    for example in examples:
        with Image.open(example.image) as image:
            index = int(example.name.removesuffix(".png"))
            np.testing.assert_array_equal(np.asarray(image), images[index])


def test_a_caption_says_what_the_picture_of_that_name_shows():
    names = ["woman Santa: dark skin tone", "man Santa", "man: red hair"]
    attributes = {
        f"{i}.png": emoji.attributes_of(name) for i, name in enumerate(names)
    }
    named = {
        emoji_scores.words_of(x): emoji.attributes_of(x)
        for x in (*names, "man Santa: dark skin tone")
    }
    examples = [
        CaptionedImage("", (name,), name=f"{i}.png")
        for i, name in enumerate(names)
    ]
    found = emoji_scores.score(
        examples,
        ["man santa: dark skin tone", "man santa", "man: red skin hair"],
        named,
        attributes,
    )
    # The last is no name: it says nothing. The tone of the second is none.
    assert found == pytest.approx(
        {"exact": 1 / 3, "role": 1, "person": 1 / 3, "tone": 2 / 3, "hair": 0}
    )


def test_a_small_captioner_learns_names_and_is_scored(folder, tmp_path, capsys):
    """The recipe `named_small`, on a set with splits of its own."""
    make(folder, tmp_path / "en", "--share", "0.2")
    run = tmp_path / "run"
    arguments = ["--recipe", "named_small", "--output", run, "--verbose", "0"]
    arguments += ["--karpathy", tmp_path / "en" / "dataset.json"]
    arguments += ["--images", tmp_path / "en" / "images", "--set"]
    arguments += ["image_size=32", "hidden_dim=32", "num_buckets=1"]
    arguments += ["batch_size=8", "steps=160", "steps_per_epoch=40"]
    train.main([*map(str, arguments), "warmup_steps=10", "learning_rate=5e-3"])
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    losses = [x["val_loss"] for x in metrics["history"]]
    assert losses[-1] < losses[0] / 2
    capsys.readouterr()
    emoji_scores.main([str(run)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "| run | combinations | exact | role | person | tone | hair |"
    )
    seen, unseen = (line.strip("| ").split(" | ") for line in lines[2:])
    assert seen[:2] == ["`run`", "seen"] and unseen[:2] == ["`run`", "unseen"]
    # Chance finds one of two sides and one of three tones.
    for name, chance in (("person", 1 / 2), ("tone", 1 / 3)):
        column = emoji_scores.ATTRIBUTES.index(name) + 3
        found = float(seen[column]) + float(unseen[column])
        assert found / 2 > chance + 0.25
    named = tmp_path / "en" / "dataset.json"
    other = json.loads(named.read_text(encoding="utf-8"))
    del other["images"][0]["attributes"]
    named.write_text(json.dumps(other), encoding="utf-8")
    text = refusal(capsys, emoji_scores.main, run)
    assert "what applications.captioning.emoji has made" in text


def test_what_cannot_be_made_is_refused(folder, tmp_path, capsys):
    def refused(source, *arguments, output="new"):
        arguments = (source, "--output", tmp_path / output, *arguments)
        return refusal(capsys, emoji.main, *arguments)

    text = refused(folder, "--language", "it")
    assert "in the languages en and it. Received: en, de" in text
    assert "line 1)" in text
    assert "less than a half. Received: 0.5" in refused(
        folder, "--share", "0.5"
    )
    (tmp_path / "there").mkdir()
    assert "there, which is there" in refused(folder, output="there")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "of a file images.npz" in refused(empty)
    images = np.zeros((3, 8, 8, 3), "uint8")
    np.savez(empty / "images.npz", images=images)
    assert "captions.jsonl" in refused(empty)
    save(empty, images, [{"en": "a"}])
    assert "1 lines, images of shape (3, 8, 8, 3)" in refused(empty)
    save(empty, images, [{"en": x} for x in ("hat", "fan", "man")])
    assert "3 pictures and none for test, val" in refused(empty)
    save(empty, images, [{"en": x} for x in ("hat", "", "man")])
    assert "a name that is empty or no text" in refused(empty)
    save(empty, images, [["en"]] * 3)
    assert "Received: no object" in refused(empty)
    (empty / "captions.jsonl").write_text("{\n" * 3, encoding="utf-8")
    assert "JSONDecodeError" in refused(empty)
    assert not (tmp_path / "new").exists()
