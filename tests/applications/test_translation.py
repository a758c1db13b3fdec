import json
import re
import shutil
import signal
import subprocess
import sys

import keras
import pytest

from applications.translation import (
    compare,
    evaluate,
    experiment,
    train,
    translate,
)
from applications.translation.recipes import RECIPES, Recipe, make_recipe

pytestmark = pytest.mark.one_backend


def run_smoke(folder, *arguments):
    train.main(
        ["--recipe", "smoke", "--verbose", "0", "--output", str(folder)]
        + [str(argument) for argument in arguments]
    )


def read_metrics(folder):
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def refusal(capsys, main, *arguments):
    """What a command that ends with exit code 2 says."""
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert stopped.value.code == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return " ".join(text.split())


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "smoke"
    run_smoke(folder)
    return folder


def test_the_smoke_recipe_learns_to_translate(smoke):
    metrics = read_metrics(smoke)
    losses = [logs["val_loss"] for logs in metrics["history"]]
    assert losses[-1] < losses[0] / 10
    # Of some 60 ways to fill a noun phrase, chance would find one at a time.
    assert metrics["results"]["exact_matches"] > 0.7
    words = metrics["results"]["alignment"]
    assert words["crossing"] > 0.8 > words["diagonal_crossing"]


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
    figure = tmp_path / "cats.png"
    sentences = ["the small black cats sleep", "a wolf sings now"]
    translate.main([str(smoke), *sentences, "--alignment", str(figure)])
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2
    assert printed[1] == "maintenant un loup chante"
    assert figure.read_bytes().startswith(b"\x89PNG")
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


# Trains as the command does, until it kills itself in the second epoch.
KILLED = """
import os, signal, sys
import keras
from applications.translation import experiment, train

class KillInSecondEpoch(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, 5):
            os.kill(os.getpid(), signal.SIGKILL)

others = experiment.make_callbacks
experiment.make_callbacks = lambda *a: [KillInSecondEpoch(), *others(*a)]
train.main(sys.argv[1:])
"""


def test_a_killed_run_ends_with_the_metrics_of_one_that_was_not(
    tmp_path, capsys
):
    shorter = ("--set", "steps=30", "steps_per_epoch=10", "dropout=0.1")
    shorter += ("test_pairs=20",)
    run_smoke(tmp_path / "whole", *shorter)
    killed = ("--recipe", "smoke", "--output", tmp_path / "killed", *shorter)
    done = subprocess.run([sys.executable, "-c", KILLED, *map(str, killed)])
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "metrics.json").exists()
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


def write_pairs(path):
    """Real sentences in miniature: subwords, a budget, a beam."""
    pairs = experiment.english_french_splits(400, 0, 0, seed=1, max_words=5)[0]
    lines = [f"{p.source}\t{p.target}\n" for p in pairs]
    lines[7] = "the cat" + " and the cat" * 20 + "\tle chat\n"
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_a_file_of_pairs_trains_within_a_cpu_budget(tmp_path, capsys):
    changes = ["budget_cpu_minutes=0.05", "steps_per_epoch=4", "num_beams=2"]
    changes += ["vocabulary_size=80", "validation_pairs=20", "test_pairs=10"]
    changes += ["preset=rnn_search_tiny", "hidden_dim=16", "num_buckets=1"]
    changes += ["validation_bleu_every=1"]
    train.main(
        ["--recipe", "rnn_search_small", "--output", str(tmp_path / "run")]
        + ["--data", str(write_pairs(tmp_path / "pairs.tsv"))]
        + ["--verbose", "0", "--set", *changes]
    )
    printed = capsys.readouterr().out
    assert "369 training, 20 validation and 10 test pairs" in printed
    assert "max_words=40 words on a side: 1\n" in printed
    metrics = read_metrics(tmp_path / "run")
    assert metrics["results"]["pairs"] == 10
    assert metrics["results"]["num_beams"] == 2
    assert "val_bleu" in metrics["history"][0]
    assert "alignment" not in metrics["results"]


def test_the_mean_context_reads_every_word_alike():
    recipe = make_recipe("smoke", ["attention=mean"])
    pairs = experiment.read_splits(recipe, None, 0)[0][0][:50]
    model = experiment.make_model(recipe, pairs)
    scores = model.align([pairs[0].source], [pairs[0].target])[0].scores
    assert scores == pytest.approx(1 / scores.shape[1])
    layer = model.decoder.attention
    assert not layer.trainable_variables


def test_the_comparison_shows_finished_runs(smoke, tmp_path, capsys):
    for attention in compare.SYSTEMS:
        for seed in (0, 1):
            folder = tmp_path / f"{attention}_{seed}"
            folder.mkdir()
            shutil.copy(smoke / "metrics.json", folder)
    compare.main(
        ["--recipe", "smoke", "--seeds", "0", "1", "--output", str(tmp_path)]
    )
    lines = capsys.readouterr().out.splitlines()
    score = read_metrics(smoke)["results"]["bleu"]["score"]
    rows = [line for line in lines if line.startswith("| mean annotation")]
    assert [row.split("|")[2].strip() for row in rows] == ["0", "1"]
    assert all(f"| {score:.1f} ±" in row for row in rows)
    assert (tmp_path / "bleu_by_length.png").exists()


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
        (["--set", "tokenizer=subwords"], "need a `vocabulary_size`"),
        (["--set", "min_words=2"], "Received: min_words=2"),
        (["--set", "preset=huge"], "Received: preset='huge'"),
        (["--data", "x.tsv"], "dataset=tsv reads `--data`"),
        (["--recipe", "rnn_search_small"], "Add --data pairs.tsv"),
        (["--threads", "1"], "before Keras is imported"),
        (["--resume"], "no readable recipe.json"),
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
        (None, "must be a file of sentence pairs"),
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
    assert f"source_tokenizer of {len(words) - 1} tokens" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["  "], "at least one token"),
        (["a cat sleeps", "--num-beams", "0"], "num_beams"),
        (["a cat", "--alignment", "x.docx"], "docx"),
    ],
)
def test_translate_refuses_bad_arguments(smoke, capsys, arguments, message):
    assert message in refusal(capsys, translate.main, smoke, *arguments)


def test_every_recipe_is_valid_and_names_its_fields():
    for name, recipe in RECIPES.items():
        assert make_recipe(name) == recipe
    with pytest.raises(TypeError, match="hiden_dim"):
        Recipe(hiden_dim=3)
