import dataclasses
import io
import json
import re
import select
import shutil
import subprocess
import sys
import types

import keras
import numpy as np
import pytest

from applications.common import folders
from applications.translation import (
    compare,
    evaluate,
    experiment,
    run_folder,
    scoring,
    table,
    text_files,
    train,
    translate,
)
from applications.translation.recipes import RECIPES, Recipe, make_recipe
from keras_attention.models import RNNSearch
from tests.applications.commands import refusal, train_and_be_killed

pytestmark = pytest.mark.one_backend


def run_smoke(folder, *arguments):
    train.main(
        ["--recipe", "smoke", "--verbose", "0", "--output", str(folder)]
        + [str(argument) for argument in arguments]
    )


def read_metrics(folder):
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "smoke"
    run_smoke(folder)
    return folder


def copy_run(smoke, folder, path=None, skip_bad_rows=False, seed=0, **changes):
    """A finished run like `smoke`, as if of other choices."""
    shutil.copytree(smoke, folder, ignore=shutil.ignore_patterns("logs"))
    recipe = dataclasses.replace(RECIPES["smoke"], **changes)
    about = run_folder.description("smoke", recipe, path, seed, skip_bad_rows)
    folders.write_json(folder / "recipe.json", about)
    return folder


def test_the_smoke_recipe_learns_to_translate(smoke):
    metrics = read_metrics(smoke)
    losses = [logs["val_loss"] for logs in metrics["history"]]
    assert losses[-1] < losses[0] / 10
    # Of some 60 ways to fill a noun phrase, chance would find one at a time.
    assert metrics["results"]["exact_matches"] > 0.7
    words = metrics["results"]["alignment"]
    assert words["crossing"] > 0.8 > words["diagonal_crossing"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("seq2seq_lstm_tiny", []),
        ("luong_nmt_tiny", ["alignment=local_predictive"]),
        ("transformer_tiny", ["hidden_dim=64", "embedding_dim=None"]),
    ],
)
def test_the_other_systems_train_in_a_run(tmp_path, preset, changes):
    run_smoke(tmp_path / "run", "--set", f"preset={preset}", *changes)
    metrics = read_metrics(tmp_path / "run")
    losses = [logs["val_loss"] for logs in metrics["history"]]
    assert losses[-1] < 0.7 * losses[0]
    attends = preset != "seq2seq_lstm_tiny"
    assert (tmp_path / "run" / "alignment.png").is_file() == attends
    assert ("alignment" in metrics["results"]) == attends
    model, _, _ = experiment.read_run(tmp_path / "run")
    assert model.generate("the small black cats sleep")
    if not attends:
        with pytest.raises(SystemExit):
            translate.main(
                [str(tmp_path / "run"), "a cat", "--alignment", "cat.png"]
            )


def test_a_run_folder_holds_what_a_reader_needs(smoke):
    names = {path.name for path in smoke.iterdir()} - {"logs"}
    assert names == {
        "alignment.png",
        "metrics.json",
        "model",
        "recipe.json",
        "translations.txt",
    }
    samples = (smoke / "translations.txt").read_text(encoding="utf-8")
    assert samples.count("translated ") == 10
    model, recipe, about = experiment.read_run(smoke)
    assert recipe == RECIPES["smoke"]
    assert (about["recipe"], about["seed"]) == ("smoke", 0)
    if keras.backend.backend() == "tensorflow":
        assert any((smoke / "logs").rglob("events.*"))


def test_it_translates_given_sentences_and_draws_them(smoke, tmp_path, capsys):
    figure, page = tmp_path / "cats.png", tmp_path / "cats.html"
    sentences = ["the small black cats sleep", "a wolf sings now"]
    options = ["--alignment", str(figure), "--page", str(page)]
    translate.main([str(smoke), *sentences, *options])
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2
    assert printed[1] == "maintenant un loup chante"
    assert figure.read_bytes().startswith(b"\x89PNG")
    words = re.findall("<button.*>(.+)</button>", page.read_text("utf-8"))
    start = len(sentences[0].split())
    assert words[:start] == sentences[0].split()
    assert words[-5:] == ["maintenant", "un", "loup", "chante", "[end]"]
    translate.main([str(smoke), *sentences, "--num-beams", "3"])
    assert capsys.readouterr().out.splitlines()[1] == printed[1]


def test_evaluate_repeats_the_scores_of_the_run(smoke, tmp_path, capsys):
    evaluate.main([str(smoke)])
    bleu = read_metrics(smoke)["results"]["bleu"]
    expected = f"BLEU {bleu['score']:.1f} ± {bleu['confidence']:.1f} "
    assert expected in capsys.readouterr().out
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("a wolf sings now\tmaintenant un loup chante\n")
    evaluate.main([str(smoke), "--data", str(pairs)])
    assert "exact matches 100.0 %" in capsys.readouterr().out


def test_the_standard_input_is_translated_line_by_line(
    smoke, monkeypatch, capsys
):
    def pipe(data):
        buffer = io.BytesIO(data)
        stdin = types.SimpleNamespace(buffer=buffer, isatty=lambda: False)
        monkeypatch.setattr(sys, "stdin", stdin)

    pipe("a wolf sings now\r\na wolf\u2028sings now\n".encode())
    translate.main([str(smoke)])
    printed = capsys.readouterr().out.split("\n")
    assert printed == ["maintenant un loup chante"] * 2 + [""]
    lines = text_files.read_lines(io.BytesIO(b"\xef\xbb\xbfa\r\n\nb"))
    assert lines == ["a", "", "b"]
    pipe(b"a wolf sings now\na \xff sings now\n")
    assert "byte 0xff in line 2" in refusal(capsys, translate.main, smoke)


def test_a_file_is_translated_to_files(smoke, tmp_path, monkeypatch, capsys):
    sentences = ["a wolf sings now", "", " ", "the small black cats sleep"]
    paths = {x: tmp_path / x for x in ("input", "output", "pharaoh", "scores")}
    # Without a line feed at the end, and more than are translated at once.
    paths["input"].write_text("\n".join(sentences * 2), encoding="utf-8")
    monkeypatch.setattr(translate, "AT_ONCE", 3)
    options = [f"--{name}={path}" for name, path in paths.items()]
    translate.main([str(smoke), *options])
    assert capsys.readouterr().out == ""
    assert {x.name for x in tmp_path.iterdir()} == set(paths)

    def lines(name):
        text = paths[name].read_text(encoding="utf-8")
        assert text.endswith("\n")
        return text[:-1].split("\n")

    model, _, _ = experiment.read_run(smoke)
    one, other = model.translate([sentences[0], sentences[3]])
    assert lines("output") == [one.text, "", "", other.text] * 2
    assert lines("pharaoh") == [one.pharaoh(), "", "", other.pharaoh()] * 2
    read = [json.loads(line) for line in lines("scores")]
    assert read[1] == dict(source_tokens=[], target_tokens=[], scores=[])
    assert [bool(x["scores"]) for x in read] == [True, False, False, True] * 2
    assert read[7]["source_tokens"] == other.source_tokens
    assert read[7]["target_tokens"] == other.target_tokens
    np.testing.assert_allclose(read[7]["scores"], other.scores, atol=1e-5)


def test_the_n_best_of_each_sentence_are_numbered(smoke, tmp_path, capsys):
    sentences = ["a wolf sings now", "", "the small black cats sleep"]
    (tmp_path / "in").write_text("\n".join(sentences))
    options = ["--input", str(tmp_path / "in"), "--num-results", "2"]
    translate.main([str(smoke), *options])
    lines = capsys.readouterr().out.splitlines()
    model, _, _ = experiment.read_run(smoke)
    found = model.hypotheses(sentences[::2], num_results=2, num_beams=2)
    texts = [x.text for hypotheses in found for x in hypotheses]
    columns = [line.split(" ||| ") for line in lines]
    assert [x[0] for x in columns] == ["0", "0", "1", "2", "2"]
    assert [x[1] for x in columns] == [*texts[:2], "", *texts[2:]]
    assert float(columns[0][2]) > float(columns[1][2])


def test_unknown_words_are_copied_or_looked_up(smoke, tmp_path, capsys):
    run = copy_run(smoke, tmp_path / "run")
    model, _, _ = experiment.read_run(smoke)
    bias = np.zeros(model.target_tokenizer.vocabulary_size)
    bias[model.target_tokenizer.unk_id] = 1e3  # it knows no word any more
    model.output_dense.bias.assign(bias)
    model.save_to_preset(run / "model")
    arguments = [str(run), "Wumpus"]
    words = tmp_path / "words.tsv"
    words.write_text("wumpus\tWumpe\nwumpus\tbete\n")
    for options, word in (
        ([], "[unk]"),
        (["--replace-unknown"], "Wumpus"),
        (["--dictionary", str(words)], "Wumpe"),
    ):
        translate.main([*arguments, *options])
        assert set(capsys.readouterr().out.split()) == {word}
    words.write_text("wumpus\n")
    text = refusal(capsys, translate.main, *arguments, "--dictionary", words)
    assert "words.tsv, line 1: 1 column" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a cat", "--input", "in"], "Received: both"),
        (["--input", "missing"], "No such file.*missing"),
        (["--input", "empty"], "none as an argument, and an empty .*empty"),
        (["--input", "latin"], "latin, with byte 0xe9 in line 2"),
        (["--input", "in", "--output", "in"], "--input .*in --output .*in. N"),
        (["a", "--scores", "x", "--pharaoh", "x"], "Each file has one use"),
        (["a cat", "--output", "no/out"], "no/out. Make the folder"),
        (["a cat", "--pharaoh", "folder"], "folder, which is none"),
        (["a cat", "--alignment", "no/cat.png"], "no/cat.png. Make"),
        (["a cat", "--alignment", "cat.xyz"], "one of .*png.* cat.xyz"),
        (["a cat", "--page", "cat.png"], "end in .html.* --page cat.png"),
        (["a cat", "--page", "no/cat.html"], "no/cat.html. Make"),
        (["a", "--num-results", "3", "--num-beams", "2"], "Use more beams"),
        (["a", "--num-results", "0"], "at least 1. Received: 0"),
    ],
)
def test_translate_refuses_bad_arguments_before_it_reads_a_model(
    smoke, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").write_text("a cat\n")
    (tmp_path / "empty").touch()
    (tmp_path / "latin").write_bytes(b"a cat\ncaf\xe9\n")
    (tmp_path / "folder").mkdir()
    before = {x.name for x in tmp_path.iterdir()}
    monkeypatch.setattr(experiment, "read_run", None)
    text = refusal(capsys, translate.main, smoke, *arguments)
    assert re.search(message, text)
    assert {x.name for x in tmp_path.iterdir()} == before


def test_a_model_that_does_not_attend_tells_nothing_read(
    smoke, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(RNNSearch, "step_extras", ())
    arguments = (smoke, "a cat", "--pharaoh", tmp_path / "x")
    text = refusal(capsys, translate.main, *arguments, "--replace-unknown")
    assert "--pharaoh and --replace-unknown tell what was read" in text
    assert not any(tmp_path.iterdir())


def test_nothing_half_written_is_left(smoke, tmp_path, monkeypatch):
    (tmp_path / "output").write_text("before\n")
    monkeypatch.setattr(translate, "AT_ONCE", 1)
    hypotheses = RNNSearch.hypotheses

    def fail(model, sentences, **options):
        if sentences == ["a cat sleeps"]:
            assert (tmp_path / "output.new").read_text() == f"{WOLF}\n"
            raise RuntimeError("out of memory")
        return hypotheses(model, sentences, **options)

    monkeypatch.setattr(RNNSearch, "hypotheses", fail)
    options = [f"--{x}={tmp_path / x}" for x in ("output", "pharaoh")]
    with pytest.raises(RuntimeError, match="out of memory"):
        sentences = ["a wolf sings now", "a cat sleeps"]
        translate.main([str(smoke), *sentences, *options])
    assert [x.name for x in tmp_path.iterdir()] == ["output"]
    assert (tmp_path / "output").read_text() == "before\n"


WOLF = "maintenant un loup chante"


class Terminal(io.StringIO):
    """A standard input at which someone types lines, and then `end`."""

    def __init__(self, *lines, end=""):
        super().__init__("".join(f"{line}\n" for line in lines))
        self.end = end

    def isatty(self):
        return True

    def readline(self):
        line = super().readline()
        if not line and self.end:
            raise self.end
        return line


@pytest.mark.parametrize(
    "terminal",
    [
        Terminal("a wolf sings now", "a wolf sings now"),
        Terminal("a wolf sings now", "a wolf sings now", " ", "a cat sleeps"),
        Terminal(*["a wolf sings now"] * 2, end=KeyboardInterrupt),
    ],
    ids=["end of file", "empty line", "ctrl-C"],
)
def test_what_is_typed_is_translated_until_the_end(
    smoke, tmp_path, monkeypatch, capsys, terminal
):
    monkeypatch.setattr(sys, "stdin", terminal)
    pictures = []
    monkeypatch.setattr(translate, "draw", lambda *x: pictures.append(x))
    options = ("--pharaoh", "links", "--alignment", "wolf.png")
    monkeypatch.chdir(tmp_path)
    translate.main([str(smoke), *options])
    said = capsys.readouterr()
    assert said.out == f"{WOLF}\n" * 2
    # Not in the output, which goes to no terminal here.
    assert said.err.count("> ") == 3
    assert len((tmp_path / "links").read_text().splitlines()) == 2
    assert [len(translations) for translations, _ in pictures] == [1, 1]


def test_a_terminal_shows_the_prompt(smoke, monkeypatch):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    with open(ours, "r+b", buffering=0) as screen, open(theirs) as stdin:
        with open(theirs, "w", closefd=False) as stdout:
            monkeypatch.setattr(sys, "stdin", stdin)
            monkeypatch.setattr(sys, "stdout", stdout)
            screen.write(b"a wolf sings now\n\x04")
            translate.main([str(smoke)])
        # The kernel hands over what was written bit by bit.
        shown = ""
        while select.select([screen], [], [], 5)[0]:
            shown += screen.read(1000).decode().replace("\r", "")
            if shown.endswith(f"> {WOLF}\n> "):
                break
    assert shown.endswith(f"> {WOLF}\n> ")


WOLVES = [
    f"{n} wolves sing now\tmaintenant un loup chante\n" for n in range(12)
]


def test_evaluate_reads_the_rows_that_the_run_was_trained_on(
    smoke, tmp_path, capsys
):
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(["a\tb\tc\n", *WOLVES, *"\n" * 11]))
    choices = dict(dataset="pairs", validation_pairs=1, test_pairs=3)
    run = copy_run(smoke, tmp_path / "run", path, True, **choices)
    evaluate.main([str(run)])
    printed = capsys.readouterr().out
    assert "left out: 12\n  line 1: 3 columns instead of 2\n" in printed
    assert "  and 2 more\n" in printed and "line 23" not in printed
    assert printed.count("source     ") == 3
    text = refusal(capsys, evaluate.main, run, "--skip-bad-rows")
    assert "--skip-bad-rows without --data" in text
    text = refusal(capsys, evaluate.main, run, "--data", path)
    assert "line 1: 3 columns instead of 2, and 11 more" in text
    assert "add --skip-bad-rows" in text

    path.write_text("".join(WOLVES[::-1]))
    assert "changed since" in refusal(capsys, evaluate.main, run)


def test_data_of_a_resumed_run_are_known_by_what_they_hold(
    smoke, tmp_path, monkeypatch, capsys
):
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(WOLVES))
    run = copy_run(smoke, tmp_path / "run", path, dataset="pairs")
    about = json.loads((run / "recipe.json").read_text())
    assert about["data"] == str(path)
    path.rename(tmp_path / "moved.tsv")
    monkeypatch.chdir(tmp_path)
    resume = ("--set", "dataset=pairs", "--data", "moved.tsv", "--resume")
    run_smoke(run, *resume)
    assert "nothing to resume" in capsys.readouterr().out
    (tmp_path / "moved.tsv").write_text("".join(WOLVES[1:]))
    arguments = ("--recipe", "smoke", "--output", run, *resume)
    assert "data_sha256=" in refusal(capsys, train.main, *arguments)


def test_a_killed_run_ends_with_the_metrics_of_one_that_was_not(
    tmp_path, capsys
):
    shorter = ("--set", "steps=30", "steps_per_epoch=10", "dropout=0.1")
    shorter += ("test_pairs=20",)
    run_smoke(tmp_path / "whole", *shorter)
    folder = tmp_path / "killed"
    train_and_be_killed("translation", folder, "--recipe", "smoke", *shorter)
    run_smoke(tmp_path / "killed", *shorter, "--resume")
    whole, killed = (read_metrics(tmp_path / n) for n in ("whole", "killed"))
    assert len(whole["history"]) == 3
    assert killed["history"] == whole["history"]
    assert killed["results"] == whole["results"]

    text = refusal(
        capsys,
        train.main,
        *("--recipe", "smoke", "--output", tmp_path / "killed", "--resume"),
    )
    assert "steps=240 instead of 30" in text
    run_smoke(tmp_path / "killed", *shorter, "--resume")
    assert "nothing to resume" in capsys.readouterr().out


def write_pairs(path, changes):
    """400 pairs, one too long, and some lines as in `changes`."""
    pairs = experiment.english_french_splits(400, 0, 0, seed=1, max_words=5)[0]
    lines = [f"{p.source}\t{p.target}\n" for p in pairs]
    lines[7] = "the cat" + " and the cat" * 20 + "\tle chat\n"
    for line, text in changes.items():
        lines[line] = text
    path.write_text("".join(lines), encoding="utf-8")
    return path


def train_on_file(folder, changes, *arguments):
    """Real sentences in miniature: subwords, a budget, a beam."""
    choices = ["budget_minutes=0.05", "steps_per_epoch=4", "num_beams=2"]
    choices += ["vocabulary_size=80", "validation_pairs=20", "test_pairs=10"]
    choices += ["preset=rnn_search_tiny", "hidden_dim=16", "num_buckets=1"]
    choices += ["validation_bleu_every=1"]
    path = write_pairs(folder / "pairs.tsv", changes)
    train.main(
        ["--recipe", "rnn_search_small", "--output", str(folder / "run")]
        + ["--data", str(path), "--verbose", "0", "--set", *choices]
        + list(arguments)
    )


def test_a_file_of_pairs_trains_within_a_cpu_budget(tmp_path, capsys):
    train_on_file(tmp_path, {5: "a\tb\tc\n"}, "--skip-bad-rows")
    printed = capsys.readouterr().out
    assert "left out: 1\n  line 6: 3 columns instead of 2\n" in printed
    about = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert about["skip_bad_rows"] is True
    assert "368 training, 20 validation and 10 test pairs" in printed
    assert "max_words=40 words on a side: 1\n" in printed
    metrics = read_metrics(tmp_path / "run")
    assert metrics["results"]["pairs"] == 10
    assert metrics["results"]["num_beams"] == 2
    assert "val_bleu" in metrics["history"][0]
    assert "alignment" not in metrics["results"]


def write_sides(folder, pairs):
    """Two files that are line-aligned, and the arguments that name them."""
    arguments = []
    for name, texts in zip(("source", "target"), pairs, strict=True):
        path = folder / f"text.{name}"
        path.write_text("".join(f"{text}\n" for text in texts), "utf-8")
        arguments += [f"--{name}-file", str(path)]
    return arguments


def test_two_files_train_by_every_other_choice(tmp_path, capsys):
    pairs = experiment.english_french_splits(70, 0, 0, seed=1, max_words=5)[0]
    sides = write_sides(tmp_path, experiment.two_sides(pairs))
    choices = ["dataset=pairs", "validation_pairs=8", "test_pairs=4"]
    choices += ["tokenizer=bpe", "vocabulary_size=270", "joint_vocabulary=True"]
    choices += ["label_smoothing=0.1", "schedule=transformer", "clipnorm=None"]
    choices += ["average_last=2", "tokens_per_batch=160", "embedding_dim=7"]
    choices += ["hidden_dim=5", "steps=4", "steps_per_epoch=2"]
    run = tmp_path / "run"
    run_smoke(run, *sides, "--set", *choices)
    about = json.loads((run / "recipe.json").read_text())
    assert about["data"] == [sides[1], sides[3]]
    assert read_metrics(run)["results"]["pairs"] == 4
    model, recipe, about = experiment.read_run(run)
    test = experiment.read_splits(recipe, about["data"], 0)[0][-1]
    assert test == [(pair.source, pair.target) for pair in pairs[-4:]]
    for tokenizer in (model.source_tokenizer, model.target_tokenizer):
        assert type(tokenizer).__name__ == "BPETokenizer"
    texts = [pairs[0].source, pairs[0].target]
    ids = model.source_tokenizer.tokenize(texts)
    assert ids == model.target_tokenizer.tokenize(texts)

    (tmp_path / "text.target").write_text("changed\n" * 70)
    text = refusal(capsys, evaluate.main, run)
    assert "text.source and " in text and "text.target, changed since" in text


def test_choices_of_training_reach_optimizer_loss_and_callbacks(tmp_path):
    pairs = experiment.read_splits(RECIPES["smoke"], None, 0)[0][1]
    plain = experiment.make_model(RECIPES["smoke"], [pairs])
    assert plain.optimizer.clipnorm == 1.0
    assert plain.loss.label_smoothing == 0.0
    recipe = make_recipe(
        "smoke",
        ["schedule=transformer", "learning_rate=0.3", "warmup_steps=7"]
        + ["label_smoothing=0.2", "clipnorm=0.5", "average_last=3"],
    )
    model = experiment.make_model(recipe, [pairs])
    assert model.optimizer.clipnorm == 0.5
    assert model.loss.label_smoothing == 0.2
    rate = model.optimizer._learning_rate
    rates = [float(rate(step)) for step in range(30)]
    assert rates.index(max(rates)) == 6
    assert max(rates) == pytest.approx(0.3)
    assert rates[27] == pytest.approx(0.15)  # step 28, four times as far
    for choice, name in ((recipe, "AverageWeights"), (None, "BestWeights")):
        callbacks = experiment.make_callbacks(
            choice or RECIPES["smoke"], pairs, tmp_path
        )
        (kept,) = callbacks[-1].callbacks
        assert type(kept).__name__ == name and kept in callbacks
    assert experiment.make_callbacks(recipe, pairs, tmp_path)[-2].last == 3


@pytest.mark.parametrize("name", ["word", "sentencepiece", "bpe", "character"])
def test_tokenizers_are_of_their_side_or_joint(name):
    size = {"sentencepiece": 60, "bpe": 270}.get(name)
    choices = [f"tokenizer={name}", f"vocabulary_size={size}"]
    pairs = experiment.english_french_splits(70, 0, 0, seed=1, max_words=5)[0]
    one, other = experiment.make_tokenizers(
        make_recipe("smoke", choices), pairs
    )
    assert type(one) is type(other) is experiment.TOKENIZERS[name]
    assert one.fingerprint() != other.fingerprint()
    one, other = experiment.make_tokenizers(
        make_recipe("smoke", [*choices, "joint_vocabulary=True"]), pairs
    )
    assert one is other
    for text in (pairs[0].source, pairs[0].target):
        assert one.detokenize(one.tokenize([text])) == [text]


@pytest.fixture
def tiny_sets(tmp_path, monkeypatch):
    """Sets of tensorflow-datasets with three splits and with one."""
    tfds = pytest.importorskip("tensorflow_datasets")
    for folder, splits in (
        ("three", {"train": 7, "validation": 2, "test": 3}),
        ("one", {"train": 7}),
    ):
        (tmp_path / folder).mkdir()
        for split, number in splits.items():
            for side in ("en", "fr"):
                path = tmp_path / folder / f"{side}.{split}.txt"
                path.write_text(
                    "".join(f"{side} {split} {i}\n" for i in range(number))
                )

    def builder(name, **_):
        return tfds.folder_dataset.TranslateFolder(str(tmp_path / name))

    monkeypatch.setattr(tfds, "builder", builder)


def test_a_set_keeps_its_splits_or_is_cut_into_blocks(tiny_sets):
    choices = ["dataset=pairs", "validation_pairs=1", "test_pairs=2"]
    recipe = make_recipe("smoke", choices)
    for name, splits in (
        ("three", {"train": 7, "validation": 2, "test": 3}),
        ("one", {"train": 4, "train 4": 1, "train 5": 2}),
    ):
        blocks, left_out = experiment.read_splits(
            recipe, f"tfds:{name},en,fr", 0
        )
        assert [len(block) for block in blocks] == list(splits.values())
        for block, split in zip(blocks, splits, strict=True):
            assert block[0][0].startswith(f"en {split}")
            assert block[0][1].startswith(f"fr {split}")
        assert left_out == 0
    blocks, _ = experiment.read_splits(recipe, "tfds:three,fr,en", 0)
    assert blocks[2][0] == ("fr test 0", "en test 0")
    assert len(experiment.read_test_pairs("tfds:three,en,fr")) == 3
    assert len(experiment.read_test_pairs("tfds:one,en,fr")) == 7


def test_a_set_of_a_run_is_known_by_its_name(smoke, tmp_path, capsys):
    run = copy_run(smoke, tmp_path / "run", "tfds:three", dataset="pairs")
    arguments = ("--recipe", "smoke", "--output", run, "--resume")
    arguments += ("--set", "dataset=pairs", "--data")
    text = refusal(capsys, train.main, *arguments, "tfds:one")
    assert "data=tfds:one instead of tfds:three" in text
    train.main([str(x) for x in (*arguments, "tfds:three")])
    assert "nothing to resume" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ((["a", "b", "c"], ["d", "e"]), "with 3, .*text.target with 2; line 3"),
        (([], ["d"]), "text.source must hold .*Received: an empty file"),
        ((["a", ""], ["d", "e"]), "text.target, line 2: the source is empty"),
        ((["a"] * 9, ["d"] * 9), "Received: 9 pairs, validation=50"),
    ],
)
def test_files_that_do_not_fit_stop_a_run_before_it_begins(
    tmp_path, capsys, sides, message
):
    arguments = write_sides(tmp_path, sides)
    arguments += ["--recipe", "smoke", "--set", "dataset=pairs"]
    arguments += ["--output", tmp_path / "run"]
    assert re.search(message, refusal(capsys, train.main, *arguments))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("line", "pair", "message"),
    [
        (9, "the cat\t\x01\n", r"'\x01', the target of a training pair"),
        (375, "\ufeff\tle chat\n", r"'\ufeff', the source of a validation"),
        (395, "\u200b\tle chat\n", r"'\u200b', the source of a test pair"),
    ],
)
def test_a_sentence_without_tokens_stops_a_run_before_it_begins(
    tmp_path, capsys, line, pair, message
):
    def main(arguments):
        train_on_file(tmp_path, {line: pair})

    assert message in refusal(capsys, main)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("module", ["matplotlib", "sacrebleu"])
def test_a_missing_tool_stops_a_run_before_it_begins(
    tmp_path, monkeypatch, capsys, module
):
    monkeypatch.setitem(sys.modules, module, None)
    arguments = ("--recipe", "smoke", "--output", tmp_path / "run")
    text = refusal(capsys, train.main, *arguments)
    assert f"`{module}` is not installed. Install it with" in text
    assert not (tmp_path / "run").exists()


def test_a_picture_that_fails_loses_no_metrics(smoke, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(scoring, "draw_alignments", fail)
    shutil.copy(smoke / "recipe.json", tmp_path)
    model, recipe, _ = experiment.read_run(smoke)
    splits = [x[:4] for x in experiment.read_splits(recipe, None, 0)[0]]
    _, batches = experiment.make_batches(recipe, model, splits, 0, 0)
    with pytest.raises(OSError, match="no space left"):
        train.finish(
            experiment, tmp_path, recipe, splits, model, batches, [], {}
        )
    assert read_metrics(tmp_path)["results"]["pairs"] == 4
    assert (tmp_path / "translations.txt").exists()


def test_the_mean_context_reads_every_word_alike():
    recipe = make_recipe("smoke", ["attention=mean"])
    pairs = experiment.read_splits(recipe, None, 0)[0][0][:50]
    model = experiment.make_model(recipe, [pairs])
    scores = model.align([pairs[0].source], [pairs[0].target])[0].scores
    assert scores == pytest.approx(1 / scores.shape[1])
    layer = model.decoder.attention
    assert not layer.trainable_variables


def put_runs(smoke, output, seeds=(0,)):
    """Finished runs of both systems, each scored as `smoke`."""
    for attention in compare.SYSTEMS:
        for seed in seeds:
            run = output / f"{attention}_{seed}"
            copy_run(smoke, run, seed=seed, attention=attention)


def change_metrics(run, change):
    metrics = read_metrics(run)
    change(metrics["results"])
    folders.write_json(run / "metrics.json", metrics)


def test_the_comparison_shows_finished_runs(smoke, tmp_path, capsys):
    put_runs(smoke, tmp_path, seeds=(0, 1))

    def end_elsewhere(results):
        del results["by_length"][0]
        results["by_length"][0].update(longest=7, bleu=12.3)

    for attention in compare.SYSTEMS:
        change_metrics(tmp_path / f"{attention}_1", end_elsewhere)
    compare.main(
        ["--recipe", "smoke", "--seeds", "0", "1", "--output", str(tmp_path)]
    )
    lines = capsys.readouterr().out.splitlines()
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in lines
        if line.startswith("|")
    ]
    results = read_metrics(smoke)["results"]
    short, long = (f"{part['bleu']:.1f}" for part in results["by_length"])
    assert rows[0][4:6] == ["1–4", "5–7"]
    assert [row[:2] for row in rows[2:]] == [
        [name, seed] for name in compare.SYSTEMS.values() for seed in "01"
    ]
    assert [row[4:6] for row in rows[2:]] == [[short, long], ["", "12.3"]] * 2
    score = results["bleu"]["score"]
    assert all(row[2].startswith(f"{score:.1f} ±") for row in rows[2:])
    assert (tmp_path / "bleu_by_length.png").exists()


def test_reversed_digits_and_their_links():
    changes = ["train_pairs=7", "min_words=3", "max_words=10"]
    recipe = make_recipe("reverse", changes)
    splits, _ = experiment.read_splits(recipe, None, seed=4)
    assert list(map(len, splits)) == [7, 500, 500]
    assert {len(x.source.split()) for x in splits[2]} == {*range(3, 11)}
    for pair in splits[2]:
        source, target = pair.source.split(), pair.target.split()
        assert target == source[::-1] != source or len({*source}) < 4
        assert all(source[s] == target[t] for s, t in pair.links)
        assert [t for _, t in pair.links] == [*range(len(source))][::-1]
    assert splits == experiment.read_splits(recipe, None, seed=4)[0]
    assert splits != experiment.read_splits(recipe, None, seed=5)[0]
    recipe = make_recipe("reverse", ["min_words=30"])
    with pytest.raises(ValueError, match="min_words=30, max_words=20"):
        experiment.read_splits(recipe, None, seed=4)


def test_location_scores_have_room_for_the_longest_source_of_all():
    recipe = make_recipe("smoke", ["preset=luong_nmt_tiny", "score=location"])
    short = [("a cat", "un chat")]
    model = experiment.make_model(recipe, [short, short, [("a " * 9, "un")]])
    assert model.max_length == 9


def test_the_table_shows_runs_beside_each_other(
    smoke, tmp_path, monkeypatch, capsys
):
    shutil.copytree(smoke, tmp_path / "other")
    change_metrics(tmp_path / "other", lambda x: x.update(weights=1234567))
    figure = tmp_path / "curves" / "bleu.png"
    folders = [str(smoke), str(tmp_path / "other")]
    drawn = []
    monkeypatch.setattr(table, "draw", lambda x, _: drawn.extend(x))
    table.main([folders[0], *folders, "--figure", str(figure)])
    assert [label for label, _ in drawn] == ["smoke", "smoke", "other"]
    capsys.readouterr()
    monkeypatch.undo()
    table.main([*folders, "--figure", str(figure)])
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in capsys.readouterr().out.splitlines()
    ]
    metrics = read_metrics(smoke)
    bleu = metrics["results"]["bleu"]
    assert [row[0] for row in rows] == ["run", "---", "smoke", "other"]
    assert rows[3][1] == "1,234,567"
    assert rows[2][4] == f"{bleu['score']:.1f} ± {bleu['confidence']:.1f}"
    assert rows[0][6:8] == ["1–4", "5–5"]
    exact, aligned = (
        100 * metrics["results"]["exact_matches"],
        100 * metrics["results"]["alignment"]["overall"],
    )
    assert rows[2][8:10] == [f"{exact:.1f}", f"{aligned:.1f}"]
    assert len(rows[2]) == len(rows[0])
    assert figure.read_bytes().startswith(b"\x89PNG")
    change_metrics(tmp_path / "other", lambda x: x.pop("weights"))
    text = refusal(capsys, table.main, *folders)
    assert "other/metrics.json (KeyError('weights'))" in text


def test_a_run_tells_the_cross_entropy_of_its_targets(smoke):
    """Per word, so that other tokens of the same text compare."""
    metrics = read_metrics(smoke)
    _, validation, _ = experiment.read_splits(RECIPES["smoke"], None, 0)[0]
    words = [len(pair.target.split()) for pair in validation]
    # Each word is a token here, and [end] is one more.
    per_token = min(logs["val_loss"] for logs in metrics["history"])
    expected = per_token * (sum(words) + len(words)) / sum(words)
    got = metrics["results"]["validation_nats_per_word"]
    # `fit` weighs batches by their rows.
    assert got == pytest.approx(expected, rel=0.02)
    model, _, _ = experiment.read_run(smoke)
    assert metrics["results"]["weights"] == model.count_params()


def test_the_comparison_trains_by_the_choices_it_was_given(
    smoke, tmp_path, monkeypatch
):
    asked = []

    def run(command_line, check):
        options = train.make_parser().parse_args(command_line[3:])
        options.output.mkdir(parents=True)
        shutil.copy(smoke / "metrics.json", options.output)
        asked.append(options)

    monkeypatch.setattr(compare.subprocess, "run", run)
    data = write_pairs(tmp_path / "pairs.tsv", {})
    compare.main(
        ["--recipe", "rnn_search_small", "--data", str(data), "--threads", "2"]
        + ["--set", "num_beams=2", "--set", "batch_size=8", "--skip-bad-rows"]
        + ["--seeds", "3", "--output", str(tmp_path / "runs")]
    )
    for options, attention in zip(asked, compare.SYSTEMS, strict=True):
        assert options.changes == [
            *("num_beams=2", "batch_size=8", f"attention={attention}")
        ]
        assert (options.recipe, options.seed) == ("rnn_search_small", 3)
        assert (options.data, options.threads) == (str(data), 2)
        assert options.source_file is options.target_file is None
        assert options.skip_bad_rows and not options.resume


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "steps=60"], "steps=60 instead of 240"),
        (["--set", "nosuch=3"], "Received: nosuch=3"),
        (["--set", "attention=mean"], "differ by their attention"),
        (["--data", "/nosuch.tsv"], "dataset=pairs reads `--data`"),
        (["--recipe", "big"], "recipes are demo, smoke"),
        ([], "mean_0/metrics.json (KeyError('sure'))"),
    ],
)
def test_the_comparison_refuses_runs_of_something_else(
    smoke, tmp_path, capsys, arguments, message
):
    put_runs(smoke, tmp_path)
    change_metrics(tmp_path / "mean_0", lambda x: x["alignment"].pop("sure"))
    arguments = ["--recipe", "smoke", "--seeds", "0", *arguments]
    arguments += ["--output", tmp_path]
    assert message in refusal(capsys, compare.main, *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "big"], "recipes are demo, smoke.*Received: big"),
        (["--set", "step=3"], "fields are dataset, .*Received: step=3"),
        (["--set", "steps"], "by field=value. Received: steps"),
        (["--set", "steps=many"], "type int. Received: steps=many"),
        (["--set", "steps=-100"], "positive. Received: steps=-100"),
        (["--set", "steps=100"], "multiple of `steps_per_epoch`"),
        (["--set", "dropout=1"], "Received: dropout=1.0"),
        (["--set", "attention=soft"], "additive, mean. Received: att.*soft"),
        (["--set", "length_limits=(3,2)"], r"ascend. Received: .*\(3, 2\)"),
        (["--set", "tokenizer=bpe"], "need a `vocabulary_size`"),
        (["--set", "min_words=2"], "Received: min_words=2"),
        (["--set", "preset=huge"], "transformer_tiny. Received: preset=huge"),
        (["--data", "x.tsv"], "dataset=pairs reads `--data`"),
        (["--recipe", "rnn_search_small"], "Add --data pairs.tsv"),
        (["--source-file", "a"], "--target-file. Received: --source-file."),
        (
            ["--source-file", "a", "--target-file", "b", "--data", "c"],
            "Received: --data and --source-file and --target-file",
        ),
        (["--source-file", "a", "--target-file", "b"], "dataset=pairs reads"),
        (
            ["--source-file", "/no", "--target-file", "b"]
            + ["--set", "dataset=pairs"],
            "Received: /no, where there is none",
        ),
        (["--data", "tfds:", "--set", "dataset=pairs"], "must be named"),
        (
            ["--data", "tfds:x,en", "--set", "dataset=pairs"],
            "tfds:NAME,SOURCE,TARGET. Received: tfds:x,en",
        ),
        (
            ["--data", "tfds:no_such_set", "--set", "dataset=pairs"],
            "name='no_such_set'",
        ),
        (["--set", "label_smoothing=1"], "Received: label_smoothing=1.0"),
        (["--set", "average_last=0"], "positive. Received: average_last=0"),
        (["--set", "schedule=linear"], "cosine, transformer. Received: sch"),
        (
            ["--set", "budget_clock=wall"],
            "budget_clock=wall, budget_minutes=None. Add",
        ),
        (
            ["--set", "schedule=transformer", "budget_minutes=3"],
            "budget_minutes=3.0. Add",
        ),
        (["--set", "jit_compile=maybe"], "True, False, auto. Received: jit_"),
        (["--set", "steps_per_epoch=1", "num_buckets=4"], "must be at least 2"),
        (["--skip-bad-rows"], "reads `--data`. Received: --skip-bad-rows"),
        (["--threads", "1"], "before Keras is imported"),
        (["--threads", "-1"], "at least 1. Received: -1"),
        (["--threads", "0"], "at least 1. Received: 0"),
        (["--resume"], "must hold the recipe.json"),
        (["--resume", "--overwrite"], "both --resume and --overwrite"),
    ],
)
def test_train_refuses_bad_arguments_in_a_sentence(
    tmp_path, capsys, arguments, message
):
    output = tmp_path / "run"
    arguments = ["--recipe", "smoke", "--output", output, *arguments]
    assert re.search(message, refusal(capsys, train.main, *arguments))
    assert not output.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Sentence pairs must be in files"),
        (b"", "an empty file"),
        (b"a\tb\nno tab\n", "line 2: 1 column instead of 2"),
        (b"a\tb\nc\td\n\xff\te\n", "line 3: byte 0xff at column 0"),
        (b"a\tb\n" * 9, "Received: 9 pairs, validation=1000"),
    ],
)
def test_train_refuses_files_that_hold_no_pairs(
    tmp_path, capsys, content, message
):
    path = tmp_path / "pairs.tsv"
    if content is not None:
        path.write_bytes(content)
    arguments = ["--output", tmp_path / "run", "--data", path]
    arguments += ["--recipe", "rnn_search_small"]
    assert message in refusal(capsys, train.main, *arguments)


def test_commands_import_no_backend_before_they_limit_threads():
    names = "train, evaluate, translate, compare"
    code = f"from applications.translation import {names}; import sys; "
    code += "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("dear")
    arguments = ("--recipe", "smoke", "--output", tmp_path / "letter.txt" / "x")
    text = refusal(capsys, train.main, *arguments)
    assert "Not a directory" in text and "name another" in text


def test_a_run_is_not_overwritten_unasked(smoke, tmp_path, capsys):
    before = (smoke / "metrics.json").read_bytes()
    arguments = ("--recipe", "smoke", "--output")
    text = refusal(capsys, train.main, *arguments, smoke)
    assert "holds a run. Add --resume" in text
    (tmp_path / "letter.txt").write_text("dear")
    for overwrite in ((), ("--overwrite",)):
        text = refusal(capsys, train.main, *arguments, tmp_path, *overwrite)
        assert "files of something else" in text
    text = refusal(capsys, train.main, *arguments, tmp_path / "letter.txt")
    assert "a file." in text
    assert (smoke / "metrics.json").read_bytes() == before


@pytest.mark.parametrize("main", [translate.main, evaluate.main])
def test_a_folder_that_is_no_run_is_refused(smoke, tmp_path, capsys, main):
    assert "must hold the recipe.json" in refusal(capsys, main, tmp_path)
    about = json.loads((smoke / "recipe.json").read_text())
    for wrong in (
        {"choices": None},
        {"choices": {**about["choices"], "steps": "many"}},
        {"seed": "0"},
        {"data": "pairs.tsv"},
    ):
        content = json.dumps({**about, **wrong})
        (tmp_path / "recipe.json").write_text(content)
        text = refusal(capsys, main, tmp_path)
        assert "must hold the recipe.json" in text
    shutil.copy(smoke / "recipe.json", tmp_path)
    assert "must be finished" in refusal(capsys, main, tmp_path)


def test_a_vocabulary_that_does_not_fit_the_model_is_refused(
    smoke, tmp_path, capsys
):
    folder = tmp_path / "run"
    shutil.copytree(smoke, folder)
    path = folder / "model" / "source_tokenizer" / "vocabulary.txt"
    words = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(words[:-1]), encoding="utf-8")
    text = refusal(capsys, translate.main, folder, "the cat sleeps")
    assert f"tokenizer of {len(words) - 1} tokens" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["  "], "at least one token"),
        (["a cat sleeps", "--num-beams", "0"], "--num-beams: must be a whole"),
        (["a cat", "--alignment", "x.docx"], "docx"),
        (["a cat", "--alignment", "/nosuch/x.png"], "/nosuch/x.png. Make"),
    ],
)
def test_translate_refuses_bad_arguments(smoke, capsys, arguments, message):
    assert message in refusal(capsys, translate.main, smoke, *arguments)


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("False", False), ("false", False), ("auto", "auto")],
)
def test_compilation_is_switched_on_or_off(text, value):
    recipe = make_recipe("smoke", [f"jit_compile={text}"])
    assert repr(recipe.jit_compile) == repr(value)


def test_every_recipe_is_valid_and_names_its_fields():
    for name, recipe in RECIPES.items():
        assert make_recipe(name) == recipe
    with pytest.raises(TypeError, match="hiden_dim"):
        Recipe(hiden_dim=3)
